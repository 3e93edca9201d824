//! Mistakes planted in the hosts, to see that the invariants find them: a simulator that finds
//! nothing proves nothing.

use xinqiao_sim::{
    kind::Byzantine,
    liar::Fault,
    node::Bug,
    run::{Plan, run},
    scheme::Cheap,
};

/// Which invariant finds the mistake, for each of so many seeds that one does.
fn finds(bug: Bug, seeds: u64, shape: impl Fn(&mut Plan)) -> impl Iterator<Item = &'static str> {
    (1..=seeds).filter_map(move |seed| {
        let mut plan = Plan::of_seed::<Byzantine>(seed, 4);
        shape(&mut plan);
        plan.set_changes = false;
        let sound = run::<Byzantine, Cheap>(&plan);
        assert_eq!(sound.violation, None, "without the mistake, {plan:?}");
        plan.bug = Some(bug);
        run::<Byzantine, Cheap>(&plan)
            .violation
            .map(|violation| violation.invariant)
    })
}

/// Which invariant finds the mistake first.
fn found(bug: Bug, seeds: u64, shape: impl Fn(&mut Plan)) -> Option<&'static str> {
    finds(bug, seeds, shape).next()
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
    let found: Vec<_> = finds(Bug::CountTooFewSignatures, 40, |plan| {
        plan.faults = vec![Fault::Liar];
    })
    .collect();
    // Votes in others' names contradict those others; and they are in certificates, which nobody
    // else believes.
    for invariant in ["evidence", "validity"] {
        assert!(found.contains(&invariant), "{found:?}");
    }
}
