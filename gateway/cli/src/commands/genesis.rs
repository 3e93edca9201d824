//! `xinqiao genesis`: what everyone agrees on before the first block.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::json;
use xinqiao_crypto::{DistinguishingId, PublicKey};
use xinqiao_data_adapters::generate;
use xinqiao_ledger::{
    catalogue::{Catalogue, Named},
    genesis::{Engine, Genesis, Parameters},
    member::Member,
};

use crate::{genesis_file, keyfiles, render};

/// Genesis files.
#[derive(Debug, Subcommand)]
pub enum GenesisCommand {
    /// Put a genesis together from members' files, with the first catalogue of 29 items.
    Make {
        /// Name of the consortium.
        #[arg(long)]
        name: String,
        /// Validator's SM2 key file (secret or public PEM). One, with engine solo.
        #[arg(long, required = true)]
        validator: Vec<PathBuf>,
        /// A file with one or more `[[members]]`.
        #[arg(long = "member", required = true)]
        members: Vec<PathBuf>,
        /// The consortium's authority, PEM.
        #[arg(long, required = true)]
        authority: Vec<PathBuf>,
        /// Distinguishing id that everyone signs under.
        #[arg(long, default_value = "1234567812345678")]
        distinguishing_id: String,
        /// The new genesis file.
        #[arg(long)]
        out: PathBuf,
    },
    /// Check a genesis file; show its chain id, validators and members.
    Show {
        /// The genesis file.
        file: PathBuf,
    },
}

/// Runs the command.
pub fn run(command: GenesisCommand, json: bool) -> Result<()> {
    match command {
        GenesisCommand::Make {
            name,
            validator,
            members,
            authority,
            distinguishing_id,
            out,
        } => {
            let mut all: Vec<Member> = Vec::new();
            for file in members {
                all.extend(genesis_file::read_members(&file)?);
            }
            all.sort_by(|left, right| left.org.cmp(&right.org));
            let genesis = Genesis {
                name,
                engine: Engine::Solo,
                time: now_ms(),
                distinguishing_id: DistinguishingId::new(distinguishing_id.into_bytes())?,
                validators: validator
                    .iter()
                    .map(|file| {
                        keyfiles::sm2(file)
                            .map(|key| *key.public())
                            .or_else(|fault| {
                                PublicKey::from_pem(&keyfiles::text(file)?).map_err(|_| fault)
                            })
                    })
                    .collect::<Result<_>>()?,
                members: all,
                catalogue: first_catalogue()?,
                authorities: authority
                    .iter()
                    .map(|file| genesis_file::der_of(file))
                    .collect::<Result<_>>()?,
                parameters: Parameters::default(),
            };
            genesis.check()?;
            std::fs::write(&out, genesis_file::write(&genesis)?)
                .with_context(|| format!("cannot write {}", out.display()))?;
            println!("{}: chain id {}", out.display(), genesis.chain_id());
        }
        GenesisCommand::Show { file } => show(&genesis_file::read(&file)?, json),
    }
    Ok(())
}

fn show(genesis: &Genesis, json: bool) {
    if json {
        let members: Vec<_> = genesis
            .members
            .iter()
            .map(|member| json!({"org": member.org.as_str(), "name": member.name}))
            .collect();
        render::print_json(&json!({
            "name": genesis.name,
            "chain_id": genesis.chain_id().to_string(),
            "validators": genesis.validators.iter().map(|key| key.id().to_string()).collect::<Vec<_>>(),
            "members": members,
        }));
        return;
    }
    println!("{}\nchain id {}\n", genesis.name, genesis.chain_id());
    let mut table = render::table(["member", "name", "kind", "region", "keys", "certificates"]);
    for member in &genesis.members {
        table.add_row([
            member.org.to_string(),
            member.name.to_string(),
            render::member_kind(member.kind.to_wire()),
            member.region.to_string(),
            member.keys.len().to_string(),
            member.certificates.len().to_string(),
        ]);
    }
    println!("{table}");
    for key in &genesis.validators {
        println!("validator {}", key.id());
    }
}

/// The first catalogue.
pub fn first_catalogue() -> Result<Catalogue> {
    let mut items = generate::catalogue()
        .into_iter()
        .map(|item| {
            Ok(Named {
                code: item.code.parse()?,
                name_zh: item.name_zh.parse()?,
                name_en: item.name_en.parse()?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut purposes = generate::purposes()
        .into_iter()
        .map(|purpose| {
            Ok(Named {
                code: purpose.code.parse()?,
                name_zh: purpose.name_zh.parse()?,
                name_en: purpose.name_en.parse()?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    items.sort();
    purposes.sort();
    Ok(Catalogue {
        version: 1,
        items,
        purposes,
    })
}

/// This machine's time, in milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| {
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    })
}
