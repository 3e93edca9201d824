//! A consortium of one validator and one observer in temporary directories.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tempfile::TempDir;
use tokio::sync::oneshot;
use xinqiao_contracts::testing::{self, secret};
use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    genesis::Genesis,
    ids::{Fingerprint, Height, TxId},
    wire::{self, tx_body::Action},
};
use xinqiao_node::{Final, Node, NodeConfig, NodeHandle, Role};
use xinqiao_observer::{Error, Observer, ObserverConfig, ObserverHandle, Upstream};
use xinqiao_rpc::{ExpectedPeer, Identity, Limits, Role as Process, RpcChannel, tls};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const REGISTERED: [(&str, Process); 4] = [
    ("js-bank", Process::Agent),
    ("js-bureau", Process::Gateway),
    ("pboc", Process::Observer),
    ("sh-bureau", Process::Node),
];

pub(crate) struct Consortium {
    pub(crate) people: testing::Consortium,
    pub(crate) genesis: Arc<Genesis>,
    identities: Vec<(&'static str, Process, Identity)>,
    disk: TempDir,
}

impl Consortium {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&key).unwrap();
        let authority = Issuer::new(params, key);
        let issue = |org: &str, process: Process| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            let uri = format!("xinqiao://{org}/{process}");
            params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
            let certificate = params.signed_by(&key, &authority).unwrap();
            Identity::from_pem(certificate.pem(), key.serialize_pem(), root.pem()).unwrap()
        };
        let identities: Vec<_> = REGISTERED
            .iter()
            .map(|(org, process)| (*org, *process, issue(org, *process)))
            .collect();
        let mut people = testing::Consortium::new();
        for member in &mut people.genesis.members {
            member.certificates = identities
                .iter()
                .filter(|(org, ..)| *org == member.org.as_str())
                .map(|(.., identity)| Fingerprint(Digest::from(identity.own().fingerprint_sha256)))
                .collect();
            member.certificates.sort();
        }
        people.genesis.authorities = vec![root.der().to_vec()];
        people.genesis.check().unwrap();
        people.chain = people.genesis.chain_id();
        Self {
            genesis: Arc::new(people.genesis.clone()),
            people,
            identities,
            disk: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn identity(&self, org: &str, process: Process) -> Identity {
        let mut known = self.identities.iter();
        let found = known.find(|(o, p, _)| (*o, *p) == (org, process));
        found.unwrap().2.clone()
    }

    pub(crate) async fn validator(&self) -> Validator {
        let role = Role::Validator {
            key: secret("validator"),
        };
        let mut config = NodeConfig::new(
            self.disk.path().join("validator"),
            Arc::clone(&self.genesis),
            role,
            self.identity("sh-bureau", Process::Node),
        );
        config.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = Node::start(config, async { drop(stopped.await) })
            .await
            .unwrap();
        Validator { handle, stop }
    }

    pub(crate) fn observer_config(&self, validator: &Validator) -> ObserverConfig {
        let mut config = ObserverConfig::new(
            self.disk.path().join("observer"),
            Arc::clone(&self.genesis),
            self.identity("pboc", Process::Observer),
        );
        config.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.upstreams = vec![Upstream {
            org: "sh-bureau".into(),
            uri: validator.uri(),
        }];
        config
    }

    pub(crate) async fn observer(&self, validator: &Validator) -> Watching {
        Watching::start(self.observer_config(validator))
            .await
            .unwrap()
    }

    pub(crate) fn sign(&mut self, by: &str, action: Action) -> (TxId, wire::Transaction) {
        let tx = self.people.sign(by, action);
        let wire = prost::Message::decode(tx.encoded()).unwrap();
        (tx.meta().id, wire)
    }

    /// Signs, and waits until the validator has it in a block.
    pub(crate) async fn commit(&mut self, to: &Validator, by: &str, action: Action) -> Final {
        let (id, tx) = self.sign(by, action);
        to.handle.replica.submit(tx).await.unwrap();
        to.handle.replica.wait_final(&id, PATIENCE).await.unwrap()
    }

    pub(crate) fn channel(&self, uri: &str, org: &str, process: Process) -> RpcChannel {
        let identity = self.identity(org, process);
        tls::channel_to(uri, &identity, ExpectedPeer::any(), &Limits::default()).unwrap()
    }
}

pub(crate) struct Validator {
    pub(crate) handle: NodeHandle,
    stop: oneshot::Sender<()>,
}

impl Validator {
    pub(crate) fn uri(&self) -> String {
        format!("https://{}", self.handle.local_addr.unwrap())
    }

    pub(crate) fn height(&self) -> Height {
        self.handle.replica.tip().height
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.handle.join().await.unwrap();
    }
}

/// An observer that runs until it is stopped.
pub(crate) struct Watching {
    pub(crate) handle: ObserverHandle,
    stop: oneshot::Sender<()>,
}

impl Watching {
    pub(crate) async fn start(config: ObserverConfig) -> Result<Self, Error> {
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = Observer::start(config, async { drop(stopped.await) }).await?;
        Ok(Self { handle, stop })
    }

    pub(crate) fn uri(&self) -> String {
        format!("https://{}", self.handle.local_addr().unwrap())
    }

    pub(crate) async fn reaches(&self, height: Height) {
        let reached = async {
            while self.handle.overview().unwrap().tip.height < height {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.handle.join().await.unwrap();
    }
}
