//! A consortium for tests: real keys, real certificates, real stores in temporary directories.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tempfile::TempDir;
use tokio::sync::oneshot;
use xinqiao_contracts::testing::{self, secret};
use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    genesis::{Genesis, Parameters},
    ids::{Fingerprint, Height, TxId},
    tx::Tx,
    wire,
};
use xinqiao_node::{
    Error, MempoolLimits, Node, NodeConfig, NodeHandle, Replica, Role, Tip, Upstream,
};
use xinqiao_rpc::{ExpectedPeer, Identity, Limits, Role as Process, RpcChannel, tls};

/// How long tests wait for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Whose processes have certificates that the genesis registers.
const REGISTERED: [(&str, Process); 8] = [
    ("js-bank", Process::Agent),
    ("js-bureau", Process::Gateway),
    ("js-bureau", Process::Node),
    ("pboc", Process::Node),
    ("pboc", Process::Observer),
    ("sh-bureau", Process::Node),
    ("sh-bureau", Process::Operator),
    ("zj-bureau", Process::Node),
];

/// A certificate with its key, ready to be used and as it is kept in files.
pub(crate) struct Issued {
    identity: Identity,
    pem: (String, String),
}

/// The consortium's people, keys and certificates.
pub(crate) struct Consortium {
    pub(crate) people: testing::Consortium,
    pub(crate) genesis: Arc<Genesis>,
    authority: Issuer<'static, KeyPair>,
    authority_pem: String,
    identities: Vec<(&'static str, Process, Issued)>,
    disk: TempDir,
}

impl Consortium {
    pub(crate) fn new() -> Self {
        Self::with(Parameters::default())
    }

    pub(crate) fn with(parameters: Parameters) -> Self {
        Self::founded(parameters, |_| ())
    }

    /// With a genesis that is changed before anything rests on it.
    pub(crate) fn founded(parameters: Parameters, change: impl FnOnce(&mut Genesis)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap();
        let mut consortium = Self {
            people: testing::Consortium::with(parameters),
            genesis: Arc::new(testing::Consortium::new().genesis),
            authority: Issuer::new(params, key),
            authority_pem: certificate.pem(),
            identities: Vec::new(),
            disk: tempfile::tempdir().unwrap(),
        };
        for (org, process) in REGISTERED {
            let issued = consortium.issue_as_pem(org, process);
            consortium.identities.push((org, process, issued));
        }
        let mut genesis = consortium.people.genesis.clone();
        for member in &mut genesis.members {
            member.certificates = consortium
                .identities
                .iter()
                .filter(|(org, ..)| *org == member.org.as_str())
                .map(|(.., issued)| issued.identity.own().fingerprint_sha256)
                .map(|print| Fingerprint(Digest::from(print)))
                .collect();
            member.certificates.sort();
        }
        genesis.authorities = vec![certificate.der().to_vec()];
        change(&mut genesis);
        genesis.check().unwrap();
        consortium.people.chain = genesis.chain_id();
        consortium.people.genesis = genesis.clone();
        consortium.genesis = Arc::new(genesis);
        consortium
    }

    /// A certificate of the consortium's CA, which the genesis does not know.
    pub(crate) fn issue(&self, org: &str, process: Process) -> Identity {
        self.issue_as_pem(org, process).identity
    }

    fn issue_as_pem(&self, org: &str, process: Process) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let uri = format!("xinqiao://{org}/{process}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let pem = (certificate.pem(), key.serialize_pem());
        let identity =
            Identity::from_pem(pem.0.clone(), pem.1.clone(), &*self.authority_pem).unwrap();
        Issued { identity, pem }
    }

    pub(crate) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// Certificate and key of a registered process.
    pub(crate) fn pem(&self, org: &str, process: Process) -> (String, String) {
        self.issued(org, process).pem.clone()
    }

    /// The registered identity of a process.
    pub(crate) fn identity(&self, org: &str, process: Process) -> Identity {
        self.issued(org, process).identity.clone()
    }

