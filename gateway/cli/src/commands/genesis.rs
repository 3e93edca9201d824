//! `xinqiao genesis`: what everyone agrees on before the first block, and that everyone does.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use xinqiao_crypto::{DistinguishingId, PublicKey};
use xinqiao_ledger::{
    catalogue::Catalogue,
    genesis::{Genesis, Parameters},
    ids::OrgId,
    member::Member,
    validators::{Engine, Validator},
};

use crate::{
    files, genesis_file,
    genesis_signature::{self, Standing},
    keyfiles,
    render::{self, Unverified},
};

/// How validators agree, as it is named on the command line.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum AgreeBy {
    /// One validator.
    Solo,
    /// Any minority may crash.
    Raft,
    /// Fewer than a third may crash or lie.
    Bft,
}

impl From<AgreeBy> for Engine {
    fn from(by: AgreeBy) -> Self {
        match by {
            AgreeBy::Solo => Self::Solo,
            AgreeBy::Raft => Self::Raft,
            AgreeBy::Bft => Self::Bft,
        }
    }
}

/// Genesis files.
#[derive(Debug, Subcommand)]
pub enum GenesisCommand {
    /// Put a genesis together from members' files, with the first catalogue of 29 items.
    Make {
        /// Name of the consortium.
        #[arg(long)]
        name: String,
        /// How the validators agree: solo (one), raft (three or more; any minority may crash) or bft (four
        /// or more; fewer than a third may crash or lie).
        #[arg(long, value_enum, default_value_t = AgreeBy::Bft)]
        engine: AgreeBy,
        /// A validator, once for each: `MEMBER,KEY_FILE,https://HOST:PORT`, where the file is its SM2 key
        /// (the public PEM that `xinqiao keys public` writes; a secret one will do) and the address is where
        /// other validators reach its node.
        #[arg(long, required = true)]
        validator: Vec<String>,
        /// A file with one or more `[[members]]`.
        #[arg(long = "member", required = true)]
        members: Vec<PathBuf>,
        /// A certificate authority of the consortium, PEM; once for each. Their order does not matter.
        #[arg(long, required = true)]
        authority: Vec<PathBuf>,
        /// When the chain begins, in milliseconds since 1970-01-01 UTC; now, if it is not said. Whoever makes the
        /// genesis again from the same files, name and time gets the same chain id.
        #[arg(long)]
        time_ms: Option<u64>,
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
    /// Agree to a genesis: sign its chain id for an organisation that it names.
    Sign {
        /// The genesis file, checked before.
        #[arg(long)]
        genesis: PathBuf,
        /// The organisation that agrees.
        #[arg(long)]
        org: OrgId,
        /// Its admin key, SM2 PEM: one that the genesis names.
        #[arg(long)]
        key: PathBuf,
        /// The new signature file, to be given to all founders.
        #[arg(long)]
        out: PathBuf,
    },
    /// Check that every member that runs a validator has signed this very genesis.
    Verify {
        /// The genesis file.
        #[arg(long)]
        genesis: PathBuf,
        /// Signature files.
        signatures: Vec<PathBuf>,
    },
}

/// Runs the command.
pub fn run(command: GenesisCommand, json: bool) -> Result<()> {
    match command {
        GenesisCommand::Make {
            name,
            engine,
            validator,
            members,
            authority,
            time_ms,
            distinguishing_id,
            out,
        } => {
            let mut all: Vec<Member> = Vec::new();
            for file in members {
                all.extend(genesis_file::read_members(&file)?);
            }
            all.sort_by(|left, right| left.org.cmp(&right.org));
            let mut validators = validator
                .iter()
                .map(|text| named_validator(text))
                .collect::<Result<Vec<_>>>()?;
            validators.sort_by(|left, right| left.org.cmp(&right.org));
            let mut authorities = authority
                .iter()
                .map(|file| genesis_file::der_of(file))
                .collect::<Result<Vec<_>>>()?;
            authorities.sort();
            authorities.dedup();
            let genesis = Genesis {
                name,
                engine: engine.into(),
                time: time_ms.unwrap_or_else(now_ms),
                distinguishing_id: DistinguishingId::new(distinguishing_id.into_bytes())?,
                validators,
                members: all,
                catalogue: first_catalogue()?,
                authorities,
                parameters: Parameters::default(),
            };
            genesis.check()?;
            std::fs::write(&out, genesis_file::write(&genesis)?)
                .with_context(|| format!("cannot write {}", out.display()))?;
            println!("{}: chain id {}", out.display(), genesis.chain_id());
        }
        GenesisCommand::Show { file } => show(&genesis_file::read(&file)?, json),
        GenesisCommand::Sign {
            genesis,
            org,
            key,
            out,
        } => {
            let genesis = genesis_file::read(&genesis)?;
            let key = keyfiles::sm2(&key)?;
            let text = genesis_signature::sign(&genesis, &org, &key, &mut rand::rng())?;
            std::fs::write(&out, text)
                .with_context(|| format!("cannot write {}", out.display()))?;
            println!(
                "{}: {org} agrees to chain {}",
                out.display(),
                genesis.chain_id()
            );
        }
        GenesisCommand::Verify {
            genesis,
            signatures,
        } => verify(&genesis, &signatures, json)?,
    }
    Ok(())
}

fn verify(file: &Path, signatures: &[PathBuf], json: bool) -> Result<()> {
    let text = files::text(file, files::MAX_CONFIG)?;
    // A genesis that is none any more is not what anybody has signed.
    let genesis = genesis_file::parse(&text).map_err(|fault| {
        Unverified(format!(
            "{} is not a usable genesis: {fault:#}",
            file.display()
        ))
    })?;
    let standing = Standing::of(&genesis, signatures)?;
    if json {
        let members: Vec<_> = standing
            .members
            .iter()
            .map(|row| json!({"org": row.org.as_str(), "name": row.name, "validator": row.validator, "signed": row.signed}))
            .collect();
        let wrong: Vec<_> = standing
            .wrong
            .iter()
            .map(|(file, what)| json!({"file": file, "fault": what}))
            .collect();
        render::print_json(&json!({
            "name": genesis.name,
            "chain_id": genesis.chain_id().to_string(),
            "members": members,
            "wrong": wrong,
        }));
    } else {
        println!("{}\nchain id {}\n", genesis.name, genesis.chain_id());
        let mut table = render::table([
            "member 成员",
            "name 名称",
            "validator 验证节点",
            "signature 签名",
        ]);
        for row in &standing.members {
            table.add_row([
                row.org.as_str(),
                &row.name,
                if row.validator { "yes 是" } else { "no 否" },
                if row.signed {
                    "signed 已签署"
                } else {
                    "missing 未签署"
                },
            ]);
        }
        println!("{table}");
        for (file, what) in &standing.wrong {
            println!("wrong 无效  {file}: {what}");
        }
    }
    standing.require()?;
    if !json {
        println!(
            "{} signed by every member that runs a validator 所有验证节点成员均已签署",
            console::style("✓").green()
        );
    }
    Ok(())
}

/// A validator as it is named on the command line.
fn named_validator(text: &str) -> Result<Validator> {
    let form = || format!("--validator {text}: it is MEMBER,KEY_FILE,https://HOST:PORT");
    let mut parts = text.splitn(3, ',');
    let (Some(org), Some(file), Some(endpoint)) = (parts.next(), parts.next(), parts.next()) else {
        bail!(form());
    };
    let file = Path::new(file);
    let key = keyfiles::sm2(file)
        .map(|key| *key.public())
        .or_else(|fault| PublicKey::from_pem(&keyfiles::text(file)?).map_err(|_| fault))?;
    if !endpoint.starts_with("https://") {
        bail!(form());
    }
    Ok(Validator {
        org: org.parse().with_context(form)?,
        key,
        endpoint: endpoint.parse().with_context(form)?,
    })
}

fn show(genesis: &Genesis, json: bool) {
    if json {
        let members: Vec<_> = genesis
            .members
            .iter()
            .map(|member| json!({"org": member.org.as_str(), "name": member.name}))
            .collect();
        let validators: Vec<_> = genesis
            .validators
            .iter()
            .map(|one| json!({"org": one.org.as_str(), "key_id": one.key.id().to_string(), "endpoint": one.endpoint}))
            .collect();
        render::print_json(&json!({
            "name": genesis.name,
            "chain_id": genesis.chain_id().to_string(),
            "time_ms": genesis.time,
            "engine": render::engine(genesis.engine),
            "validators": validators,
            "members": members,
        }));
        return;
    }
    println!(
        "{}\nchain id {}\nbegins {} ({} ms)\n",
        genesis.name,
        genesis.chain_id(),
        render::moment(genesis.time),
        genesis.time
    );
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
    println!("\nengine {}", render::engine(genesis.engine));
    let mut table = render::table(["validator", "key id", "reached at"]);
    for validator in &genesis.validators {
        table.add_row([
            validator.org.to_string(),
            validator.key.id().to_string(),
            validator.endpoint.to_string(),
        ]);
    }
    println!("{table}");
}

/// The first catalogue.
pub fn first_catalogue() -> Result<Catalogue> {
    Ok(xinqiao_catalogue::first()?)
}

/// This machine's time, in milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| {
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use time::OffsetDateTime;
    use xinqiao_identity::pki::{Authority, CA_DAYS, Validity};
    use xinqiao_ledger::wire;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: GenesisCommand,
    }

    /// Founders' files: members, validators' public keys, authorities.
    fn files(folder: &Path) {
        let validity = Validity::days_from(OffsetDateTime::now_utc(), CA_DAYS);
        for org in ["a", "b", "c", "d"] {
            let at = |name: &str| folder.join(format!("{org}.{name}"));
            let new = |name: &str| keyfiles::new_sm2(&at(name), &mut rand::rng()).unwrap();
            std::fs::write(at("validator-public"), new("validator").public().to_pem()).unwrap();
            let member = wire::Member {
                org: org.into(),
                kind: wire::MemberKind::Bureau as i32,
                name: format!("Bureau {org}"),
                region: "31".into(),
                keys: vec![wire::MemberKey {
                    public_key: new("admin").public().to_sec1().to_vec(),
                    role: wire::KeyRole::Admin as i32,
                }],
                ..wire::Member::default()
            };
            let member = Member::try_from(&member).unwrap();
            std::fs::write(at("member"), genesis_file::write_member(&member).unwrap()).unwrap();
            let authority = Authority::create(org, validity).unwrap();
            std::fs::write(at("ca"), authority.cert_pem()).unwrap();
        }
    }

    fn made(folder: &Path, orgs: &str, name: &str, time: Option<u64>, key: &str) -> Genesis {
        let path = |file: String| folder.join(file).display().to_string();
        let out = path("genesis.toml".into());
        let mut line: Vec<String> = ["genesis", "make", "--out", &out, "--name", name]
            .map(String::from)
            .into();
        for org in orgs.chars() {
            let key = path(format!("{org}.{key}"));
            line.extend([
                format!("--validator={org},{key},https://{org}.example.com:9000"),
                format!("--member={}", path(format!("{org}.member"))),
                format!("--authority={}", path(format!("{org}.ca"))),
            ]);
        }
        line.extend(time.map(|time| format!("--time-ms={time}")));
        run(Line::parse_from(line).command, false).unwrap();
        genesis_file::read(out.as_ref()).unwrap()
    }

    #[test]
    fn founders_who_make_the_genesis_from_the_same_files_get_the_same_chain() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        files(folder);
        let first = made(folder, "abcd", "Ours", Some(1_000), "validator");
        assert_eq!((first.time, first.authorities.len()), (1_000, 4));
        // Whatever the order, and whether it is the secret or the public file.
        for (orgs, key) in [("dbca", "validator-public"), ("cadb", "validator")] {
            let again = made(folder, orgs, "Ours", Some(1_000), key);
            assert_eq!(again.chain_id(), first.chain_id(), "{orgs} {key}");
        }
        for (name, time) in [
            ("Ours", Some(1_001)),
            ("Others", Some(1_000)),
            ("Ours", None),
        ] {
            let other = made(folder, "abcd", name, time, "validator");
            assert_ne!(other.chain_id(), first.chain_id(), "{name} {time:?}");
        }
        let now = made(folder, "abcd", "Ours", None, "validator").time;
        assert!(now.abs_diff(now_ms()) < 60_000, "{now}");
    }
}
