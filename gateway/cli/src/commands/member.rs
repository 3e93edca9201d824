//! `xinqiao member`: organisations, their users and certificates, and the regulator's freeze.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use xinqiao_dispatch::pseudonym::UserKey;
use xinqiao_ledger::{
    ids::{Fingerprint, OrgId, UserId},
    member::{KeyRole, Member, MemberKey, MemberKind, Region},
    order::SealScheme,
    wire::{self, tx_body::Action},
};

use crate::{
    client::{Client, explain},
    config::{self, ProfileFile},
    genesis_file, keyfiles, render,
};

/// Members.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List the members and where they stand.
    List {
        /// How to reach a node.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
    },
    /// Print a member for a genesis file, from its key and certificate files.
    New(Box<NewMember>),
    /// Admit the institutions and source units of a file as their sponsor. Everyone else is admitted by a vote:
    /// `xinqiao governance propose`.
    Admit {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// A file with `[[members]]`.
        file: PathBuf,
    },
    /// Open a user of one's own institution, by pseudonym.
    OpenUser(UserArgs),
    /// Close a user of one's own institution.
    CloseUser(UserArgs),
    /// Register a key of one's own organisation, such as a second data-holding node's.
    AddKey {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// `ROLE=FILE` with an SM2 key: admin, holder, gateway, agent or encryption.
        key: String,
    },
    /// Revoke a key of one's own organisation: nothing that it signs from then on counts.
    RevokeKey {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// Its id: 64 hexadecimal digits, as `xinqiao --json order list` shows a holder's.
        id: Fingerprint,
    },
    /// Register a TLS certificate of one's own organisation: nobody is let in with one that is not on the ledger.
    AddCertificate {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The certificate, PEM.
        file: PathBuf,
    },
    /// Revoke a TLS certificate of one's own organisation: nobody is let in with it any more, and it does not come
    /// back.
    RevokeCertificate {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The certificate, PEM.
        #[arg(required_unless_present = "fingerprint")]
        file: Option<PathBuf>,
        /// The SHA-256 fingerprint of a certificate whose file is lost: 64 hexadecimal digits.
        #[arg(long, conflicts_with = "file")]
        fingerprint: Option<Fingerprint>,
    },
    /// Choose how reports to one's own institution are sealed, from the next order on: in digital envelopes, or
    /// for delivery groups (MLS). Orders that are placed already keep what was in force then.
    SetSealScheme {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// How.
        #[arg(value_enum)]
        scheme: Seal,
    },
    /// Freeze a member at once. Signed by the regulator.
    Freeze(StandingArgs),
    /// Lift a regulator's freeze. Signed by a regulator.
    Unfreeze(StandingArgs),
    /// Expel a member for good. Signed by its sponsor; whoever has none is expelled by a vote.
    Expel(StandingArgs),
}

/// How reports are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Seal {
    /// A digital envelope to the institution's SM2 key.
    Envelope,
    /// A delivery group (MLS) of data-holding node and agents, with forward secrecy.
    Mls,
}

impl Seal {
    /// The transaction's action that chooses it.
    pub fn choose(self) -> Action {
        let scheme = match self {
            Self::Envelope => SealScheme::Sm2Sm4Gcm,
            Self::Mls => SealScheme::MlsSm4Gcm,
        };
        Action::SetSealScheme(wire::SetSealScheme {
            seal_scheme: scheme.to_wire(),
        })
    }
}

/// What a member for a genesis file is made of.
#[derive(Debug, Args)]
pub struct NewMember {
    /// Id: a-z, 0-9 and inner hyphens.
    #[arg(long)]
    org: OrgId,
    /// bureau, source_unit, institution, regulator, mediation or platform.
    #[arg(long)]
    kind: String,
    /// Name.
    #[arg(long)]
    name: String,
    /// First two digits of GB/T 2260, such as 31.
    #[arg(long)]
    region: String,
    /// Where its gateway listens, `https://host:port`.
    #[arg(long, default_value = "")]
    gateway: String,
    /// The bureau whose gateway serves it.
    #[arg(long)]
    home: Option<OrgId>,
    /// `ROLE=FILE` with an SM2 key: admin, holder, gateway, agent or encryption.
    #[arg(long = "key")]
    keys: Vec<String>,
    /// Token key as the uncompressed point that `xinqiao keys token` printed.
    #[arg(long = "token-key")]
    token_keys: Vec<String>,
    /// Certificate files, PEM.
    #[arg(long = "certificate")]
    certificates: Vec<PathBuf>,
}

