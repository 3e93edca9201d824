//! `xinqiao keys`: keys, certificates and shared secrets. Files are never overwritten.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use time::OffsetDateTime;
use xinqiao_crypto::PublicKey;
use xinqiao_identity::{
    pki::{Authority, CA_DAYS, LEAF_DAYS, LeafRequest, Validity},
    token::TokenKey,
};
use xinqiao_ledger::ids::OrgId;
use xinqiao_rpc::Role;

use crate::{files, genesis_file, keyfiles, render};

/// Keys and certificates.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make an SM2 key (admin, holder, gateway, agent, encryption or validator), PKCS#8 PEM.
    Sm2 {
        /// The new file.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make a P-256 key that signs access tokens, PKCS#8 PEM.
    Token {
        /// The new file.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make a secret of 32 random bytes: pseudonym key, salt key or user key, hexadecimal.
    Secret {
        /// The new file.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make the consortium's certificate authority.
    Authority {
        /// Name of the consortium.
        #[arg(long)]
        name: String,
        /// Folder for `ca.pem` and `ca.key`.
        #[arg(long)]
        out: PathBuf,
    },
    /// Issue a TLS certificate for one process of a member.
    Certificate {
        /// Folder with `ca.pem` and `ca.key`.
        #[arg(long)]
        authority: PathBuf,
        /// The member.
        #[arg(long)]
        org: OrgId,
        /// The kind of process.
        #[arg(long)]
        role: CertificateRole,
        /// How long it is valid, in days.
        #[arg(long, default_value_t = LEAF_DAYS)]
        days: i64,
        /// The certificate's new file; the key goes beside it as `.key`.
        #[arg(long)]
        out: PathBuf,
    },
    /// Write the public half of an SM2 key, PEM: what others need of a validator's key.
    Public {
        /// An SM2 key file.
        file: PathBuf,
        /// The new file.
        #[arg(long)]
        out: PathBuf,
    },
    /// Show a key file's public half and key id.
    Show {
        /// An SM2 key file.
        file: PathBuf,
    },
}

/// The kinds of processes that have certificates.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum CertificateRole {
    /// Ledger node.
    Node,
    /// Gateway.
    Gateway,
    /// Data-holding node.
    Holder,
    /// Institution's agent.
    Agent,
    /// Observer.
    Observer,
    /// A person at the command line.
    Operator,
}

impl From<CertificateRole> for Role {
    fn from(role: CertificateRole) -> Self {
        match role {
            CertificateRole::Node => Self::Node,
            CertificateRole::Gateway => Self::Gateway,
            CertificateRole::Holder => Self::Holder,
            CertificateRole::Agent => Self::Agent,
            CertificateRole::Observer => Self::Observer,
            CertificateRole::Operator => Self::Operator,
        }
    }
}

/// Runs the command.
pub fn run(command: Keys, json: bool) -> Result<()> {
    let rng = &mut rand::rng();
    match command {
        Keys::Sm2 { out } => show(keyfiles::new_sm2(&out, rng)?.public(), json),
        Keys::Token { out } => {
            let key = TokenKey::generate()?;
            keyfiles::write_secret(&out, key.private_pem().expose_secret())?;
            let point = hex::encode(key.public().0);
            if json {
                render::print_json(&json!({"kid": key.kid(), "public_key": point}));
            } else {
                println!("token key {}\npublic key {point}", key.kid());
            }
        }
        Keys::Secret { out } => {
            keyfiles::new_secret32(&out, rng)?;
            println!("32 random bytes in {}", out.display());
        }
        Keys::Authority { name, out } => {
            let validity = Validity::days_from(OffsetDateTime::now_utc(), CA_DAYS);
            let authority = Authority::create(&name, validity)?;
            keyfiles::write_secret(&out.join("ca.key"), authority.key_pem().expose_secret())?;
            std::fs::write(out.join("ca.pem"), authority.cert_pem())?;
            println!("authority of {name} in {}", out.display());
        }
        Keys::Certificate {
            authority,
            org,
            role,
            days,
            out,
        } => {
            let cert = files::text(&authority.join("ca.pem"), files::MAX_KEY)?;
            let key = keyfiles::text(&authority.join("ca.key"))?;
            let folder = authority.display();
            let authority = Authority::from_pem(&cert, &SecretString::from(key.to_string()))
                .with_context(|| format!("ca.pem and ca.key in {folder} are not usable"))?;
            if !(1..=CA_DAYS).contains(&days) {
                bail!("--days must lie between 1 and {CA_DAYS}");
            }
            let now = OffsetDateTime::now_utc();
            let mut request = LeafRequest::new(org.as_str(), role.into(), now);
            request.validity = Validity::days_from(now, days);
            let issued = authority.issue(&request)?;
            keyfiles::write_secret(&out.with_extension("key"), issued.key_pem.expose_secret())?;
            std::fs::write(&out, &issued.cert_pem)?;
            let print = genesis_file::fingerprint(&issued.cert_pem)?;
            println!(
                "{}: SHA-256 fingerprint {print}, to be registered on the ledger",
                out.display()
            );
        }
        Keys::Public { file, out } => {
            let key = *keyfiles::sm2(&file)?.public();
            std::fs::write(&out, key.to_pem())
                .with_context(|| format!("cannot write {}", out.display()))?;
            show(&key, json);
        }
        Keys::Show { file } => {
            let pem = keyfiles::text(&file)?;
            let key = match keyfiles::sm2(&file) {
                Ok(secret) => *secret.public(),
                Err(fault) => PublicKey::from_pem(&pem).map_err(|_| fault)?,
            };
            show(&key, json);
        }
    }
    Ok(())
}

fn show(key: &PublicKey, json: bool) {
    let (id, public) = (key.id(), hex::encode(key.to_sec1()));
    if json {
        render::print_json(&json!({"key_id": id.to_string(), "public_key": public}));
    } else {
        println!("key id     {id}\npublic key {public}");
    }
}
