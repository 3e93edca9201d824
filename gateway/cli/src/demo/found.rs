//! Founds a consortium in a folder: keys, certificates, genesis, and one configuration file for
//! every process. What it writes is what operators would write; nothing is special to the demo.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use secrecy::ExposeSecret;
use serde::Serialize;
use time::OffsetDateTime;
use xinqiao_crypto::DistinguishingId;
use xinqiao_dispatch::turn::TAKEOVER_MS;
use xinqiao_identity::{
    pki::{Authority, CA_DAYS, LeafRequest, Validity},
    token::TokenKey,
};
use xinqiao_ledger::{
    genesis::{Genesis, Parameters},
    ids::{OrgId, SourceId},
    member::{KeyRole, Member, MemberKind},
    validators::{Engine, Validator},
    wire,
};
use xinqiao_rpc::Role;

use crate::{
    commands::genesis::{first_catalogue, now_ms},
    config::{
        AgentFile, GatewayFile, HolderFile, HolderOf, JobsOf, NodeFile, NodeRole, ObserverFile,
        OtherUsers, ProfileFile, Remote, SourceFile, Telemetry, Tls, TurnsOf,
    },
    files, genesis_file, keyfiles,
};

/// A bureau of the demo.
pub struct Bureau {
    /// Its id.
    pub org: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its region.
    pub region: &'static str,
    /// The region's name in sources' ids.
    pub place: &'static str,
}

/// The four bureaus, each with a node. As many of them are validators as the engine is meant for.
pub const BUREAUS: [Bureau; 4] = [
    Bureau {
        org: "sh-bureau",
        name: "上海市征信平台 Shanghai",
        region: "31",
        place: "shanghai",
    },
    Bureau {
        org: "js-bureau",
        name: "江苏省征信平台 Jiangsu",
        region: "32",
        place: "jiangsu",
    },
    Bureau {
        org: "zj-bureau",
        name: "浙江省征信平台 Zhejiang",
        region: "33",
        place: "zhejiang",
    },
    Bureau {
        org: "ah-bureau",
        name: "安徽省征信平台 Anhui",
        region: "34",
        place: "anhui",
    },
];

/// The bank.
pub const BANK: &str = "js-bank";

/// Index in [`BUREAUS`] of the one whose gateway serves the bank.
const HOME: usize = 1;

/// The regulator.
pub const REGULATOR: &str = "pboc";

/// A source to be served by one of the bureaus.
pub struct SourcePlan {
    /// Index in [`BUREAUS`].
    pub bureau: usize,
    /// Its id.
    pub source: SourceId,
    /// Its name.
    pub name: String,
    /// Its mapping file.
    pub mapping: PathBuf,
}

/// A founded consortium.
pub struct Consortium {
    /// Its folder.
    pub dir: PathBuf,
    /// Where the bank's application asks.
    pub agent: SocketAddr,
    /// The bureaus that serve sources: each runs a data-holding node and a gateway.
    pub serving: Vec<&'static str>,
    /// Ports that nobody else is to take before their processes start.
    held: Mutex<HashMap<SocketAddr, TcpListener>>,
}

impl Consortium {
    /// The genesis file.
    pub fn genesis(&self) -> PathBuf {
        self.dir.join("genesis.toml")
    }

    /// Configuration file of a process: `org` and `node`, `gateway`, `holder`, `agent`, `observer`.
    pub fn config(&self, org: &str, process: &str) -> PathBuf {
        self.dir.join(org).join(format!("{process}.toml"))
    }

    /// Lets go of the port that the process of this configuration is about to listen on.
    pub fn give_up_port(&self, config: &Path) -> Result<()> {
        #[derive(serde::Deserialize)]
        struct Listens {
            listen: SocketAddr,
        }
        let listens: Listens = toml::from_str(&files::text(config, files::MAX_CONFIG)?)?;
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&listens.listen);
        Ok(())
    }

    /// Profile of a person of that organisation.
    pub fn profile(&self, org: &str) -> PathBuf {
        self.dir.join(org).join("profile.toml")
    }
}

