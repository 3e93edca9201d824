//! Mistakes planted in the hosts, to see that the invariants find them: a simulator that finds
//! nothing proves nothing.

use std::ops::RangeInclusive;

use xinqiao_sim::{
    forgetful::Forgetful,
    kind::{Byzantine, Crash, Kind},
    liar::Fault,
    node::Bug,
    run::{Plan, run},
    scheme::Cheap,
};

/// Which invariant finds the mistake, for each of those seeds that one does.
fn finds(
    bug: Bug,
    seeds: RangeInclusive<u64>,
    shape: impl Fn(&mut Plan),
) -> impl Iterator<Item = &'static str> {
    finds_with::<Byzantine, Byzantine>(Some(bug), 4, seeds, shape)
}

/// As [`finds`], with another engine, or with the mistake in the engine: `Bad` instead of `Good`.
fn finds_with<Good: Kind, Bad: Kind>(
    bug: Option<Bug>,
    validators: usize,
    seeds: RangeInclusive<u64>,
    shape: impl Fn(&mut Plan),
) -> impl Iterator<Item = &'static str> {
    seeds.filter_map(move |seed| {
        let mut plan = Plan::of_seed::<Good>(seed, validators);
        plan.set_changes = false;
        plan.stray_clock = None;
        shape(&mut plan);
        let sound = run::<Good, Cheap>(&plan);
        assert_eq!(sound.violation, None, "without the mistake, {plan:?}");
        plan.bug = bug;
        run::<Bad, Cheap>(&plan)
            .violation
            .map(|violation| violation.invariant)
    })
}

/// Which invariant finds the mistake first.
fn found(bug: Bug, seeds: u64, shape: impl Fn(&mut Plan)) -> Option<&'static str> {
    finds(bug, 1..=seeds, shape).next()
}

#[test]
fn an_engine_that_skips_the_lock_rule_is_found() {
    // One seed in some thirty leads there: of those who precommit to a header, some see the quorum,
    // and the others go on to another header.
    let mut found = finds_with::<Byzantine, Forgetful>(None, 4, 1..=200, |plan| {
        // It has no use for a log.
        plan.crash_every_ms = 0;
        plan.power_cuts = 0;
        plan.impatient = true;
        plan.faults = vec![Fault::Liar];
        plan.chaos_s = 12;
        plan.transactions = 40;
        plan.flush_us = 4_000;
        plan.cuts = false;
        plan.network.loss = 0;
        plan.network.jitter_us = 60_000;
    });
    assert!(found.any(|invariant| invariant == "agreement"));
}

/// Power cuts enough to lose votes, and a network that brings them to others before.
fn power_fails(plan: &mut Plan) {
    plan.faults.clear();
    plan.crash_every_ms = 1_000;
    plan.power_cuts = 100;
    plan.flush_us = 60_000;
    plan.network.loss = 20;
    plan.network.jitter_us = 2_000;
}

#[test]
fn raft_votes_that_leave_before_they_are_on_disk_are_found() {
    let bug = Some(Bug::PublishBeforeFlush);
    let mut found = finds_with::<Crash, Crash>(bug, 3, 1..=30, power_fails);
    assert!(found.any(|invariant| invariant == "no honest double-sign"));
}

#[test]
fn a_raft_log_that_is_not_read_after_a_crash_is_found() {
    let bug = Some(Bug::ForgetLog);
    let mut found = finds_with::<Crash, Crash>(bug, 3, 1..=30, power_fails);
    assert_eq!(found.next(), Some("no honest double-sign"));
}

#[test]
fn a_report_that_leaves_before_its_record_is_final_is_found() {
    let bug = Bug::ReleaseEarly;
    let invariant = found(bug, 10, |plan| plan.consortium = true);
    assert_eq!(invariant, Some("record before release"));
}

#[test]
fn a_contract_that_ignores_revocations_is_found() {
    let bug = Bug::IgnoreRevocations;
    let invariant = found(bug, 30, |plan| plan.consortium = true);
    assert_eq!(invariant, Some("no release without live consent"));
}

#[test]
fn votes_that_leave_before_they_are_on_disk_are_found() {
    let invariant = found(Bug::PublishBeforeFlush, 40, |plan| plan.power_cuts = 50);
    assert_eq!(invariant, Some("no honest double-sign"));
}

#[test]
fn a_log_that_is_not_read_after_a_crash_is_found() {
    let invariant = found(Bug::ForgetLog, 40, |plan| plan.power_cuts = 50);
    assert_eq!(invariant, Some("no honest double-sign"));
}

#[test]
fn blocks_that_are_acknowledged_before_they_are_on_disk_are_found() {
    let invariant = found(Bug::AcknowledgeBeforeDisk, 40, |plan| plan.power_cuts = 50);
    assert_eq!(invariant, Some("durability"));
}

#[test]
fn a_certificate_with_one_signature_too_few_is_found() {
    let invariant = found(Bug::AcceptTooFewSignatures, 40, |plan| {
        plan.faults = vec![Fault::Liar];
        plan.crash_every_ms = 300;
    });
    assert_eq!(invariant, Some("validity"));
}

#[test]
fn bodies_that_nobody_looked_at_are_found() {
    let invariant = found(Bug::SkipBodies, 20, |plan| plan.faults = vec![Fault::Liar]);
    assert_eq!(invariant, Some("validity"));
}

#[test]
fn an_engine_that_goes_on_with_one_signature_less_than_a_quorum_is_found() {
    let found: Vec<_> = finds(Bug::CountTooFewSignatures, 1..=40, |plan| {
        plan.faults = vec![Fault::Liar];
    })
    .collect();
    // Votes in others' names contradict those others; and they are in certificates, which nobody
    // else believes.
    for invariant in ["evidence", "validity"] {
        assert!(found.contains(&invariant), "{found:?}");
    }
}
