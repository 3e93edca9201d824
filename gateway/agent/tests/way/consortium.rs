//! A consortium on this machine: a real node with its disk, two gateways, one agent, all over mutual
//! TLS, and data-holding nodes that do as the test says.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost::Message;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::sync::watch;
use xinqiao_agent::{Agent, AgentClient, AgentConfig, AgentHandle, JobLimits, UserAccess, UserKey};
use xinqiao_crypto::{DistinguishingId, SecretKey, sm3};
use xinqiao_gateway::{Endpoint, Gateway, GatewayConfig, GatewayHandle, Quotas, TurnLimits};
use xinqiao_identity::{Authority, LeafRequest, TokenKey, Validity, pki::Issued};
use xinqiao_ledger::{
    catalogue::{
        Catalogue, Named,
        field::{Field, FieldKind, Unit},
        item::{ItemSchema, Sensitivity, Shape},
    },
    genesis::{Genesis, Parameters},
    ids::{Fingerprint, GrantId, OrgId, TxId, UserId},
    item::{PseudonymKey, SaltKey},
    member::{KeyRole, Member, MemberKey, MemberKind, Region},
    outcome::Outcome,
    receipt::{self, Proven},
    tx::Tx,
    uscc::Uscc,
    validators::{Engine, Epochs, Validator},
    wire::{self, tx_body::Action},
};
use xinqiao_node::{Node, NodeConfig, NodeHandle, Replica, Role as NodeRole};
use xinqiao_rpc::{Identity, Limits, Role};

use crate::source::{Conduct, Source};

static CA: LazyLock<Authority> = LazyLock::new(|| {
    let now = OffsetDateTime::now_utc();
    Authority::create("Consortium CA", Validity::days_from(now, 3_650)).unwrap()
});

/// The enterprise that everyone asks about.
pub(crate) fn enterprise() -> Uscc {
    Uscc::from_base17("91320500MA1ABCDE1").unwrap()
}

pub(crate) fn pseudonym_key() -> PseudonymKey {
    PseudonymKey::from([1; 32])
}

pub(crate) fn salt_key() -> SaltKey {
    SaltKey::from([2; 32])
}

fn user_key() -> UserKey {
    UserKey::from([3; 32])
}

pub(crate) fn org(id: &str) -> OrgId {
    id.parse().unwrap()
}

pub(crate) fn secret(name: &str) -> SecretKey {
    SecretKey::from_bytes(&sm3(name.as_bytes()).to_bytes()).unwrap()
}

/// A user's pseudonym.
pub(crate) fn user(name: &str) -> UserId {
    user_key().user(&org("js-bank"), name)
}

fn issue(org: &str, role: Role) -> Issued {
    CA.issue(&LeafRequest::new(org, role, OffsetDateTime::now_utc()))
        .unwrap()
}

