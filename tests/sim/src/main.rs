//! `xinqiao-sim`: runs many seeds, shows how it goes, and names the command that replays a failure.

use std::{process::ExitCode, time::Instant};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use xinqiao_sim::{
    kind::{Alone, Byzantine, Crash, Kind},
    run::{Plan, Report, run},
    scheme::{Cheap, Sm2},
};

/// Simulates a consortium, one run for each seed: its consensus alone, or all of it.
#[derive(Debug, Parser)]
#[command(name = "xinqiao-sim")]
struct Args {
    /// Which engine.
    #[arg(long, value_enum, default_value_t = Which::Bft)]
    engine: Which,
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many validators.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    nodes: u8,
    /// Sign with SM2, as the product does, instead of cheaply.
    #[arg(long)]
    sm2: bool,
    /// Whole consortiums: real contracts, clients whose consents come and go, and holders that deliver.
    #[arg(long)]
    consortium: bool,
}

/// The engines that can be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Fewer than a third of the validators may be faulty in any way.
    Bft,
    /// A minority of the validators may crash.
    Raft,
    /// One validator, whatever number is asked for.
    Solo,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    match args.engine {
        Which::Bft => simulate::<Byzantine>(&args),
        Which::Raft => simulate::<Crash>(&args),
        Which::Solo => {
            args.nodes = 1;
            simulate::<Alone>(&args)
        }
    }
}

fn simulate<K: Kind>(args: &Args) -> ExitCode {
    let bar = ProgressBar::new(args.seeds);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    let begin = Instant::now();
    let (mut heights, mut events, mut accused, mut released, mut withheld, mut points) =
        (0, 0, 0, 0, 0, 0);
    let mut round = 0;
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let nodes = usize::from(args.nodes);
        let plan = if args.consortium {
            Plan::consortium_of_seed::<K>(seed, nodes)
        } else {
            Plan::of_seed::<K>(seed, nodes)
        };
        let report: Report = if args.sm2 {
            run::<K, Sm2>(&plan)
        } else {
            run::<K, Cheap>(&plan)
        };
        if let Some(violation) = report.violation {
            bar.abandon();
            let sm2 = if args.sm2 { " --sm2" } else { "" };
            let whole = if args.consortium { " --consortium" } else { "" };
            eprintln!(
                "seed {seed}: {} is broken: {}",
                violation.invariant, violation.what
            );
            eprintln!("{plan:?}");
            eprintln!(
                "replay: cargo xtask sim --engine {} --seed {seed} --seeds 1 --nodes {}{sm2}{whole}",
                K::NAME,
                args.nodes
            );
            return ExitCode::FAILURE;
        }
        heights += report.height;
        events += report.events;
        round = round.max(report.round);
        accused += report.accused.len();
        released += report.released;
        withheld += report.withheld;
        points += report.points;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{}: {} seeds of {} validators hold: {:.1} seeds/s, {heights} blocks, {events} events, highest round {round}, {accused} validators caught, {released} reports released, {withheld} withheld, {points} points sent",
        K::NAME,
        args.seeds,
        args.nodes,
        args.seeds as f64 / seconds
    );
    ExitCode::SUCCESS
}
