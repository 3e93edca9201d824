//! `xinqiao`: one program for everyone in the consortium. Wiring only: what it does lives in the
//! crates that it starts.

#![allow(unreachable_pub, reason = "one program: pub means for the rest of it")]

// First: its macros are for all after it.
#[macro_use]
mod output;

mod client;
mod commands;
mod config;
mod demo;
mod files;
mod genesis_file;
mod genesis_signature;
mod keyfiles;
mod progress;
mod render;
mod signals;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use clap::{Parser, Subcommand};

/// Blocks and records are made by one thread and dropped by another, which the C library's allocator pays for with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 信桥 XinQiao: a cross-regional credit-information consortium gateway.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by the ledger or a gateway (the reason code
/// is printed), 4 evidence or data that does not verify, 5 not reachable or too busy: the same command may succeed
/// later, 130 interrupted, 141 nobody read the output to its end.
#[derive(Debug, Parser)]
#[command(
    name = "xinqiao",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
    /// The command.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a ledger node: the validator, or a follower that re-executes every block; ask where one stands.
    Node(commands::node::Node),
    /// Run a regional gateway: takes institutions' orders and relays sealed reports.
    Gateway(commands::run::Start),
    /// Run a data-holding node: keeps its own replica, and delivers what the ledger has recorded.
    Holder(commands::run::Start),
    /// Run an institution's agent: signs orders, opens and verifies reports.
    Agent(commands::run::Start),
    /// Run a regulator's observer: follows and re-executes; cannot write.
    Observer(commands::run::Start),
    /// Run a whole consortium on this machine and show queries that succeed and that are refused.
    Demo(demo::Args),
    /// Make keys, certificates and shared secrets.
    #[command(subcommand)]
    Keys(commands::keys::Keys),
    /// Put a genesis together, look at one, sign it, and check who has signed it.
    #[command(subcommand)]
    Genesis(commands::genesis::GenesisCommand),
    /// Members of the consortium: list, admit, users, certificates, freeze.
    #[command(subcommand)]
    Member(commands::member::MemberCommand),
    /// Governance: put changes to the vote, vote, and see what became of them.
    #[command(subcommand)]
    Governance(commands::governance::GovernanceCommand),
    /// Validators: who certifies blocks, a new key for one's own, and what any was caught at.
    #[command(subcommand)]
    Validator(commands::validator::ValidatorCommand),
    /// Data sources: try a mapping on real data, register digests.
    #[command(subcommand)]
    Source(commands::source::SourceCommand),
    /// The item catalogue: look at it, check a file of one, write out the one in force.
    #[command(subcommand)]
    Catalogue(commands::catalogue::CatalogueCommand),
    /// Consent grants: grant, pause, resume, revoke, look at.
    #[command(subcommand)]
    Consent(commands::consent::ConsentCommand),
    /// Objections to what sources registered: file, resolve, withdraw, list.
    #[command(subcommand)]
    Objection(commands::objection::ObjectionCommand),
    /// Ask an institution's agent for a report.
    Query(commands::query::Query),
    /// Ask for reports of many enterprises as one job: start, follow, list, cancel.
    #[command(subcommand)]
    Job(commands::job::JobCommand),
    /// Be told when registered digests of consenting enterprises change.
    Watch(commands::watch::Watch),
    /// Orders as the ledger has them.
    #[command(subcommand)]
    Order(commands::order::OrderCommand),
    /// The access log: every attempt, the refused ones too.
    #[command(subcommand)]
    Audit(commands::audit::AuditCommand),
    /// Evidence of one order: export it, and verify it offline.
    #[command(subcommand)]
    Proof(commands::proof::ProofCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let started = AtomicUsize::new(0);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(workers)
        // The system counts processor time by thread: who waits for calls, and who executes and stores. Workers
        // are started first.
        .thread_name_fn(move || match started.fetch_add(1, Ordering::Relaxed) {
            number if number < workers => "worker".to_owned(),
            _ => "blocking".to_owned(),
        })
        .build()
    {
        Ok(runtime) => runtime,
        Err(fault) => {
            eprintln!("error: cannot start: {fault}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(cli.command, cli.json));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => render::failure(&fault, cli.json),
    }
}

async fn run(command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Node(node) => commands::node::run(node, json).await,
        Command::Gateway(start) => commands::run::gateway(&start).await,
        Command::Holder(start) => commands::run::holder(&start).await,
        Command::Agent(start) => commands::run::agent(&start).await,
        Command::Observer(start) => commands::run::observer(&start).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Keys(command) => commands::keys::run(command, json),
        Command::Genesis(command) => commands::genesis::run(command, json),
        Command::Member(command) => commands::member::run(command, json).await,
        Command::Governance(command) => commands::governance::run(command, json).await,
        Command::Validator(command) => commands::validator::run(command, json).await,
        Command::Source(command) => commands::source::run(command, json).await,
        Command::Catalogue(command) => commands::catalogue::run(command, json).await,
        Command::Consent(command) => commands::consent::run(command, json).await,
        Command::Objection(command) => commands::objection::run(command, json).await,
        Command::Query(query) => commands::query::run(query, json).await,
        Command::Job(command) => commands::job::run(command, json).await,
        Command::Watch(watch) => commands::watch::run(watch, json).await,
        Command::Order(command) => commands::order::run(command, json).await,
        Command::Audit(command) => commands::audit::run(command, json).await,
        Command::Proof(command) => commands::proof::run(command, json).await,
    }
}
