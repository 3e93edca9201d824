//! Acknowledged means durable: real processes are killed (SIGKILL) while transactions come in, again and
//! again, and nothing that anyone was told is committed is ever missing, half there, or different.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prost::Message;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use xinqiao_it::{
    Consortium, Kind, People,
    people::{BANK, BUREAUS, HOME, REGULATOR},
    process::Process,
    transactions::{grant, sign, submit, try_status},
};
use xinqiao_ledger::{
    ids::ChainId,
    wire::{self, ledger_service_client::LedgerServiceClient},
};
use xinqiao_rpc::{Role, RpcChannel, limited};

/// How many processes are killed.
const KILLS: usize = 60;

/// How many clients load the nodes.
const LOADERS: usize = 6;

/// How long a follower may need for what it was told of while it was dead.
const CATCH_UP: Duration = Duration::from_secs(60);

/// A transaction that its client was told is committed.
#[derive(Debug, Clone, PartialEq)]
struct Acknowledged {
    id: Vec<u8>,
    receipt: wire::Receipt,
}

impl Acknowledged {
    fn height(&self) -> u64 {
        wire::Header::decode(&self.receipt.header[..])
            .unwrap()
            .height
    }
}

/// What the loaders share.
struct Load {
    people: People,
    subjects: Vec<Vec<u8>>,
    purpose: String,
    stop: AtomicBool,
    height: AtomicU64,
    acknowledged: Mutex<Vec<Arc<Acknowledged>>>,
    failed: AtomicU64,
}

/// Where a transaction can be submitted and looked up, and what can be killed.
const NODES: [(&str, Kind); 4] = [
    (BUREAUS[0], Kind::Node),
    (BUREAUS[1], Kind::Node),
    (BUREAUS[2], Kind::Node),
    (REGULATOR, Kind::Observer),
];

