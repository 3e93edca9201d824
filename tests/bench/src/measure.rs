//! One consortium from its founding to its end: deployment, throughput, latency and reads at half the load,
//! synchronisation, growth.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use prost::Message as _;
use tokio::task::JoinSet;
use xinqiao_ledger::{
    tx::Tx,
    wire::{
        self, ledger_service_client::LedgerServiceClient, state_service_client::StateServiceClient,
    },
};
use xinqiao_rpc::{RpcChannel, limited};

use crate::{
    consortium::{Consortium, EXPIRY_WINDOW, found},
    load::Client,
    payload::{Kind, Signed},
    percentile::Latency,
    perf::Perf,
    process::Process,
    procfs::{Counters, folder_bytes},
    results::{Chain, Cost, HalfLoad, Queries, Setup, Synchronisation, Throughput},
    shown::Shown,
};

/// Connections to each validator.
const CONNECTIONS: usize = 2;

/// Reads at once.
pub(crate) const READERS: usize = 32;

/// Grants that are there to be read.
const GRANTS: usize = 500;

/// How long the first transaction may take.
const FIRST: Duration = Duration::from_secs(60);

/// How long a follower may take for what was committed.
const SYNCHRONISATION: Duration = Duration::from_secs(240);

/// The most transactions that are signed beforehand: a bound on memory and patience.
const MOST_SIGNED: usize = 600_000;

/// How it is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) action: Kind,
    pub(crate) seconds: u64,
    pub(crate) in_flight: usize,
    pub(crate) calls: usize,
    pub(crate) batch: usize,
    /// Transactions a second while latency is measured, if not half of the throughput.
    pub(crate) rate: Option<f64>,
}

impl Plan {
    /// Seconds of load before anything is counted.
    pub(crate) fn warm_up(&self) -> u64 {
        (self.seconds / 5).clamp(1, 3)
    }
}

/// What was counted while a load ran.
pub(crate) struct Window<'a> {
    pub(crate) seconds: f64,
    pub(crate) committed: u64,
    pub(crate) blocks: u64,
    pub(crate) nodes: usize,
    pub(crate) used: &'a Counters,
    pub(crate) syncs: Option<u64>,
    pub(crate) stages: Option<Vec<(String, f64)>>,
}

/// Counters as figures a transaction.
pub(crate) fn throughput(window: &Window<'_>) -> Throughput {
    let (txs, nodes) = (window.committed.max(1) as f64, window.nodes as f64);
    let each = |micros: u64| micros as f64 / txs;
    let used = window.used;
    let cost = Cost {
        nodes: each(used.processes),
        client: each(used.client),
        others: each(used.others()),
        threads: {
            let threads = used.threads.iter();
            let mut threads: Vec<_> = threads
                .map(|(name, micros)| (name.clone(), each(*micros)))
                .collect();
            threads.sort_by(|left, right| right.1.total_cmp(&left.1));
            threads
        },
        stages: window.stages.as_ref().map(|stages| {
            let all = each(used.processes);
            stages
                .iter()
                .map(|(stage, share)| (stage.clone(), share * all))
                .collect()
        }),
    };
    Throughput {
        seconds: window.seconds,
        committed: window.committed,
        per_second: window.committed as f64 / window.seconds,
        blocks_per_second: window.blocks as f64 / window.seconds,
        cost,
        disk_bytes: used.written as f64 / txs / nodes,
        syncs_per_second: window
            .syncs
            .map(|syncs| syncs as f64 / window.seconds / nodes),
        network_bytes: used.loopback as f64 / txs,
        busy: part_of_machine(used.machine, window.seconds),
        ..Throughput::default()
    }
}

/// Processor time as a part of all that the machine has in so many seconds.
pub(crate) fn part_of_machine(micros: u64, seconds: f64) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    micros as f64 / 1e6 / seconds / cores
}

/// A running consortium with its client.
struct Running {
    consortium: Consortium,
    processes: Vec<Process>,
    client: Client,
    plan: Plan,
    /// Signed and not submitted.
    stock: Vec<Signed>,
}

/// How many bytes one transaction of that kind has.
pub(crate) fn payload_bytes(consortium: &Consortium, kind: Kind) -> usize {
    consortium.signers.sign(kind, 0, 1).wire.encoded_len()
}