/// A user by pseudonym.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// How to reach a node, and the admin key.
    #[arg(long, env = "XINQIAO_PROFILE")]
    profile: PathBuf,
    /// The user's pseudonym: 64 hexadecimal digits.
    #[arg(long, conflicts_with = "name")]
    pseudonym: Option<UserId>,
    /// The user's name within the institution; needs --user-key.
    #[arg(long, requires = "user_key")]
    name: Option<String>,
    /// The institution's key for users' pseudonyms.
    #[arg(long)]
    user_key: Option<PathBuf>,
}

/// A member and a reason.
#[derive(Debug, Args)]
pub struct StandingArgs {
    /// How to reach a node, and the admin key.
    #[arg(long, env = "XINQIAO_PROFILE")]
    profile: PathBuf,
    /// The member.
    org: OrgId,
    /// Why.
    #[arg(long, default_value = "not stated")]
    reason: String,
}

/// Runs the command.
pub async fn run(command: MemberCommand, json: bool) -> Result<()> {
    let (profile, action) = match command {
        MemberCommand::List { profile } => return list(&Client::open(&profile)?, json).await,
        MemberCommand::New(new) => {
            print!("{}", genesis_file::write_member(&member(&new)?)?);
            return Ok(());
        }
        MemberCommand::Admit { profile, file } => {
            let client = Client::open(&profile)?;
            let key = client.admin_key()?;
            for member in genesis_file::read_members(&file)? {
                let action = Action::AdmitMember(wire::AdmitMember {
                    member: Some((&member).into()),
                });
                let proven = client.submit(action, &key).await?;
                println!(
                    "{} admitted at height {}",
                    member.org,
                    proven.header().height
                );
            }
            return Ok(());
        }
        MemberCommand::OpenUser(user) => {
            let pseudonym = pseudonym(&user)?.to_vec();
            (
                user.profile,
                Action::OpenUser(wire::OpenUser { user: pseudonym }),
            )
        }
        MemberCommand::CloseUser(user) => {
            let pseudonym = pseudonym(&user)?.to_vec();
            (
                user.profile,
                Action::CloseUser(wire::CloseUser { user: pseudonym }),
            )
        }
        MemberCommand::AddKey { profile, key } => {
            let key = Some(member_key(&key)?);
            (profile, Action::AddKey(wire::AddKey { key }))
        }
        MemberCommand::RevokeKey { profile, id } => {
            let revoke = wire::RevokeKey {
                key_id: id.to_vec(),
            };
            (profile, Action::RevokeKey(revoke))
        }
        MemberCommand::AddCertificate { profile, file } => {
            let fingerprint = genesis_file::fingerprint_of(&file)?.to_vec();
            let add = wire::AddCertificate { fingerprint };
            (profile, Action::AddCertificate(add))
        }
        MemberCommand::RevokeCertificate {
            profile,
            file,
            fingerprint,
        } => {
            let fingerprint = match (fingerprint, file) {
                (Some(given), _) => given,
                (None, Some(file)) => genesis_file::fingerprint_of(&file)?,
                (None, None) => bail!("give the certificate's file, or its --fingerprint"),
            };
            let revoke = wire::RevokeCertificate {
                fingerprint: fingerprint.to_vec(),
            };
            (profile, Action::RevokeCertificate(revoke))
        }
        MemberCommand::SetSealScheme { profile, scheme } => (profile, scheme.choose()),
        MemberCommand::Freeze(of) => {
            let freeze = wire::FreezeMember {
                org: of.org.to_string(),
                reason: of.reason,
            };
            (of.profile, Action::FreezeMember(freeze))
        }
        MemberCommand::Unfreeze(of) => (
            of.profile,
            Action::UnfreezeMember(wire::UnfreezeMember {
                org: of.org.to_string(),
            }),
        ),
        MemberCommand::Expel(of) => {
            let expel = wire::ExpelMember {
                org: of.org.to_string(),
                reason: of.reason,
            };
            (of.profile, Action::ExpelMember(expel))
        }
    };
    let client = Client::open(&profile)?;
    let proven = client.submit(action, &client.admin_key()?).await?;
    println!(
        "done at height {}, transaction {}",
        proven.header().height,
        proven.id()
    );
    Ok(())
}