fn identity(issued: &Issued) -> Identity {
    Identity::from_pem(
        issued.cert_pem.clone(),
        issued.key_pem.expose_secret(),
        CA.cert_pem(),
    )
    .unwrap()
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn uri(address: SocketAddr) -> String {
    format!("https://{address}")
}

fn named<C: std::str::FromStr<Err: std::fmt::Debug>>(code: &str) -> Named<C> {
    Named {
        code: code.parse().unwrap(),
        name_zh: format!("项目 {code}").parse().unwrap(),
        name_en: code.parse().unwrap(),
    }
}

/// An item that is a record of one field; whatever else a record has does not conform.
fn item(code: &str) -> ItemSchema {
    let Named {
        code,
        name_zh,
        name_en,
    } = named(code);
    ItemSchema {
        code,
        name_zh,
        name_en,
        group: "records".parse().unwrap(),
        place: 0,
        shape: Shape::Record,
        fields: vec![Field {
            name: "amount".parse().unwrap(),
            name_zh: "金额".parse().unwrap(),
            name_en: "amount".parse().unwrap(),
            required: false,
            sensitive: false,
            kind: FieldKind::Integer {
                min: 0,
                max: 9_999,
                unit: Unit::default(),
            },
        }],
        key: vec![],
        fresh_days: 365,
        keep_days: 1_825,
        sensitivity: Sensitivity::Commercial,
        owner: None,
    }
}

struct Joining {
    org: &'static str,
    kind: MemberKind,
    region: &'static str,
    home: Option<&'static str>,
    gateway: Option<SocketAddr>,
    token: Option<TokenKeyPoint>,
    certificates: Vec<[u8; 32]>,
}

type TokenKeyPoint = [u8; 65];

fn member(joining: Joining) -> Member {
    let roles = [
        ("admin", KeyRole::Admin),
        ("holder", KeyRole::Holder),
        ("gateway", KeyRole::Gateway),
        ("agent", KeyRole::Agent),
        ("encryption", KeyRole::Encryption),
    ];
    let Joining { org: id, .. } = joining;
    let mut certificates: Vec<Fingerprint> = joining
        .certificates
        .into_iter()
        .map(|print| Fingerprint(print.into()))
        .collect();
    certificates.sort();
    Member {
        org: org(id),
        kind: joining.kind,
        name: id.to_uppercase().parse().unwrap(),
        region: Region::parse("region", joining.region).unwrap(),
        gateway_endpoint: joining
            .gateway
            .map(uri)
            .unwrap_or_default()
            .parse()
            .unwrap(),
        keys: roles
            .into_iter()
            .map(|(name, role)| MemberKey::Sm2 {
                role,
                key: *secret(&format!("{id}/{name}")).public(),
            })
            .chain(joining.token.map(MemberKey::Token))
            .collect(),
        certificates,
        home: joining.home.map(org),
    }
}

/// Everything that runs, and its stop.
pub(crate) struct Consortium {
    pub(crate) agent: AgentClient,
    pub(crate) replica: Replica,
    pub(crate) genesis: Arc<Genesis>,
    /// The bank's certificate and token key, to act in its name.
    pub(crate) bank: Identity,
    pub(crate) token_pem: secrecy::SecretString,
    pub(crate) home_gateway: String,
    pub(crate) other_gateway: String,
    pub(crate) other_bank: Identity,
    pub(crate) other_token_pem: secrecy::SecretString,
    /// The gateways' own certificates, by bureau, to ask in their name.
    pub(crate) gateway_identities: BTreeMap<&'static str, Identity>,
    /// Issued by the consortium's authority, and registered for nobody.
    pub(crate) unregistered: Identity,
    stop: watch::Sender<bool>,
    node: NodeHandle,
    gateways: Vec<GatewayHandle>,
    running: Running,
    disk: TempDir,
}

/// What an agent is told that is not the same for all of them.
struct AgentPlan {
    org: &'static str,
    identity: Identity,
    token_pem: secrecy::SecretString,
    gateway_uri: String,
    genesis: Arc<Genesis>,
    state_dir: PathBuf,
}

impl AgentPlan {
    fn config(&self) -> AgentConfig {
        let users = [
            ("auditor", "bank.auditor", &["loan"][..]),
            ("lender", "bank.querier", &["audit"]),
        ];
        AgentConfig {
            node: None,
            group_dir: self.state_dir.join("groups"),
            org: org(self.org),
            identity: self.identity.clone(),
            listen: "127.0.0.1:0".parse().unwrap(),
            gateway_uri: self.gateway_uri.clone(),
            gateway_org: org("js-bureau"),
            genesis: self.genesis.clone(),
            signing_key: secret(&format!("{}/agent", self.org)),
            encryption_key: secret(&format!("{}/encryption", self.org)),
            token_key: TokenKey::from_pem(&self.token_pem).unwrap(),
            pseudonym_key: pseudonym_key(),
            user_key: user_key(),
            users: users
                .map(|(name, role, purposes)| {
                    let access = UserAccess {
                        roles: [role.to_owned()].into(),
                        purposes: purposes.iter().map(|code| (*code).to_owned()).collect(),
                    };
                    (name.to_owned(), access)
                })
                .into(),
            other_users: Some(UserAccess::querier(&self.genesis.catalogue)),
            service_user: "clerk".into(),
            state_dir: self.state_dir.clone(),
            jobs: JobLimits::default(),
            limits: Limits {
                // A follower that listens on does not hold up a stop.
                shutdown_grace: Duration::from_millis(200),
                ..Limits::default()
            },
        }
    }
}

/// An agent that runs, or did.
pub(crate) struct Running {
    plan: AgentPlan,
    handle: Option<(AgentHandle, watch::Sender<bool>)>,
}

impl Running {
    fn of(plan: AgentPlan) -> Self {
        Self { plan, handle: None }
    }

    async fn start(&mut self) {
        let (stop, mut stopping) = watch::channel(false);
        let stopped = async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        let handle = Agent::start(self.plan.config(), stopped).await.unwrap();
        self.handle = Some((handle, stop));
    }

    pub(crate) fn uri(&self) -> String {
        let (handle, _) = self.handle.as_ref().unwrap();
        format!("http://{}", handle.local_addr())
    }

    fn client(&self) -> AgentClient {
        xinqiao_agent::connect(&self.uri()).unwrap()
    }

    pub(crate) async fn stop(&mut self) {
        let (handle, stop) = self.handle.take().unwrap();
        stop.send(true).unwrap();
        handle.join().await.unwrap();
    }
}

/// How a test's consortium differs.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) quotas: Option<Quotas>,
    pub(crate) turns: Option<TurnLimits>,
    /// How each source behaves; `js-court` stands behind the home gateway, `sh-tax` behind another.
    pub(crate) conduct: BTreeMap<&'static str, Conduct>,
}

