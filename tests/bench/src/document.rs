//! The results as tables on the terminal, and as docs/benchmarks.md with its plots. The words about where the
//! time goes are made from the numbers of the same run.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

use crate::{
    results::{Chain, ETCD, Outcome, Results},
    svg::{Chart, number},
};

/// Part of the machine's processors from which on they are what a run waits for.
const SATURATED: f64 = 0.85;

/// Everyone else's part of the machine from which on numbers are only indicative.
const DISTURBED: f64 = 0.05;

/// A table: heads and rows.
struct Sheet {
    title: &'static str,
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

fn count_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "not measured".into(), number)
}

fn sheets(results: &Results) -> Vec<Sheet> {
    let all = results.measured();
    let rows = |row: &dyn Fn(&Chain) -> Vec<String>| -> Vec<Vec<String>> {
        all.iter()
            .map(|(name, _, chain)| [vec![name.clone()], row(chain)].concat())
            .collect()
    };
    vec![
        Sheet {
            title: "Throughput",
            heads: vec![
                "",
                "transactions/s",
                "blocks/s",
                "transactions a block",
                "processors at work",
                "found no room",
            ],
            rows: rows(&|chain| {
                let it = &chain.throughput;
                let blocks = it.blocks_per_second;
                vec![
                    number(it.per_second),
                    if blocks > 0.0 {
                        number(blocks)
                    } else {
                        "–".into()
                    },
                    if blocks > 0.0 {
                        number(it.per_second / blocks)
                    } else {
                        "–".into()
                    },
                    format!("{:.0} %", it.busy * 100.0),
                    it.full.to_string(),
                ]
            }),
        },
        Sheet {
            title: "Commit latency at half that load (ms, open loop)",
            heads: vec![
                "",
                "offered/s",
                "p50",
                "p90",
                "p99",
                "p99.9",
                "longest",
                "lost",
                "blocks/s",
                "CPU of all nodes (µs a transaction)",
                "processors at work",
            ],
            rows: rows(&|chain| {
                let it = &chain.half_load;
                let latency = it.latency;
                vec![
                    number(it.offered_per_second),
                    number(latency.p50),
                    number(latency.p90),
                    number(latency.p99),
                    number(latency.p999),
                    number(latency.max),
                    it.lost.to_string(),
                    if it.blocks_per_second > 0.0 {
                        number(it.blocks_per_second)
                    } else {
                        "–".into()
                    },
                    number(it.nodes_micros),
                    format!("{:.0} %", it.busy * 100.0),
                ]
            }),
        },
        Sheet {
            title: "What one transaction costs",
            heads: vec![
                "",
                "CPU of all nodes (µs)",
                "CPU of one node (µs)",
                "CPU of the client (µs)",
                "bytes to the disk, a node",
                "fsyncs, a node",
                "fsyncs/s, a node",
                "bytes over the network, in all",
            ],
            rows: all
                .iter()
                .map(|(name, nodes, chain)| {
                    let it = &chain.throughput;
                    vec![
                        name.clone(),
                        number(it.cost.nodes),
                        number(it.cost.nodes / *nodes as f64),
                        number(it.cost.client),
                        number(it.disk_bytes),
                        it.syncs()
                            .map_or_else(|| "not measured".into(), |syncs| format!("{syncs:.4}")),
                        count_or_dash(it.syncs_per_second),
                        number(it.network_bytes),
                    ]
                })
                .collect(),
        },
        Sheet {
            title: "The five measures of JR/T 0193-2020",
            heads: vec![
                "",
                "transaction throughput (/s)",
                "query throughput (/s)",
                "synchronisation (transactions/s)",
                "deployment (s)",
                "ledger growth (bytes a transaction and node)",
            ],
            rows: rows(&|chain| {
                vec![
                    number(chain.throughput.per_second),
                    number(chain.queries.per_second),
                    count_or_dash(chain.synchronisation.as_ref().map(|it| it.per_second)),
                    number(chain.deployment_seconds),
                    number(chain.growth_bytes),
                ]
            }),
        },
    ]
}

/// What was not measured, and why.
fn missing(results: &Results) -> Vec<String> {
    let runs = results.runs.iter().filter_map(|run| match &run.outcome {
        Outcome::Measured(_) => None,
        Outcome::NotAvailable(why) => Some(format!("{}: not available ({why})", run.setup)),
    });
    let etcd = match &results.etcd {
        Outcome::Measured(_) => None,
        Outcome::NotAvailable(why) => Some(format!("{ETCD}: not available ({why})")),
    };
    runs.chain(etcd).collect()
}