fn pseudonym(user: &UserArgs) -> Result<UserId> {
    if let Some(pseudonym) = user.pseudonym {
        return Ok(pseudonym);
    }
    let name = user
        .name
        .as_deref()
        .context("give --pseudonym, or --name with --user-key")?;
    let key = keyfiles::secret32(
        user.user_key
            .as_deref()
            .context("--name needs --user-key")?,
    )?;
    let org = config::load::<ProfileFile>(&user.profile)?.file.org;
    Ok(UserKey::from(key).user(&org, name))
}

/// The public key of `ROLE=FILE`.
fn member_key(pair: &str) -> Result<wire::MemberKey> {
    let (role, file) = pair
        .split_once('=')
        .context("a key is given as ROLE=FILE")?;
    let role = serde_json::from_value::<KeyRole>(json!(role))
        .with_context(|| format!("{role:?} is no role of a key"))?;
    let secret = keyfiles::sm2(file.as_ref())?;
    Ok(wire::MemberKey {
        public_key: secret.public().to_sec1().to_vec(),
        role: role.to_wire(),
    })
}

fn member(new: &NewMember) -> Result<Member> {
    let kinds = serde_json::from_value::<MemberKind>(json!(new.kind))
        .with_context(|| format!("{:?} is no kind of member", new.kind))?;
    let mut keys = Vec::new();
    for pair in &new.keys {
        keys.push(member_key(pair)?);
    }
    for point in &new.token_keys {
        keys.push(wire::MemberKey {
            public_key: hex::decode(point)?,
            role: KeyRole::Token.to_wire(),
        });
    }
    let mut certificates = new
        .certificates
        .iter()
        .map(|file| Ok(genesis_file::fingerprint_of(file)?.to_vec()))
        .collect::<Result<Vec<_>>>()?;
    certificates.sort();
    Region::parse("region", &new.region)?;
    let wire = wire::Member {
        org: new.org.to_string(),
        kind: kinds.to_wire(),
        name: new.name.clone(),
        region: new.region.clone(),
        gateway_endpoint: new.gateway.clone(),
        keys,
        certificates,
        home: new
            .home
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    Ok(Member::try_from(&wire)?)
}

async fn list(client: &Client, json: bool) -> Result<()> {
    let members = client
        .state()
        .list_members(wire::ListMembersRequest {})
        .await
        .map_err(explain)?
        .into_inner();
    let mut table = render::table([
        "member", "name", "kind", "region", "standing", "votes", "seal", "keys", "admitted",
    ]);
    let mut values = Vec::new();
    for state in members.members {
        let Some(member) = state.member else { continue };
        let keys: Vec<String> = member
            .keys
            .iter()
            .filter_map(|key| MemberKey::parse("key", key).ok())
            .map(|key| format!("{:?}", key.role()).to_lowercase())
            .collect();
        values.push(json!({
            "org": member.org, "name": member.name, "region": member.region,
            "kind": render::member_kind(member.kind), "status": render::member_status(state.status),
            "suspended": state.suspended, "seal_scheme": render::seal_scheme(state.seal_scheme),
             "voting_weight": state.voting_weight,
            "keys": keys, "admitted_at_height": state.admitted_at_height, "sponsor": state.sponsor,
        }));
        let seal = match member.kind() {
            wire::MemberKind::Institution => render::seal_scheme(state.seal_scheme),
            _ => String::new(),
        };
        table.add_row([
            member.org,
            member.name,
            render::member_kind(member.kind),
            member.region,
            match state.suspended {
                true => format!("{} (by vote)", render::member_status(state.status)),
                false => render::member_status(state.status),
            },
            state.voting_weight.to_string(),
            seal,
            keys.join(" "),
            match state.admitted_at_height {
                0 => "genesis".into(),
                height if state.sponsor.is_empty() => format!("height {height} by vote"),
                height => format!("height {height} by {}", state.sponsor),
            },
        ]);
    }
    if json {
        render::print_json(&json!(values));
    } else {
        println!("{table}");
    }
    Ok(())
}
