//! `cargo xtask bench register`: the digests of as many enterprises as 珠三角征信链 has published, registered into
//! four `bft` validators on this machine; and once more, when one in a hundred has changed.
//!
//! Four real `xinqiao node` processes. The data-holding node's part runs in this program, by the code that
//! `xinqiao source sync` runs: scan, canonical form, salts, digests, batches under one signature, and a replica of
//! its own that executes and verifies every block. Only the database is not there: records are made as they are
//! read (`crate::subjects`).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;
use xinqiao_data_adapters::Source as _;
use xinqiao_holder::{Holding, Keys, Registrar, SyncOptions, SyncReport, progress_bar};
use xinqiao_ledger::{
    ids::{ItemCode, SourceId},
    item::{PseudonymKey, SaltKey},
    validators::Engine,
};
use xinqiao_node::{Node, NodeConfig, Role, Upstream};

use crate::{
    consortium::{self, Consortium},
    machine,
    measure::part_of_machine,
    perf::Perf,
    process::Process,
    procfs::{Counters, folder_bytes},
    results::Machine,
    shown::Shown,
    subjects::{self, Invented, PUBLISHED_SUBJECTS},
};

/// Validators of the consortium.
const VALIDATORS: usize = 4;

/// One subject of so many has changed when the source is registered again.
const CHANGED_ONE_OF: u64 = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many enterprises: the published state of 珠三角征信链 if nothing is said
    #[arg(long, default_value_t = PUBLISHED_SUBJECTS, value_parser = clap::value_parser!(u64).range(1_000..=9_000_000))]
    subjects: u64,
    /// Where the results go, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The page that is written of them
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Where the nodes keep their data; a new folder there is used and removed
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// What one run over the source came to.
#[derive(Debug, Serialize)]
struct Pass {
    seconds: f64,
    subjects: u64,
    items: u64,
    registered: u64,
    superseded: u64,
    unchanged: u64,
    transactions: u64,
    wire_bytes: u64,
    /// Processor time of the data-holding node's part with its replica, seconds.
    holder_cpu: f64,
    /// Processor time of the four validators together, seconds.
    validators_cpu: f64,
    /// The part of the machine's processors that was at work, 0 to 1.
    busy: f64,
    /// Everyone else's part of them.
    others: f64,
    /// How long one thread was making records, and threads were digesting and comparing them, seconds.
    reading: f64,
    digesting: f64,
    /// The validators' processor time by stage, as parts of it.
    stages: Option<Vec<(String, f64)>>,
    /// The most memory that this program has had until the end of the run, in bytes.
    peak_memory: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    first: Pass,
    again: Pass,
    /// All files of a validator once it is stopped, on average, in bytes.
    validator_bytes: u64,
    /// The data-holding node's list of codes.
    list_bytes: u64,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let shown = Shown::new();
    let folder = match &options.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let machine = machine::look(folder.path())?;
    let figures = measure(options, folder.path(), machine, &shown).await?;
    drop(shown);
    let page = page(&figures);
    println!("{page}");
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

async fn measure(
    options: &Options,
    folder: &Path,
    machine: Machine,
    shown: &Shown,
) -> Result<Figures> {
    shown.say("founding four validators and starting them");
    let consortium = consortium::found(folder, Engine::Bft, VALIDATORS)?;
    let mut validators = Vec::new();
    for place in &consortium.validators {
        validators.push(Process::node(&place.config())?);
    }
    for one in &mut validators {
        one.ready().await?;
    }

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let node = Node::start(replica(&consortium), async {
        // Told or forgotten, it is time to stop.
        let _ = stopped.await;
    })
    .await?;
    let keys = Keys {
        holder: Arc::clone(&consortium.holder.holder),
        admin: Some(Arc::clone(&consortium.holder.admin)),
        pseudonym: PseudonymKey::from([7; 32]),
    };
    let org = consortium.follower.org.parse()?;
    let registrar = Registrar::new(node.replica.clone(), org, keys.clone());
    let state = folder.join("holder");
    let ids: Vec<u32> = validators.iter().map(Process::id).collect();
    let mut passes = Vec::new();
    for changed_one_of in [0, CHANGED_ONE_OF] {
        shown.say(if changed_one_of == 0 {
            "registering"
        } else {
            "registering what has changed"
        });
        let source = Invented {
            subjects: options.subjects,
            changed_one_of,
        };
        let holding = Arc::new(holding(source, &keys.pseudonym, &state)?);
        passes.push(pass(&registrar, &holding, &ids, folder).await?);
    }

    shown.say("stopping");
    drop(registrar);
    drop(stop);
    node.join().await?;
    for one in validators {
        one.stop().await;
    }
    let bytes: u64 = (consortium.validators.iter())
        .map(|place| folder_bytes(&place.data()))
        .sum();
    let mut passes = passes.into_iter();
    Ok(Figures {
        machine,
        first: passes.next().context("there is a first pass")?,
        again: passes.next().context("there is a second pass")?,
        validator_bytes: bytes / VALIDATORS as u64,
        list_bytes: fs::metadata(state.join("invented.codes"))?.len(),
    })
}

/// The data-holding node's own replica.
fn replica(consortium: &Consortium) -> NodeConfig {
    let mut config = NodeConfig::new(
        consortium.follower.data(),
        Arc::clone(&consortium.genesis),
        Role::Follower,
        consortium.holder.identity.clone(),
    );
    config.upstreams = (consortium.validators.iter())
        .map(|place| Upstream {
            org: place.org.clone(),
            uri: format!("https://{}", place.address),
        })
        .collect();
    config
}

fn holding(source: Invented, pseudonym: &PseudonymKey, state: &Path) -> Result<Holding> {
    let id: SourceId = "invented".parse()?;
    let items = (subjects::codes().iter())
        .map(|code| Ok(code.parse::<ItemCode>()?))
        .collect::<Result<Vec<_>>>()?;
    let name = source.describe().name;
    let salt = SaltKey::from([9; 32]);
    Ok(Holding::with_source(
        id,
        name,
        items,
        Box::new(source),
        salt,
        pseudonym.clone(),
        state,
    )?)
}

async fn pass(
    registrar: &Registrar,
    holding: &Arc<Holding>,
    validators: &[u32],
    folder: &Path,
) -> Result<Pass> {
    let options = SyncOptions {
        progress: progress_bar(holding),
        ..SyncOptions::default()
    };
    let mut perf = Perf::begin(folder, validators);
    let (begun, before) = (Instant::now(), Counters::read(validators)?);
    let SyncReport {
        subjects,
        items,
        registered,
        superseded,
        unchanged,
        transactions,
        bytes,
        reading,
        digesting,
        ..
    } = registrar.sync(holding, &options).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let used = Counters::read(validators)?.since(&before);
    perf.interrupt().await;
    let seen = perf.end().await;
    let in_seconds = |micros: u64| Duration::from_micros(micros).as_secs_f64();
    Ok(Pass {
        seconds,
        subjects,
        items,
        registered,
        superseded,
        unchanged,
        transactions,
        wire_bytes: bytes,
        holder_cpu: in_seconds(used.client),
        validators_cpu: in_seconds(used.processes),
        busy: part_of_machine(used.machine, seconds),
        others: part_of_machine(used.others(), seconds),
        reading: reading.as_secs_f64(),
        digesting: digesting.as_secs_f64(),
        stages: seen.stages,
        peak_memory: peak_memory(),
    })
}

/// The most memory that this process has had, in bytes; 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = (status.lines()).find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// A number with its thousands apart.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut apart = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// The figures, a line each: what, of the first pass, of the second.
fn rows(figures: &Figures) -> Vec<[String; 3]> {
    let both = |name: &str, figure: &dyn Fn(&Pass) -> String| {
        [
            name.to_owned(),
            figure(&figures.first),
            figure(&figures.again),
        ]
    };
    let each = |seconds: f64, pass: &Pass| {
        let micros = seconds * 1e6 / pass.subjects.max(1) as f64;
        format!("{seconds:.1} s ({micros:.1} µs a subject)")
    };
    let per_subject = |bytes: u64| {
        let each = bytes as f64 / figures.first.subjects.max(1) as f64;
        format!("{:.2} GB ({each:.0} bytes a subject)", bytes as f64 / 1e9)
    };
    vec![
        both("subjects in the source", &|pass| {
            thousands(pass.subjects as f64)
        }),
        both("items digested", &|pass| thousands(pass.items as f64)),
        both("registered", &|pass| thousands(pass.registered as f64)),
        both("superseded", &|pass| thousands(pass.superseded as f64)),
        both("unchanged", &|pass| thousands(pass.unchanged as f64)),
        both("time", &|pass| format!("{:.1} s", pass.seconds)),
        both("subjects a second", &|pass| {
            thousands(pass.subjects as f64 / pass.seconds)
        }),
        both("items a second", &|pass| {
            thousands(pass.items as f64 / pass.seconds)
        }),
        both("transactions", &|pass| thousands(pass.transactions as f64)),
        both("bytes on the wire, once", &|pass| {
            thousands(pass.wire_bytes as f64)
        }),
        both("processor time of the data-holding node", &|pass| {
            each(pass.holder_cpu, pass)
        }),
        both("of it making records and their canonical form", &|pass| {
            each(pass.reading, pass)
        }),
        both("of it salts, digests, comparing", &|pass| {
            each(pass.digesting, pass)
        }),
        both("processor time of four validators", &|pass| {
            each(pass.validators_cpu, pass)
        }),
        both("processors at work", &|pass| {
            format!("{:.0} %", pass.busy * 100.0)
        }),
        both("of it other programs", &|pass| {
            format!("{:.0} %", pass.others * 100.0)
        }),
        both("most memory of the data-holding node", &|pass| {
            format!("{:.0} MB", pass.peak_memory as f64 / 1e6)
        }),
        [
            "files of one validator".into(),
            String::new(),
            per_subject(figures.validator_bytes),
        ],
        [
            "list of codes of the data-holding node".into(),
            String::new(),
            per_subject(figures.list_bytes),
        ],
    ]
}

/// Where the processor time went, largest first.
fn stages(pass: &Pass) -> Vec<(String, f64)> {
    let all = pass.validators_cpu;
    let mut stages: Vec<(String, f64)> = (pass.stages.iter().flatten())
        .map(|(stage, share)| (stage.clone(), share * all))
        .collect();
    stages.sort_by(|left, right| right.1.total_cmp(&left.1));
    stages
}

/// The figures as a terminal shows them.
fn page(figures: &Figures) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["", "first time", "one in a hundred changed"]);
    table.add_rows(rows(figures));
    let mut split = Table::new();
    split.load_style(UTF8_FULL_CONDENSED);
    split.set_header(["stage of the validators", "processor time, first time (s)"]);
    split.add_rows(
        stages(&figures.first)
            .into_iter()
            .map(|(stage, seconds)| [stage, format!("{seconds:.1}")]),
    );
    format!("{table}\n{split}")
}

/// The figures as a document.
fn document(figures: &Figures) -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "# Benchmark of registration\n\nMade by `cargo xtask bench register` in one run, on one machine; run it again and this page is \
         written anew.\n\nFour `bft` validators, each a process of its own with fsync on, and a data-holding node's registration with a \
         replica of its own, all on this machine. Records have 18.3 items each, with values from 512 sets that are made up \
         beforehand; they are put into canonical form as they are read, salted and digested as real ones are. A database to \
         read them from is not part of it.\n\n",
    );
    let _ = writeln!(text, "{}\n", figures.machine.in_words());
    let _ = writeln!(
        text,
        "| | first time | one in a hundred changed |\n|---|---:|---:|"
    );
    for [name, first, again] in rows(figures) {
        let _ = writeln!(text, "| {name} | {first} | {again} |");
    }
    let _ = writeln!(
        text,
        "\n## Where the validators' processor time goes, first time\n\n| stage | s |\n|---|---:|"
    );
    for (stage, seconds) in stages(&figures.first) {
        let _ = writeln!(text, "| {stage} | {seconds:.1} |");
    }
    text
}