/// Prints the tables.
pub(crate) fn print(results: &Results) {
    for sheet in sheets(results) {
        println!("\n{}", console::style(sheet.title).bold());
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(&sheet.heads);
        for row in sheet.rows {
            table.add_row(row);
        }
        println!("{table}");
    }
    println!();
    for line in missing(results).iter().chain(&where_time_goes(results)) {
        println!("- {}", line.replace("**", ""));
    }
    if let Some(warning) = disturbed(results) {
        println!("\n{} {warning}", console::style("Note:").yellow().bold());
    }
}

/// Says so when others were at work on the machine.
fn disturbed(results: &Results) -> Option<String> {
    let cores = results.machine.cores as f64;
    let part = |chain: &Chain| {
        let it = &chain.throughput;
        let meanwhile = it.cost.others * it.per_second / 1e6 / cores;
        meanwhile.max(chain.half_load.others)
    };
    let worst = (results.measured().iter())
        .map(|(_, _, chain)| part(chain))
        .fold(0.0, f64::max);
    (worst > DISTURBED).then(|| {
        format!(
            "other programs took up to {:.0} % of the machine's processors meanwhile (measuring itself is among \
             them): these numbers are lower than an idle machine's.",
            worst * 100.0
        )
    })
}

/// One paragraph a configuration: what it waits for, and what the limit would be.
fn where_time_goes(results: &Results) -> Vec<String> {
    let cores = results.machine.cores as f64;
    let sync_ms = results.machine.sync.p50;
    let paragraph = |(name, nodes, chain): &(String, usize, &Chain)| {
        let it = &chain.throughput;
        let cost = &it.cost;
        let mut text = format!("**{name}**: ");
        let (own, client) = (
            cost.nodes * it.per_second / 1e6,
            cost.client * it.per_second / 1e6,
        );
        let _ = write!(
            text,
            "the {nodes} node{} kept {own:.2} of {cores} cores busy and the client {client:.2}; ",
            if *nodes == 1 { "" } else { "s" }
        );
        let others = (it.busy - (own + client) / cores).max(0.0);
        if it.busy >= SATURATED {
            let _ = write!(
                text,
                "the processors were the limit ({:.0} % at work, {:.0} % of it for other programs). ",
                it.busy * 100.0,
                others / it.busy * 100.0
            );
        } else {
            let _ = write!(
                text,
                "the processors were not the limit ({:.0} % at work): what is missing was spent waiting, for the \
                 disk or for one another. ",
                it.busy * 100.0
            );
        }
        if let Some(stages) = &cost.stages {
            let _ = write!(text, "Of a node's processor time ");
            let largest: Vec<String> = stages
                .iter()
                .take(5)
                .map(|(stage, micros)| {
                    format!(
                        "{:.0} % went to {stage}",
                        micros / cost.nodes.max(f64::MIN_POSITIVE) * 100.0
                    )
                })
                .collect();
            let _ = write!(text, "{}. ", largest.join(", "));
        }
        if let Some(syncs) = it.syncs_per_second {
            let _ = write!(
                text,
                "Each node waited for the disk {} times a second, which at {:.2} ms each is {:.0} % of the time. ",
                number(syncs),
                sync_ms,
                syncs * sync_ms / 10.0
            );
        }
        let per_node = cost.nodes / *nodes as f64;
        if per_node > 0.0 {
            let _ = write!(
                text,
                "The limit: all nodes on these {cores} cores and the client elsewhere, {} transactions/s; each node \
                 on a machine of its own with {cores} cores, {}, if its work used them all.",
                number(cores * 1e6 / cost.nodes),
                number(cores * 1e6 / per_node)
            );
        }
        text
    };
    results.measured().iter().map(paragraph).collect()
}

fn charts(results: &Results) -> Vec<(&'static str, String)> {
    let all = results.measured();
    let throughput = Chart {
        title: "Committed transactions a second",
        unit: "more is better",
        series: vec!["transactions/s".into()],
        rows: all
            .iter()
            .map(|(name, _, chain)| (name.clone(), vec![chain.throughput.per_second]))
            .collect(),
        stacked: false,
    };
    let latency = Chart {
        title: "Commit latency at half the load",
        unit: "ms, less is better",
        series: vec!["p50".into(), "p99".into(), "p99.9".into()],
        rows: all
            .iter()
            .map(|(name, _, chain)| {
                let it = chain.half_load.latency;
                (name.clone(), vec![it.p50, it.p99, it.p999])
            })
            .collect(),
        stacked: false,
    };
    // The stages of all configurations, each in its place; the client's part last.
    let mut series: Vec<String> = Vec::new();
    for (_, _, chain) in &all {
        for (stage, _) in chain.throughput.cost.stages.iter().flatten() {
            if !series.contains(stage) {
                series.push(stage.clone());
            }
        }
    }
    let rows = all
        .iter()
        .map(|(name, _, chain)| {
            let cost = &chain.throughput.cost;
            let stages = cost.stages.clone().unwrap_or_default();
            let mut values: Vec<f64> = series
                .iter()
                .map(|stage| {
                    let found = stages.iter().find(|(name, _)| name == stage);
                    found.map_or(0.0, |(_, micros)| *micros)
                })
                .collect();
            let parted: f64 = values.iter().sum();
            values.push((cost.nodes - parted).max(0.0));
            values.push(cost.client);
            (name.clone(), values)
        })
        .collect();
    series.extend(["the nodes, not parted".to_owned(), "the client".to_owned()]);
    let cpu = Chart {
        title: "Processor time a transaction, all nodes together",
        unit: "µs",
        series,
        rows,
        stacked: true,
    };
    vec![
        ("throughput", throughput.draw()),
        ("latency", latency.draw()),
        ("cpu", cpu.draw()),
    ]
}

