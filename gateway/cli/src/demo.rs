//! `xinqiao demo`: a whole consortium on this machine, as separate processes with their own keys,
//! certificates and data folders. Everything is done through the same configuration files, commands
//! and calls that operators and banks use.

mod found;
mod processes;
mod real;
mod scenario;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use futures::future::join_all;
use serde_json::Value;
use tokio::process::Command;
use xinqiao_data_adapters::generate;
use xinqiao_dispatch::pseudonym::UserKey;
use xinqiao_ledger::{
    validators::Engine,
    wire::{self, tx_body::Action},
};

use self::{
    found::{BANK, BUREAUS, Consortium, REGULATOR, SourcePlan},
    processes::Process,
};
use crate::{
    client::Client,
    commands::{genesis::AgreeBy, member::Seal},
    config::Telemetry,
    keyfiles, progress, render,
    signals::Asked,
};

/// The user of the bank who asks in the demo.
pub const CLERK: &str = "clerk-7";

/// What the demo is to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many enterprises to invent.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    enterprises: u32,
    /// Seed of the invention: the same seed, the same enterprises.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Digest and serve the CSV files of company registrations in this folder instead.
    #[arg(long)]
    data: Option<PathBuf>,
    /// With --data: how many cross-region queries to answer.
    #[arg(long, default_value_t = 1_000, requires = "data")]
    queries: usize,
    /// With --data: how many of them are under way at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000), requires = "data")]
    at_once: u16,
    /// Put the consortium into this new folder; without it, into one that is removed at the end.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leave everything running until ctrl-C, and print how to query it by hand.
    #[arg(long)]
    keep: bool,
    /// Start everything and ask nothing; with --keep, to ask by hand.
    #[arg(long, requires = "keep")]
    no_queries: bool,
    /// How the bureaus' nodes agree: bft (four validators, one may crash or lie), raft (three, one may
    /// crash) or solo (one).
    #[arg(long, value_enum, default_value_t = AgreeBy::Bft)]
    engine: AgreeBy,
    /// How the bank has its reports sealed: for delivery groups (mls), or in digital envelopes.
    #[arg(long, value_enum, default_value_t = Seal::Mls)]
    seal: Seal,
    /// How many data-holding nodes each source has: of several, one may be killed and the others serve.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    holders: u8,
    /// Send traces to this OTLP collector, `http://host:port`.
    #[arg(long)]
    otlp: Option<String>,
}

/// Runs the demo; ctrl-C stops everything it started.
pub async fn run(args: Args) -> Result<()> {
    let asked = Asked::listen()?;
    let mut running = Vec::new();
    let done = tokio::select! {
        done = whole(&args, &mut running) => done,
        () = asked.come() => {
            eprintln!("\nstopping");
            Ok(())
        }
    };
    stop(running).await;
    done
}

async fn stop(running: Vec<Process>) {
    // Agents and gateways go first, so that nobody waits for one that has gone; those of a kind together.
    let mut rest = running;
    for kind in ["agent", "gateway", "holder", "observer", "node"] {
        let (these, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|process| process.is(kind));
        rest = others;
        join_all(these.into_iter().map(Process::stop)).await;
    }
}