/// The addresses of everyone, chosen free on this machine.
struct Addresses {
    nodes: Vec<SocketAddr>,
    gateways: Vec<SocketAddr>,
    /// By bureau, of each the data-holding nodes by their numbers.
    holders: Vec<Vec<SocketAddr>>,
    observer: SocketAddr,
    agent: SocketAddr,
}

impl Addresses {
    fn of(ports: &[SocketAddr], holders: usize) -> Self {
        let (nodes, rest) = ports.split_at(BUREAUS.len());
        let (gateways, rest) = rest.split_at(BUREAUS.len());
        let (of_holders, rest) = rest.split_at(holders * BUREAUS.len());
        Self {
            nodes: nodes.to_vec(),
            gateways: gateways.to_vec(),
            holders: of_holders.chunks(holders).map(<[_]>::to_vec).collect(),
            observer: rest[0],
            agent: rest[1],
        }
    }
}

/// How many processes listen: a node, a gateway and so many holders a bureau, an observer and an agent.
fn listeners(holders: usize) -> usize {
    (2 + holders) * BUREAUS.len() + 2
}

/// Below the ports that systems hand to outgoing connections (Linux: 32768 and up), so that no client takes
/// a port between our letting go of it and the process binding it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Ports that are kept from others until the process that is to listen there starts.
fn hold_ports(count: usize) -> Result<Vec<(SocketAddr, TcpListener)>> {
    let mut held = Vec::with_capacity(count);
    // Somewhere in the range, so that consortiums that start at once seldom try the same ones.
    let first = rand::random_range(PORTS);
    for port in (first..PORTS.end).chain(PORTS.start..first) {
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else {
            continue;
        };
        held.push((listener.local_addr()?, listener));
        if held.len() == count {
            return Ok(held);
        }
    }
    bail!(
        "no {count} free ports between {} and {} on 127.0.0.1",
        PORTS.start,
        PORTS.end
    )
}

/// What the files of a bureau's data-holding node of that number are called: `holder`, then `holder-1`.
pub fn holder(node: u8) -> String {
    match node {
        0 => "holder".to_owned(),
        node => format!("holder-{node}"),
    }
}

fn uri(address: &SocketAddr) -> String {
    format!("https://{address}")
}

