//! Founders' signatures under a genesis: how organisations that do not trust each other agree on the very
//! same chain before its first block. One small file for each; the genesis itself holds none of them.
//!
//! What is signed is the chain id, which covers everything in the genesis, and the founder's own id, with
//! the founder's admin key. It says nothing about the ledger after the first block.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use xinqiao_crypto::{Domain, KeyId, SecretKey, Signature, signing_message, verify_once};
use xinqiao_ledger::{
    genesis::Genesis,
    ids::{ChainId, OrgId},
    member::{KeyRole, Member},
};

use crate::{files, render::Unverified};

/// The most signature files that are looked at: one for each of the most members that a genesis file of
/// the largest size could hold is far below this.
const MAX_FILES: usize = 4_096;

/// The file's shape. Values are texts, so that each is refused with words of its own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureFile {
    chain_id: String,
    org: OrgId,
    key_id: String,
    signature: String,
}

/// Signs the genesis for a founder; gives the file's text.
///
/// # Errors
/// When the organisation is no member of the genesis, or the key is none of its admin keys there.
pub fn sign<R: CryptoRng>(
    genesis: &Genesis,
    org: &OrgId,
    key: &SecretKey,
    rng: &mut R,
) -> Result<String> {
    let member = (genesis.members.iter())
        .find(|member| member.org == *org)
        .with_context(|| format!("{org} is no member of this genesis"))?;
    let id = key.public().id();
    if !member.keys_of(KeyRole::Admin).any(|one| one.id() == id) {
        bail!("the key {id} is no admin key of {org} in this genesis");
    }
    let chain = genesis.chain_id();
    let signature = key.sign(&genesis.distinguishing_id, &message(&chain, org), rng);
    let file = SignatureFile {
        chain_id: chain.to_string(),
        org: org.clone(),
        key_id: id.to_string(),
        signature: hex::encode(signature.as_bytes()),
    };
    let head = format!(
        "# {org} agrees to the genesis of {}.\n# Everyone checks it with `xinqiao genesis verify` before starting from that genesis.\n\n",
        genesis.name
    );
    Ok(head + toml::to_string(&file)?.as_str())
}

fn message(chain: &ChainId, org: &OrgId) -> Vec<u8> {
    signing_message(Domain::Genesis, chain.as_bytes(), org.as_str().as_bytes())
}

/// What is wrong with a signature file, or whose it is.
fn check(genesis: &Genesis, text: &str) -> Result<OrgId> {
    let file: SignatureFile = toml::from_str(text).context("it is no signature file")?;
    let chain = genesis.chain_id();
    let signed: ChainId = file.chain_id.parse()?;
    if signed != chain {
        bail!("it is of another chain, {signed}; this genesis is of chain {chain}");
    }
    let member = (genesis.members.iter())
        .find(|member| member.org == file.org)
        .with_context(|| format!("{} is no member of this genesis", file.org))?;
    let id: KeyId = file.key_id.parse().context("key_id")?;
    let Some(key) = admin_key(member, &id) else {
        bail!(
            "the key {id} is no admin key of {} in this genesis",
            file.org
        );
    };
    let bytes = hex::decode(&file.signature).context("signature")?;
    let signature = Signature::try_from(&bytes[..]).context("signature")?;
    verify_once(
        key,
        &genesis.distinguishing_id,
        &message(&chain, &file.org),
        &signature,
    )
    .with_context(|| format!("it is not {}'s", file.org))?;
    Ok(file.org)
}

fn admin_key<'a>(member: &'a Member, id: &KeyId) -> Option<&'a xinqiao_crypto::PublicKey> {
    member.keys_of(KeyRole::Admin).find(|key| key.id() == *id)
}

/// Who has signed a genesis, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    /// Every member that runs a validator, and every other one that has signed; and whether it has.
    pub members: Vec<Row>,
    /// Files that hold no good signature, each with what is wrong with it.
    pub wrong: Vec<(String, String)>,
}

/// One member's standing.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The member.
    pub org: OrgId,
    /// Its name.
    pub name: String,
    /// Whether it runs a validator: then it has to sign.
    pub validator: bool,
    /// Whether it has signed.
    pub signed: bool,
}