pub(crate) const SOURCES: [(&str, &str, &[&str]); 2] = [
    ("js-court", "js-bureau", &["court"]),
    ("sh-tax", "sh-bureau", &["invoices", "tax"]),
];

impl Consortium {
    /// Starts everything: sources registered with digests of the enterprise, the user `clerk` open.
    pub(crate) async fn start(plan: Plan) -> Self {
        let (js_node, js_gateway) = (
            issue("js-bureau", Role::Node),
            issue("js-bureau", Role::Gateway),
        );
        let (js_holder, sh_holder) = (
            issue("js-bureau", Role::Holder),
            issue("sh-bureau", Role::Holder),
        );
        let sh_gateway = issue("sh-bureau", Role::Gateway);
        let (bank, other) = (issue("js-bank", Role::Agent), issue("zz-bank", Role::Agent));
        let token_key = TokenKey::generate().unwrap();
        let token_pem = token_key.private_pem().clone();
        let other_token = TokenKey::generate().unwrap();
        let (js_at, sh_at, node_at) = (free_address(), free_address(), free_address());
        let bureau = |org, region, gateway, issued: &[&Issued]| Joining {
            org,
            kind: MemberKind::Bureau,
            region,
            home: None,
            gateway: Some(gateway),
            token: None,
            certificates: issued.iter().map(|one| one.fingerprint_sha256).collect(),
        };
        let bank_of = |org, issued: &Issued, token| Joining {
            org,
            kind: MemberKind::Institution,
            region: "32",
            home: Some("js-bureau"),
            gateway: None,
            token,
            certificates: vec![issued.fingerprint_sha256],
        };
        let genesis = Arc::new(Genesis {
            name: "test".into(),
            engine: Engine::Solo,
            time: now_ms() - 60_000,
            distinguishing_id: DistinguishingId::default(),
            validators: vec![Validator {
                org: "js-bureau".parse().unwrap(),
                key: *secret("validator").public(),
                endpoint: "https://127.0.0.1:1".parse().unwrap(),
            }],
            members: vec![
                member(bank_of("js-bank", &bank, Some(token_key.public().0))),
                member(bureau(
                    "js-bureau",
                    "32",
                    js_at,
                    &[&js_node, &js_gateway, &js_holder],
                )),
                member(bureau("sh-bureau", "31", sh_at, &[&sh_gateway, &sh_holder])),
                member(bank_of("zz-bank", &other, Some(other_token.public().0))),
            ],
            catalogue: Catalogue {
                version: 1,
                groups: vec![named("records")],
                items: ["court", "customs", "invoices", "tax"].map(item).to_vec(),
                purposes: ["audit", "loan"].map(named).to_vec(),
            },
            authorities: vec![b"in the test's memory".to_vec()],
            parameters: Parameters::default(),
        });
        genesis.check().unwrap();
        let disk = TempDir::new().unwrap();
        let (stop, stopping) = watch::channel(false);
        let stopped = move || {
            let mut stopping = stopping.clone();
            async move {
                let _ = stopping.wait_for(|stop| *stop).await;
            }
        };
        let node = Node::start(
            NodeConfig {
                listen: Some(node_at),
                ..NodeConfig::new(
                    disk.path().to_owned(),
                    genesis.clone(),
                    NodeRole::Validator {
                        key: secret("validator"),
                    },
                    identity(&js_node),
                )
            },
            stopped(),
        )
        .await
        .unwrap();
        let replica = node.replica.clone();
        let mut holders = BTreeMap::new();
        for (source, operator, items) in SOURCES {
            let issued = if operator == "js-bureau" {
                &js_holder
            } else {
                &sh_holder
            };
            let conduct = plan.conduct.get(source).copied().unwrap_or(Conduct::Honest);
            let holder = Source::new(source, operator, items, replica.clone(), conduct);
            let address = holder.serve(&identity(issued), stopped()).await;
            let endpoint = Endpoint {
                uri: uri(address),
                org: org(operator),
            };
            holders.insert((operator, source), endpoint);
        }
        let mut gateways = Vec::new();
        for (bureau, issued, listen) in [
            ("js-bureau", &js_gateway, js_at),
            ("sh-bureau", &sh_gateway, sh_at),
        ] {
            let config = GatewayConfig {
                org: org(bureau),
                identity: identity(issued),
                listen,
                node: Endpoint {
                    uri: uri(node_at),
                    org: org("js-bureau"),
                },
                holders: holders
                    .iter()
                    .filter(|((operator, _), _)| *operator == bureau)
                    .map(|((_, source), endpoint)| {
                        (source.parse().unwrap(), vec![endpoint.clone()])
                    })
                    .collect(),
                genesis: genesis.clone(),
                signing_key: secret(&format!("{bureau}/gateway")),
                policy: None,
                quotas: plan.quotas.unwrap_or_default(),
                turns: plan.turns.unwrap_or_default(),
                limits: Limits::default(),
            };
            gateways.push(Gateway::start(config, stopped()).await.unwrap());
        }
        let mut agent = Running::of(AgentPlan {
            org: "js-bank",
            identity: identity(&bank),
            token_pem: token_pem.clone(),
            gateway_uri: uri(js_at),
            genesis: genesis.clone(),
            state_dir: disk.path().join("agent"),
        });
        agent.start().await;
        let started = Self {
            agent: agent.client(),
            replica,
            genesis,
            bank: identity(&bank),
            token_pem,
            home_gateway: uri(js_at),
            other_gateway: uri(sh_at),
            other_bank: identity(&other),
            other_token_pem: other_token.private_pem().clone(),
            gateway_identities: [
                ("js-bureau", identity(&js_gateway)),
                ("sh-bureau", identity(&sh_gateway)),
            ]
            .into(),
            unregistered: identity(&issue("js-bank", Role::Agent)),
            stop,
            node,
            gateways,
            running: agent,
            disk,
        };
        started.set_to_work().await;
        started
    }

