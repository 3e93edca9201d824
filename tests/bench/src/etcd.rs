//! Debian's etcd beside us: three nodes on the same machine with its own defaults (fsync before it answers),
//! values as long as our transactions, as many requests under way, and the same counters.
//!
//! It has no signatures, no TLS and no contracts here: it is the floor of what replicating among three costs.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use http::uri::PathAndQuery;
use rand::Rng as _;
use tokio::{process::Command, task::JoinSet};
use tonic::{
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::{
    consortium::free_ports,
    percentile::Latency,
    perf::Perf,
    process::Process,
    procfs::{Counters, folder_bytes},
    results::{Chain, HalfLoad, Queries, Throughput},
    shown::Shown,
};

/// How many nodes.
pub(crate) const NODES: usize = 3;

/// Bytes of a key: as a pseudonym or an id has.
const KEY_BYTES: usize = 32;

/// How long it may take until the cluster answers.
const START: Duration = Duration::from_secs(60);

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// `etcdserverpb.PutRequest`, the fields that are used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.RangeRequest`, the fields that are used.
#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bool, tag = "7")]
    serializable: bool,
}

/// An answer of which nothing is read but that it came.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {}

/// `etcdserverpb.RangeResponse`, the field that is used.
#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(int64, tag = "4")]
    count: i64,
}

async fn call<Q, A>(channel: &Channel, path: &'static str, request: Q) -> Result<A>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    let answer = async {
        grpc.ready().await?;
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(path);
        Ok::<_, anyhow::Error>(
            grpc.unary(tonic::Request::new(request), path, codec)
                .await?,
        )
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    Ok(answer.context("etcd did not answer")??.into_inner())
}

async fn put(channel: &Channel, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
    let _: Answer = call(channel, "/etcdserverpb.KV/Put", PutRequest { key, value }).await?;
    Ok(())
}

/// The same key for the same number.
fn key(number: u64) -> Vec<u8> {
    let mut key = vec![0; KEY_BYTES];
    // Spread, as digests are.
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..16].copy_from_slice(&number.to_be_bytes());
    key
}

/// How it is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seconds: u64,
    pub(crate) in_flight: usize,
    pub(crate) bytes: usize,
}

/// Where Debian installs it, or wherever the path leads.
pub(crate) async fn is_installed() -> bool {
    let answer = Command::new("etcd").arg("--version").output().await;
    answer.is_ok_and(|answer| answer.status.success())
}

struct Cluster {
    processes: Vec<Process>,
    folders: Vec<PathBuf>,
    channels: Vec<Channel>,
}

impl Cluster {
    async fn start(folder: &Path) -> Result<Self> {
        let ports = free_ports(2 * NODES)?;
        let (clients, peers) = ports.split_at(NODES);
        let all: Vec<String> = peers
            .iter()
            .enumerate()
            .map(|(number, peer)| format!("n{number}=http://{peer}"))
            .collect();
        let mut cluster = Self {
            processes: Vec::new(),
            folders: Vec::new(),
            channels: Vec::new(),
        };
        for number in 0..NODES {
            let data = folder.join(format!("n{number}"));
            let (client, peer) = (
                format!("http://{}", clients[number]),
                format!("http://{}", peers[number]),
            );
            let mut command = Command::new("etcd");
            command
                .args(["--name", &format!("n{number}"), "--data-dir"])
                .arg(&data)
                .args([
                    "--listen-client-urls",
                    &client,
                    "--advertise-client-urls",
                    &client,
                ])
                .args([
                    "--listen-peer-urls",
                    &peer,
                    "--initial-advertise-peer-urls",
                    &peer,
                ])
                .args([
                    "--initial-cluster",
                    &all.join(","),
                    "--initial-cluster-state",
                    "new",
                ])
                .args([
                    "--logger",
                    "zap",
                    "--log-level",
                    "error",
                    "--log-outputs",
                    "stderr",
                ])
                .current_dir(folder);
            let log = folder.join(format!("n{number}.log"));
            cluster.processes.push(Process::spawn(command, &log)?);
            cluster.folders.push(data);
            // As many connections as ours: two to each.
            for _ in 0..2 {
                cluster.channels.push(
                    Endpoint::from_shared(client.clone())?
                        .tcp_nodelay(true)
                        .connect_lazy(),
                );
            }
        }
        let begun = Instant::now();
        while let Err(fault) = put(&cluster.channels[0], key(0), vec![0]).await {
            if cluster.processes.iter_mut().any(Process::has_ended) || begun.elapsed() > START {
                bail!("etcd does not come up: {fault:#}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(cluster)
    }

    fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }
}

/// Measures all of it.
pub(crate) async fn measure(folder: &Path, plan: Plan, shown: &Shown) -> Result<Chain> {
    shown.say("etcd: starting three nodes");
    let begun = Instant::now();
    let cluster = Cluster::start(folder).await?;
    let deployment_seconds = begun.elapsed().as_secs_f64();
    let ids = cluster.ids();
    let written = Arc::new(AtomicU64::new(1));

    shown.say("etcd: throughput");
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for number in 0..plan.in_flight {
        let channel = cluster.channels[number % cluster.channels.len()].clone();
        let (written, stop) = (Arc::clone(&written), Arc::clone(&stop));
        let (done, failed) = (Arc::clone(&done), Arc::clone(&failed));
        writers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = written.fetch_add(1, Ordering::Relaxed);
                match put(&channel, key(number), value(plan.bytes)).await {
                    Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                    Err(_) => failed.fetch_add(1, Ordering::Relaxed),
                };
            }
        });
    }
    tokio::time::sleep(Duration::from_secs((plan.seconds / 5).clamp(1, 3))).await;
    let mut perf = Perf::begin(folder, &ids);
    let (counters, at, before) = (
        Counters::read(&ids)?,
        Instant::now(),
        done.load(Ordering::Relaxed),
    );
    tokio::time::sleep(Duration::from_secs(plan.seconds)).await;
    let (used, seconds) = (
        Counters::read(&ids)?.since(&counters),
        at.elapsed().as_secs_f64(),
    );
    let committed = done.load(Ordering::Relaxed) - before;
    perf.interrupt().await;
    stop.store(true, Ordering::Relaxed);
    while writers.join_next().await.is_some() {}
    let seen = perf.end().await;
    let throughput = crate::measure::throughput(&crate::measure::Window {
        seconds,
        committed,
        blocks: 0,
        nodes: NODES,
        used: &used,
        syncs: seen.syncs,
        // Its functions are another language's: shares by our stages would say nothing.
        stages: None,
    });
    let throughput = Throughput {
        refused: failed.load(Ordering::Relaxed),
        ..throughput
    };
    if committed == 0 {
        bail!("etcd committed nothing");
    }

    shown.say("etcd: latency at half the load");
    let half_load = half_load(&cluster, plan, throughput.per_second / 2.0, &written).await?;

    shown.say("etcd: reads");
    let queries = reads(&cluster, plan, written.load(Ordering::Relaxed)).await?;

    for process in cluster.processes {
        process.stop().await;
    }
    let bytes: u64 = cluster.folders.iter().map(|one| folder_bytes(one)).sum();
    let writes = written.load(Ordering::Relaxed).max(1) as f64;
    Ok(Chain {
        deployment_seconds,
        throughput,
        half_load,
        queries,
        synchronisation: None,
        growth_bytes: bytes as f64 / NODES as f64 / writes,
    })
}

