//! `xinqiao consent`: grants, as an enterprise or its bureau handles them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use xinqiao_crypto::{SecretKey, sm3};
use xinqiao_ledger::{
    ids::{GrantId, ItemCode, OrgId, PurposeCode, SourceId, Subject},
    wire::{self, tx_body::Action},
};

use super::genesis::now_ms;
use crate::{
    client::{Client, explain},
    files, keyfiles, render,
};

/// Consent grants.
#[derive(Debug, Subcommand)]
pub enum ConsentCommand {
    /// Grant consent: by the enterprise's own key, or by a bureau as witness of a paper authorisation.
    Grant(Box<Grant>),
    /// Grant what an institution has requested.
    Accept(Change),
    /// Decline a request.
    Decline(Change),
    /// Pause a grant.
    Pause(Change),
    /// Resume a paused grant.
    Resume(Change),
    /// Revoke a grant for good; it binds from the block that commits it.
    Revoke(Change),
    /// Bind an enterprise's own key, after its identity was checked. Signed by a bureau.
    BindKey {
        /// How to reach a node, and the bureau's admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The enterprise's code.
        uscc: String,
        /// The enterprise's SM2 key file (secret or public PEM).
        #[arg(long)]
        key: PathBuf,
    },
    /// List an enterprise's grants.
    List {
        /// How to reach a node, and the pseudonym key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The enterprise's code.
        uscc: String,
    },
}

/// What is granted.
#[derive(Debug, Args)]
pub struct Grant {
    /// How to reach a node, and the bureau's admin key.
    #[arg(long, env = "XINQIAO_PROFILE")]
    profile: PathBuf,
    /// The enterprise's code.
    uscc: String,
    /// The institution that may query.
    #[arg(long)]
    grantee: OrgId,
    /// Its branch; empty for all.
    #[arg(long, default_value = "")]
    branch: String,
    /// Purposes, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    purposes: Vec<PurposeCode>,
    /// Items, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    items: Vec<ItemCode>,
    /// Sources, separated by commas; all if not given.
    #[arg(long, value_delimiter = ',')]
    sources: Vec<SourceId>,
    /// How many days it is valid.
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// How often it may be used.
    #[arg(long, default_value_t = 10)]
    uses: u32,
    /// How often within a period: `USES/SECONDS`.
    #[arg(long)]
    frequency: Option<String>,
    /// How long the institution may keep what it received, in days.
    #[arg(long, default_value_t = 180)]
    data_life_days: u32,
    /// The institution may pass the report on.
    #[arg(long)]
    onward_sharing: bool,
    /// The signed authorisation document; its SM3 goes on the ledger, the document does not.
    #[arg(long)]
    document: PathBuf,
    /// Sign with the enterprise's own bound key instead of the bureau's.
    #[arg(long)]
    subject_key: Option<PathBuf>,
}

/// A change to a grant.
#[derive(Debug, Args)]
pub struct Change {
    /// How to reach a node, and the bureau's admin key.
    #[arg(long, env = "XINQIAO_PROFILE")]
    profile: PathBuf,
    /// The grant.
    grant: GrantId,
    /// Sign with the enterprise's own bound key instead of the bureau's.
    #[arg(long)]
    subject_key: Option<PathBuf>,
}

/// The terms of a grant with the usual defaults, for whoever fills in the rest.
pub fn terms(
    subject: &Subject,
    grantee: &OrgId,
    purposes: &[PurposeCode],
    items: &[ItemCode],
    document: &[u8],
) -> wire::ConsentTerms {
    let now = now_ms();
    let (mut purposes, mut items) = (purposes.to_vec(), items.to_vec());
    purposes.sort();
    purposes.dedup();
    items.sort();
    items.dedup();
    wire::ConsentTerms {
        subject: subject.to_vec(),
        grantee: grantee.to_string(),
        purposes: purposes.iter().map(ToString::to_string).collect(),
        items: items.iter().map(ToString::to_string).collect(),
        // A little back, so that a validator whose clock is behind does not find it too early.
        valid_from_ms: now.saturating_sub(60_000),
        valid_until_ms: now + 365 * 86_400_000,
        max_uses: 10,
        data_life_days: 180,
        document_digest: sm3(document).as_bytes().to_vec(),
        text_digest: sm3(document).as_bytes().to_vec(),
        ..wire::ConsentTerms::default()
    }
}

