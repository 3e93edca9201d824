//! What was measured: plain data, as it is written to the results' file and read again to draw the documents.

use std::fmt;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use xinqiao_ledger::validators::Engine;

use crate::{payload::Kind, percentile::Latency};

/// An engine with so many validators, such as `bft4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) engine: Engine,
    pub(crate) validators: usize,
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.engine {
            Engine::Solo => f.write_str("solo"),
            Engine::Raft => write!(f, "raft{}", self.validators),
            Engine::Bft => write!(f, "bft{}", self.validators),
        }
    }
}

impl std::str::FromStr for Setup {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, anyhow::Error> {
        let (engine, rest) = Engine::ALL
            .into_iter()
            .find_map(|engine| {
                let name = match engine {
                    Engine::Solo => "solo",
                    Engine::Raft => "raft",
                    Engine::Bft => "bft",
                };
                Some((engine, text.strip_prefix(name)?))
            })
            .context("an engine is solo, or raft or bft with a number, such as bft4")?;
        let validators = match rest {
            "" => engine.least(),
            digits => digits.parse().context("the number of validators")?,
        };
        if validators < engine.least()
            || validators > 16
            || engine == Engine::Solo && validators > 1
        {
            bail!(
                "{text}: this engine is measured with {} to {} validators",
                engine.least(),
                if engine == Engine::Solo { 1 } else { 16 }
            );
        }
        Ok(Self { engine, validators })
    }
}

/// Measured, or why not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome<T> {
    Measured(T),
    NotAvailable(String),
}

impl<T> Outcome<T> {
    pub(crate) fn measured(&self) -> Option<&T> {
        match self {
            Self::Measured(result) => Some(result),
            Self::NotAvailable(_) => None,
        }
    }
}

/// The machine, in general terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    pub(crate) disk: String,
    /// One write of 4 KiB made durable, in milliseconds.
    pub(crate) sync: Latency,
    /// Signatures that one core makes or checks are not measured here: `cargo xtask bench sm2`.
    pub(crate) build: String,
}

impl Machine {
    /// It in one line.
    pub(crate) fn in_words(&self) -> String {
        format!(
            "{} cores ({}), {} GiB of memory, {}, {}. One write of 4 KiB made durable there takes {:.2} ms (p50), \
             {:.2} ms (p99). Build: {}.",
            self.cores,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.disk,
            self.sync.p50,
            self.sync.p99,
            self.build,
        )
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) action: Kind,
    pub(crate) seconds: u64,
    pub(crate) in_flight: usize,
    pub(crate) calls: usize,
    /// Transactions in one call of the closed loop, at most.
    pub(crate) batch: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) day: String,
}

/// Processor time of one transaction, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// All nodes together.
    pub(crate) nodes: f64,
    /// The client.
    pub(crate) client: f64,
    /// Everyone else on the machine, meanwhile.
    pub(crate) others: f64,
    /// The nodes' by thread name.
    pub(crate) threads: Vec<(String, f64)>,
    /// The nodes' by stage; none where `perf` is missing.
    pub(crate) stages: Option<Vec<(String, f64)>>,
}

/// As fast as it goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Throughput {
    pub(crate) seconds: f64,
    pub(crate) committed: u64,
    pub(crate) per_second: f64,
    pub(crate) blocks_per_second: f64,
    /// Submissions that found no room and came again.
    pub(crate) full: u64,
    /// Submissions repeated for other faults.
    pub(crate) again: u64,
    /// Submissions given up.
    pub(crate) refused: u64,
    pub(crate) cost: Cost,
    /// Bytes made dirty for the disk, a transaction and node.
    pub(crate) disk_bytes: f64,
    /// Calls that wait for the disk, a second and node; none where it was not measured.
    pub(crate) syncs_per_second: Option<f64>,
    /// Bytes over the loopback, a transaction: the client's and the nodes'.
    pub(crate) network_bytes: f64,
    /// How much of the machine's processors was at work, 0 to 1.
    pub(crate) busy: f64,
}