fn value(bytes: usize) -> Vec<u8> {
    let mut value = vec![0; bytes.saturating_sub(KEY_BYTES)];
    rand::rng().fill_bytes(&mut value);
    value
}

async fn half_load(
    cluster: &Cluster,
    plan: Plan,
    rate: f64,
    written: &AtomicU64,
) -> Result<HalfLoad> {
    let before = Counters::read(&cluster.ids())?;
    let count = (rate * plan.seconds as f64) as usize;
    let lost = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    let mut beat = tokio::time::interval(Duration::from_millis(1));
    let mut latencies = Vec::with_capacity(count);
    for sent in 0..count {
        let due = begun + Duration::from_secs_f64(sent as f64 / rate);
        while due > Instant::now() {
            beat.tick().await;
        }
        let channel = cluster.channels[sent % cluster.channels.len()].clone();
        let number = written.fetch_add(1, Ordering::Relaxed);
        let lost = Arc::clone(&lost);
        tasks.spawn(async move {
            match put(&channel, key(number), value(plan.bytes)).await {
                Ok(()) => Some(due.elapsed()),
                Err(_) => {
                    lost.fetch_add(1, Ordering::Relaxed);
                    None
                }
            }
        });
        while let Some(done) = tasks.try_join_next() {
            latencies.extend(done?);
        }
    }
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done?);
    }
    let used = Counters::read(&cluster.ids())?.since(&before);
    let micros = latencies
        .into_iter()
        .map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
        .collect();
    let seconds = begun.elapsed().as_secs_f64();
    Ok(HalfLoad {
        offered_per_second: rate,
        latency: Latency::of(micros),
        lost: lost.load(Ordering::Relaxed),
        blocks_per_second: 0.0,
        nodes_micros: used.processes as f64 / count.max(1) as f64,
        busy: crate::measure::part_of_machine(used.machine, seconds),
        others: crate::measure::part_of_machine(used.others(), seconds),
    })
}

/// Reads from one node what it holds itself, as our nodes answer; nothing is written meanwhile.
async fn reads(cluster: &Cluster, plan: Plan, written: u64) -> Result<Queries> {
    let stop = Arc::new(AtomicBool::new(false));
    let missing = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut readers = JoinSet::new();
    for reader in 0..crate::measure::READERS {
        let channel = cluster.channels[reader % 2].clone();
        let (stop, missing) = (Arc::clone(&stop), Arc::clone(&missing));
        readers.spawn(async move {
            let mut latencies = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let number = rand::random_range(1..written.max(2));
                let request = RangeRequest {
                    key: key(number),
                    serializable: true,
                };
                let begun = Instant::now();
                match call::<_, RangeResponse>(&channel, "/etcdserverpb.KV/Range", request).await {
                    Ok(answer) if answer.count == 1 => {
                        latencies.push(begun.elapsed().as_micros() as u64);
                    }
                    _ => {
                        missing.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            latencies
        });
    }
    tokio::time::sleep(Duration::from_secs(plan.seconds.div_ceil(2))).await;
    let seconds = begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let mut micros = Vec::new();
    while let Some(more) = readers.join_next().await {
        micros.extend(more?);
    }
    Ok(Queries {
        per_second: micros.len() as f64 / seconds,
        latency: Latency::of(micros),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_differ_and_values_fill_up_to_the_payload() {
        let keys: BTreeSet<_> = (0..1_000).map(key).collect();
        assert_eq!(keys.len(), 1_000);
        assert!(keys.iter().all(|key| key.len() == KEY_BYTES));
        assert_eq!(key(7), key(7));
        assert_eq!(value(100).len(), 68);
        assert_eq!(value(10).len(), 0);
    }
}
