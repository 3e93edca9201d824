//! `xinqiao validator`: who certifies blocks.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use xinqiao_crypto::PublicKey;
use xinqiao_ledger::{
    validators::{Engine, Validator},
    wire::{self, tx_body::Action},
};

use crate::{
    client::{Client, explain},
    keyfiles, render,
};

/// Validators.
#[derive(Debug, Subcommand)]
pub enum ValidatorCommand {
    /// List the validators from the next block on, and how they agree.
    List {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
    },
    /// Give the organisation's own validator another key or endpoint, from the next block on.
    ///
    /// The old key certifies no block after the one that commits this; start the node with the new key before,
    /// or right after. A key that was given up does not come back. Adding and removing validators takes a vote:
    /// `xinqiao governance propose`.
    Rotate {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The validator's SM2 key file (secret or public PEM).
        #[arg(long)]
        key: PathBuf,
        /// Where other validators reach it, `https://host:port`; as it is if not given.
        #[arg(long)]
        endpoint: Option<String>,
    },
    /// List what validators were caught at, newest first. It removes nobody: that takes a vote.
    Misbehaviour {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// How many.
        #[arg(long, default_value_t = 20)]
        count: u32,
    },
}

/// Runs the command.
pub async fn run(command: ValidatorCommand, json: bool) -> Result<()> {
    match command {
        ValidatorCommand::List { profile } => list(&Client::open(&profile)?, json).await,
        ValidatorCommand::Rotate {
            profile,
            key,
            endpoint,
        } => rotate(&Client::open(&profile)?, &key, endpoint, json).await,
        ValidatorCommand::Misbehaviour { profile, count } => {
            misbehaviour(&Client::open(&profile)?, count, json).await
        }
    }
}

async fn validators(client: &Client) -> Result<wire::ListValidatorsResponse> {
    let answer = client
        .state()
        .list_validators(wire::ListValidatorsRequest {})
        .await;
    Ok(answer.map_err(explain)?.into_inner())
}

async fn list(client: &Client, as_json: bool) -> Result<()> {
    let answer = validators(client).await?;
    let validators = (answer.validators.iter())
        .map(Validator::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let engine = Engine::parse("engine", answer.engine)?;
    let quorum = engine.quorum(validators.len());
    if as_json {
        let validators: Vec<_> = (validators.iter())
            .map(|it| {
                json!({
                    "org": it.org.as_str(), "key_id": it.key.id().to_string(),
                    "public_key": hex::encode(it.key.to_sec1()), "endpoint": it.endpoint.as_str(),
                })
            })
            .collect();
        let engine = render::consensus_engine(answer.engine);
        render::print_json(&json!({
            "engine": engine, "quorum": quorum, "validators": validators,
        }));
        return Ok(());
    }
    let mut table = render::table(["member", "key", "endpoint"]);
    for validator in &validators {
        table.add_row([
            validator.org.to_string(),
            validator.key.id().to_string(),
            validator.endpoint.to_string(),
        ]);
    }
    println!("{table}");
    println!(
        "engine {}; {quorum} of {} certify a block",
        render::consensus_engine(answer.engine),
        validators.len()
    );
    Ok(())
}

async fn rotate(
    client: &Client,
    key: &std::path::Path,
    endpoint: Option<String>,
    as_json: bool,
) -> Result<()> {
    let public = keyfiles::sm2(key)
        .map(|key| *key.public())
        .or_else(|fault| PublicKey::from_pem(&keyfiles::text(key)?).map_err(|_| fault))?;
    let endpoint = match endpoint {
        Some(endpoint) => endpoint,
        None => {
            let org = client.org();
            let all = validators(client).await?.validators;
            let own = all.into_iter().find(|it| it.org == org.as_str());
            own.map(|it| it.endpoint).unwrap_or_default()
        }
    };
    let action = Action::RotateValidator(wire::RotateValidator {
        public_key: public.to_sec1().to_vec(),
        endpoint,
    });
    let proven = client.submit(action, &client.admin_key()?).await?;
    let height = proven.header().height;
    if as_json {
        render::print_json(&json!({
            "height": height, "key_id": public.id().to_string(), "tx_id": proven.id().to_string(),
        }));
    } else {
        println!("done at height {height}, transaction {}", proven.id());
        println!("key {} signs from height {} on", public.id(), height + 1);
    }
    Ok(())
}

async fn misbehaviour(client: &Client, count: u32, as_json: bool) -> Result<()> {
    let entries = client
        .state()
        .list_misbehaviour(wire::ListMisbehaviourRequest {
            before_index: 0,
            page_size: count,
        })
        .await
        .map_err(explain)?
        .into_inner()
        .entries;
    let evidence = |entry: &wire::Misbehaviour| entry.evidence.clone().unwrap_or_default();
    if as_json {
        let entries: Vec<_> = (entries.iter())
            .map(|entry| {
                let (evidence, key) = (evidence(entry), hex::encode(&entry.public_key));
                let said = |said: Option<wire::SignedStatement>| {
                    said.map(|it| {
                        json!({
                            "kind": it.kind().as_str_name(), "header_hash": hex::encode(&it.header_hash),
                            "after_pol_round": it.after_pol_round, "signature": hex::encode(&it.signature),
                        })
                    })
                };
                json!({
                    "index": entry.index, "org": entry.org, "public_key": key,
                    "validator": hex::encode(&evidence.validator), "height": evidence.height,
                    "round": evidence.round, "first": said(evidence.first),
                    "second": said(evidence.second), "reporter": entry.reporter,
                    "recorded_at_height": entry.recorded_at_height,
                    "recorded_at_ms": entry.recorded_at_ms, "tx_id": hex::encode(&entry.tx_id),
                })
            })
            .collect();
        render::print_json(&json!(entries));
        return Ok(());
    }
    let mut table = render::table(["#", "member", "key", "height", "round", "reported by", "at"]);
    for entry in &entries {
        let evidence = evidence(entry);
        table.add_row([
            entry.index.to_string(),
            entry.org.clone(),
            render::short(&evidence.validator),
            evidence.height.to_string(),
            evidence.round.to_string(),
            entry.reporter.clone(),
            format!(
                "height {} ({})",
                entry.recorded_at_height,
                render::moment(entry.recorded_at_ms)
            ),
        ]);
    }
    println!("{table}");
    Ok(())
}