impl Throughput {
    /// Calls that wait for the disk, a transaction and node.
    pub(crate) fn syncs(&self) -> Option<f64> {
        Some(self.syncs_per_second? / self.per_second.max(f64::MIN_POSITIVE))
    }
}

/// At half the load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HalfLoad {
    pub(crate) offered_per_second: f64,
    pub(crate) latency: Latency,
    /// Sent and never seen committed.
    pub(crate) lost: u64,
    /// Blocks a second; 0 where there are none.
    #[serde(default)]
    pub(crate) blocks_per_second: f64,
    /// Processor time of all nodes together, microseconds a transaction: calls of one transaction cost more
    /// than the larger ones that throughput is measured with.
    #[serde(default)]
    pub(crate) nodes_micros: f64,
    /// The part of the machine's processors that was at work, 0 to 1.
    #[serde(default)]
    pub(crate) busy: f64,
    /// Everyone else's part of the machine's processors meanwhile, 0 to 1.
    pub(crate) others: f64,
}

/// Reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Queries {
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
}

/// A new follower's replay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Synchronisation {
    pub(crate) transactions: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
}

/// One consortium.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chain {
    /// From nothing to the first committed block, in seconds.
    pub(crate) deployment_seconds: f64,
    pub(crate) throughput: Throughput,
    pub(crate) half_load: HalfLoad,
    pub(crate) queries: Queries,
    pub(crate) synchronisation: Option<Synchronisation>,
    /// Bytes on disk, a transaction and node, once all are stopped.
    pub(crate) growth_bytes: f64,
}

/// One configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) setup: Setup,
    pub(crate) outcome: Outcome<Chain>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    pub(crate) runs: Vec<Run>,
    /// etcd, three nodes.
    pub(crate) etcd: Outcome<Chain>,
}

impl Results {
    /// All that was measured, by name; etcd last.
    pub(crate) fn measured(&self) -> Vec<(String, usize, &Chain)> {
        let chains = self.runs.iter().filter_map(|run| {
            let chain = run.outcome.measured()?;
            Some((run.setup.to_string(), run.setup.validators, chain))
        });
        let etcd = self.etcd.measured();
        chains
            .chain(etcd.map(|etcd| (ETCD.to_owned(), crate::etcd::NODES, etcd)))
            .collect()
    }
}

/// What etcd is called in tables.
pub(crate) const ETCD: &str = "etcd";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setups_are_read_as_they_are_shown() {
        let check = |text: &str, expected: Option<&str>| {
            let got = text.parse::<Setup>().ok().map(|setup| setup.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        };
        check("solo", Some("solo"));
        check("solo1", Some("solo"));
        check("raft", Some("raft3"));
        check("bft10", Some("bft10"));
        check("bft", Some("bft4"));
        check("bft3", None);
        check("solo2", None);
        check("raft99", None);
        check("paxos3", None);
        check("bftx", None);
    }

    #[test]
    fn results_are_read_as_they_are_written() {
        let results = Results {
            machine: Machine {
                cores: 2,
                processor: "some".into(),
                memory_gib: 4,
                kernel: "6".into(),
                disk: "ext4".into(),
                sync: Latency::of(vec![100]),
                build: "release".into(),
            },
            settings: Settings {
                action: Kind::OpenUser,
                seconds: 1,
                in_flight: 2,
                calls: 3,
                batch: 1,
                payload_bytes: 4,
                day: "2026-01-01".into(),
            },
            runs: vec![
                Run {
                    setup: "bft4".parse().unwrap(),
                    outcome: Outcome::Measured(Chain::default()),
                },
                Run {
                    setup: "raft".parse().unwrap(),
                    outcome: Outcome::NotAvailable("not there".into()),
                },
            ],
            etcd: Outcome::NotAvailable("not installed".into()),
        };
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
        let names: Vec<_> = results.measured().into_iter().map(|one| one.0).collect();
        assert_eq!(names, ["bft4"]);
    }
}
