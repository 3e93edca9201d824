//! A consortium with a validator, one source's data, and whatever a test asks of them.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost::Message;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use xinqiao_contracts::testing::{self, DAY, secret};
use xinqiao_crypto::{Digest, Open};
use xinqiao_dispatch::envelope::{self, SealedReport};
use xinqiao_holder::{
    Holder, HolderConfig, HolderHandle, HolderLimits, Keys, Registrar, ReplicaConfig, SourceConfig,
    SyncOptions, SyncReport,
};
use xinqiao_identity::pki::{Authority, LeafRequest, Validity};
use xinqiao_ledger::{
    genesis::Genesis,
    ids::{Fingerprint, OrderId, OrgId, TxId},
    item::{PseudonymKey, SaltKey},
    order::PartRef,
    outcome::Outcome,
    uscc::Uscc,
    wire::{self, delivery_service_client::DeliveryServiceClient, tx_body::Action},
};
use xinqiao_node::{Node, NodeConfig, NodeHandle, Replica, Role as NodeRole, Upstream};
use xinqiao_rpc::{ExpectedPeer, FaultView, Identity, Limits, limited, peer::Role, tls};

/// How long tests wait for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long tests wait for what must not happen.
pub(crate) const A_WHILE: u32 = 700;

/// A value of the one item that is not asked for.
pub(crate) const NOT_ASKED: &str = "MARKER-NOT-ASKED-FOR";

/// A value of an item that is asked for.
pub(crate) const ASKED: &str = "MARKER-ASKED-FOR";

const REGISTERED: [(&str, Role); 9] = [
    ("js-bank", Role::Agent),
    ("js-bureau", Role::Gateway),
    ("sh-bureau", Role::Gateway),
    ("sh-bureau", Role::Holder),
    ("sh-bureau", Role::Node),
    ("sh-bureau", Role::Operator),
    ("zj-bureau", Role::Operator),
    ("zj-bureau", Role::Gateway),
    ("zj-bureau", Role::Node),
];

const MAPPING: &str = r#"[source]
name = "sh-tax"
kind = "csv"
paths = ["data.csv"]
subject = "code"
as_of = { column = "day" }

[[item]]
code = "customs"
fields = [{ name = "note", column = "note", type = "text" }]

[[item]]
code = "invoices"
fields = [{ name = "sum", column = "sum", type = "integer" }]

[[item]]
code = "tax"
fields = [{ name = "grade", column = "grade", type = "text" }]
"#;