/// Measures all of it. Gives the transaction's size too.
pub(crate) async fn measure(
    folder: &Path,
    setup: Setup,
    plan: Plan,
    shown: &Shown,
) -> Result<(Chain, usize)> {
    let say = |what: &str| shown.say(format!("{setup}: {what}"));
    say("founding and starting");
    let begun = Instant::now();
    let mut running = Running::start(folder, setup, plan).await?;
    let deployment_seconds = begun.elapsed().as_secs_f64();
    let bytes = payload_bytes(&running.consortium, plan.action);

    say("granting what is read later");
    let grants = running.grants().await?;

    say("trying how fast it goes");
    let rate = running.try_out().await?;
    say("signing transactions beforehand");
    let seconds = plan.seconds as f64;
    running
        .provide((rate * (seconds + plan.warm_up() as f64 + 1.0) * 1.7) as usize)
        .await?;

    say("throughput");
    let throughput = running.throughput(folder).await?;

    // A rate that was tried too short may have been too low: what is missing is signed now.
    let half = plan.rate.unwrap_or(throughput.per_second / 2.0);
    say("signing transactions beforehand");
    running.provide((half * seconds * 1.5) as usize + 2).await?;
    say("latency at half the load");
    let half_load = running.half_load(half, plan.seconds).await?;
    say("reads while it commits at half the load");
    let queries = running
        .queries(half, plan.seconds.div_ceil(2), grants)
        .await?;

    say("a new follower's replay");
    let synchronisation = running.synchronise().await?;

    say("stopping");
    let transactions = running.client.counts().committed.max(1) as f64;
    let consortium = running.stop().await;
    let validators = &consortium.validators;
    let on_disk: u64 = validators
        .iter()
        .map(|place| folder_bytes(&place.data()))
        .sum();
    let chain = Chain {
        deployment_seconds,
        throughput,
        half_load,
        queries,
        synchronisation: Some(synchronisation),
        growth_bytes: on_disk as f64 / validators.len() as f64 / transactions,
    };
    Ok((chain, bytes))
}

impl Running {
    /// Founds it, starts all nodes at once, and commits a first transaction.
    async fn start(folder: &Path, setup: Setup, plan: Plan) -> Result<Self> {
        let consortium = found(folder, setup.engine, setup.validators)?;
        let mut processes = consortium
            .validators
            .iter()
            .map(|place| Process::node(&place.config()))
            .collect::<Result<Vec<_>>>()?;
        for process in &mut processes {
            process.ready().await?;
        }
        let mut ways = Vec::new();
        for _ in 0..CONNECTIONS {
            for place in &consortium.validators {
                ways.push(consortium.connect(place)?);
            }
        }
        let client = Client::new(ways, consortium.connect(&consortium.validators[0])?);
        let mut running = Self {
            consortium,
            processes,
            client,
            plan,
            stock: Vec::new(),
        };
        let first = running
            .consortium
            .signers
            .sign(Kind::OpenUser, 0, EXPIRY_WINDOW / 2);
        if let Err(fault) = running.client.one(first, FIRST).await {
            let mut all = running.processes.iter_mut();
            let ended = all.find_map(|one| one.has_ended().then_some(one));
            match ended {
                Some(process) => bail!("a node ended: {}", process.last_words()),
                None => return Err(fault),
            }
        }
        Ok(running)
    }

    fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }

    /// Sees to it that so many transactions are in stock.
    async fn provide(&mut self, count: usize) -> Result<()> {
        let missing = count.min(MOST_SIGNED).saturating_sub(self.stock.len());
        let expires = self.client.height() + EXPIRY_WINDOW / 2;
        let signers = &self.consortium.signers;
        let more = signers
            .sign_many(self.plan.action, missing, expires)
            .await?;
        self.stock.extend(more);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Vec<Signed> {
        let from = self.stock.len().saturating_sub(count);
        self.stock.split_off(from)
    }

    /// Commits grants; gives their ids.
    async fn grants(&mut self) -> Result<Vec<Vec<u8>>> {
        let expires = self.client.height() + EXPIRY_WINDOW / 2;
        let signers = &self.consortium.signers;
        let signed = signers
            .sign_many(Kind::GrantConsent, GRANTS, expires)
            .await?;
        let ids = signed
            .iter()
            .map(|one| Ok(Tx::parse(&one.wire.encode_to_vec())?.meta().id.to_vec()))
            .collect::<Result<Vec<_>>>()?;
        self.commit_all(signed).await?;
        Ok(ids)
    }

    /// Commits all of these and waits for it.
    async fn commit_all(&mut self, signed: Vec<Signed>) -> Result<()> {
        let going = self.client.begin(
            signed,
            self.plan.in_flight,
            self.plan.calls,
            self.plan.batch,
        );
        let begun = Instant::now();
        while !going.is_dry() {
            ensure!(
                begun.elapsed() < FIRST,
                "the first transactions are not committed"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Before its end too: idle callers look up seldom, and whoever measures would count that.
        self.client.drain(FIRST).await;
        going.end().await;
        let lost = self.client.drain(FIRST).await;
        let refused = self.client.counts().refused;
        ensure!(
            lost == 0 && refused == 0,
            "of the first transactions {lost} were lost and {refused} refused: {}",
            self.client.why()
        );
        Ok(())
    }

    /// How many it commits a second, roughly.
    async fn try_out(&mut self) -> Result<f64> {
        self.provide(1_000).await?;
        let first = self.take(1_000);
        let begun = Instant::now();
        self.commit_all(first).await?;
        let rate = 1_000.0 / begun.elapsed().as_secs_f64();
        // Again, for as long as numbers begin to mean something.
        let seconds = (self.plan.seconds as f64 / 4.0).clamp(0.5, 2.0);
        let count = ((rate * seconds) as usize).clamp(1_000, 20_000);
        self.provide(count).await?;
        let second = self.take(count);
        let begun = Instant::now();
        self.commit_all(second).await?;
        Ok((count as f64 / begun.elapsed().as_secs_f64()).max(rate))
    }

    async fn throughput(&mut self, folder: &Path) -> Result<Throughput> {
        let supply = std::mem::take(&mut self.stock);
        let begun = self.client.counts();
        let going = self.client.begin(
            supply,
            self.plan.in_flight,
            self.plan.calls,
            self.plan.batch,
        );
        tokio::time::sleep(Duration::from_secs(self.plan.warm_up())).await;

        let ids = self.ids();
        let mut perf = Perf::begin(folder, &ids);
        let counters = Counters::read(&ids)?;
        let (at, before) = (Instant::now(), self.client.counts());
        while at.elapsed() < Duration::from_secs(self.plan.seconds) && !going.is_dry() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seconds = at.elapsed().as_secs_f64();
        let counted = self.client.counts().since(before);
        let used = Counters::read(&ids)?.since(&counters);
        perf.interrupt().await;
        self.stock = going.end().await;
        let lost = self.client.drain(FIRST).await;
        ensure!(
            lost == 0,
            "{lost} transactions that a node took were never committed"
        );
        let seen = perf.end().await;
        ensure!(
            counted.committed > 0,
            "nothing was committed under load: {}",
            self.client.why()
        );
        let total = self.client.counts().since(begun);
        Ok(Throughput {
            full: total.full,
            again: total.again,
            refused: total.refused,
            ..throughput(&Window {
                seconds,
                committed: counted.committed,
                blocks: counted.blocks,
                nodes: ids.len(),
                used: &used,
                syncs: seen.syncs,
                stages: seen.stages,
            })
        })
    }

    async fn half_load(&mut self, rate: f64, seconds: u64) -> Result<HalfLoad> {
        let supply = self.take((rate * seconds as f64) as usize);
        let ids = self.ids();
        let (counted, before, begun) =
            (self.client.counts(), Counters::read(&ids)?, Instant::now());
        let (micros, lost) = self.client.open_loop(supply, rate).await?;
        let used = Counters::read(&ids)?.since(&before);
        let seconds = begun.elapsed().as_secs_f64();
        let counted = self.client.counts().since(counted);
        Ok(HalfLoad {
            offered_per_second: rate,
            latency: Latency::of(micros),
            lost,
            blocks_per_second: counted.blocks as f64 / seconds,
            nodes_micros: used.processes as f64 / counted.committed.max(1) as f64,
            busy: part_of_machine(used.machine, seconds),
            others: part_of_machine(used.others(), seconds),
        })
    }

    /// Reads grants from one node, while it commits at that rate.
    async fn queries(&mut self, rate: f64, seconds: u64, grants: Vec<Vec<u8>>) -> Result<Queries> {
        let supply = self.take((rate * seconds as f64) as usize);
        let (grants, stop) = (Arc::new(grants), Arc::new(AtomicBool::new(false)));
        let place = &self.consortium.validators[0];
        let ways = [
            self.consortium.connect(place)?,
            self.consortium.connect(place)?,
        ];
        let begun = Instant::now();
        let mut readers = JoinSet::new();
        for reader in 0..READERS {
            let way = ways[reader % ways.len()].clone();
            readers.spawn(read(way, Arc::clone(&grants), Arc::clone(&stop)));
        }
        let going = self.client.open_loop(supply, rate).await;
        let seconds = begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        let mut micros = Vec::new();
        while let Some(more) = readers.join_next().await {
            micros.extend(more??);
        }
        going?;
        Ok(Queries {
            per_second: micros.len() as f64 / seconds,
            latency: Latency::of(micros),
        })
    }

    /// Starts a follower with nothing and waits until it has all.
    async fn synchronise(&mut self) -> Result<Synchronisation> {
        let tip = self.client.height();
        let transactions = self.client.counts().committed;
        let place = self.consortium.follower.clone();
        let begun = Instant::now();
        let mut follower = Process::node(&place.config())?;
        follower.ready().await?;
        let way = self.consortium.connect(&place)?;
        let mut ledger = limited!(LedgerServiceClient::new(way));
        loop {
            let status = ledger.get_status(wire::GetStatusRequest {}).await;
            if status.is_ok_and(|status| status.into_inner().height >= tip) {
                break;
            }
            ensure!(
                begun.elapsed() < SYNCHRONISATION && !follower.has_ended(),
                "the follower does not catch up: {}",
                follower.last_words()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        follower.stop().await;
        Ok(Synchronisation {
            transactions,
            seconds,
            per_second: transactions as f64 / seconds,
        })
    }

    async fn stop(self) -> Consortium {
        let Self {
            consortium,
            processes,
            client,
            ..
        } = self;
        drop(client);
        for process in processes {
            process.stop().await;
        }
        consortium
    }
}

/// Reads grants until told to stop; gives how long each took, in microseconds.
async fn read(
    way: RpcChannel,
    grants: Arc<Vec<Vec<u8>>>,
    stop: Arc<AtomicBool>,
) -> Result<Vec<u64>> {
    let mut state = limited!(StateServiceClient::new(way));
    let mut micros = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let grant = grants[rand::random_range(0..grants.len())].clone();
        let begun = Instant::now();
        let answer = state.get_grant(wire::GetGrantRequest { grant }).await;
        let answer = answer.context("a grant that was committed")?.into_inner();
        ensure!(answer.grant.is_some(), "a grant without content");
        micros.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_figures_a_transaction() {
        let used = Counters {
            processes: 8_000,
            client: 2_000,
            machine: 12_000,
            written: 40_000,
            loopback: 5_000,
            threads: [("worker".to_owned(), 6_000), ("log".to_owned(), 2_000)].into(),
        };
        let result = throughput(&Window {
            seconds: 2.0,
            committed: 100,
            blocks: 10,
            nodes: 4,
            used: &used,
            syncs: Some(80),
            stages: Some(vec![("a".into(), 0.75), ("b".into(), 0.25)]),
        });
        assert_eq!(result.per_second, 50.0);
        assert_eq!(result.blocks_per_second, 5.0);
        assert_eq!(
            (result.cost.nodes, result.cost.client, result.cost.others),
            (80.0, 20.0, 20.0)
        );
        assert_eq!(result.cost.threads[0], ("worker".to_owned(), 60.0));
        assert_eq!(
            result.cost.stages.as_deref(),
            Some(&[("a".to_owned(), 60.0), ("b".to_owned(), 20.0)][..])
        );
        assert_eq!(result.disk_bytes, 100.0);
        assert_eq!(result.syncs_per_second, Some(10.0));
        assert_eq!(result.syncs(), Some(0.2));
        assert_eq!(result.network_bytes, 50.0);
    }

    #[test]
    fn nothing_committed_divides_by_nothing() {
        let result = throughput(&Window {
            seconds: 1.0,
            committed: 0,
            blocks: 0,
            nodes: 1,
            used: &Counters::default(),
            syncs: None,
            stages: None,
        });
        assert_eq!((result.per_second, result.cost.nodes), (0.0, 0.0));
        assert_eq!(result.syncs(), None);
    }
}
