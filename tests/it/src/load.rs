//! Clients that load a consortium's validators with transactions and remember what they were told is
//! committed; and the questions whether every node has exactly that.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prost::Message;
use tokio::task::JoinHandle;
use xinqiao_ledger::{
    ids::ChainId,
    wire::{self, ledger_service_client::LedgerServiceClient},
};
use xinqiao_rpc::{Role, RpcChannel, limited};

use crate::{
    Consortium, Kind, People,
    people::{BANK, HOME},
    transactions::{grant, sign, submit, try_status},
};

/// How many clients load the nodes.
const LOADERS: usize = 6;

/// How long a node may need for what it was told of while it was away.
const CATCH_UP: Duration = Duration::from_secs(60);

/// A node, by its member and kind.
pub type Place = (&'static str, Kind);

/// A connection to a node, as its own operator has it.
#[must_use]
pub fn channel(people: &People, (org, kind): Place) -> RpcChannel {
    people.connect((org, Role::Operator), (org, kind))
}

/// A transaction that its client was told is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Acknowledged {
    /// Its id.
    pub id: Vec<u8>,
    /// What its client was given.
    pub receipt: wire::Receipt,
    /// When.
    pub at: Instant,
}

impl Acknowledged {
    /// The height of its block.
    ///
    /// # Panics
    /// When the receipt's header is none.
    #[must_use]
    pub fn height(&self) -> u64 {
        let header = wire::Header::decode(&self.receipt.header[..]);
        header.expect("a receipt has a header").height
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    loaders: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    people: People,
    nodes: Vec<Place>,
    chain: ChainId,
    window: u64,
    subjects: Vec<Vec<u8>>,
    purpose: String,
    stop: AtomicBool,
    height: AtomicU64,
    acknowledged: Mutex<Vec<Arc<Acknowledged>>>,
    failed: AtomicU64,
}

impl Load {
    /// Begins to load those nodes of a consortium.
    ///
    /// # Panics
    /// When none of them says where it stands.
    pub async fn begin(consortium: &Consortium, nodes: &[Place]) -> Self {
        let (people, running) = (consortium.people(), consortium.running());
        let status = try_status(&channel(&people, nodes[0]))
            .await
            .expect("the first node answers");
        let shared = Arc::new(Shared {
            chain: ChainId::parse("chain_id", &status.chain_id).expect("a chain id"),
            window: status.max_expiry_window,
            subjects: (running.enterprises.iter())
                .map(|uscc| people.subject(uscc))
                .collect(),
            purpose: running.purpose.clone(),
            nodes: nodes.to_vec(),
            stop: AtomicBool::new(false),
            height: AtomicU64::new(status.height),
            acknowledged: Mutex::new(Vec::new()),
            failed: AtomicU64::new(0),
            people,
        });
        let loaders = (0..LOADERS)
            .map(|number| tokio::spawn(load(Arc::clone(&shared), number)))
            .collect();
        Self { shared, loaders }
    }

    /// What was acknowledged so far, oldest first.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<Arc<Acknowledged>> {
        self.shared.acknowledged().clone()
    }

