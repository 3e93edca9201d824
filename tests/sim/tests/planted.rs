//! Mistakes planted in the hosts, to see that the invariants find them: a simulator that finds
//! nothing proves nothing.

use xinqiao_sim::{
    liar::Fault,
    node::Bug,
    run::{Plan, run},
    scheme::Cheap,
};

/// Which invariants find the mistake, within so many seeds.
fn found(bug: Bug, seeds: u64, shape: impl Fn(&mut Plan)) -> Option<&'static str> {
    (1..=seeds).find_map(|seed| {
        let mut plan = Plan::of_seed(seed, 4);
        shape(&mut plan);
        plan.set_changes = false;
        let sound = run::<Cheap>(&plan);
        assert_eq!(sound.violation, None, "without the mistake, {plan:?}");
        plan.bug = Some(bug);
        run::<Cheap>(&plan)
            .violation
            .map(|violation| violation.invariant)
    })
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
