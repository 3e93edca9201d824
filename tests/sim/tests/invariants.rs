//! A fixed budget of seeds, with faulty validators as many as there may be: every invariant holds.
//! `xinqiao-sim` runs more of them.

use xinqiao_sim::{
    invariant::determinism,
    liar::Fault,
    run::{Plan, run},
    scheme::{Cheap, Scheme, Sm2},
};

fn holds<C: Scheme>(plan: &Plan) -> xinqiao_sim::run::Report {
    let report = run::<C>(plan);
    if let Some(violation) = &report.violation {
        panic!(
            "{} is broken: {}; {plan:?}; replay: cargo xtask sim --seed {} --seeds 1 --nodes {}",
            violation.invariant, violation.what, plan.seed, plan.validators
        );
    }
    report
}

#[test]
fn four_validators_hold_every_invariant() {
    for seed in 1..=60 {
        holds::<Cheap>(&Plan::of_seed(seed, 4));
    }
}

#[test]
fn seven_validators_hold_every_invariant() {
    for seed in 1..=12 {
        holds::<Cheap>(&Plan::of_seed(seed, 7));
    }
}

#[test]
fn every_fault_alone_is_borne_and_who_contradicts_itself_in_public_is_caught() {
    let mut caught = 0;
    for fault in Fault::ALL {
        for seed in 100..108 {
            let mut plan = Plan::of_seed(seed, 4);
            plan.faults = vec![fault];
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
            let mut plan = Plan::of_seed(seed, validators);
            plan.faults.clone_from(&faults);
            plan.set_changes = true;
            holds::<Cheap>(&plan);
        }
    }
}

#[test]
fn one_validator_and_sets_that_bear_no_fault_work_too() {
    for validators in 1..=3 {
        for seed in 1..=4 {
            holds::<Cheap>(&Plan::of_seed(seed, validators));
        }
    }
}

#[test]
fn sm2_signs_what_the_engine_says_it_signs() {
    for seed in 1..=2 {
        let mut plan = Plan::of_seed(seed, 4);
        plan.transactions = 4;
        plan.chaos_s = 2;
        plan.faults = vec![Fault::Liar];
        plan.set_changes = false;
        holds::<Sm2>(&plan);
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in [3, 4] {
        let first = determinism::check::<Cheap>(&Plan::of_seed(seed, 4)).expect("deterministic");
        let other = run::<Cheap>(&Plan::of_seed(seed + 10, 4));
        assert_ne!(first.trace, other.trace, "the trace says what happened");
    }
}