/// Founds a consortium below `dir`, with so many data-holding nodes for each source.
pub fn found(
    dir: &Path,
    sources: &[SourcePlan],
    engine: Engine,
    holders: u8,
    telemetry: &Telemetry,
) -> Result<Consortium> {
    let rng = &mut rand::rng();
    let held = hold_ports(listeners(holders.into()))?;
    let ports: Vec<SocketAddr> = held.iter().map(|(address, _)| *address).collect();
    let at = Addresses::of(&ports, holders.into());
    let now = OffsetDateTime::now_utc();
    fs::create_dir_all(dir.join("shared"))?;
    keyfiles::new_secret32(&dir.join("shared/pseudonym.key"), rng)?;

    let authority = Authority::create("XinQiao demo 信桥演示", Validity::days_from(now, CA_DAYS))?;
    keyfiles::write_secret(&dir.join("ca/ca.key"), authority.key_pem().expose_secret())?;
    fs::write(dir.join("ca/ca.pem"), authority.cert_pem())?;

    let mut founder = Founder {
        dir,
        authority,
        now,
        engine,
        members: Vec::new(),
        validators: Vec::new(),
    };
    for (index, bureau) in BUREAUS.iter().enumerate() {
        let mut member = founder.member(
            bureau.org,
            MemberKind::Bureau,
            bureau.name,
            bureau.region,
            &[("admin", KeyRole::Admin), ("gateway", KeyRole::Gateway)],
            &[Role::Node, Role::Gateway, Role::Operator],
        )?;
        for node in 0..holders {
            founder.holder(&mut member, &holder(node))?;
        }
        founder.validator(bureau.org, &at.nodes[index])?;
        member.gateway_endpoint = uri(&at.gateways[index]);
        founder.members.push(member);
    }
    let mut bank = founder.member(
        BANK,
        MemberKind::Institution,
        "苏州示范银行 Suzhou Demo Bank",
        "32",
        &[
            ("admin", KeyRole::Admin),
            ("agent", KeyRole::Agent),
            ("encryption", KeyRole::Encryption),
        ],
        &[Role::Agent, Role::Operator],
    )?;
    let token = TokenKey::generate()?;
    keyfiles::write_secret(
        &dir.join(BANK).join("keys/token.pem"),
        token.private_pem().expose_secret(),
    )?;
    bank.keys.push(wire::MemberKey {
        public_key: token.public().0.to_vec(),
        role: KeyRole::Token.to_wire(),
    });
    bank.home = BUREAUS[HOME].org.to_owned();
    keyfiles::new_secret32(&dir.join(BANK).join("keys/user.key"), rng)?;
    founder.members.push(bank);
    let regulator = founder.member(
        REGULATOR,
        MemberKind::Regulator,
        "监管机构 Regulator",
        "11",
        &[("admin", KeyRole::Admin)],
        &[Role::Observer, Role::Operator],
    )?;
    founder.members.push(regulator);

    founder.genesis()?;
    let serves = |index: &usize| sources.iter().any(|plan| plan.bureau == *index);
    let consortium = Consortium {
        dir: dir.to_owned(),
        agent: at.agent,
        serving: (0..BUREAUS.len())
            // The bank's own region has a gateway in any case.
            .filter(|index| *index == HOME || serves(index))
            .map(|index| BUREAUS[index].org)
            .collect(),
        held: Mutex::new(held.into_iter().collect()),
    };
    write_configs(&consortium, &at, sources, engine, telemetry)?;
    Ok(consortium)
}

struct Founder<'a> {
    dir: &'a Path,
    authority: Authority,
    now: OffsetDateTime,
    engine: Engine,
    members: Vec<wire::Member>,
    validators: Vec<Validator>,
}

impl Founder<'_> {
    fn member(
        &mut self,
        org: &str,
        kind: MemberKind,
        name: &str,
        region: &str,
        keys: &[(&str, KeyRole)],
        roles: &[Role],
    ) -> Result<wire::Member> {
        let rng = &mut rand::rng();
        let home = self.dir.join(org);
        let mut public = Vec::new();
        for (file, role) in keys {
            let key = keyfiles::new_sm2(&home.join(format!("keys/{file}.pem")), rng)?;
            public.push(wire::MemberKey {
                public_key: key.public().to_sec1().to_vec(),
                role: role.to_wire(),
            });
        }
        let mut certificates = Vec::new();
        for role in roles {
            certificates.push(self.certificate(org, *role, role.as_str())?);
        }
        certificates.sort();
        Ok(wire::Member {
            org: org.into(),
            kind: kind.to_wire(),
            name: name.into(),
            region: region.into(),
            keys: public,
            certificates,
            ..wire::Member::default()
        })
    }

    /// A certificate in files of that name; gives its fingerprint.
    fn certificate(&self, org: &str, role: Role, name: &str) -> Result<Vec<u8>> {
        let issued = self
            .authority
            .issue(&LeafRequest::new(org, role, self.now).for_this_machine())?;
        let cert = self.dir.join(org).join(format!("tls/{name}.pem"));
        keyfiles::write_secret(&cert.with_extension("key"), issued.key_pem.expose_secret())?;
        fs::write(&cert, &issued.cert_pem)?;
        Ok(genesis_file::fingerprint(&issued.cert_pem)?.to_vec())
    }

    /// A data-holding node's own key and certificate.
    fn holder(&self, member: &mut wire::Member, name: &str) -> Result<()> {
        let file = self.dir.join(&member.org).join(format!("keys/{name}.pem"));
        let key = keyfiles::new_sm2(&file, &mut rand::rng())?;
        member.keys.push(wire::MemberKey {
            public_key: key.public().to_sec1().to_vec(),
            role: KeyRole::Holder.to_wire(),
        });
        let certificate = self.certificate(&member.org, Role::Holder, name)?;
        member.certificates.push(certificate);
        member.certificates.sort();
        Ok(())
    }

    fn validator(&mut self, org: &str, node: &SocketAddr) -> Result<()> {
        let file = self.dir.join(org).join("keys/validator.pem");
        let key = keyfiles::new_sm2(&file, &mut rand::rng())?;
        self.validators.push(Validator {
            org: org.parse()?,
            key: *key.public(),
            endpoint: uri(node).parse()?,
        });
        Ok(())
    }

    fn genesis(&self) -> Result<()> {
        let mut validators = self.validators.clone();
        // The keys of the others wait for the day on which they are voted in.
        validators.truncate(self.engine.least());
        validators.sort_by(|left, right| left.org.cmp(&right.org));
        let mut members = self
            .members
            .iter()
            .map(|member| Ok(Member::try_from(member)?))
            .collect::<Result<Vec<_>>>()?;
        members.sort_by(|left, right| left.org.cmp(&right.org));
        let genesis = Genesis {
            name: "信桥演示联盟 XinQiao demo consortium".into(),
            engine: self.engine,
            time: now_ms(),
            distinguishing_id: DistinguishingId::default(),
            validators,
            members,
            catalogue: first_catalogue()?,
            authorities: vec![genesis_file::der(self.authority.cert_pem())?],
            parameters: Parameters::default(),
        };
        genesis.check()?;
        fs::write(
            self.dir.join("genesis.toml"),
            genesis_file::write(&genesis)?,
        )?;
        Ok(())
    }
}