    /// Waits until so many more were acknowledged.
    ///
    /// # Panics
    /// When that takes longer than any node may need to come back.
    pub async fn more(&self, count: usize, when: &str) {
        let (begun, before) = (Instant::now(), self.acknowledged().len());
        while self.acknowledged().len() < before + count {
            assert!(
                begun.elapsed() < CATCH_UP,
                "{when}: only {} of {count} more transactions were acknowledged",
                self.acknowledged().len() - before
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the load; gives what was acknowledged, and how many attempts were not.
    ///
    /// # Panics
    /// When a client failed.
    pub async fn end(self) -> (Vec<Arc<Acknowledged>>, u64) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for loader in self.loaders {
            loader.await.expect("clients go on whatever happens");
        }
        let told = self.shared.acknowledged().clone();
        (told, self.shared.failed.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn acknowledged(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Acknowledged>>> {
        (self.acknowledged.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Submits grants one after another, now here and now there, and remembers what was acknowledged.
async fn load(load: Arc<Shared>, number: usize) {
    let admin = load.people.key(HOME, "admin");
    let nodes: Vec<RpcChannel> = (load.nodes.iter())
        .map(|node| channel(&load.people, *node))
        .collect();
    let mut turn = number;
    while !load.stop.load(Ordering::Relaxed) {
        turn += 1;
        let subject = load.subjects[turn % load.subjects.len()].clone();
        let action = grant(subject, BANK, &[&load.purpose], &["tax_payment"]);
        let expires = load.height.load(Ordering::Relaxed) + load.window / 2;
        let transaction = sign(action, &load.chain, expires, &admin);
        match submit(&nodes[turn % nodes.len()], transaction, 4_000).await {
            Ok(wire::SubmitTransactionResponse {
                tx_id,
                receipt: Some(receipt),
            }) => {
                let acknowledged = Acknowledged {
                    id: tx_id,
                    receipt,
                    at: Instant::now(),
                };
                (load.height).fetch_max(acknowledged.height(), Ordering::Relaxed);
                load.acknowledged().push(Arc::new(acknowledged));
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

/// The longest time that passed between two acknowledgements.
#[must_use]
pub fn longest_pause(told: &[Arc<Acknowledged>]) -> Duration {
    let mut times: Vec<Instant> = told.iter().map(|one| one.at).collect();
    times.sort();
    let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
    pauses.max().unwrap_or_default()
}

/// The node has what a client was given a receipt of: the same transaction in the same place, under a
/// header that some quorum has certified.
///
/// # Panics
/// When it is missing, or another one.
pub async fn has(node: &RpcChannel, told: &Acknowledged, when: &str) {
    let mut ledger = limited!(LedgerServiceClient::new(node.clone()));
    let begun = Instant::now();
    let request = wire::GetReceiptRequest {
        tx_id: told.id.clone(),
        wait_ms: 20_000,
    };
    let receipt = loop {
        match ledger.get_receipt(request.clone()).await {
            Ok(answer) => break answer.into_inner().receipt.expect("an answer has it"),
            Err(status) => assert!(
                begun.elapsed() < CATCH_UP,
                "{when}: {} of height {} is missing: {status:?}",
                hex::encode(&told.id),
                told.height()
            ),
        }
    };
    // Each validator may have seen another quorum sign the same header.
    let without = |receipt: &wire::Receipt| wire::Receipt {
        certificate: None,
        ..receipt.clone()
    };
    assert_eq!(
        without(&receipt),
        without(&told.receipt),
        "{when}: {} is another one",
        hex::encode(&told.id)
    );
}

/// In the end all nodes stand at the same height with the same state, and have everything acknowledged.
///
/// # Panics
/// When they do not.
pub async fn everyone_has_the_same(people: &People, places: &[Place], told: &[Arc<Acknowledged>]) {
    let nodes: Vec<RpcChannel> = places.iter().map(|node| channel(people, *node)).collect();
    let begun = Instant::now();
    let statuses = loop {
        let mut statuses = Vec::new();
        for node in &nodes {
            statuses.push(try_status(node).await.expect("every node answers"));
        }
        let same = |pair: &[wire::GetStatusResponse]| pair[0].height == pair[1].height;
        if statuses.windows(2).all(same) {
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
    for (name, node) in places.iter().zip(&nodes) {
        for acknowledged in told {
            has(node, acknowledged, &format!("at the end, {name:?}")).await;
        }
    }
    // And at every height on the way, not at the end alone.
    let mut ledgers: Vec<_> = (nodes.iter())
        .map(|node| limited!(LedgerServiceClient::new(node.clone())))
        .collect();
    let whole = statuses.iter().map(|status| status.first_block).max();
    for height in whole.unwrap_or(1)..=statuses[0].height {
        let mut blocks = Vec::new();
        for ledger in &mut ledgers {
            let request = wire::GetBlockRequest { height };
            let answer = ledger.get_block(request).await.expect("every node has it");
            let mut answer = answer.into_inner();
            answer.block.as_mut().expect("an answer has it").certificate = None;
            blocks.push(answer);
        }
        let same = blocks.windows(2).all(|pair| pair[0] == pair[1]);
        assert!(same, "height {height} differs");
    }
}
