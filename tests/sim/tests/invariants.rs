//! A fixed budget of seeds, with faulty validators as many as there may be: every invariant holds.
//! `xinqiao-sim` runs more of them.

use xinqiao_sim::{
    holder::Condition,
    invariant::determinism,
    kind::{Alone, Byzantine, Crash, Kind},
    liar::Fault,
    run::{Plan, Report, run},
    scheme::{Cheap, Scheme, Sm2},
};

fn holds<C: Scheme>(plan: &Plan) -> Report {
    holds_with::<Byzantine, C>(plan)
}

fn holds_with<K: Kind, C: Scheme>(plan: &Plan) -> Report {
    let report = run::<K, C>(plan);
    if let Some(violation) = &report.violation {
        let whole = if plan.consortium { " --consortium" } else { "" };
        panic!(
            "{} is broken: {}; {plan:?}; replay: cargo xtask sim --engine {} --seed {} --seeds 1 --nodes {}{whole}",
            violation.invariant,
            violation.what,
            K::NAME,
            plan.seed,
            plan.validators
        );
    }
    report
}

#[test]
fn four_validators_hold_every_invariant() {
    for seed in 1..=60 {
        holds::<Cheap>(&Plan::of_seed::<Byzantine>(seed, 4));
    }
}

#[test]
fn seven_validators_hold_every_invariant() {
    for seed in 1..=12 {
        holds::<Cheap>(&Plan::of_seed::<Byzantine>(seed, 7));
    }
}

#[test]
fn a_clock_an_hour_off_counts_as_one_fault_and_harms_nobody_else() {
    for seed in 300..320 {
        let mut plan = Plan::of_seed::<Byzantine>(seed, 7);
        plan.faults.truncate(1);
        plan.set_changes = false;
        plan.stray_clock = Some([-3_600_000, 3_600_000][seed as usize % 2]);
        holds::<Cheap>(&plan);
    }
}

#[test]
fn three_to_five_validators_under_raft_hold_every_invariant() {
    let mut points = 0;
    for (validators, seeds) in [(3, 60), (4, 20), (5, 20)] {
        for seed in 1..=seeds {
            let plan = Plan::of_seed::<Crash>(seed, validators);
            points += holds_with::<Crash, Cheap>(&plan).points;
        }
    }
    assert!(points > 0, "logs are cut, and some fall behind that");
}

#[test]
fn a_consortium_delivers_what_is_recorded_and_consented_to_and_nothing_else() {
    let mut reports = Vec::new();
    for seed in 1..=40 {
        let plan = Plan::consortium_of_seed::<Byzantine>(seed, 4);
        reports.push(holds::<Cheap>(&plan));
    }
    for seed in 1..=5 {
        let plan = Plan::consortium_of_seed::<Byzantine>(seed, 7);
        reports.push(holds::<Cheap>(&plan));
    }
    for seed in 1..=20 {
        let plan = Plan::consortium_of_seed::<Crash>(seed, 3);
        reports.push(holds_with::<Crash, Cheap>(&plan));
    }
    // What happened is what the invariants are about.
    let sum = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
    let (released, withheld) = (sum(|one| one.released), sum(|one| one.withheld));
    assert!(
        released > 100 && withheld > 20,
        "{released} released, {withheld} withheld"
    );
}

#[test]
fn a_source_with_one_holder_that_is_well_delivers_every_part_once_and_in_time() {
    use Condition::{Blind, Dies, Slow, Well};
    // Who can deliver, of all nodes of two sources.
    let (mut more_than_one, mut released) = (0, 0);
    for (number, others) in [
        vec![Well],
        vec![Slow],
        vec![Dies],
        vec![Blind],
        vec![Slow, Slow],
        vec![Dies, Dies],
        vec![Dies, Slow],
        vec![Blind, Well],
        vec![Blind, Dies],
    ]
    .into_iter()
    .enumerate()
    {
        let holders: Vec<Condition> = [Well].into_iter().chain(others).collect();
        let first = 1_000 + 100 * number as u64;
        for seed in first..first + 8 {
            let mut plan = Plan::consortium_of_seed::<Byzantine>(seed, 4);
            plan.holders.clone_from(&holders);
            let report = holds::<Cheap>(&plan);
            // One for each source at least, if anything was delivered.
            more_than_one += u64::from(report.holders > 2);
            released += report.released;
        }
        for seed in first + 50..first + 53 {
            let mut plan = Plan::consortium_of_seed::<Crash>(seed, 3);
            plan.holders.clone_from(&holders);
            released += holds_with::<Crash, Cheap>(&plan).released;
        }
    }
    assert!(
        released > 200 && more_than_one > 20,
        "{released} released, in {more_than_one} runs by several nodes of a source"
    );
}

#[test]
fn every_fault_alone_is_borne_and_who_contradicts_itself_in_public_is_caught() {
    let mut caught = 0;
    for &fault in Byzantine::FAULTS {
        for seed in 100..108 {
            let mut plan = Plan::of_seed::<Byzantine>(seed, 4);
            plan.faults = vec![fault];
            plan.stray_clock = None;
            plan.set_changes = false;
            let report = holds::<Cheap>(&plan);
            assert!(fault != Fault::Silent || report.accused.is_empty());
            caught += report.accused.len();
        }
    }
    assert!(caught > 8, "{caught} of 16 caught");
}

#[test]
fn a_validator_that_leaves_and_returns_is_missed_by_nobody() {
    for (validators, faults) in [
        (4, vec![]),
        (7, vec![Fault::Twins]),
        (8, vec![Fault::Liar; 2]),
    ] {
        for seed in 200..206 {
            let mut plan = Plan::of_seed::<Byzantine>(seed, validators);
            plan.faults.clone_from(&faults);
            plan.stray_clock = None;
            plan.set_changes = true;
            holds::<Cheap>(&plan);
        }
    }
}

#[test]
fn one_validator_and_sets_that_bear_no_fault_work_too() {
    for validators in 1..=3 {
        for seed in 1..=4 {
            holds::<Cheap>(&Plan::of_seed::<Byzantine>(seed, validators));
        }
    }
}

#[test]
fn a_validator_alone_holds_every_invariant() {
    for seed in 1..=40 {
        let report = holds_with::<Alone, Cheap>(&Plan::of_seed::<Alone>(seed, 1));
        assert!(report.height > 0, "seed {seed}");
    }
}

#[test]
fn sm2_signs_what_the_engine_says_it_signs() {
    for seed in 1..=2 {
        let mut plan = Plan::of_seed::<Byzantine>(seed, 4);
        plan.transactions = 4;
        plan.chaos_s = 2;
        plan.faults = vec![Fault::Liar];
        plan.stray_clock = None;
        plan.set_changes = false;
        holds::<Sm2>(&plan);
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in [3, 4] {
        let first = determinism::check::<Byzantine, Cheap>(&Plan::of_seed::<Byzantine>(seed, 4))
            .expect("deterministic");
        let other = run::<Byzantine, Cheap>(&Plan::of_seed::<Byzantine>(seed + 10, 4));
        assert_ne!(first.trace, other.trace, "the trace says what happened");
        determinism::check::<Crash, Cheap>(&Plan::of_seed::<Crash>(seed, 3))
            .expect("deterministic");
        let consortium = Plan::consortium_of_seed::<Byzantine>(seed, 4);
        determinism::check::<Byzantine, Cheap>(&consortium).expect("deterministic");
    }
}