fn tls(role: Role) -> Tls {
    tls_named(role.as_str())
}

fn tls_named(name: &str) -> Tls {
    Tls {
        cert: format!("tls/{name}.pem").into(),
        key: format!("tls/{name}.key").into(),
        ca: "../ca/ca.pem".into(),
    }
}

fn write<T: Serialize>(path: &Path, config: &T) -> Result<()> {
    fs::write(path, toml::to_string(config)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn write_configs(
    consortium: &Consortium,
    at: &Addresses,
    sources: &[SourcePlan],
    engine: Engine,
    telemetry: &Telemetry,
) -> Result<()> {
    let genesis = PathBuf::from("../genesis.toml");
    let org = |name: &str| name.parse::<OrgId>();
    let node_of = |index: usize| -> Result<Remote> {
        Ok(Remote {
            org: org(BUREAUS[index].org)?,
            uri: uri(&at.nodes[index]),
        })
    };
    for (index, bureau) in BUREAUS.iter().enumerate() {
        let validator = index < engine.least();
        // A node that follows hears of blocks from whoever goes on.
        let another = usize::from(index == 0);
        let node = NodeFile {
            org: org(bureau.org)?,
            genesis: genesis.clone(),
            genesis_signatures: None,
            role: if validator {
                NodeRole::Validator
            } else {
                NodeRole::Follower
            },
            validator_key: validator.then(|| "keys/validator.pem".into()),
            data_dir: "data/node".into(),
            listen: at.nodes[index],
            tls: tls(Role::Node),
            upstreams: if validator { vec![] } else { vec![node_of(0)?] },
            validators: BTreeMap::new(),
            snapshot_after: None,
            keep_days: None,
            speak_without_log: false,
            telemetry: telemetry.clone(),
        };
        write(&consortium.config(bureau.org, "node"), &node)?;
        let own: Vec<&SourcePlan> = sources.iter().filter(|plan| plan.bureau == index).collect();
        let mut files = Vec::new();
        for plan in &own {
            let salt = format!("keys/salt-{}.key", plan.source);
            let path = consortium.dir.join(bureau.org).join(&salt);
            keyfiles::new_secret32(&path, &mut rand::rng())?;
            files.push(SourceFile {
                source: plan.source.clone(),
                name: plan.name.clone(),
                mapping: std::path::absolute(&plan.mapping)?,
                salt_key: salt.into(),
                nodes: at.holders[index].len().try_into()?,
                node: 0,
                takeover_after_ms: TAKEOVER_MS,
                max_concurrent: None,
            });
        }
        for (node, listen) in (0..).zip(&at.holders[index]) {
            let name = holder(node);
            for file in &mut files {
                file.node = node;
            }
            let holder = HolderFile {
                org: org(bureau.org)?,
                genesis: genesis.clone(),
                data_dir: format!("data/{name}").into(),
                spool_dir: format!("data/{}", name.replace("holder", "spool")).into(),
                state_dir: format!("data/{}", name.replace("holder", "sync")).into(),
                group_dir: format!("data/{}", name.replace("holder", "groups")).into(),
                node: None,
                listen: *listen,
                tls: tls_named(&name),
                upstreams: vec![node_of(index)?, node_of(another)?],
                holder_key: format!("keys/{name}.pem").into(),
                admin_key: Some("keys/admin.pem".into()),
                pseudonym_key: "../shared/pseudonym.key".into(),
                sources: files.clone(),
                telemetry: telemetry.clone(),
            };
            write(&consortium.config(bureau.org, &name), &holder)?;
        }
        let gateway = GatewayFile {
            org: org(bureau.org)?,
            listen: at.gateways[index],
            tls: tls(Role::Gateway),
            node: node_of(index)?,
            gateway_key: "keys/gateway.pem".into(),
            holders: own
                .iter()
                .map(|plan| HolderOf {
                    source: plan.source.clone(),
                    uris: at.holders[index].iter().map(uri).collect(),
                })
                .collect(),
            genesis: genesis.clone(),
            policy: None,
            turns: TurnsOf::default(),
            telemetry: telemetry.clone(),
        };
        write(&consortium.config(bureau.org, "gateway"), &gateway)?;
        write(
            &consortium.profile(bureau.org),
            &profile(bureau.org, node_of(index)?)?,
        )?;
    }
    let agent = AgentFile {
        org: org(BANK)?,
        genesis: genesis.clone(),
        listen: at.agent,
        tls: tls(Role::Agent),
        gateway: Remote {
            org: org(BUREAUS[HOME].org)?,
            uri: uri(&at.gateways[HOME]),
        },
        group_dir: "data/groups".into(),
        node: None,
        agent_key: "keys/agent.pem".into(),
        encryption_key: "keys/encryption.pem".into(),
        token_key: "keys/token.pem".into(),
        pseudonym_key: "../shared/pseudonym.key".into(),
        user_key: "keys/user.key".into(),
        users: BTreeMap::new(),
        other_users: OtherUsers::Queriers,
        state_dir: "data/agent".into(),
        jobs: JobsOf::default(),
        telemetry: telemetry.clone(),
    };
    write(&consortium.config(BANK, "agent"), &agent)?;
    write(&consortium.profile(BANK), &profile(BANK, node_of(HOME)?)?)?;
    let observer = ObserverFile {
        org: org(REGULATOR)?,
        genesis,
        data_dir: "data/observer".into(),
        listen: at.observer,
        tls: tls(Role::Observer),
        upstreams: vec![node_of(2)?, node_of(0)?],
        telemetry: telemetry.clone(),
    };
    write(&consortium.config(REGULATOR, "observer"), &observer)?;
    // The inspector reads from the regulator's own observer; it writes through a bureau's node.
    let own = Remote {
        org: org(REGULATOR)?,
        uri: uri(&at.observer),
    };
    let mut inspector = profile(REGULATOR, own)?;
    inspector.admin_key = None;
    inspector.pseudonym_key = None;
    write(&consortium.profile(REGULATOR), &inspector)
}

fn profile(org: &str, node: Remote) -> Result<ProfileFile> {
    Ok(ProfileFile {
        org: org.parse()?,
        genesis: "../genesis.toml".into(),
        tls: tls(Role::Operator),
        node,
        admin_key: Some("keys/admin.pem".into()),
        pseudonym_key: Some("../shared/pseudonym.key".into()),
    })
}