    fn issued(&self, org: &str, process: Process) -> &Issued {
        let mut all = self.identities.iter();
        let found = all.find(|(o, p, _)| (*o, *p) == (org, process));
        &found.unwrap().2
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    /// Signs an action; `by` names the key, such as `js-bank/admin`.
    pub(crate) fn sign(
        &mut self,
        by: &str,
        action: wire::tx_body::Action,
    ) -> (TxId, wire::Transaction) {
        let tx = self.people.sign(by, action);
        (tx.meta().id, as_wire(&tx))
    }

    /// A transaction that always takes effect: `js-bank` opens a user of that number.
    pub(crate) fn any(&mut self, number: u64) -> (TxId, wire::Transaction) {
        self.sign("js-bank/admin", testing::open_user(number))
    }

    pub(crate) async fn validator(&self) -> Running {
        self.validator_with(MempoolLimits::default()).await
    }

    pub(crate) async fn validator_with(&self, mempool: MempoolLimits) -> Running {
        let role = Role::Validator {
            key: secret("validator"),
        };
        let mut config = self.config("validator", role, "sh-bureau", Process::Node);
        config.mempool = mempool;
        Running::start(config).await.unwrap()
    }

    pub(crate) async fn follower(&self, upstreams: &[&Running]) -> Running {
        let mut config = self.config("follower", Role::Follower, "js-bureau", Process::Node);
        config.upstreams = upstreams
            .iter()
            .map(|node| node.upstream("sh-bureau"))
            .collect();
        Running::start(config).await.unwrap()
    }

    pub(crate) async fn observer(&self, upstreams: Vec<Upstream>) -> Running {
        let mut config = self.config("observer", Role::Observer, "pboc", Process::Observer);
        config.upstreams = upstreams;
        Running::start(config).await.unwrap()
    }

    pub(crate) fn config(
        &self,
        directory: &str,
        role: Role,
        org: &str,
        process: Process,
    ) -> NodeConfig {
        let mut config = NodeConfig::new(
            self.directory(directory),
            Arc::clone(&self.genesis),
            role,
            self.identity(org, process),
        );
        config.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config
    }

    /// A channel to a node as a registered process.
    pub(crate) fn channel(&self, node: &Running, org: &str, process: Process) -> RpcChannel {
        channel_as(&self.identity(org, process), node)
    }
}

/// A channel to a node under an identity.
pub(crate) fn channel_as(identity: &Identity, node: &Running) -> RpcChannel {
    tls::channel_to(
        &node.uri(),
        identity,
        ExpectedPeer::any(),
        &Limits::default(),
    )
    .unwrap()
}

pub(crate) fn as_wire(tx: &Tx) -> wire::Transaction {
    prost::Message::decode(tx.encoded()).unwrap()
}

/// A node that runs until it is stopped.
pub(crate) struct Running {
    handle: NodeHandle,
    stop: oneshot::Sender<()>,
}

impl Running {
    pub(crate) async fn start(config: NodeConfig) -> Result<Self, Error> {
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = Node::start(config, async move {
            let _ = stopped.await;
        })
        .await?;
        Ok(Self { handle, stop })
    }

    pub(crate) fn replica(&self) -> Replica {
        self.handle.replica.clone()
    }

    pub(crate) fn uri(&self) -> String {
        format!("https://{}", self.handle.local_addr.unwrap())
    }

    pub(crate) fn upstream(&self, org: &str) -> Upstream {
        Upstream {
            org: org.into(),
            uri: self.uri(),
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.handle.join().await.unwrap();
    }

    /// Waits until the node has applied that height.
    pub(crate) async fn reaches(&self, height: Height) -> Tip {
        let mut tips = self.replica().watch();
        let reached = tips.wait_for(|tip| tip.height >= height);
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(tip) => *tip.unwrap(),
            Err(_) => panic!(
                "height {height} was not reached, but {}; halted: {:?}",
                self.replica().tip().height,
                self.replica().halted()
            ),
        }
    }

    /// As [`Running::halts`], however long it takes.
    pub(crate) async fn halts_ever(&self) -> String {
        loop {
            if let Some(reason) = self.replica().halted() {
                return reason;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the node has halted, and says why.
    pub(crate) async fn halts(&self) -> String {
        let began = Instant::now();
        loop {
            if let Some(reason) = self.replica().halted() {
                return reason;
            }
            assert!(began.elapsed() < PATIENCE, "the node has not halted");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Submits and waits until it is final here.
    pub(crate) async fn commit(&self, tx: wire::Transaction) -> xinqiao_node::Final {
        let replica = self.replica();
        let id = replica.submit(tx).await.unwrap();
        replica.wait_final(&id, PATIENCE).await.unwrap()
    }
}

/// Two replicas have the same blocks, outcomes and commitments at every height.
pub(crate) fn assert_agree(ours: &Replica, theirs: &Replica) {
    assert_eq!(ours.tip(), theirs.tip());
    for height in 1..=ours.tip().height {
        let (ours, theirs) = (
            ours.applied(height).unwrap(),
            theirs.applied(height).unwrap(),
        );
        assert!(ours.is_some() && ours == theirs, "they differ at {height}");
    }
}