fn channel(people: &People, (org, kind): (&str, Kind)) -> RpcChannel {
    people.connect((org, Role::Operator), (org, kind))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_however_often_processes_are_killed() {
    let mut consortium = Consortium::start().await;
    let (people, running) = (consortium.people(), consortium.running().clone());
    // From here on the same processes run from the same files, each a child of this test.
    consortium.stop().await;
    let mut processes = BTreeMap::new();
    for (org, kind) in NODES
        .into_iter()
        .chain([(BUREAUS[0], Kind::Holder), (HOME, Kind::Holder)])
    {
        let process = Process::start(kind.as_str(), &people.config(org, kind)).await;
        processes.insert((org, kind), process);
    }

    let begun = try_status(&channel(&people, NODES[0])).await.unwrap();
    let load = Arc::new(Load {
        subjects: running
            .enterprises
            .iter()
            .map(|uscc| people.subject(uscc))
            .collect(),
        purpose: running.purpose.clone(),
        people: people.clone(),
        stop: AtomicBool::new(false),
        height: AtomicU64::new(begun.height),
        acknowledged: Mutex::new(Vec::new()),
        failed: AtomicU64::new(0),
    });
    let chain = ChainId::parse("chain_id", &begun.chain_id).unwrap();
    let loaders: Vec<_> = (0..LOADERS)
        .map(|number| tokio::spawn(loader(load.clone(), number, chain, begun.max_expiry_window)))
        .collect();

    let seed = rand::rng().next_u64();
    println!("victims and pauses come from seed {seed}");
    let mut choice = StdRng::seed_from_u64(seed);
    let mut highest: BTreeMap<(&str, Kind), u64> = BTreeMap::new();
    for kill in 0..KILLS {
        // The validator most: it alone decides what is acknowledged.
        let victim = match choice.random_range(0..10) {
            0..6 => NODES[0],
            6 => NODES[1],
            7 => NODES[2],
            8 => NODES[3],
            _ => (BUREAUS[0], Kind::Holder),
        };
        tokio::time::sleep(Duration::from_millis(choice.random_range(30..500))).await;
        let process = processes.get_mut(&victim).unwrap();
        let told = load.acknowledged.lock().unwrap().clone();
        process.kill().await;
        process.restart().await;
        if NODES.contains(&victim) {
            let node = channel(&people, victim);
            let status = try_status(&node).await.unwrap();
            assert_eq!(status.halted, "", "kill {kill} of {victim:?}");
            let before = highest.insert(victim, status.height).unwrap_or(0);
            assert!(
                status.height >= before,
                "kill {kill}: {victim:?} went from {before} to {}",
                status.height
            );
            // All of the latest, and some of the early ones.
            let recent = told.len().saturating_sub(40);
            let early = (0..10.min(recent))
                .map(|_| choice.random_range(0..recent))
                .collect::<Vec<_>>();
            for index in early.into_iter().chain(recent..told.len()) {
                has(&node, &told[index], &format!("kill {kill} of {victim:?}")).await;
            }
        }
    }

    load.stop.store(true, Ordering::Relaxed);
    for loader in loaders {
        loader.await.unwrap();
    }
    let told = load.acknowledged.lock().unwrap().clone();
    println!(
        "{KILLS} kills; {} transactions were acknowledged, {} attempts were not",
        told.len(),
        load.failed.load(Ordering::Relaxed)
    );
    assert!(
        told.len() > 2 * KILLS,
        "the load was too small: {}",
        told.len()
    );
    everyone_has_the_same(&people, &told).await;
}

/// Submits grants one after another, now here and now there, and remembers what was acknowledged.
async fn loader(load: Arc<Load>, number: usize, chain: ChainId, window: u64) {
    let admin = load.people.key(HOME, "admin");
    let nodes: Vec<RpcChannel> = NODES[..3]
        .iter()
        .map(|node| channel(&load.people, *node))
        .collect();
    let mut turn = number;
    while !load.stop.load(Ordering::Relaxed) {
        turn += 1;
        let subject = load.subjects[turn % load.subjects.len()].clone();
        let action = grant(subject, BANK, &[&load.purpose], &["tax_payment"]);
        let expires = load.height.load(Ordering::Relaxed) + window / 2;
        let transaction = sign(action, &chain, expires, &admin);
        match submit(&nodes[turn % nodes.len()], transaction, 4_000).await {
            Ok(wire::SubmitTransactionResponse {
                tx_id,
                receipt: Some(receipt),
            }) => {
                let acknowledged = Acknowledged { id: tx_id, receipt };
                load.height
                    .fetch_max(acknowledged.height(), Ordering::Relaxed);
                load.acknowledged
                    .lock()
                    .unwrap()
                    .push(Arc::new(acknowledged));
            }
            Ok(_) => {
                load.failed.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                load.failed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// The node has the very receipt that a client was given.
async fn has(node: &RpcChannel, told: &Acknowledged, when: &str) {
    let mut ledger = limited!(LedgerServiceClient::new(node.clone()));
    let begun = Instant::now();
    let request = wire::GetReceiptRequest {
        tx_id: told.id.clone(),
        wait_ms: 20_000,
    };
    let receipt = loop {
        match ledger.get_receipt(request.clone()).await {
            Ok(answer) => break answer.into_inner().receipt.unwrap(),
            Err(status) => assert!(
                begun.elapsed() < CATCH_UP,
                "{when}: {} of height {} is missing: {status:?}",
                hex::encode(&told.id),
                told.height()
            ),
        }
    };
    assert_eq!(
        receipt,
        told.receipt,
        "{when}: {} is another one",
        hex::encode(&told.id)
    );
}

/// In the end all nodes stand at the same height with the same state, and have everything acknowledged.
async fn everyone_has_the_same(people: &People, told: &[Arc<Acknowledged>]) {
    let nodes: Vec<RpcChannel> = NODES.iter().map(|node| channel(people, *node)).collect();
    let begun = Instant::now();
    let statuses = loop {
        let mut statuses = Vec::new();
        for node in &nodes {
            statuses.push(try_status(node).await.unwrap());
        }
        if statuses
            .windows(2)
            .all(|pair| pair[0].height == pair[1].height)
        {
            break statuses;
        }
        let heights: Vec<u64> = statuses.iter().map(|status| status.height).collect();
        assert!(begun.elapsed() < CATCH_UP, "the nodes stay at {heights:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for status in &statuses {
        assert_eq!(status.halted, "");
        assert_eq!(status.header_hash, statuses[0].header_hash);
        assert_eq!(status.state_commitment, statuses[0].state_commitment);
    }
    for (name, node) in NODES.iter().zip(&nodes) {
        for acknowledged in told {
            has(node, acknowledged, &format!("at the end, {name:?}")).await;
        }
    }
    // And at every height on the way, not at the end alone.
    let mut ledgers: Vec<_> = nodes
        .iter()
        .map(|node| limited!(LedgerServiceClient::new(node.clone())))
        .collect();
    for height in 1..=statuses[0].height {
        let mut blocks = Vec::new();
        for ledger in &mut ledgers {
            let request = wire::GetBlockRequest { height };
            blocks.push(ledger.get_block(request).await.unwrap().into_inner());
        }
        assert!(
            blocks.windows(2).all(|pair| pair[0] == pair[1]),
            "height {height} differs"
        );
    }
}
