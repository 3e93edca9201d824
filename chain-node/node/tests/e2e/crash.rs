//! kill -9 at any moment, of real processes under load: nothing acknowledged is lost, nothing half
//! applied is visible.
//!
//! The processes are this very test binary, started again with [`child_node`] as its only test.

use std::{
    collections::BTreeMap,
    env, fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use xinqiao_contracts::testing::{PlainVerifier, secret};
use xinqiao_ledger::{
    genesis::{Genesis, Parameters},
    ids::{Height, TxId},
    receipt,
    validators::Epochs,
    wire::{
        self, ledger_service_client::LedgerServiceClient,
        submission_service_client::SubmissionServiceClient,
    },
};
use xinqiao_node::{NodeConfig, Role, Upstream};
use xinqiao_rpc::{ExpectedPeer, Identity, Limits, Role as Process, RpcChannel, limited, tls};

use crate::consortium::{Consortium, Running};

/// How often processes are killed; half of the times the validator, half the follower.
const KILLS: u64 = 50;

/// How many clients submit at once.
const CLIENTS: usize = 4;

const DIRECTORY: &str = "XINQIAO_TEST_NODE";
const LISTEN: &str = "XINQIAO_TEST_LISTEN";
const UPSTREAM: &str = "XINQIAO_TEST_UPSTREAM";

/// Not a test of its own: what the processes run. It does nothing unless told to be a node.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by kill_9_loses_nothing_that_was_acknowledged, in processes of its own"]
async fn child_node() {
    let Ok(directory) = env::var(DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    let read = |name: &str| fs::read(directory.join(name)).unwrap();
    let genesis: Genesis = borsh::from_slice(&read("genesis")).unwrap();
    let file = |name: &str| directory.join(name);
    let identity = Identity::load(file("cert.pem"), file("key.pem"), file("ca.pem")).unwrap();
    let upstream = env::var(UPSTREAM).ok();
    let role = match upstream {
        None => Role::Validator {
            key: secret("validator"),
        },
        Some(_) => Role::Follower,
    };
    let mut config = NodeConfig::new(file("data"), Arc::new(genesis), role, identity);
    config.listen = Some(env::var(LISTEN).unwrap().parse().unwrap());
    config.upstreams.extend(upstream.map(|uri| Upstream {
        org: "sh-bureau".into(),
        uri,
    }));
    let node = Running::start(config).await.unwrap();
    let reason = node.halts_ever().await;
    panic!("a node has halted: {reason}");
}

/// A node that is killed and started again.
struct Victim {
    directory: std::path::PathBuf,
    listen: SocketAddr,
    upstream: Option<String>,
    child: Option<Child>,
}

impl Victim {
    fn new(
        consortium: &Consortium,
        name: &str,
        issued: &(String, String),
        upstream: Option<String>,
    ) -> Self {
        let directory = consortium.directory(name);
        fs::create_dir_all(&directory).unwrap();
        let genesis = borsh::to_vec(&*consortium.genesis).unwrap();
        for (file, bytes) in [
            ("genesis", genesis.as_slice()),
            ("cert.pem", issued.0.as_bytes()),
            ("key.pem", issued.1.as_bytes()),
            ("ca.pem", consortium.authority_pem().as_bytes()),
        ] {
            fs::write(directory.join(file), bytes).unwrap();
        }
        // Free now; a restarted node needs the same one again.
        let listen = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        Self {
            directory,
            listen,
            upstream,
            child: None,
        }
    }

    fn uri(&self) -> String {
        format!("https://{}", self.listen)
    }

    fn start(&mut self) {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "crash::child_node", "--ignored", "--nocapture"])
            .env(DIRECTORY, &self.directory)
            .env(LISTEN, self.listen.to_string())
            .env_remove(UPSTREAM)
            .stdout(Stdio::null());
        if let Some(upstream) = &self.upstream {
            command.env(UPSTREAM, upstream);
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// SIGKILL.
    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What clients were told is committed, and where.
type Told = Arc<Mutex<BTreeMap<TxId, Height>>>;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let mut consortium = Consortium::with(Parameters {
        max_expiry_window: 1_000_000,
        ..Parameters::default()
    });
    let validator_identity = consortium.pem("sh-bureau", Process::Node);
    let mut validator = Victim::new(&consortium, "validator", &validator_identity, None);
    let follower_identity = consortium.pem("js-bureau", Process::Node);
    let mut follower = Victim::new(
        &consortium,
        "follower",
        &follower_identity,
        Some(validator.uri()),
    );
    validator.start();
    follower.start();

    let client = consortium.identity("js-bank", Process::Agent);
    let channel =
        |uri: &str| tls::channel_to(uri, &client, ExpectedPeer::any(), &Limits::default()).unwrap();
    let (to_validator, to_follower) = (channel(&validator.uri()), channel(&follower.uri()));
    let told = Told::default();
    // Each is good for all rounds: the expiry window is wide.
    let queue: Vec<wire::Transaction> = (0..40_000).map(|n| consortium.any(n).1).collect();
    let queue = Arc::new(Mutex::new(queue));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let channel = [&to_validator, &to_follower][number % 2].clone();
            tokio::spawn(submit_for_ever(
                channel,
                Arc::clone(&queue),
                Arc::clone(&told),
            ))
        })
        .collect();

    let mut kills = 0;
    let mut least = 0;
    while kills < KILLS {
        // It must have acknowledged something new before it dies, so that each kill counts.
        progress(&told, least + 1).await;
        tokio::time::sleep(Duration::from_millis(kills * 37 % 120)).await;
        least = told.lock().unwrap().len();
        let victim = if kills % 2 == 0 {
            &mut validator
        } else {
            &mut follower
        };
        victim.kill();
        victim.start();
        kills += 1;
    }
    progress(&told, least + 1).await;
    for client in &clients {
        client.abort();
    }

    let told = told.lock().unwrap().clone();
    let chain = consortium.genesis.chain_id();
    let epochs = Epochs::begin(consortium.genesis.validator_set().unwrap());
    for channel in [to_validator, to_follower] {
        let mut ledger = limited!(LedgerServiceClient::new(channel));
        for (id, height) in &told {
            let receipt = ledger
                .get_receipt(wire::GetReceiptRequest {
                    tx_id: id.to_vec(),
                    wait_ms: 20_000,
                })
                .await
                .unwrap_or_else(|status| panic!("{id} was acknowledged and is lost: {status}"))
                .into_inner()
                .receipt
                .unwrap();
            let proven = receipt::check(&receipt, &epochs, &chain).unwrap();
            assert_eq!((proven.id(), proven.header().height), (*id, *height));
        }
    }
    // And every byte on both disks follows from the certified blocks.
    validator.kill();
    follower.kill();
    for victim in [&validator, &follower] {
        let report = xinqiao_store::verify(
            &victim.directory.join("data"),
            &consortium.genesis,
            &PlainVerifier::default(),
            |_| {},
        )
        .unwrap();
        assert!(report.txs >= told.len() as u64, "{report:?}");
    }
    println!("{kills} kills, {} transactions acknowledged", told.len());
}

/// Waits until that many transactions are acknowledged.
async fn progress(told: &Told, count: usize) {
    let began = Instant::now();
    while told.lock().unwrap().len() < count {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "nothing is acknowledged any more"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Submits one transaction after the other, and notes those that are acknowledged as committed.
async fn submit_for_ever(
    channel: RpcChannel,
    queue: Arc<Mutex<Vec<wire::Transaction>>>,
    told: Told,
) {
    let mut client = limited!(SubmissionServiceClient::new(channel));
    loop {
        let next = queue.lock().unwrap().pop();
        let Some(transaction) = next else { return };
        let answer = client
            .submit_transaction(wire::SubmitTransactionRequest {
                transaction: Some(transaction),
                wait_ms: 5_000,
            })
            .await;
        match answer.map(tonic::Response::into_inner) {
            Ok(wire::SubmitTransactionResponse {
                receipt: Some(receipt),
                ..
            }) => {
                let header = xinqiao_ledger::block::Header::parse(&receipt.header).unwrap();
                let tx = xinqiao_ledger::tx::Tx::parse(&receipt.transaction).unwrap();
                told.lock().unwrap().insert(tx.meta().id, header.height);
            }
            // Nothing was promised: the node may be dead.
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
