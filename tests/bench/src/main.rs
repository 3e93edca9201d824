//! `cargo xtask bench chain`: what the chain does a second, how long a commit takes, and what it costs, for each
//! engine over real nodes on this machine with fsync on; and etcd beside it in the same run.
//!
//! ```text
//!   payload ─▶ load ══ mutual TLS ══▶ xinqiao node × N ◀── procfs, perf (what they use)
//!                ▲                         │
//!                └────── blocks ───────────┘        measure: the phases of one consortium
//!   etcd: the same against three etcd nodes         document: tables, docs/benchmarks.md, plots
//! ```
//!
//! It measures from outside: nothing in a node knows that it is measured. Signature verification alone is
//! `cargo xtask bench sm2`; `cargo xtask bench register` registers the digests of millions of enterprises
//! (`register`), and `cargo xtask bench queries` asks for reports (`queries`).

mod consortium;
mod document;
mod etcd;
mod load;
mod machine;
mod measure;
mod payload;
mod percentile;
mod perf;
mod process;
mod procfs;
mod queries;
mod register;
mod results;
mod shown;
mod subjects;
mod svg;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    measure::Plan,
    payload::Kind,
    results::{Outcome, Results, Run, Settings, Setup},
    shown::Shown,
};

/// Blocks and records are made by one thread and dropped by another, which the C library's allocator pays for with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is measured if nothing else is asked for.
const SETUPS: &[&str] = &["solo", "raft3", "bft4", "bft7", "bft10"];

/// The same with `--quick`.
const QUICK: &[&str] = &["solo", "bft4"];

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Measures whole consortiums on this machine"
)]
enum Benchmark {
    /// Consortiums of real nodes with each engine, and etcd beside them
    Chain(Options),
    /// The digests of millions of enterprises, registered into four validators
    Register(register::Options),
    /// Queries from end to end, with few and with millions of enterprises on the ledger
    Queries(queries::Options),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Engines with their numbers of validators, such as solo,raft3,bft4
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    engines: Vec<Setup>,
    /// Seconds of each measurement, after a warm-up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// A smoke run of about a minute over solo and bft4
    #[arg(long)]
    quick: bool,
    /// What the transactions do
    #[arg(long, value_enum, default_value = "open-user")]
    action: Kind,
    /// Transactions under way at most
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    in_flight: usize,
    /// Submissions under way at most
    #[arg(long, default_value_t = 128, value_name = "N")]
    calls: usize,
    /// Transactions in one submission at most, while throughput is measured: 1 to 256
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    batch: u64,
    /// Transactions a second while latency is measured, instead of half the throughput
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Leave etcd out
    #[arg(long)]
    no_etcd: bool,
    /// Where the results go, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Measure nothing, and draw the results of this file
    #[arg(long, value_name = "FILE")]
    render: Option<PathBuf>,
    /// Folder of the documents: benchmarks.md and its plots are written there
    #[arg(long, value_name = "FOLDER")]
    docs: Option<PathBuf>,
    /// Where the nodes keep their data; a new folder there is used and removed
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Benchmark::parse() {
        Benchmark::Chain(options) => run(&options),
        Benchmark::Register(options) => until_stopped(register::run(&options)),
        Benchmark::Queries(options) => until_stopped(queries::run(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "{} {error:#}",
                console::style("error:").for_stderr().red().bold()
            );
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let results = match &options.render {
        Some(file) => {
            let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            serde_json::from_slice(&text).context("these are no results of this program")?
        }
        None => until_stopped(measure_all(options))?,
    };
    document::print(&results);
    write_out(options, &results)?;
    if let Some(file) = &options.out {
        println!("\nResults: {}", file.display());
    }
    if let Some(docs) = &options.docs {
        document::write(&results, docs)?;
        println!("Documents: {}", docs.join("benchmarks.md").display());
    }
    Ok(())
}

/// Runs it to its end. Whoever ends this program early ends its nodes too: they are dropped with what is under
/// way.
fn until_stopped<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut stop = signal(SignalKind::terminate())?;
            tokio::select! {
                done = work => done,
                _ = tokio::signal::ctrl_c() => bail!("interrupted"),
                _ = stop.recv() => bail!("told to stop"),
            }
        })
}