pub(crate) struct World {
    pub(crate) people: testing::Consortium,
    pub(crate) genesis: Arc<Genesis>,
    authority: Authority,
    identities: Vec<(&'static str, Role, Identity)>,
    pub(crate) disk: TempDir,
    pub(crate) validator: NodeHandle,
    _stop: oneshot::Sender<()>,
    pub(crate) pseudonym: PseudonymKey,
}

/// The subject of a number.
pub(crate) fn uscc(number: u32) -> Uscc {
    Uscc::from_base17(&format!("91310115MA{number:07}")).unwrap()
}

/// The row of a subject; `sum` tells versions of it apart.
pub(crate) fn row(number: u32, sum: u32) -> String {
    format!(
        "{},2026-01-01,{NOT_ASKED}-{number},{sum},{ASKED}-{number}\n",
        uscc(number).expose()
    )
}

impl World {
    /// A validator that runs, and data of so many subjects.
    pub(crate) async fn new(subjects: u32) -> Self {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::create("test", Validity::days_from(now, 10)).unwrap();
        let people = testing::Consortium::new();
        let disk = tempfile::tempdir().unwrap();
        let mut identities = Vec::new();
        for (org, role) in REGISTERED {
            identities.push((org, role, issue(&authority, org, role)));
        }
        let mut genesis = people.genesis.clone();
        for member in &mut genesis.members {
            member.certificates = identities
                .iter()
                .filter(|(org, ..)| *org == member.org.as_str())
                .map(|(.., identity)| print_of(identity))
                .collect();
            member.certificates.sort();
        }
        genesis.check().unwrap();
        let genesis = Arc::new(genesis);
        let identity = find(&identities, "sh-bureau", Role::Node);
        let role = NodeRole::Validator {
            key: secret("validator"),
        };
        let mut config = NodeConfig::new(
            disk.path().join("validator"),
            Arc::clone(&genesis),
            role,
            identity,
        );
        config.listen = Some(local());
        let (stop, stopped) = oneshot::channel::<()>();
        let validator = Node::start(config, async move {
            let _ = stopped.await;
        })
        .await
        .unwrap();
        let mut people = people;
        people.chain = genesis.chain_id();
        people.genesis = Genesis::clone(&genesis);
        let world = Self {
            people,
            genesis,
            authority,
            identities,
            disk,
            validator,
            _stop: stop,
            pseudonym: PseudonymKey::from([9; 32]),
        };
        world.write_data((0..subjects).map(|number| row(number, 1)).collect());
        std::fs::write(world.path("mapping.toml"), MAPPING).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    pub(crate) fn write_data(&self, rows: String) {
        let text = format!("code,day,note,sum,grade\n{rows}");
        std::fs::write(self.path("data.csv"), text).unwrap();
    }

    /// The registered identity of a process.
    pub(crate) fn identity(&self, org: &str, role: Role) -> Identity {
        find(&self.identities, org, role)
    }

    /// A certificate of the consortium's CA that no ledger knows.
    pub(crate) fn stranger(&self, org: &str, role: Role) -> Identity {
        issue(&self.authority, org, role)
    }

    pub(crate) fn honest(&self) -> Replica {
        self.validator.replica.clone()
    }

    /// The validator itself, as whom to follow.
    pub(crate) fn upstream(&self) -> Upstream {
        Upstream {
            org: "sh-bureau".into(),
            uri: format!("https://{}", self.validator.local_addr.unwrap()),
        }
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys {
            holder: Arc::new(secret("sh-bureau/holder")),
            admin: Some(Arc::new(secret("sh-bureau/admin"))),
            pseudonym: self.pseudonym.clone(),
        }
    }

    pub(crate) fn holder_config(&self, upstream: Upstream) -> HolderConfig {
        HolderConfig {
            org: org(),
            node: Some("node-1".parse().unwrap()),
            replica: ReplicaConfig {
                data_dir: self.path("holder"),
                genesis: Arc::clone(&self.genesis),
                upstreams: vec![upstream],
                listen: None,
            },
            identity: self.identity("sh-bureau", Role::Holder),
            listen: local(),
            keys: self.keys(),
            sources: vec![SourceConfig {
                post: xinqiao_dispatch::turn::Post::ALONE,
                source: "sh-tax".parse().unwrap(),
                name: "税务".into(),
                mapping: self.path("mapping.toml"),
                salt_key: SaltKey::from([5; 32]),
                max_concurrent: None,
            }],
            spool_dir: self.path("spool"),
            state_dir: self.path("sync"),
            group_dir: self.path("groups"),
            limits: HolderLimits {
                resubmit_after: Duration::from_millis(200),
                ..HolderLimits::default()
            },
        }
    }

    pub(crate) async fn holder(&self, upstream: Upstream) -> Running {
        Running::start(self.holder_config(upstream)).await
    }

    /// A holder that follows the validator, with its digests registered.
    pub(crate) async fn registered(&self) -> Running {
        let holder = self.holder(self.upstream()).await;
        self.sync(&holder).await;
        holder
    }

    pub(crate) fn registrar(&self, holder: &Running) -> Registrar {
        Registrar::new(holder.handle.replica().clone(), org(), self.keys())
    }

    pub(crate) async fn sync(&self, holder: &Running) -> SyncReport {
        let options = SyncOptions::default();
        self.registrar(holder)
            .sync(&holder.handle.holdings()[0], &options)
            .await
            .unwrap()
    }

    /// Signs an action.
    pub(crate) fn sign(&mut self, by: &str, action: Action) -> wire::Transaction {
        self.people.height = self.honest().tip().height;
        let tx = self.people.sign(by, action);
        wire::Transaction::decode(tx.encoded()).unwrap()
    }

    /// Puts an action on the ledger.
    pub(crate) async fn commit(&mut self, by: &str, action: Action) -> TxId {
        let tx = self.sign(by, action);
        let honest = self.honest();
        let id = honest.submit(tx).await.unwrap();
        let end = honest.wait_final(&id, PATIENCE).await.unwrap();
        let applied = matches!(end.outcome(), Outcome::Applied(_));
        assert!(applied, "{by}: {:?}", end.outcome());
        id
    }

    /// Consent of a subject and an open user.
    pub(crate) async fn consent(&mut self, number: u32) -> TxId {
        let honest = self.honest();
        let user = testing::user(1);
        let open = xinqiao_contracts::query::user_is_open(
            &honest.state(),
            &"js-bank".parse().unwrap(),
            &user,
        );
        if !open.unwrap() {
            self.commit("js-bank/admin", testing::open_user(1)).await;
        }
        let now = now_ms();
        let mut terms = testing::terms();
        terms.subject = self.pseudonym.subject(&uscc(number)).to_vec();
        terms.valid_from_ms = now - DAY;
        terms.valid_until_ms = now + 30 * DAY;
        terms.max_uses = 1_000;
        let grant = Action::GrantConsent(wire::GrantConsent {
            request: Vec::new(),
            terms: Some(terms),
        });
        self.commit("js-bureau/admin", grant).await
    }

    /// What the bank orders: invoices and tax, not customs.
    pub(crate) fn order_of(&self, number: u32, grant: &TxId) -> wire::PlaceOrder {
        let mut order = testing::order(grant);
        order.subject = self.pseudonym.subject(&uscc(number)).to_vec();
        order.items = vec!["invoices".into(), "tax".into()];
        order
    }

    /// Places an order; gives its one part.
    pub(crate) async fn order(&mut self, number: u32, grant: &TxId) -> PartRef {
        let order = self.order_of(number, grant);
        let id = self
            .commit("js-bank/agent", Action::PlaceOrder(order))
            .await;
        PartRef {
            order: OrderId::from(id),
            part: 0,
        }
    }

    /// Opens an envelope as the bank does.
    pub(crate) fn open(&self, part: &PartRef, sealed: &[u8]) -> SealedReport {
        let aad = envelope::aad(&self.genesis.chain_id(), part);
        let plain = secret("js-bank/encryption").open(&aad, sealed).unwrap();
        SealedReport::parse(&plain).unwrap()
    }

    /// Asks a holder for a part as a gateway does. All bytes that came are given, also with an error.
    pub(crate) async fn ask(
        &self,
        holder: &Running,
        identity: &Identity,
        part: &PartRef,
        wait_ms: u32,
    ) -> Answer {
        let request = wire::RelayPartRequest {
            order: part.order.to_vec(),
            part: u32::from(part.part),
            wait_ms,
            letter: None,
        };
        ask(holder, identity, request).await
    }

    /// As [`World::relay`], with a question for the part's letter along.
    pub(crate) async fn relay_with(
        &self,
        holder: &Running,
        part: &PartRef,
        wait_ms: u32,
        letter: wire::LetterAsk,
    ) -> Answer {
        let request = wire::RelayPartRequest {
            order: part.order.to_vec(),
            part: u32::from(part.part),
            wait_ms,
            letter: Some(letter),
        };
        ask(holder, &self.identity("js-bureau", Role::Gateway), request).await
    }

    /// As [`World::ask`], as the gateway of the bank's bureau.
    pub(crate) async fn relay(&self, holder: &Running, part: &PartRef, wait_ms: u32) -> Answer {
        let identity = self.identity("js-bureau", Role::Gateway);
        self.ask(holder, &identity, part, wait_ms).await
    }
}

/// What came of asking for a part.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) pieces: usize,
    pub(crate) receipt: Option<wire::Receipt>,
    /// What the delivery group answered along with it.
    pub(crate) letter: Option<wire::GroupAnswer>,
    pub(crate) fault: Option<FaultView>,
}

impl Answer {
    /// The reason code, when nothing at all came.
    #[track_caller]
    pub(crate) fn refused(&self) -> &str {
        assert!(self.bytes.is_empty(), "{} bytes came", self.bytes.len());
        assert!(self.receipt.is_none(), "a receipt came");
        self.fault.as_ref().unwrap().reason_code.as_deref().unwrap()
    }
}

pub(crate) async fn ask(
    holder: &Running,
    identity: &Identity,
    request: wire::RelayPartRequest,
) -> Answer {
    let uri = format!("https://{}", holder.handle.local_addr());
    let expected = ExpectedPeer::org("sh-bureau").with_role(Role::Holder);
    let channel = tls::channel_to(&uri, identity, expected, &Limits::default()).unwrap();
    let mut client = limited!(sealed: DeliveryServiceClient::new(channel));
    let mut answer = Answer {
        bytes: Vec::new(),
        pieces: 0,
        receipt: None,
        letter: None,
        fault: None,
    };
    let mut pieces = match client.relay_part(request).await {
        Ok(pieces) => pieces.into_inner(),
        Err(status) => {
            answer.fault = Some(FaultView::from_status(&status));
            return answer;
        }
    };
    loop {
        match pieces.message().await {
            Ok(Some(piece)) => {
                assert!(answer.receipt.is_none(), "the receipt comes last");
                answer.pieces += 1;
                answer.bytes.extend_from_slice(&piece.chunk);
                answer.receipt = piece.receipt;
                answer.letter = piece.letter;
            }
            Ok(None) => return answer,
            Err(status) => {
                answer.fault = Some(FaultView::from_status(&status));
                return answer;
            }
        }
    }
}

/// A holder that runs until it is stopped.
pub(crate) struct Running {
    pub(crate) handle: HolderHandle,
    stop: oneshot::Sender<()>,
}

impl Running {
    pub(crate) async fn start(config: HolderConfig) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = Holder::start(config, async move {
            let _ = stopped.await;
        })
        .await
        .unwrap();
        Self { handle, stop }
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.handle.join().await.unwrap();
    }

    /// Waits until the holder's replica has a transaction.
    pub(crate) async fn sees(&self, id: &TxId) {
        self.handle
            .replica()
            .wait_final(id, PATIENCE)
            .await
            .unwrap();
    }
}

fn issue(authority: &Authority, org: &str, role: Role) -> Identity {
    let request = LeafRequest::new(org, role, OffsetDateTime::now_utc());
    let issued = authority.issue(&request).unwrap();
    Identity::from_pem(
        issued.cert_pem,
        issued.key_pem.expose_secret(),
        authority.cert_pem(),
    )
    .unwrap()
}

fn find(identities: &[(&'static str, Role, Identity)], org: &str, role: Role) -> Identity {
    let found = identities.iter().find(|(o, r, _)| (*o, *r) == (org, role));
    found.unwrap().2.clone()
}

pub(crate) fn print_of(identity: &Identity) -> Fingerprint {
    Fingerprint(Digest::from(identity.own().fingerprint_sha256))
}

pub(crate) fn org() -> OrgId {
    "sh-bureau".parse().unwrap()
}

pub(crate) fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
