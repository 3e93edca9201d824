//! Founds a consortium for measuring: so many validators with a given engine, a follower, and institutions
//! that sign. What it writes is what operators would write; nothing in a node is special to it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;
use serde::Serialize;
use time::OffsetDateTime;
use xinqiao_crypto::{DistinguishingId, SecretKey};
use xinqiao_identity::pki::{Authority, CA_DAYS, LeafRequest, Validity};
use xinqiao_ledger::{
    genesis::{Genesis, Parameters},
    member::{KeyRole, Member, MemberKind},
    validators::{Engine, Validator},
    wire,
};
use xinqiao_rpc::{Identity, Role, RpcChannel, peer, tls};

use crate::payload::Signers;

/// The beginning of the institutions' names.
pub(crate) const INSTITUTION: &str = "bank";

/// The one item of the catalogue.
pub(crate) const ITEM: &str = "tax_payment";

/// The one purpose of the catalogue.
pub(crate) const PURPOSE: &str = "loan_approval";

/// How many institutions sign: a node takes 10,000 waiting transactions of one signer, and 20,000 in all.
const INSTITUTIONS: usize = 8;

/// How far ahead expiries may lie, in blocks. Wide, for the load is signed before anything is measured.
pub(crate) const EXPIRY_WINDOW: u64 = 1_000_000;

/// Below the ports that systems hand to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A node of the consortium.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) org: String,
    pub(crate) address: SocketAddr,
    folder: PathBuf,
}

impl Place {
    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("node.toml")
    }

    /// Where it keeps everything.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

/// A founded consortium.
pub(crate) struct Consortium {
    pub(crate) validators: Vec<Place>,
    pub(crate) follower: Place,
    pub(crate) signers: Signers,
    pub(crate) genesis: Arc<Genesis>,
    /// The bureau of the follower can hold data too.
    pub(crate) holder: HolderKeys,
    /// Who asks and submits.
    identity: Identity,
}

/// What a data-holding node of the follower's bureau needs.
pub(crate) struct HolderKeys {
    pub(crate) identity: Identity,
    pub(crate) holder: Arc<SecretKey>,
    pub(crate) admin: Arc<SecretKey>,
}

