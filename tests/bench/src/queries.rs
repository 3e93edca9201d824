//! `cargo xtask bench queries`: what a query takes from end to end, and whether it takes longer once the ledger has the
//! digests of millions of enterprises more.
//!
//! The consortium is the demo's: four `bft` validators, gateways, data-holding nodes, an observer and a bank's agent,
//! thirteen processes. Between the measurements another source registers, by `xinqiao source sync`; it holds nothing of
//! who is asked about, so that what is measured is the state's size and nothing else.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::process::Command;
use xinqiao_it::{Consortium, people::Kind};
use xinqiao_ledger::wire::{self, report_service_client::ReportServiceClient};
use xinqiao_rpc::{RpcChannel, limited};

use crate::{
    machine,
    percentile::Latency,
    process,
    procfs::Counters,
    results::Machine,
    shown::Shown,
    subjects::{Invented, PUBLISHED_SUBJECTS},
};

/// The machine is idle when this many seconds in a row ...
const QUIET_SECONDS: u32 = 3;

/// ... took less than this of all its processors, in microseconds.
const QUIET_MICROS: u64 = 100_000;

/// How long it may take to be.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);

/// Queries before each measurement that are not counted.
const WARM_UP: usize = 30;

/// Whose data-holding node the further source belongs to.
const BUREAU: &str = "sh-bureau";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many enterprises in the second measurement: the published state of 珠三角征信链 if nothing is said
    #[arg(long, default_value_t = PUBLISHED_SUBJECTS, value_parser = clap::value_parser!(u64).range(100..=9_000_000))]
    subjects: u64,
    /// How many in the first
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(100..=9_000_000))]
    few: u64,
    /// Queries of each measurement
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    queries: u32,
    /// Where the results go, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The page that is written of them
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// Queries by so many who each ask again as soon as they have their answer.
#[derive(Debug, Serialize)]
struct Asked {
    at_once: usize,
    per_second: f64,
    latency: Latency,
}

