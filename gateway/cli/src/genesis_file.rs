//! The genesis as a TOML file that people can read, agree on and check.
//!
//! What is hashed is the genesis itself, not the text: comments and spacing do not change the chain.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use xinqiao_catalogue::CatalogueFile;
use xinqiao_crypto::{Digest, DistinguishingId, PublicKey};
use xinqiao_ledger::{
    genesis::{Genesis, Parameters},
    ids::{Fingerprint, OrgId},
    member::{KeyRole, Member, MemberKey, MemberKind, Region},
    text::Endpoint,
    validators::{Engine, Validator},
};

use crate::files;

/// The file's shape.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    name: String,
    engine: Engine,
    time_ms: u64,
    distinguishing_id: String,
    validators: Vec<ValidatorFile>,
    #[serde(default)]
    parameters: Parameters,
    authorities: Vec<String>,
    /// Written apart: people are to read it, and a field takes a line there.
    #[serde(skip_serializing)]
    catalogue: Option<CatalogueFile>,
    members: Vec<MemberFile>,
}

/// A member as a genesis file has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberFile {
    org: OrgId,
    kind: MemberKind,
    name: String,
    region: Region,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    gateway_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<OrgId>,
    #[serde(default)]
    certificates: Vec<String>,
    keys: Vec<KeyFile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidatorFile {
    org: OrgId,
    public_key: String,
    endpoint: Endpoint,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    role: KeyRole,
    public_key: String,
}

/// Reads and checks a genesis file.
pub fn read(path: &Path) -> Result<Genesis> {
    let text = files::text(path, files::MAX_CONFIG)?;
    parse(&text).with_context(|| format!("{} is not a usable genesis", path.display()))
}

/// Parses a genesis file's text.
pub fn parse(text: &str) -> Result<Genesis> {
    let file: GenesisFile = toml::from_str(text)?;
    Genesis::try_from(file)
}

fn parse_members(text: &str) -> Result<Vec<Member>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Alone {
        members: Vec<MemberFile>,
    }
    toml::from_str::<Alone>(text)?
        .members
        .into_iter()
        .map(Member::try_from)
        .collect()
}

/// A genesis as text.
pub fn write(genesis: &Genesis) -> Result<String> {
    let head = format!(
        "# Genesis of {}\n# chain id: {}\n# Everyone checks it with `xinqiao genesis show` before starting from it.\n\n",
        genesis.name,
        genesis.chain_id()
    );
    let file = toml::to_string(&GenesisFile::from(genesis))?;
    let catalogue = xinqiao_catalogue::tables(&genesis.catalogue, "catalogue");
    Ok(format!("{head}{file}\n{catalogue}"))
}

/// A member as text, to be pasted into a genesis file.
pub fn write_member(member: &Member) -> Result<String> {
    #[derive(Serialize)]
    struct Alone {
        members: [MemberFile; 1],
    }
    Ok(toml::to_string(&Alone {
        members: [MemberFile::from(member)],
    })?)
}

impl TryFrom<GenesisFile> for Genesis {
    type Error = anyhow::Error;

    fn try_from(file: GenesisFile) -> Result<Self> {
        let mut members = file
            .members
            .into_iter()
            .map(Member::try_from)
            .collect::<Result<Vec<_>>>()?;
        members.sort_by(|left, right| left.org.cmp(&right.org));
        let mut validators = file
            .validators
            .into_iter()
            .map(Validator::try_from)
            .collect::<Result<Vec<_>>>()?;
        validators.sort_by(|left, right| left.org.cmp(&right.org));
        let catalogue = file.catalogue.context("the file has no catalogue")?;
        let catalogue = catalogue.into_catalogue().context("the catalogue")?;
        let genesis = Self {
            name: file.name,
            engine: file.engine,
            time: file.time_ms,
            distinguishing_id: DistinguishingId::new(file.distinguishing_id.into_bytes())?,
            validators,
            members,
            catalogue,
            authorities: file
                .authorities
                .iter()
                .map(|pem| der(pem))
                .collect::<Result<_>>()?,
            parameters: file.parameters,
        };
        genesis.check()?;
        Ok(genesis)
    }
}

impl TryFrom<ValidatorFile> for Validator {
    type Error = anyhow::Error;

    fn try_from(file: ValidatorFile) -> Result<Self> {
        let key = sm2_key(&file.public_key);
        Ok(Self {
            key: key.with_context(|| format!("validator of {}", file.org))?,
            org: file.org,
            endpoint: file.endpoint,
        })
    }
}

