//! Several data-holding nodes for one source, retries and deadlines, over real processes: whoever dies or
//! hangs costs its own part at most, by that part's deadline; another takes over; and however often
//! anybody is killed between a question and its answer, a grant's use is spent once for each order.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::RwLock, task::JoinHandle};
use xinqiao_it::{
    fleet::{Fleet, Name, operator_of},
    people::{BUREAUS, HOME},
};
use xinqiao_ledger::wire::{PartStatus, QueryReportResponse};
use xinqiao_rpc::FaultView;

/// How long a query's parts may be answered in the tests in which all are to be.
const LONG: Duration = Duration::from_secs(60);

/// Queries under way at once.
const CLIENTS: usize = 4;

fn is_whole(report: &QueryReportResponse) -> bool {
    report
        .parts
        .iter()
        .all(|part| part.status() == PartStatus::Confirmed)
}

/// Clients that ask one query after the other until they are told to stop; each must bring a whole report.
struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Clients {
    fn begin(fleet: &Arc<RwLock<Fleet>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let client = |_| {
            let (fleet, stop, answered) = (fleet.clone(), stop.clone(), answered.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let query = fleet.read().await.asking(LONG);
                    match query.await {
                        Ok(report) if is_whole(&report) => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(report) => panic!("not whole: {:?}", report.parts),
                        Err(status) => panic!("{}", FaultView::from_status(&status)),
                    }
                }
            })
        };
        Self {
            tasks: (0..CLIENTS).map(client).collect(),
            stop,
            answered,
        }
    }

    /// Waits for what is under way; gives how many queries were answered.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.answered.load(Ordering::Relaxed)
    }
}

/// Kills those, one after the other and each again and again, for as long as it takes; every victim is
/// back before the next one is killed.
async fn kill_each(
    fleet: &RwLock<Fleet>,
    victims: &[Name],
    kills: usize,
    pause_ms: u64,
    away_ms: u64,
) {
    let seed = rand::rng().next_u64();
    println!("pauses come from seed {seed}");
    let mut choice = StdRng::seed_from_u64(seed);
    for kill in 0..kills {
        let victim = victims[kill % victims.len()];
        tokio::time::sleep(Duration::from_millis(choice.random_range(20..pause_ms))).await;
        fleet.write().await.process(victim).kill().await;
        tokio::time::sleep(Duration::from_millis(choice.random_range(0..=away_ms))).await;
        fleet.write().await.process(victim).restart().await;
    }
}

/// Each order spent one use, and nothing is held.
async fn uses_are_orders(fleet: &Fleet, answered: usize) {
    let orders = fleet.orders().await;
    let (spent, reserved) = fleet.uses().await;
    assert_eq!(orders.len(), answered, "a query placed more than one order");
    assert_eq!(
        (spent as usize, reserved),
        (answered, 0),
        "uses spent, held"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_holders_is_killed_under_load_and_every_query_is_answered_whole() {
    let fleet = Arc::new(RwLock::new(Fleet::start(2).await));
    let clients = Clients::begin(&fleet);
    let victims = [
        (BUREAUS[0], "holder"),
        (HOME, "holder-1"),
        (BUREAUS[0], "holder-1"),
        (HOME, "holder"),
    ];
    kill_each(&fleet, &victims, 16, 400, 2_500).await;
    let answered = clients.end().await;
    assert!(answered > 20, "the load was too small: {answered}");
    let fleet = fleet.read().await;
    uses_are_orders(&fleet, answered).await;

    // The ledger says whose key delivered: both nodes of a bureau share the work.
    let mut delivered: BTreeMap<&str, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for part in fleet
        .orders()
        .await
        .into_iter()
        .flat_map(|order| order.parts)
    {
        let operator = operator_of(&part.part.unwrap().source);
        delivered.entry(operator).or_default().insert(part.holder);
    }
    for (org, keys) in delivered {
        let known = ["holder", "holder-1"].map(|name| {
            let key = fleet.people.key(org, name);
            key.public().id().as_bytes().to_vec()
        });
        assert_eq!(keys, known.into(), "{org}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_and_the_validator_are_killed_again_and_again_and_no_use_is_spent_twice() {
    let fleet = Arc::new(RwLock::new(Fleet::start(1).await));
    let clients = Clients::begin(&fleet);
    // The bank's gateway, the node that it asks, and the only validator.
    let victims = [
        (HOME, "gateway"),
        (BUREAUS[0], "node"),
        (HOME, "gateway"),
        (HOME, "node"),
    ];
    // Long enough apart that some queries get through between two of them.
    kill_each(&fleet, &victims, 24, 2_000, 300).await;
    let answered = clients.end().await;
    assert!(answered > 10, "the load was too small: {answered}");
    uses_are_orders(&*fleet.read().await, answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_dead_or_hangs_costs_its_own_part_at_most_and_only_until_its_deadline() {
    /// Time for the parts.
    const DEADLINE: Duration = Duration::from_secs(15);
    /// What a query may take beyond: placing it, and the block that notes a missed deadline, on a busy machine.
    const BEYOND: Duration = Duration::from_secs(20);
    let mut fleet = Fleet::start(2).await;
    let away = BUREAUS[0];
    let regions = |report: &QueryReportResponse| -> BTreeSet<&str> {
        report
            .parts
            .iter()
            .map(|part| operator_of(&part.source))
            .collect()
    };
    let report = fleet.query(LONG).await.unwrap();
    assert!(is_whole(&report), "{:?}", report.parts);
    let (all, of) = (regions(&report), |org| (org, "gateway"));
    assert!(all.contains(away) && all.len() > 1, "{all:?}");

    // One of two data-holding nodes hangs: the other serves.
    fleet.process((away, "holder")).pause();
    for _ in 0..4 {
        let report = fleet.query(DEADLINE).await.unwrap();
        assert!(is_whole(&report), "{:?}", report.parts);
    }
    fleet.process((away, "holder")).go_on();

    // All data-holding nodes of one bureau, or the way to them, are away: the others' parts come.
    type Change = fn(&mut Fleet, Name);
    let pause: Change = |fleet, name| fleet.process(name).pause();
    let go_on: Change = |fleet, name| fleet.process(name).go_on();
    let both = [(away, "holder"), (away, "holder-1")];
    for (what, whom, stop, back) in [
        ("both hang", &both[..], pause, Some(go_on)),
        (
            "the gateway before them hangs",
            &[of(away)][..],
            pause,
            Some(go_on),
        ),
        ("both are dead", &both[..], pause, None),
    ] {
        for name in whom {
            match back {
                Some(_) => stop(&mut fleet, *name),
                None => fleet.process(*name).kill().await,
            }
        }
        let begun = Instant::now();
        let report = fleet.query(DEADLINE).await.unwrap();
        let took = begun.elapsed();
        assert!(took < DEADLINE + BEYOND, "{what}: {took:?}");
        for part in &report.parts {
            let is_away = operator_of(&part.source) == away;
            let came = part.status() == PartStatus::Confirmed;
            assert_eq!(came, !is_away, "{what}: {part:?}");
            if came {
                assert!(
                    Duration::from_micros(part.elapsed_us) < DEADLINE / 2,
                    "{what}: waited for another's part: {part:?}"
                );
            }
        }
        for name in whom {
            if let Some(back) = back {
                back(&mut fleet, *name);
            }
        }
    }
}
