//! `cargo xtask`: the commands that people and CI run. It brings a machine to the point where the
//! workspace builds and tests, and then runs exactly that.
//!
//! It is not a build system (cargo is) and holds no logic of the product: it depends on none of our crates,
//! so that it compiles in seconds on a machine that has nothing but a Rust toolchain.

mod cache;
mod cargo;
mod check;
mod machine;
mod python;
mod setup;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::setup::Purpose;

#[derive(Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    about = "Sets up, builds, tests and shows XinQiao"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what this machine lacks, or name the exact command that does
    Setup {
        /// What the benchmarks compare with and look through too: etcd and perf
        #[arg(long)]
        bench: bool,
    },
    /// Set up, build and run the demo: three regions, a bank and a regulator on this machine
    #[command(after_help = "ARGS go to `xinqiao demo`; `cargo xtask demo -- --help` lists them.")]
    Demo {
        /// Arguments of `xinqiao demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Set up, build and run the whole workspace's tests
    #[command(
        after_help = "ARGS go to `cargo nextest run` where it is installed, else to `cargo test`."
    )]
    Test {
        /// Arguments of the test runner; with any given, only what they select is run
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run what CI runs: formatting, clippy, buf lint, tests; changes no file
    Check,
    /// Run the seeded simulation of a consortium and print seeds/s; a seed that fails is named with the command that
    /// replays it
    #[command(
        after_help = "ARGS go to the simulator: `--engine raft --nodes 3`, say, or `--consortium` for runs with contracts and holders; `cargo xtask sim -- --help` lists them."
    )]
    Sim {
        /// Arguments of the simulator
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run a benchmark and print its comparison
    Bench {
        /// What to measure
        #[command(subcommand)]
        what: Bench,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// SM2 verification of a known member, beside the sm2 crate's own and OpenSSL's
    Sm2,
    /// Whole consortiums on this machine with fsync on, and etcd beside them; writes docs/benchmarks.md
    #[command(
        after_help = "ARGS go to the benchmark; `cargo xtask bench chain -- --help` lists them. The first run \
                      builds everything for release."
    )]
    Chain(Whole),
    /// The digests of 5,089,500 enterprises registered into four validators; writes docs/benchmarks/registration.md
    #[command(
        after_help = "ARGS go to the benchmark; `cargo xtask bench register -- --help` lists them. It needs 10 GB of \
                      disk and five to ten minutes; `-- --subjects 50000` is a brief one."
    )]
    Register(Whole),
    /// Queries from end to end, with 50,000 and with 5,089,500 enterprises on the ledger; writes
    /// docs/benchmarks/queries.md
    #[command(
        after_help = "ARGS go to the benchmark; `cargo xtask bench queries -- --help` lists them. It needs 20 GB of \
                      disk and some fifteen minutes; `-- --subjects 100000` is a brief one."
    )]
    Queries(Whole),
}

/// How whole consortiums are measured.
#[derive(clap::Args)]
struct Whole {
    /// Measure the build that the demo and the tests use: nothing is compiled again, and it is slower
    #[arg(long)]
    dev: bool,
    /// Arguments of the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Whole {
    fn become_bench(&self, what: &str) -> anyhow::Result<ExitCode> {
        setup::run(Purpose::Build)?;
        setup::bench(false)?;
        cargo::build_for_bench(self.dev)?;
        cargo::become_consortium_bench(self.dev, what, &self.args)
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!(
                "{} {error:#}",
                console::style("error:").for_stderr().red().bold()
            );
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Setup { bench } => {
            setup::run(Purpose::Check)?;
            if bench {
                setup::bench(true)?;
            }
            println!("This machine has everything that the build, the tests and the demo need.");
            Ok(ExitCode::SUCCESS)
        }
        Task::Demo { args } => {
            setup::run(Purpose::Build)?;
            cargo::build_for_demo()?;
            cargo::become_demo(&args)
        }
        Task::Test { args } => {
            let tools = setup::run(Purpose::Test)?;
            cargo::become_test_runner(&args, &tools)
        }
        Task::Check => {
            let tools = setup::run(Purpose::Check)?;
            check::run(&tools)
        }
        Task::Sim { args } => {
            setup::run(Purpose::Build)?;
            cargo::build_for_demo()?;
            cargo::become_simulator(&args)
        }
        Task::Bench { what } => match what {
            Bench::Sm2 => {
                setup::run(Purpose::Test)?;
                cargo::become_bench("xinqiao-crypto", "sm2_verify")
            }
            Bench::Chain(whole) => whole.become_bench("chain"),
            Bench::Register(whole) => whole.become_bench("register"),
            Bench::Queries(whole) => whole.become_bench("queries"),
        },
    }
}