/// Runs the command.
pub async fn run(command: ConsentCommand, json: bool) -> Result<()> {
    let (change, action): (Change, fn(Vec<u8>) -> Action) = match command {
        ConsentCommand::Grant(grant) => return self::grant(*grant, json).await,
        ConsentCommand::BindKey { profile, uscc, key } => {
            let client = Client::open(&profile)?;
            let public = keyfiles::sm2(&key)
                .map(|key| *key.public())
                .or_else(|fault| {
                    xinqiao_crypto::PublicKey::from_pem(&keyfiles::text(&key)?).map_err(|_| fault)
                })?;
            let action = Action::BindSubjectKey(wire::BindSubjectKey {
                subject: client.subject(&uscc)?.to_vec(),
                public_key: public.to_sec1().to_vec(),
            });
            let proven = client.submit(action, &client.admin_key()?).await?;
            println!(
                "key {} bound at height {}",
                public.id(),
                proven.header().height
            );
            return Ok(());
        }
        ConsentCommand::List { profile, uscc } => {
            let client = Client::open(&profile)?;
            let subject = client.subject(&uscc)?;
            return list(&client, &subject, json).await;
        }
        ConsentCommand::Accept(change) => return accept(change).await,
        ConsentCommand::Decline(change) => (change, |grant| {
            Action::DeclineConsent(wire::DeclineConsent { grant })
        }),
        ConsentCommand::Pause(change) => (change, |grant| {
            Action::PauseConsent(wire::PauseConsent { grant })
        }),
        ConsentCommand::Resume(change) => (change, |grant| {
            Action::ResumeConsent(wire::ResumeConsent { grant })
        }),
        ConsentCommand::Revoke(change) => (change, |grant| {
            Action::RevokeConsent(wire::RevokeConsent { grant })
        }),
    };
    let client = Client::open(&change.profile)?;
    let key = signer(&client, change.subject_key.as_ref())?;
    let proven = client.submit(action(change.grant.to_vec()), &key).await?;
    println!(
        "done at height {}, transaction {}",
        proven.header().height,
        proven.id()
    );
    Ok(())
}

/// Who speaks for an enterprise: its own key, or the bureau of the profile.
pub fn signer(client: &Client, subject_key: Option<&PathBuf>) -> Result<SecretKey> {
    subject_key.map_or_else(|| client.admin_key(), |file| keyfiles::sm2(file))
}

async fn grant(grant: Grant, json: bool) -> Result<()> {
    let client = Client::open(&grant.profile)?;
    let document = files::bytes(&grant.document, files::MAX_DOCUMENT)?;
    let subject = client.subject(&grant.uscc)?;
    let mut terms = terms(
        &subject,
        &grant.grantee,
        &grant.purposes,
        &grant.items,
        &document,
    );
    terms.branch = grant.branch;
    terms.sources = grant.sources.iter().map(ToString::to_string).collect();
    terms.sources.sort();
    terms.valid_until_ms = now_ms() + u64::from(grant.days) * 86_400_000;
    terms.max_uses = grant.uses;
    if let Some(frequency) = &grant.frequency {
        let (uses, seconds) = frequency
            .split_once('/')
            .context("--frequency takes USES/SECONDS, such as 3/86400")?;
        terms.max_uses_per_period = uses.parse()?;
        terms.period_seconds = seconds.parse()?;
    }
    terms.data_life_days = grant.data_life_days;
    terms.onward_sharing = grant.onward_sharing;
    let action = Action::GrantConsent(wire::GrantConsent {
        request: vec![],
        terms: Some(terms),
    });
    let key = signer(&client, grant.subject_key.as_ref())?;
    let proven = client.submit(action, &key).await?;
    if json {
        render::print_json(
            &json!({"grant": proven.id().to_string(), "height": proven.header().height}),
        );
    } else {
        println!(
            "grant {}\nin force from height {}",
            proven.id(),
            proven.header().height
        );
    }
    Ok(())
}

async fn accept(change: Change) -> Result<()> {
    let client = Client::open(&change.profile)?;
    let state = client
        .state()
        .get_grant(wire::GetGrantRequest {
            grant: change.grant.to_vec(),
        })
        .await
        .map_err(explain)?
        .into_inner()
        .grant
        .context("the node answered without a grant")?;
    let action = Action::GrantConsent(wire::GrantConsent {
        request: change.grant.to_vec(),
        terms: state.terms,
    });
    let key = signer(&client, change.subject_key.as_ref())?;
    let proven = client.submit(action, &key).await?;
    println!(
        "grant {} in force from height {}",
        change.grant,
        proven.header().height
    );
    Ok(())
}

async fn list(client: &Client, subject: &Subject, json: bool) -> Result<()> {
    let grants = client
        .state()
        .list_grants(wire::ListGrantsRequest {
            subject: subject.to_vec(),
            grantee: String::new(),
        })
        .await
        .map_err(explain)?
        .into_inner()
        .grants;
    let mut table = render::table([
        "grant",
        "institution",
        "purposes",
        "items",
        "state",
        "uses",
        "valid until",
    ]);
    let mut values = Vec::new();
    for grant in grants {
        let terms = grant.terms.unwrap_or_default();
        let uses = format!(
            "{} of {}",
            grant.uses_spent + grant.uses_reserved,
            terms.max_uses
        );
        values.push(json!({
            "grant": hex::encode(&grant.grant), "grantee": terms.grantee, "purposes": terms.purposes,
            "items": terms.items, "status": render::consent_status(grant.status),
            "uses_spent": grant.uses_spent, "uses_reserved": grant.uses_reserved,
            "max_uses": terms.max_uses, "valid_until_ms": terms.valid_until_ms,
            "witness": grant.witness,
        }));
        table.add_row([
            hex::encode(&grant.grant),
            terms.grantee,
            terms.purposes.join(" "),
            terms.items.join(" "),
            render::consent_status(grant.status),
            uses,
            render::moment(terms.valid_until_ms),
        ]);
    }
    if json {
        render::print_json(&json!(values));
    } else {
        println!("{table}");
    }
    Ok(())
}