    /// The pseudonym of a bank's user.
    pub(crate) fn user_of(&self, bank: &str, name: &str) -> UserId {
        user_key().user(&org(bank), name)
    }

    /// Where node and agents keep what they keep.
    pub(crate) fn disk(&self) -> &std::path::Path {
        self.disk.path()
    }

    /// The bank's agent, where it is reached.
    pub(crate) fn agent_uri(&self) -> String {
        self.running.uri()
    }

    /// Stops the bank's agent and starts it again over the same folder.
    pub(crate) async fn restart_agent(&mut self) {
        self.running.stop().await;
        self.running.start().await;
        self.agent = self.running.client();
    }

    /// Another bank's agent behind the same gateway.
    pub(crate) async fn other_agent(&self) -> Running {
        let mut other = Running::of(AgentPlan {
            org: "zz-bank",
            identity: self.other_bank.clone(),
            token_pem: self.other_token_pem.clone(),
            gateway_uri: self.home_gateway.clone(),
            genesis: self.genesis.clone(),
            state_dir: self.disk.path().join("other-agent"),
        });
        other.start().await;
        other
    }

    async fn set_to_work(&self) {
        for (source, operator, items) in SOURCES {
            let admin = format!("{operator}/admin");
            let data_source = wire::DataSource {
                source: source.into(),
                operator: operator.into(),
                name: source.to_uppercase(),
                items: items.iter().map(|item| (*item).to_owned()).collect(),
            };
            let register = wire::RegisterSource {
                source: Some(data_source),
            };
            self.applied(&admin, Action::RegisterSource(register)).await;
            let activate = wire::ActivateSource {
                source: source.into(),
            };
            self.applied(&admin, Action::ActivateSource(activate)).await;
            let digests = crate::source::registration(source, items);
            self.applied(
                &format!("{operator}/holder"),
                Action::RegisterDigests(digests),
            )
            .await;
        }
        for name in ["clerk", "auditor", "lender"] {
            let open = wire::OpenUser {
                user: user(name).to_vec(),
            };
            self.applied("js-bank/admin", Action::OpenUser(open)).await;
        }
    }