async fn measure_all(options: &Options) -> Result<Results> {
    let program = process::xinqiao()?;
    let beside = program.parent().context("the program lies in a folder")?;
    let folder = options.folder.as_deref().unwrap_or(beside);
    // Beside the programs, not among the system's temporary files: those may lie in memory.
    let folder = tempfile::Builder::new()
        .prefix("bench-chain-")
        .tempdir_in(folder)?;
    let shown = Shown::new();
    shown.say("looking at the machine");
    let machine = machine::look(folder.path())?;

    let seconds = options
        .seconds
        .unwrap_or(if options.quick { 3 } else { 15 });
    let plan = Plan {
        action: options.action,
        seconds,
        in_flight: options.in_flight.max(1),
        calls: options.calls.max(1),
        batch: options.batch as usize,
        rate: options.rate.map(f64::from),
    };
    let setups = match (&options.engines[..], options.quick) {
        ([], quick) => (if quick { QUICK } else { SETUPS })
            .iter()
            .map(|setup| setup.parse())
            .collect::<Result<Vec<Setup>>>()?,
        (asked, _) => asked.to_vec(),
    };
    let mut results = Results {
        machine,
        settings: Settings {
            action: plan.action,
            seconds,
            in_flight: plan.in_flight,
            calls: plan.calls,
            batch: plan.batch,
            payload_bytes: 0,
            day: OffsetDateTime::now_utc().date().to_string(),
        },
        runs: Vec::new(),
        etcd: Outcome::NotAvailable("not reached".into()),
    };
    for setup in setups {
        let home = folder.path().join(setup.to_string());
        fs::create_dir_all(&home)?;
        let outcome = match measure::measure(&home, setup, plan, &shown).await {
            Ok((chain, bytes)) => {
                results.settings.payload_bytes = bytes;
                Outcome::Measured(chain)
            }
            Err(fault) => {
                shown.note(&format!("{setup} is not available: {fault:#}"));
                Outcome::NotAvailable(without_paths(&format!("{fault:#}")))
            }
        };
        // Ten nodes' data need not lie there while the next ones write theirs.
        fs::remove_dir_all(&home)?;
        results.runs.push(Run { setup, outcome });
        // A long run that is ended early has not been for nothing: `--render` draws what is there.
        write_out(options, &results)?;
    }

    results.etcd = if options.no_etcd {
        Outcome::NotAvailable("left out".into())
    } else if !etcd::is_installed().await {
        Outcome::NotAvailable("not installed: apt-get install etcd-server".into())
    } else {
        let home = folder.path().join(results::ETCD);
        fs::create_dir_all(&home)?;
        let plan = etcd::Plan {
            seconds,
            in_flight: plan.in_flight,
            bytes: results.settings.payload_bytes.max(64),
        };
        match etcd::measure(&home, plan, &shown).await {
            Ok(chain) => Outcome::Measured(chain),
            Err(fault) => Outcome::NotAvailable(without_paths(&format!("{fault:#}"))),
        }
    };
    Ok(results)
}

/// Writes the results' file, if one was asked for.
fn write_out(options: &Options, results: &Results) -> Result<()> {
    let Some(file) = &options.out else {
        return Ok(());
    };
    fs::write(file, serde_json::to_string_pretty(results)?)
        .with_context(|| format!("writing {}", file.display()))
}

/// A reason as it may stand in a document: one line, not too long, no folder of this machine in it.
fn without_paths(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| {
        !word
            .trim_start_matches(['"', '\'', '(', '`'])
            .starts_with('/')
    });
    let line: String = words.collect::<Vec<_>>().join(" ");
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_no_folder() {
        assert_eq!(
            without_paths("cannot open /home/me/x:\n  not \"/there\" at all"),
            "cannot open not at all"
        );
        assert_eq!(without_paths(&"long ".repeat(100)).len(), 200);
    }

    #[test]
    fn what_is_measured_without_asking_can_be_measured() {
        for setup in SETUPS.iter().chain(QUICK) {
            assert!(setup.parse::<Setup>().is_ok(), "{setup}");
        }
    }

    #[test]
    fn options_are_read() {
        let read = |args: &[&str]| {
            let read = Benchmark::try_parse_from([&["bench", "chain"], args].concat())?;
            match read {
                Benchmark::Chain(options) => Ok(options),
                Benchmark::Register(_) | Benchmark::Queries(_) => {
                    Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand))
                }
            }
        };
        let options = read(&["--engines", "solo,bft7", "--seconds", "2"]).unwrap();
        assert_eq!(options.engines.len(), 2);
        assert_eq!(options.seconds, Some(2));
        assert!(read(&["--engines", "bft2"]).is_err());
        assert!(read(&["--seconds", "0"]).is_err());
    }
}