fn sm2_key(text: &str) -> Result<PublicKey> {
    let bytes = hex::decode(text).context("a public key is given in hexadecimal digits")?;
    PublicKey::try_from(&bytes[..]).map_err(Into::into)
}

/// The DER bytes of exactly one PEM certificate.
pub fn der(pem: &str) -> Result<Vec<u8>> {
    let (rest, parsed) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .map_err(|fault| anyhow!("an authority is not a PEM certificate: {fault}"))?;
    if parsed.label != "CERTIFICATE" || !rest.iter().all(u8::is_ascii_whitespace) {
        bail!("an authority must be exactly one PEM certificate");
    }
    Ok(parsed.contents)
}

/// DER bytes of a certificate as PEM.
pub fn pem(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap_or(""))
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

impl TryFrom<MemberFile> for Member {
    type Error = anyhow::Error;

    fn try_from(file: MemberFile) -> Result<Self> {
        let org = file.org.clone();
        let wire = xinqiao_ledger::wire::Member {
            org: file.org.to_string(),
            kind: file.kind.to_wire(),
            name: file.name,
            region: file.region.to_string(),
            gateway_endpoint: file.gateway_endpoint,
            keys: file
                .keys
                .iter()
                .map(|key| {
                    Ok(xinqiao_ledger::wire::MemberKey {
                        public_key: hex::decode(&key.public_key)?,
                        role: key.role.to_wire(),
                    })
                })
                .collect::<Result<_>>()?,
            certificates: {
                let mut prints = file
                    .certificates
                    .iter()
                    .map(|print| Ok(hex::decode(print)?))
                    .collect::<Result<Vec<_>>>()?;
                prints.sort();
                prints
            },
            home: file.home.map(String::from).unwrap_or_default(),
        };
        Member::try_from(&wire).with_context(|| format!("member {org}"))
    }
}

impl From<&Member> for MemberFile {
    fn from(member: &Member) -> Self {
        Self {
            org: member.org.clone(),
            kind: member.kind,
            name: member.name.to_string(),
            region: member.region,
            gateway_endpoint: member.gateway_endpoint.to_string(),
            home: member.home.clone(),
            certificates: member
                .certificates
                .iter()
                .map(Fingerprint::to_string)
                .collect(),
            keys: member
                .keys
                .iter()
                .map(|key| KeyFile {
                    role: key.role(),
                    public_key: match key {
                        MemberKey::Sm2 { key, .. } => hex::encode(key.to_sec1()),
                        MemberKey::Token(point) => hex::encode(point),
                    },
                })
                .collect(),
        }
    }
}

impl From<&Genesis> for GenesisFile {
    fn from(genesis: &Genesis) -> Self {
        Self {
            name: genesis.name.clone(),
            engine: genesis.engine,
            time_ms: genesis.time,
            distinguishing_id: String::from_utf8_lossy(genesis.distinguishing_id.as_bytes())
                .into_owned(),
            validators: genesis
                .validators
                .iter()
                .map(|validator| ValidatorFile {
                    org: validator.org.clone(),
                    public_key: hex::encode(validator.key.to_sec1()),
                    endpoint: validator.endpoint.clone(),
                })
                .collect(),
            parameters: genesis.parameters,
            authorities: genesis.authorities.iter().map(|der| pem(der)).collect(),
            catalogue: None,
            members: genesis.members.iter().map(MemberFile::from).collect(),
        }
    }
}

/// The DER bytes of a file that is exactly one PEM certificate.
pub fn der_of(path: &Path) -> Result<Vec<u8>> {
    der(&files::text(path, files::MAX_KEY)?)
        .with_context(|| format!("{} is not usable", path.display()))
}

/// The members of a file that has nothing but `[[members]]`.
pub fn read_members(path: &Path) -> Result<Vec<Member>> {
    parse_members(&files::text(path, files::MAX_CONFIG)?)
        .with_context(|| format!("{} is not usable", path.display()))
}

/// The SHA-256 fingerprint of a PEM certificate, as the ledger registers it.
pub fn fingerprint(cert_pem: &str) -> Result<Fingerprint> {
    Ok(print_of(&der(cert_pem)?))
}

/// The fingerprint of a file that is exactly one PEM certificate.
pub fn fingerprint_of(path: &Path) -> Result<Fingerprint> {
    Ok(print_of(&der_of(path)?))
}

fn print_of(der: &[u8]) -> Fingerprint {
    Fingerprint(Digest::from(xinqiao_rpc::peer::fingerprint(der)))
}