async fn whole(args: &Args, running: &mut Vec<Process>) -> Result<()> {
    let begun = Instant::now();
    let temporary;
    let dir = match &args.dir {
        Some(dir) => {
            if dir
                .read_dir()
                .is_ok_and(|mut entries| entries.next().is_some())
            {
                bail!("{} is not empty; name a new folder", dir.display());
            }
            std::fs::create_dir_all(dir)?;
            std::path::absolute(dir)?
        }
        None => {
            temporary = tempfile::Builder::new().prefix("xinqiao-demo-").tempdir()?;
            temporary.path().to_owned()
        }
    };
    let telemetry = Telemetry {
        otlp: args.otlp.clone(),
        ..Telemetry::default()
    };

    head("Founding a consortium 组建联盟");
    let data = match &args.data {
        Some(folder) => Data::Real(real::plan(folder, &dir)?),
        None => Data::Invented(generate::generate(
            &dir.join("records"),
            args.seed,
            args.enterprises as usize,
        )?),
    };
    let engine = Engine::from(args.engine);
    let consortium = found::found(&dir, &data.plans()?, engine, args.holders, &telemetry)?;
    println!(
        "  four bureaus, {} of them with a validator (engine {}), one bank, one regulator;\n  keys, certificates and genesis in {}",
        engine.least(),
        render::engine(engine),
        dir.display()
    );

    head("Starting the nodes 启动节点");
    for bureau in &BUREAUS {
        start(running, &consortium, bureau.org, "node").await?;
    }
    start(running, &consortium, REGULATOR, "observer").await?;

    head("Registering digests 登记摘要");
    let mut reports = Vec::new();
    for bureau in &consortium.serving {
        reports.extend(sync(&consortium, bureau).await?);
    }
    println!("{}", sync_table(&reports));

    head("Starting data-holding nodes, gateways and the bank's agent 启动数据节点、网关与机构代理");
    for bureau in &consortium.serving {
        for node in 0..args.holders {
            let file = found::holder(node);
            start_from(running, &consortium, bureau, "holder", &file).await?;
        }
    }
    for bureau in &consortium.serving {
        start(running, &consortium, bureau, "gateway").await?;
    }
    open_clerk(&consortium).await?;
    choose_seal(&consortium, args.seal).await?;
    start(running, &consortium, BANK, "agent").await?;

    match &data {
        _ if args.no_queries => scenario::consent_for_first(&consortium, &data.known()).await?,
        Data::Invented(generated) => scenario::run(&consortium, generated, running).await?,
        Data::Real(real) => {
            let at_once = usize::from(args.at_once);
            real::run(&consortium, real, &reports, args.queries, at_once).await?;
        }
    }
    println!(
        "\nThe whole demo took {:.1} s.",
        begun.elapsed().as_secs_f64()
    );
    if args.keep {
        by_hand(&consortium, &data)?;
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// What the holders serve.
enum Data {
    Invented(generate::Generated),
    Real(real::Real),
}

impl Data {
    fn plans(&self) -> Result<Vec<SourcePlan>> {
        match self {
            Self::Real(real) => real.plans(),
            Self::Invented(generated) => generated
                .sources
                .iter()
                .map(|source| {
                    let bureau = BUREAUS
                        .iter()
                        .position(|bureau| bureau.place == source.region.code())
                        .with_context(|| format!("no bureau in the region of {}", source.name))?;
                    Ok(SourcePlan {
                        bureau,
                        source: source.name.parse()?,
                        name: source.name_zh.to_owned(),
                        mapping: source.mapping.clone(),
                    })
                })
                .collect(),
        }
    }
}

impl Data {
    /// Codes of enterprises to ask for; the first one has given consent.
    fn known(&self) -> Vec<String> {
        match self {
            Self::Invented(generated) => {
                let mut broad: Vec<_> = generated.enterprises.iter().collect();
                broad.sort_by_key(|one| std::cmp::Reverse(one.holdings.len()));
                broad
                    .iter()
                    .map(|one| one.uscc.expose().to_owned())
                    .collect()
            }
            Self::Real(real) => real.examples(),
        }
    }
}

/// A heading.
pub fn head(text: &str) {
    println!("\n{}", console::style(text).bold().cyan());
}

async fn start(
    running: &mut Vec<Process>,
    consortium: &Consortium,
    org: &str,
    kind: &str,
) -> Result<()> {
    start_from(running, consortium, org, kind, kind).await
}

/// Starts a process from the configuration file of that name.
async fn start_from(
    running: &mut Vec<Process>,
    consortium: &Consortium,
    org: &str,
    kind: &str,
    file: &str,
) -> Result<()> {
    let waiting = progress::spinner(format!("{org}/{file}"));
    let config = consortium.config(org, file);
    consortium.give_up_port(&config)?;
    let mut process = Process::start(org, kind, &config).await?;
    process.name = format!("{org}/{file}");
    waiting.finish_and_clear();
    println!("  {} {}", console::style("✓").green(), process.name);
    running.push(process);
    Ok(())
}

/// Runs `xinqiao source sync` as a bureau's operator would; its progress shows on the terminal.
async fn sync(consortium: &Consortium, org: &str) -> Result<Vec<Value>> {
    let config = consortium.config(org, "holder");
    let out = Command::new(std::env::current_exe()?)
        .args(["--json", "source", "sync", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start xinqiao source sync")?;
    if !out.status.success() {
        bail!(
            "xinqiao source sync --config {} failed ({})",
            config.display(),
            out.status
        );
    }
    serde_json::from_slice(&out.stdout).context("xinqiao source sync did not print its report")
}

fn sync_table(reports: &[Value]) -> comfy_table::Table {
    let mut table = render::table([
        "source",
        "subjects",
        "items",
        "registered",
        "bad rows",
        "seconds",
        "subjects/s",
    ]);
    for report in reports {
        let number = |name: &str| report[name].as_u64().unwrap_or(0);
        let seconds = report["elapsed_ms"].as_f64().unwrap_or(0.0) / 1_000.0;
        table.add_row([
            report["source"].as_str().unwrap_or("?").to_owned(),
            number("subjects").to_string(),
            number("items").to_string(),
            number("registered").to_string(),
            number("bad_rows").to_string(),
            format!("{seconds:.2}"),
            format!(
                "{:.0}",
                report["subjects"].as_f64().unwrap_or(0.0) / seconds.max(0.001)
            ),
        ]);
    }
    table
}

/// The bank opens its clerk on the ledger: by pseudonym, signed with its admin key.
async fn open_clerk(consortium: &Consortium) -> Result<()> {
    let key = keyfiles::secret32(&consortium.dir.join(BANK).join("keys/user.key"))?;
    let user = UserKey::from(key).user(&BANK.parse()?, CLERK);
    let client = Client::open(&consortium.profile(BANK))?;
    let admin = client.admin_key()?;
    client
        .submit(
            Action::OpenUser(wire::OpenUser {
                user: user.to_vec(),
            }),
            &admin,
        )
        .await?;
    println!(
        "  {} the bank opened its user {CLERK} under a pseudonym",
        console::style("✓").green()
    );
    Ok(())
}

/// The bank chooses how its reports are sealed, signed with its admin key.
async fn choose_seal(consortium: &Consortium, seal: Seal) -> Result<()> {
    let client = Client::open(&consortium.profile(BANK))?;
    client.submit(seal.choose(), &client.admin_key()?).await?;
    let words = match seal {
        Seal::Mls => "for delivery groups of each data-holding node and the bank's agents (MLS)",
        Seal::Envelope => "in digital envelopes to its SM2 key",
    };
    println!(
        "  {} the bank has its reports sealed {words}",
        console::style("✓").green()
    );
    Ok(())
}

/// Says how to go on by hand, and leaves the same for programs in `running.json`.
fn by_hand(consortium: &Consortium, data: &Data) -> Result<()> {
    head("Everything is running; ctrl-C stops it 运行中");
    let agent = format!("http://{}", consortium.agent);
    let bureau = consortium.profile(BUREAUS[1].org);
    let inspector = consortium.profile(REGULATOR);
    let known = data.known();
    let (uscc, purpose) = (
        known.first().cloned().unwrap_or_default(),
        scenario::PURPOSE,
    );
    let more = known[1..known.len().min(4)].join(" ");
    let show = |path: &Path| path.display().to_string();
    let program = std::env::current_exe().unwrap_or_else(|_| "xinqiao".into());
    println!(
        "  the agent listens at {}; it takes plain gRPC from this machine",
        consortium.agent
    );
    println!("  an enterprise with consent: {uscc}");
    if !more.is_empty() {
        println!("  more enterprises: {more}");
    }
    println!("\nfor the programs of docs/integrating.md:");
    println!("  export XINQIAO_AGENT={agent} XINQIAO_USCC={uscc} XINQIAO_PURPOSE={purpose}");
    println!("  export XINQIAO_OTHERS=\"{more}\"");
    println!("\n  alias xinqiao={}", show(&program));
    println!("  xinqiao query --agent {agent} {uscc} --purpose {purpose}");
    println!("  xinqiao consent list --profile {} {uscc}", show(&bureau));
    println!("  xinqiao audit access --profile {}", show(&inspector));
    println!("  xinqiao order list --profile {}", show(&inspector));
    println!(
        "\n  buf curl --schema proto --protocol grpc --http2-prior-knowledge \\\n    -d '{{\"uscc\":\"{uscc}\",\"purpose\":\"{purpose}\",\"user\":\"{CLERK}\"}}' \\\n    {agent}/xinqiao.v1.ReportService/QueryReport"
    );
    let running = serde_json::json!({
        "agent": agent,
        "genesis": consortium.genesis(),
        "profiles": BUREAUS.iter().map(|bureau| bureau.org).chain([BANK, REGULATOR])
            .map(|org| (org.to_owned(), serde_json::json!(consortium.profile(org))))
            .collect::<serde_json::Map<_, _>>(),
        "purpose": purpose,
        "user": CLERK,
        "enterprises": known,
    });
    std::fs::write(
        consortium.dir.join("running.json"),
        format!("{running:#}\n"),
    )?;
    Ok(())
}

/// Size of a folder, in bytes.
pub fn folder_size(dir: &Path) -> u64 {
    let Ok(entries) = dir.read_dir() else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