    /// Signs an action, and gives its proof once it is final.
    pub(crate) async fn run(&self, by: &str, action: Action) -> Proven {
        let tx = self.sign(by, action);
        let id = Tx::parse(&tx.encode_to_vec()).unwrap().meta().id;
        self.replica.submit(tx).await.unwrap();
        self.final_receipt(&id).await
    }

    pub(crate) fn sign(&self, by: &str, action: Action) -> wire::Transaction {
        let height = self.replica.tip().height + 100;
        let id = &self.genesis.distinguishing_id;
        let chain = self.genesis.chain_id();
        Tx::sign(action, &chain, height, &secret(by), id, &mut rand::rng())
    }

    pub(crate) async fn final_receipt(&self, id: &TxId) -> Proven {
        let patience = Duration::from_secs(10);
        self.replica.wait_final(id, patience).await.unwrap();
        let receipt = self.replica.receipt(id).unwrap().unwrap();
        let epochs = Epochs::begin(self.genesis.validator_set().unwrap());
        receipt::check(&receipt, &epochs, &self.genesis.chain_id()).unwrap()
    }

    pub(crate) async fn applied(&self, by: &str, action: Action) -> TxId {
        let proven = self.run(by, action).await;
        let applied = matches!(proven.outcome(), Outcome::Applied(_));
        assert!(applied, "{by}: {:?}", proven.outcome());
        proven.id()
    }

    /// A grant of the enterprise to the bank, witnessed by its bureau.
    pub(crate) async fn grant(
        &self,
        items: &[&str],
        change: impl FnOnce(&mut wire::ConsentTerms),
    ) -> GrantId {
        let mut terms = wire::ConsentTerms {
            subject: pseudonym_key().subject(&enterprise()).to_vec(),
            grantee: "js-bank".into(),
            purposes: vec!["loan".into()],
            items: items.iter().map(|item| (*item).to_owned()).collect(),
            valid_from_ms: self.genesis.time,
            valid_until_ms: now_ms() + 86_400_000,
            max_uses: 1_000,
            data_life_days: 30,
            document_digest: sm3(b"document").as_bytes().to_vec(),
            text_digest: sm3(b"text").as_bytes().to_vec(),
            ..wire::ConsentTerms::default()
        };
        change(&mut terms);
        let grant = Action::GrantConsent(wire::GrantConsent {
            request: Vec::new(),
            terms: Some(terms),
        });
        GrantId::from(self.applied("js-bureau/admin", grant).await)
    }

    /// Stops everything and waits for it.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.running.stop().await;
        self.stop.send(true).unwrap();
        for gateway in self.gateways {
            gateway.join().await.unwrap();
        }
        drop(self.replica);
        self.node.join().await.unwrap();
        self.disk
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A query of the enterprise by the clerk, for a loan.
pub(crate) fn query(items: &[&str]) -> wire::QueryReportRequest {
    wire::QueryReportRequest {
        uscc: enterprise().expose().to_owned(),
        items: items.iter().map(|item| (*item).to_owned()).collect(),
        purpose: "loan".into(),
        user: "clerk".into(),
        deadline_ms: 5_000,
        ..wire::QueryReportRequest::default()
    }
}