/// What was measured with so many enterprises on the ledger.
#[derive(Debug, Serialize)]
struct State {
    subjects: u64,
    /// How long after registration the machine was busy with it, in seconds.
    settled_after: f64,
    asked: Vec<Asked>,
}

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    states: Vec<State>,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let shown = Shown::new();
    shown.say("starting the demo's consortium");
    let mut consortium = Consortium::start().await;
    let machine = machine::look(consortium.dir())?;
    let further = Further::prepare(&consortium)?;
    let (uscc, purpose, user) = {
        let running = consortium.running();
        let first = running
            .enterprises
            .first()
            .context("there are enterprises")?;
        (first.clone(), running.purpose.clone(), running.user.clone())
    };
    let mut asking = Asking {
        agent: consortium.people().agent(),
        request: wire::QueryReportRequest {
            uscc,
            purpose,
            user,
            ..wire::QueryReportRequest::default()
        },
    };
    asking.request.items = of_two_sources(&asking.once().await?)?;
    let mut states = Vec::new();
    for subjects in [options.few, options.subjects.max(options.few)] {
        shown.say(format!(
            "registering until there are {subjects} enterprises"
        ));
        further.register(subjects).await?;
        shown.say("waiting for what follows registration to end");
        let settled_after = settled().await?.as_secs_f64();
        shown.say(format!("asking, with {subjects} enterprises on the ledger"));
        let mut asked = Vec::new();
        for at_once in [1, 8, 64] {
            asked.push(asking.many(at_once, options.queries as usize).await?);
        }
        states.push(State {
            subjects,
            settled_after,
            asked,
        });
    }
    shown.say("stopping");
    consortium.stop().await;
    drop(shown);
    let figures = Figures { machine, states };
    println!("{}", table(&figures));
    if let Some(out) = &options.out {
        fs::write(out, serde_json::to_vec_pretty(&figures)?)
            .with_context(|| format!("writing {}", out.display()))?;
    }
    if let Some(file) = &options.page {
        fs::write(file, document(&figures))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// A source beside the demo's own.
struct Further {
    config: PathBuf,
    mapping: PathBuf,
    rows: PathBuf,
}

impl Further {
    /// Writes its configuration: the bureau's own keys and certificate, another replica and another source.
    fn prepare(consortium: &Consortium) -> Result<Self> {
        let own = consortium.people().config(BUREAU, Kind::Holder);
        let folder = own.parent().context("a configuration lies in a folder")?;
        let mut config: toml::Table = fs::read_to_string(&own)?.parse()?;
        for (name, value) in [
            ("data_dir", "data/further-holder"),
            ("spool_dir", "data/further-spool"),
            ("listen", "127.0.0.1:0"),
        ] {
            config.insert(name.into(), value.into());
        }
        let (mapping, rows) = (folder.join("further.toml"), folder.join("further.csv"));
        let salt = "keys/salt-further.key";
        fs::write(folder.join(salt), hex::encode([9; 32]))?;
        let source: toml::Table = [
            ("source", "further".to_owned()),
            ("name", "更多 Further".to_owned()),
            ("mapping", mapping.display().to_string()),
            ("salt_key", salt.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into_iter()
        .collect();
        config.insert("sources".into(), toml::Value::Array(vec![source.into()]));
        let further = Self {
            config: folder.join("further-holder.toml"),
            mapping,
            rows,
        };
        fs::write(&further.config, toml::to_string(&config)?)?;
        fs::write(&further.mapping, MAPPING)?;
        Ok(further)
    }

    /// Brings the ledger to so many enterprises of this source.
    async fn register(&self, subjects: u64) -> Result<()> {
        let rows = self.rows.clone();
        tokio::task::spawn_blocking(move || write_rows(&rows, subjects)).await??;
        let log = self.config.with_extension("log");
        let status = Command::new(process::xinqiao()?)
            .args(["source", "sync", "--json", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::create(self.config.with_extension("err"))?)
            .kill_on_drop(true)
            .status()
            .await?;
        if !status.success() {
            let said = fs::read_to_string(self.config.with_extension("err")).unwrap_or_default();
            bail!("the further source was not registered: {said}");
        }
        Ok(())
    }
}

/// Waits until the machine has next to nothing to do: stores merge for a while what was registered, and replicas
/// catch up. Gives how long that took.
async fn settled() -> Result<Duration> {
    let begun = Instant::now();
    let mut quiet = 0;
    let mut before = Counters::read(&[])?;
    while quiet < QUIET_SECONDS {
        ensure!(
            begun.elapsed() < SETTLED_WITHIN,
            "the machine is still busy {SETTLED_WITHIN:?} after registration: something else runs on it"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = Counters::read(&[])?;
        let busy = now.since(&before).machine;
        before = now;
        quiet = if busy < QUIET_MICROS { quiet + 1 } else { 0 };
    }
    Ok(begun.elapsed())
}

/// How its file is read.
const MAPPING: &str = r#"[source]
name = "further"
kind = "csv"
paths = ["further.csv"]
encoding = "utf-8"
subject = "uscc"
as_of = { column = "as_of" }

[[item]]
code = "customs"
fields = [
  { name = "period", column = "period", type = "text", max_length = 16 },
  { name = "declarations", column = "declarations", type = "integer" },
]
"#;

fn write_rows(file: &Path, subjects: u64) -> Result<()> {
    let mut rows = BufWriter::new(File::create(file)?);
    writeln!(rows, "uscc,as_of,period,declarations")?;
    for number in 0..subjects {
        let uscc = Invented::uscc(number);
        writeln!(rows, "{},2026-06-30,2026H1,{}", uscc.expose(), number % 997)?;
    }
    Ok(rows.flush()?)
}

/// One who asks for the same enterprise's whole report.
struct Asking {
    agent: RpcChannel,
    request: wire::QueryReportRequest,
}

impl Asking {
    /// Asks once; all parts must have been delivered.
    async fn once(&self) -> Result<wire::QueryReportResponse> {
        let mut agent = limited!(sealed: ReportServiceClient::new(self.agent.clone()));
        let answer = agent.query_report(self.request.clone()).await?.into_inner();
        let whole = (answer.parts.iter()).all(|part| {
            matches!(
                part.status(),
                wire::PartStatus::Delivered | wire::PartStatus::Confirmed
            )
        });
        ensure!(
            whole && !answer.sections.is_empty(),
            "an answer is not whole"
        );
        Ok(answer)
    }

    async fn many(&self, at_once: usize, queries: usize) -> Result<Asked> {
        for _ in 0..WARM_UP {
            self.once().await?;
        }
        let begun = Instant::now();
        let latencies: Vec<Duration> = stream::iter(0..queries)
            .map(|_| async {
                let begun = Instant::now();
                self.once().await?;
                anyhow::Ok(begun.elapsed())
            })
            .buffer_unordered(at_once)
            .try_collect()
            .await?;
        let per_second = queries as f64 / begun.elapsed().as_secs_f64();
        let micros = latencies.iter().map(|one| one.as_micros() as u64);
        Ok(Asked {
            at_once,
            per_second,
            latency: Latency::of(micros.collect()),
        })
    }
}

/// Two items of which each has one source, and not the same.
fn of_two_sources(whole: &wire::QueryReportResponse) -> Result<Vec<String>> {
    let mut alone = whole.items.iter().filter_map(|item| {
        let [section] = item.sections[..] else {
            return None;
        };
        let section = whole.sections.get(section as usize)?;
        Some((&section.source, &item.item))
    });
    let (source, first) = alone.next().context("an item has one source")?;
    let (_, second) = alone
        .find(|(other, _)| *other != source)
        .context("another has another source")?;
    let mut items = vec![first.clone(), second.clone()];
    items.sort();
    Ok(items)
}

const HEAD: [&str; 6] = [
    "enterprises on the ledger",
    "asking at once",
    "queries a second",
    "p50 (ms)",
    "p99 (ms)",
    "p50 against the fewer",
];

fn rows(figures: &Figures) -> Vec<[String; 6]> {
    let few = figures.states.first();
    let mut rows = Vec::new();
    for state in &figures.states {
        for (index, asked) in state.asked.iter().enumerate() {
            let fewer = few.and_then(|few| few.asked.get(index));
            let ratio = fewer.map_or(1.0, |few| asked.latency.p50 / few.latency.p50);
            rows.push([
                state.subjects.to_string(),
                asked.at_once.to_string(),
                format!("{:.0}", asked.per_second),
                format!("{:.1}", asked.latency.p50),
                format!("{:.1}", asked.latency.p99),
                format!("{ratio:.2}"),
            ]);
        }
    }
    rows
}

fn table(figures: &Figures) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(HEAD);
    table.add_rows(rows(figures));
    table
}

fn document(figures: &Figures) -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "# Benchmark of queries\n\nMade by `cargo xtask bench queries` in one run, on one machine; run it again and this page is written \
         anew.\n\nThe demo's consortium: four `bft` validators, three gateways, three data-holding nodes, an observer and a bank's \
         agent, each a process of its own, all on this machine. Between the two measurements a further source registers the \
         digests of enterprises that nobody asks about.\n\n",
    );
    let settled: Vec<String> = (figures.states.iter())
        .map(|state| format!("{:.0} s after {}", state.settled_after, state.subjects))
        .collect();
    let _ = writeln!(
        text,
        "{}\n\nEach query is for two items of two sources: an order, two parts that are read, sealed, recorded, delivered, \
         opened and verified, and two confirmations. Everybody asks again as soon as the answer is there. A measurement begins \
         once the machine is idle: stores merge for a while what was registered ({}).\n",
        figures.machine.in_words(),
        settled.join(", "),
    );
    let _ = writeln!(
        text,
        "| {} |\n|---:|---:|---:|---:|---:|---:|",
        HEAD.join(" | ")
    );
    for row in rows(figures) {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}