impl Standing {
    /// Reads signature files and holds them against the genesis.
    ///
    /// # Errors
    /// When a file cannot be read. What is wrong with one that can be is part of the answer.
    pub fn of(genesis: &Genesis, paths: &[PathBuf]) -> Result<Self> {
        if paths.len() > MAX_FILES {
            bail!("at most {MAX_FILES} signatures are looked at");
        }
        let texts = paths
            .iter()
            .map(|path| Ok((path.display().to_string(), text(path)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::of_texts(genesis, &texts))
    }

    fn of_texts(genesis: &Genesis, texts: &[(String, String)]) -> Self {
        let mut signed = Vec::new();
        let mut wrong = Vec::new();
        for (name, text) in texts {
            match check(genesis, text) {
                Ok(org) => signed.push(org),
                Err(fault) => wrong.push((name.clone(), format!("{fault:#}").trim().to_owned())),
            }
        }
        let runs = |org: &OrgId| genesis.validators.iter().any(|one| one.org == *org);
        let members = (genesis.members.iter())
            .map(|member| Row {
                org: member.org.clone(),
                name: member.name.to_string(),
                validator: runs(&member.org),
                signed: signed.contains(&member.org),
            })
            .filter(|row| row.validator || row.signed)
            .collect();
        Self { members, wrong }
    }

    /// That every member that runs a validator has signed, and no signature is wrong.
    ///
    /// # Errors
    /// [`Unverified`], naming everything that is wrong and everyone who is missing.
    pub fn require(&self) -> Result<(), Unverified> {
        let mut faults: Vec<String> = (self.wrong.iter())
            .map(|(file, what)| format!("{file}: {what}"))
            .collect();
        let missing: Vec<&str> = (self.members.iter())
            .filter(|row| row.validator && !row.signed)
            .map(|row| row.org.as_str())
            .collect();
        if !missing.is_empty() {
            faults.push(format!(
                "no signature of {}, which would run a validator",
                missing.join(", ")
            ));
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Unverified(format!(
            "the genesis is not signed by all who have to: {}",
            faults.join("; ")
        )))
    }
}

fn text(path: &Path) -> Result<String> {
    let bytes = files::bytes(path, files::MAX_KEY)?;
    // What is no text is no signature file either, and is told so with the others.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use xinqiao_crypto::DistinguishingId;
    use xinqiao_ledger::{
        genesis::Parameters,
        validators::{Engine, Validator},
        wire,
    };

    use super::*;
    use crate::commands::genesis::first_catalogue;

    /// Members `a` and `b` with validators and `c` without one, and everyone's admin key.
    fn founded(time: u64) -> (Genesis, Vec<SecretKey>) {
        let mut rng = StdRng::seed_from_u64(7);
        let admins: Vec<SecretKey> = (0..3).map(|_| SecretKey::generate(&mut rng)).collect();
        let members = ["a", "b", "c"].iter().zip(&admins).map(|(org, admin)| {
            Member::try_from(&wire::Member {
                org: (*org).into(),
                kind: wire::MemberKind::Bureau as i32,
                name: format!("Bureau {org}"),
                region: "31".into(),
                keys: vec![
                    wire::MemberKey {
                        public_key: admin.public().to_sec1().to_vec(),
                        role: KeyRole::Admin.to_wire(),
                    },
                    wire::MemberKey {
                        public_key: SecretKey::generate(&mut rng).public().to_sec1().to_vec(),
                        role: KeyRole::Holder.to_wire(),
                    },
                ],
                ..wire::Member::default()
            })
            .unwrap()
        });
        let members: Vec<Member> = members.collect();
        let validators = ["a", "b"].map(|org| Validator {
            org: org.parse().unwrap(),
            key: *SecretKey::generate(&mut rng).public(),
            endpoint: format!("https://{org}.example.com:9000").parse().unwrap(),
        });
        let genesis = Genesis {
            name: "A test".into(),
            engine: Engine::Bft,
            time,
            distinguishing_id: DistinguishingId::default(),
            validators: validators.into(),
            members,
            catalogue: first_catalogue().unwrap(),
            authorities: vec![vec![1]],
            parameters: Parameters::default(),
        };
        (genesis, admins)
    }

    fn signed(genesis: &Genesis, org: &str, key: &SecretKey) -> String {
        sign(genesis, &org.parse().unwrap(), key, &mut rand::rng()).unwrap()
    }

    fn told(genesis: &Genesis, texts: &[&str]) -> Result<(), String> {
        let texts: Vec<(String, String)> = (texts.iter().enumerate())
            .map(|(at, text)| (format!("file {at}"), (*text).to_owned()))
            .collect();
        let standing = Standing::of_texts(genesis, &texts);
        standing.require().map_err(|fault| fault.0)
    }

    #[test]
    fn all_validators_members_have_to_sign_and_others_may() {
        let (genesis, keys) = founded(1_000);
        let [a, b, c] = ["a", "b", "c"];
        let [a, b, c] =
            [(a, 0), (b, 1), (c, 2)].map(|(org, key)| signed(&genesis, org, &keys[key]));
        for (texts, missing) in [
            (vec![&a, &b], None),
            (vec![&b, &a, &c], None),
            (vec![&a, &a, &b], None),
            (vec![&a, &c], Some("no signature of b,")),
            (vec![], Some("no signature of a, b,")),
        ] {
            let texts: Vec<&str> = texts.into_iter().map(String::as_str).collect();
            match (told(&genesis, &texts), missing) {
                (Ok(()), None) => {}
                (Err(fault), Some(missing)) => assert!(fault.contains(missing), "{fault}"),
                (told, missing) => panic!("{texts:?}: {told:?}, not {missing:?}"),
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_signature_is_named_and_its_file_too() {
        let (genesis, keys) = founded(1_000);
        let (other, _) = founded(1_001);
        let (a, b) = (
            signed(&genesis, "a", &keys[0]),
            signed(&genesis, "b", &keys[1]),
        );
        let digits = |of: &KeyId| of.to_string();
        let (id_a, id_b) = (keys[0].public().id(), keys[1].public().id());
        let holder = (genesis.members[1].keys_of(KeyRole::Holder).next())
            .unwrap()
            .id();
        for (wrong, named) in [
            (signed(&other, "b", &keys[1]), "another chain"),
            // b's name over a's key, with a's signature and with b's.
            (
                a.replace("org = \"a\"", "org = \"b\""),
                "is no admin key of b",
            ),
            (
                (a.replace("org = \"a\"", "org = \"b\"")).replace(&digits(&id_a), &digits(&id_b)),
                "it is not b's",
            ),
            (
                b.replace(&digits(&id_b), &digits(&holder)),
                "is no admin key of b",
            ),
            (b.replace("org = \"b\"", "org = \"d\""), "d is no member"),
            (b.replace("signature = \"", "signature = \"00"), "64 bytes"),
            (b.replace("signature = \"", "signature = \"z"), "signature"),
            (b.replace("key_id = \"", "key_id = \"z"), "key_id"),
            (format!("{b}more = 1\n"), "no signature file"),
            (String::new(), "no signature file"),
            ("\u{fffd}\u{0}".into(), "no signature file"),
        ] {
            let fault = told(&genesis, &[&a, &wrong]).expect_err(&wrong);
            assert!(fault.contains(named), "{fault}\nof\n{wrong}");
            assert!(fault.contains("file 1: "), "{fault}");
            assert!(fault.contains("no signature of b,"), "{fault}");
            // A wrong one is told of even where it is not needed.
            assert!(told(&genesis, &[&a, &b, &wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_signature_is_noticed() {
        let (genesis, keys) = founded(1_000);
        let (a, b) = (
            signed(&genesis, "a", &keys[0]),
            signed(&genesis, "b", &keys[1]),
        );
        let from = b.find("signature = \"").unwrap() + "signature = \"".len();
        for at in (from..from + 128).step_by(7) {
            let digit = if &b[at..=at] == "0" { "1" } else { "0" };
            let flipped = format!("{}{digit}{}", &b[..at], &b[at + 1..]);
            assert!(told(&genesis, &[&a, &flipped]).is_err(), "digit {at}");
        }
    }

    #[test]
    fn only_a_member_s_own_admin_key_signs() {
        let (genesis, keys) = founded(1_000);
        for (org, key, named) in [
            ("a", &keys[1], "is no admin key of a"),
            ("d", &keys[0], "d is no member"),
        ] {
            let fault = sign(&genesis, &org.parse().unwrap(), key, &mut rand::rng()).unwrap_err();
            assert!(fault.to_string().contains(named), "{fault}");
        }
    }

    #[test]
    fn the_signed_bytes_are_golden() {
        let chain: ChainId = "11".repeat(32).parse().unwrap();
        let found = hex::encode(message(&chain, &"sh-bureau".parse().unwrap()));
        let golden = format!(
            "{}0020{}{}",
            hex::encode(b"xinqiao/gen/v1\0\0"),
            "11".repeat(32),
            hex::encode(b"sh-bureau")
        );
        assert_eq!(found, golden);
    }
}
