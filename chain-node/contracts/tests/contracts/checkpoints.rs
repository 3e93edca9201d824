//! When checkpoints are taken and named, also when the interval changes.

use std::collections::BTreeMap;

use xinqiao_contracts::{CheckpointDuty, checkpoint_duty, last_checkpoint, testing::Consortium};
use xinqiao_ledger::{genesis::Parameters, ids::Height};

fn every(checkpoint_interval: u64) -> Parameters {
    Parameters {
        checkpoint_interval,
        ..Parameters::default()
    }
}

/// Heights at which one is taken, each with the one that its header names.
fn taken(chain: &mut Consortium, blocks: u64) -> BTreeMap<Height, Option<Height>> {
    let mut all = BTreeMap::new();
    for _ in 0..blocks {
        let height = chain.height + 1;
        let parameters = chain.parameters();
        let duty = checkpoint_duty(&chain.state, &parameters, height).unwrap();
        chain.block(Vec::new());
        if duty.takes {
            all.insert(height, duty.names);
            assert_eq!(last_checkpoint(&chain.state).unwrap(), Some(height));
        } else {
            assert_eq!(duty, CheckpointDuty::default(), "{height}");
        }
    }
    all
}

#[test]
fn a_checkpoint_is_taken_every_interval_and_named_when_the_next_one_is() {
    let mut chain = Consortium::with(every(8));
    let expected = [(8, None), (16, Some(8)), (24, Some(16))];
    assert_eq!(taken(&mut chain, 25), expected.into());
}

#[test]
fn a_shorter_interval_counts_at_once_and_a_longer_one_from_the_last() {
    let mut chain = Consortium::with(every(20));
    assert_eq!(taken(&mut chain, 25), [(20, None)].into());
    let duty = |parameters, height| {
        let duty = checkpoint_duty(&chain.state, &parameters, height).unwrap();
        (duty.takes, duty.names)
    };
    for (interval, height, takes) in [
        (8, 26, false),
        (8, 28, true),
        // A block that comes late takes one, not one for each interval that has passed.
        (8, 90, true),
        (30, 40, false),
        (30, 50, true),
        (1_000_000, u64::MAX, true),
    ] {
        let named = takes.then_some(20);
        assert_eq!(
            duty(every(interval), height),
            (takes, named),
            "{interval} {height}"
        );
    }
}