/// Writes docs/benchmarks.md and its plots into the folder of the documents.
pub(crate) fn write(results: &Results, docs: &Path) -> Result<()> {
    let plots = docs.join("benchmarks");
    fs::create_dir_all(&plots).context("the folder of the plots")?;
    for (name, svg) in charts(results) {
        fs::write(plots.join(format!("{name}.svg")), svg)?;
    }
    fs::write(docs.join("benchmarks.md"), markdown(results))?;
    Ok(())
}

/// The document.
fn markdown(results: &Results) -> String {
    let (machine, settings) = (&results.machine, &results.settings);
    let mut text = String::new();
    let mut put = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    put("# Benchmarks\n");
    put(
        "Made by `cargo xtask bench chain` in one run, on one machine; run it again and this page is written anew.\n",
    );
    if let Some(warning) = disturbed(results) {
        put(&format!("> **Only indicative:** {warning}\n"));
    }
    put("## What was measured, and how\n");
    put(&format!(
        "- **Machine**: {} Day: {}.",
        machine.in_words(),
        settings.day
    ));
    put(
        "- **Nodes**: real `xinqiao node` processes, as operators start them, all on this machine, over loopback with \
         mutual TLS. `solo` is one validator; `raft` and `bft` are followed by the number of validators. Every \
         validator holds all data.",
    );
    put(
        "- **Durability**: a block counts once it is fsynced on the node that reports it, and a validator's vote once \
         its own log is. Nothing is switched off.",
    );
    put(&format!(
        "- **Transactions**: `{}`, {} bytes encoded, each with its own SM2 signature by one of several members' \
         admin keys; every node verifies every signature, executes every transaction and stores the outcome. They \
         are signed before anything is measured.",
        settings.action.as_str(),
        settings.payload_bytes
    ));
    put(&format!(
        "- **Client**: one process on the same machine, {} calls at once over two connections to each validator, up to \
         {} transactions in a call of the closed loop and one in a call of the open one, at most {} under way. It follows the chain at one validator and counts a transaction as committed \
         when it sees its block. Its processor time is reported apart, and is not free: on an idle machine beside it \
         the nodes would have more.",
        settings.calls, settings.batch, settings.in_flight
    ));
    put(&format!(
        "- **Throughput**: closed loop, {} s after a warm-up. **Latency**: open loop at half of that rate, {} s; it \
         counts from the moment a transaction was due, so that a stall is not hidden (no coordinated omission).",
        settings.seconds, settings.seconds
    ));
    put(&format!(
        "- **etcd**: Debian's `etcd-server`, three nodes on this machine in the same run, its own defaults (fsync \
         before an answer), keys and values together as long as our transactions, {} requests under way, the same \
         rates and counters. It has no TLS, no signatures and no contracts here.",
        settings.in_flight
    ));
    put(
        "- **Counters**: processor time and bytes to the disk from `/proc`; stages and fsyncs from `perf`, which \
         samples functions by the clock; network bytes are the loopback's.\n",
    );
    put("## Results\n");
    for line in missing(results) {
        put(&format!("- {line}"));
    }
    for sheet in sheets(results) {
        put(&format!("\n### {}\n", sheet.title));
        put(&format!("| {} |", sheet.heads.join(" | ")));
        put(&format!("|---|{}", "---:|".repeat(sheet.heads.len() - 1)));
        for row in sheet.rows {
            put(&format!("| {} |", row.join(" | ")));
        }
    }
    put(
        "\nQueries are reads of one grant by its id (etcd: of one key, answered by one node from what it holds, with \
         nothing written meanwhile), at one node, 32 at once, while the chain commits at half its load. \
         Synchronisation is a new follower that verifies and executes everything again; etcd's is not measured. \
         Deployment is from nothing (keys, certificates, genesis) to the first committed block. Growth is all files \
         of a validator once it is stopped, logs and what is not compacted yet included.\n",
    );
    put("![Throughput](benchmarks/throughput.svg)\n");
    put("![Latency](benchmarks/latency.svg)\n");
    put("![Processor time](benchmarks/cpu.svg)\n");
    put("## Where the time goes, and what the limit would be\n");
    for paragraph in where_time_goes(results) {
        put(&format!("- {paragraph}"));
    }
    let parted: Vec<_> = (results.measured().into_iter())
        .filter(|(_, _, chain)| chain.throughput.cost.stages.is_some())
        .collect();
    if !parted.is_empty() {
        put("\n### Processor time by stage (µs a transaction, all nodes together)\n");
        for (name, _, chain) in &parted {
            let stages = chain.throughput.cost.stages.iter().flatten();
            let list: Vec<String> = stages
                .map(|(stage, micros)| format!("{stage} {}", number(*micros)))
                .collect();
            put(&format!("- {name}: {}", list.join(", ")));
        }
    }
    put("\n### Processor time by thread (µs a transaction, all nodes together)\n");
    for (name, _, chain) in results.measured() {
        let threads = chain.throughput.cost.threads.iter();
        let list: Vec<String> = threads
            .filter(|(_, micros)| *micros >= 0.05)
            .map(|(thread, micros)| format!("`{thread}` {}", number(*micros)))
            .collect();
        put(&format!("- {name}: {}", list.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        payload::Kind,
        percentile::Latency,
        results::{Cost, HalfLoad, Machine, Run, Settings, Throughput},
    };

    fn results(busy: f64, others: f64) -> Results {
        let chain = Chain {
            throughput: Throughput {
                per_second: 1_000.0,
                blocks_per_second: 50.0,
                busy,
                syncs_per_second: Some(100.0),
                cost: Cost {
                    nodes: 1_600.0,
                    client: 100.0,
                    others,
                    threads: vec![("worker".into(), 1_600.0)],
                    stages: Some(vec![("signatures".into(), 800.0), ("TLS".into(), 800.0)]),
                },
                ..Throughput::default()
            },
            half_load: HalfLoad::default(),
            ..Chain::default()
        };
        Results {
            machine: Machine {
                cores: 2,
                processor: "some".into(),
                memory_gib: 4,
                kernel: "Linux 6.1".into(),
                disk: "ext4".into(),
                sync: Latency::of(vec![200]),
                build: "release".into(),
            },
            settings: Settings {
                action: Kind::OpenUser,
                seconds: 15,
                in_flight: 10,
                calls: 5,
                batch: 1,
                payload_bytes: 222,
                day: "2026-01-02".into(),
            },
            runs: vec![
                Run {
                    setup: "bft4".parse().unwrap(),
                    outcome: Outcome::Measured(chain),
                },
                Run {
                    setup: "raft3".parse().unwrap(),
                    outcome: Outcome::NotAvailable("no such engine".into()),
                },
            ],
            etcd: Outcome::NotAvailable("not installed".into()),
        }
    }

    #[test]
    fn the_limit_follows_from_the_numbers() {
        let text = where_time_goes(&results(0.95, 0.0)).join("\n");
        for expected in [
            "the 4 nodes kept 1.60 of 2 cores busy and the client 0.10",
            "the processors were the limit (95 % at work, 11 % of it for other programs)",
            "50 % went to signatures",
            "100 times a second, which at 0.20 ms each is 2 % of the time",
            "and the client elsewhere, 1,250 transactions/s",
            "with 2 cores, 5,000",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let text = where_time_goes(&results(0.4, 0.0)).join("\n");
        assert!(text.contains("not the limit (40 % at work)"), "{text}");
    }

    #[test]
    fn the_document_says_what_is_missing_and_that_others_disturbed() {
        let text = markdown(&results(0.9, 500.0));
        for expected in [
            "raft3: not available (no such engine)",
            "etcd: not available (not installed)",
            "**Only indicative:** other programs took up to 25 %",
            "| bft4 | 1,000 | 50.0 | 20.0 | 90 % | 0 |",
            "222 bytes encoded",
            "`worker` 1,600",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!markdown(&results(0.9, 0.0)).contains("Only indicative"));
    }

    #[test]
    fn documents_and_plots_are_written() {
        let docs = tempfile::tempdir().unwrap();
        write(&results(0.9, 0.0), docs.path()).unwrap();
        for file in [
            "benchmarks.md",
            "benchmarks/throughput.svg",
            "benchmarks/latency.svg",
            "benchmarks/cpu.svg",
        ] {
            assert!(docs.path().join(file).is_file(), "{file}");
        }
    }
}