impl Consortium {
    /// A new connection to a node.
    pub(crate) fn connect(&self, to: &Place) -> Result<RpcChannel> {
        let uri = uri(&to.address);
        Ok(tls::channel(&uri, &self.identity, Some(&to.org))?)
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

fn uri(address: &SocketAddr) -> String {
    format!("https://{address}")
}

/// Ports that are free now.
pub(crate) fn free_ports(count: usize) -> Result<Vec<SocketAddr>> {
    let first = rand::random_range(PORTS);
    let held: Vec<TcpListener> = (first..PORTS.end)
        .chain(PORTS.start..first)
        .filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .take(count)
        .collect();
    if held.len() < count {
        bail!("there are no {count} free ports on the loopback");
    }
    held.iter().map(|one| Ok(one.local_addr()?)).collect()
}

/// Founds a consortium in a folder.
pub(crate) fn found(folder: &Path, engine: Engine, validators: usize) -> Result<Consortium> {
    let ports = free_ports(validators + 1)?;
    let now = OffsetDateTime::now_utc();
    let authority = Authority::create("XinQiao benchmark", Validity::days_from(now, CA_DAYS))?;
    fs::write(folder.join("ca.pem"), authority.cert_pem())?;
    let mut founder = Founder {
        authority,
        now,
        members: Vec::new(),
    };

    let mut places = Vec::new();
    let (mut in_force, mut bureaus) = (Vec::new(), Vec::new());
    let (mut identity, mut holder) = (None, None);
    for (number, address) in ports.iter().enumerate() {
        let org = format!("bureau-{number:02}");
        let home = folder.join(&org);
        fs::create_dir_all(&home)?;
        let (admin, data) = (
            SecretKey::generate(&mut rand::rng()),
            SecretKey::generate(&mut rand::rng()),
        );
        let keys = [(&admin, KeyRole::Admin), (&data, KeyRole::Holder)];
        let roles = [Role::Node, Role::Operator, Role::Holder];
        let issued = founder.member(&org, MemberKind::Bureau, &keys, &roles, "")?;
        write_secret(&home.join("node.pem"), &issued[0].0)?;
        write_secret(&home.join("node.key"), &issued[0].1)?;
        let of = |(cert, key): &(String, String)| {
            Identity::from_pem(cert.clone(), key, founder.authority.cert_pem().to_owned())
        };
        if identity.is_none() {
            identity = Some(of(&issued[1])?);
        }
        let is_validator = number < validators;
        if is_validator {
            let key = SecretKey::generate(&mut rand::rng());
            write_secret(&home.join("validator.pem"), &key.to_pem())?;
            in_force.push(Validator {
                org: org.parse()?,
                key: *key.public(),
                endpoint: uri(address).parse()?,
            });
            bureaus.push(Arc::new(admin));
        } else {
            holder = Some(HolderKeys {
                identity: of(&issued[2])?,
                holder: Arc::new(data),
                admin: Arc::new(admin),
            });
        }
        let place = Place {
            org,
            address: *address,
            folder: home,
        };
        let upstream = (!is_validator).then(|| &ports[0]);
        fs::write(place.config(), node_file(&place, upstream)?)?;
        places.push(place);
    }
    let mut institutions = Vec::new();
    for number in 0..INSTITUTIONS {
        let org = format!("{INSTITUTION}-{number:02}");
        let admin = SecretKey::generate(&mut rand::rng());
        let keys = [(&admin, KeyRole::Admin)];
        founder.member(&org, MemberKind::Institution, &keys, &[], "bureau-00")?;
        institutions.push(Arc::new(admin));
    }

    let genesis = founder.genesis(engine, in_force)?;
    let file = toml::to_string(&GenesisFile::of(&genesis, founder.authority.cert_pem()))?;
    let catalogue = xinqiao_catalogue::tables(&genesis.catalogue, "catalogue");
    let text = format!("{file}\n{catalogue}");
    fs::write(folder.join("genesis.toml"), text)?;
    Ok(Consortium {
        follower: places.pop().context("a consortium has a follower")?,
        validators: places,
        signers: Signers {
            chain: genesis.chain_id(),
            institutions,
            bureaus,
        },
        genesis: Arc::new(genesis),
        holder: holder.context("a consortium has a follower")?,
        identity: identity.context("a consortium has a bureau")?,
    })
}

struct Founder {
    authority: Authority,
    now: OffsetDateTime,
    members: Vec<wire::Member>,
}

impl Founder {
    /// Admits a member; gives its certificates with their keys, PEM, by role.
    fn member(
        &mut self,
        org: &str,
        kind: MemberKind,
        keys: &[(&SecretKey, KeyRole)],
        roles: &[Role],
        home: &str,
    ) -> Result<Vec<(String, String)>> {
        let mut issued = Vec::new();
        let mut prints = Vec::new();
        for role in roles {
            let request = LeafRequest::new(org, *role, self.now).for_this_machine();
            let one = self.authority.issue(&request)?;
            prints.push(peer::fingerprint(&der(&one.cert_pem)?).to_vec());
            issued.push((one.cert_pem, one.key_pem.expose_secret().to_owned()));
        }
        prints.sort();
        self.members.push(wire::Member {
            org: org.to_owned(),
            kind: kind.to_wire(),
            name: format!("Benchmark {org}"),
            region: "32".to_owned(),
            keys: (keys.iter())
                .map(|(key, role)| wire::MemberKey {
                    public_key: key.public().to_sec1().to_vec(),
                    role: role.to_wire(),
                })
                .collect(),
            certificates: prints,
            home: home.to_owned(),
            ..wire::Member::default()
        });
        Ok(issued)
    }

    fn genesis(&self, engine: Engine, validators: Vec<Validator>) -> Result<Genesis> {
        let mut members = self
            .members
            .iter()
            .map(|member| Ok(Member::try_from(member)?))
            .collect::<Result<Vec<_>>>()?;
        members.sort_by(|left, right| left.org.cmp(&right.org));
        let genesis = Genesis {
            name: "XinQiao benchmark".to_owned(),
            engine,
            time: now_ms(),
            distinguishing_id: DistinguishingId::default(),
            validators,
            members,
            catalogue: xinqiao_catalogue::first()?,
            authorities: vec![der(self.authority.cert_pem())?],
            parameters: Parameters {
                max_expiry_window: EXPIRY_WINDOW,
                ..Parameters::default()
            },
        };
        genesis.check()?;
        Ok(genesis)
    }
}

/// The DER bytes of one PEM certificate.
fn der(pem: &str) -> Result<Vec<u8>> {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    STANDARD.decode(body).context("a certificate in PEM")
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// A node's configuration, as in `xinqiao node --config`.
fn node_file(place: &Place, upstream: Option<&SocketAddr>) -> Result<String> {
    #[derive(Serialize)]
    struct File<'a> {
        org: &'a str,
        genesis: &'static str,
        role: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        validator_key: Option<&'static str>,
        data_dir: &'static str,
        listen: SocketAddr,
        tls: Tls,
        upstreams: Vec<Remote>,
        telemetry: Telemetry,
    }
    #[derive(Serialize)]
    struct Tls {
        cert: &'static str,
        key: &'static str,
        ca: &'static str,
    }
    #[derive(Serialize)]
    struct Remote {
        org: &'static str,
        uri: String,
    }
    #[derive(Serialize)]
    struct Telemetry {
        filter: &'static str,
    }
    Ok(toml::to_string(&File {
        org: &place.org,
        genesis: "../genesis.toml",
        role: if upstream.is_some() {
            "follower"
        } else {
            "validator"
        },
        validator_key: upstream.is_none().then_some("validator.pem"),
        data_dir: "data",
        listen: place.address,
        tls: Tls {
            cert: "node.pem",
            key: "node.key",
            ca: "../ca.pem",
        },
        upstreams: upstream
            .map(|address| Remote {
                org: "bureau-00",
                uri: uri(address),
            })
            .into_iter()
            .collect(),
        telemetry: Telemetry { filter: "warn" },
    })?)
}

/// The genesis file's shape, as `xinqiao genesis show` reads it.
#[derive(Serialize)]
struct GenesisFile {
    name: String,
    engine: Engine,
    time_ms: u64,
    distinguishing_id: String,
    validators: Vec<ValidatorFile>,
    parameters: Parameters,
    authorities: Vec<String>,
    members: Vec<MemberFile>,
}

#[derive(Serialize)]
struct ValidatorFile {
    org: String,
    public_key: String,
    endpoint: String,
}

#[derive(Serialize)]
struct MemberFile {
    org: String,
    kind: MemberKind,
    name: String,
    region: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    home: Option<String>,
    certificates: Vec<String>,
    keys: Vec<KeyFile>,
}

#[derive(Serialize)]
struct KeyFile {
    role: KeyRole,
    public_key: String,
}

impl GenesisFile {
    fn of(genesis: &Genesis, authority: &str) -> Self {
        let validators = genesis.validators.iter().map(|one| ValidatorFile {
            org: one.org.to_string(),
            public_key: hex::encode(one.key.to_sec1()),
            endpoint: one.endpoint.to_string(),
        });
        let members = genesis.members.iter().map(|member| MemberFile {
            org: member.org.to_string(),
            kind: member.kind,
            name: member.name.to_string(),
            region: member.region.to_string(),
            home: member.home.as_ref().map(ToString::to_string),
            certificates: member
                .certificates
                .iter()
                .map(ToString::to_string)
                .collect(),
            keys: [KeyRole::Admin, KeyRole::Holder]
                .into_iter()
                .flat_map(|role| member.keys_of(role).map(move |key| (role, key)))
                .map(|(role, key)| KeyFile {
                    role,
                    public_key: hex::encode(key.to_sec1()),
                })
                .collect(),
        });
        Self {
            name: genesis.name.clone(),
            engine: genesis.engine,
            time_ms: genesis.time,
            distinguishing_id: String::from_utf8_lossy(genesis.distinguishing_id.as_bytes())
                .into_owned(),
            validators: validators.collect(),
            parameters: genesis.parameters,
            authorities: vec![authority.to_owned()],
            members: members.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_size_that_is_measured_can_be_founded() {
        for (engine, validators) in [
            (Engine::Solo, 1),
            (Engine::Raft, 3),
            (Engine::Bft, 4),
            (Engine::Bft, 10),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let founded = found(folder.path(), engine, validators).unwrap();
            assert_eq!(founded.validators.len(), validators);
            assert_eq!(founded.signers.bureaus.len(), validators);
            for place in founded.validators.iter().chain([&founded.follower]) {
                assert!(place.config().is_file(), "{}", place.org);
                founded.connect(place).unwrap();
            }
            assert!(folder.path().join("genesis.toml").is_file());
        }
    }

    #[test]
    fn fewer_validators_than_an_engine_needs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(found(folder.path(), Engine::Bft, 3).is_err());
    }
}
