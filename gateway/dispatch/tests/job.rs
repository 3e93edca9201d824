//! The machine of a job, as a table of what happens and what is to be done, and under random orders of events.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use xinqiao_dispatch::job::{Effect, Entry, Input, Job, TRIES};

fn now(entry: Entry) -> Effect {
    Effect::Query { entry, after_ms: 0 }
}

fn none() -> BTreeSet<Entry> {
    BTreeSet::new()
}

fn hindered(entry: Entry) -> Input {
    Input::Hindered {
        entry,
        after_ms: None,
    }
}

#[test]
fn each_step_of_a_small_job_is_as_the_table_says() {
    let (mut job, first) = Job::begin(0..6, &none(), 2);
    assert_eq!(first, [now(0), now(1)]);
    let again = |entry, after_ms| Effect::Query { entry, after_ms };
    let table: [(Input, &[Effect]); 11] = [
        (Input::Settled(1), &[now(2)]),
        // What is not under way changes nothing.
        (Input::Settled(1), &[]),
        (hindered(5), &[]),
        (hindered(0), &[again(0, 200)]),
        (Input::Settled(2), &[now(3)]),
        (hindered(0), &[again(0, 400)]),
        (Input::Settled(0), &[now(4)]),
        (
            Input::Cancel,
            &[Effect::Leave(5), Effect::Withdraw(3), Effect::Withdraw(4)],
        ),
        (Input::Cancel, &[]),
        (Input::Settled(3), &[]),
        (Input::Settled(4), &[Effect::End]),
    ];
    for (step, (input, expected)) in table.into_iter().enumerate() {
        assert_eq!(job.apply(input), expected, "step {step}: {input:?}");
    }
    assert!(job.is_cancelled());
}

#[test]
fn what_was_ordered_before_a_restart_comes_first_and_the_others_in_their_order() {
    let (_, effects) = Job::begin([1, 4, 5, 7], &[5, 7].into(), 16);
    assert_eq!(effects, [now(5), now(7), now(1), now(4)]);
}

#[test]
fn a_job_with_nothing_left_to_do_ends_at_once_and_once() {
    let (mut job, effects) = Job::begin([], &none(), 16);
    assert_eq!(effects, [Effect::End]);
    assert_eq!(job.apply(Input::Cancel), []);
}

#[test]
fn as_many_go_side_by_side_as_goes_well_and_never_more_than_may() {
    let (mut job, _) = Job::begin(0..1_000, &none(), 16);
    assert_eq!(job.in_flight(), 4);
    let mut under_way: BTreeSet<Entry> = (0..4).collect();
    let mut widest = 0;
    for _ in 0..500 {
        let entry = under_way.pop_first().unwrap();
        for effect in job.apply(Input::Settled(entry)) {
            let Effect::Query { entry, .. } = effect else {
                panic!("{effect:?}");
            };
            under_way.insert(entry);
        }
        assert_eq!(job.in_flight(), under_way.len());
        widest = widest.max(under_way.len());
    }
    assert_eq!(widest, 16);
    // Sources that cannot keep up: half, then half of that, and so on down to one.
    for _ in 0..5 {
        let entry = *under_way.first().unwrap();
        job.apply(hindered(entry));
    }
    while under_way.len() > 1 {
        let entry = under_way.pop_last().unwrap();
        let effects = job.apply(Input::Settled(entry));
        if under_way.len() > 4 {
            assert_eq!(effects, [], "with {} under way", under_way.len());
        }
    }
}

#[test]
fn an_entry_that_is_always_hindered_fails_after_its_tries_and_is_asked_when_that_is_worth_it() {
    let (mut job, _) = Job::begin([0], &none(), 1);
    let mut pauses = Vec::new();
    for _ in 1..TRIES {
        match job.apply(hindered(0))[..] {
            [Effect::Query { entry: 0, after_ms }] => pauses.push(after_ms),
            ref other => panic!("{other:?}"),
        }
    }
    assert!(
        pauses.windows(2).all(|pair| pair[0] <= pair[1]),
        "{pauses:?}"
    );
    assert_eq!(pauses.last(), Some(&30_000));
    assert_eq!(job.apply(hindered(0)), [Effect::Fail(0)]);
    assert_eq!(job.apply(Input::Settled(0)), [Effect::End]);

    let (mut job, _) = Job::begin([0], &none(), 1);
    let told = Input::Hindered {
        entry: 0,
        after_ms: Some(7_000),
    };
    let expected = Effect::Query {
        entry: 0,
        after_ms: 7_000,
    };
    assert_eq!(job.apply(told), [expected]);
}

#[test]
fn whatever_the_order_of_events_every_entry_settles_once_and_the_job_ends_once() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(1..40);
        let limit = rng.random_range(1..12);
        let (mut job, mut effects) = Job::begin(0..count, &none(), limit);
        let mut under_way: BTreeSet<Entry> = none();
        let mut settled: BTreeMap<Entry, u32> = BTreeMap::new();
        let mut ended = 0;
        loop {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Query { entry, .. } => {
                        under_way.insert(entry);
                    }
                    Effect::Fail(entry) => {
                        assert!(under_way.contains(&entry), "seed {seed}");
                    }
                    Effect::Withdraw(entry) => {
                        assert!(under_way.contains(&entry), "seed {seed}");
                    }
                    Effect::Leave(entry) => {
                        assert!(!under_way.contains(&entry), "seed {seed}");
                        *settled.entry(entry).or_default() += 1;
                    }
                    Effect::End => ended += 1,
                }
            }
            assert!(under_way.len() <= limit as usize, "seed {seed}");
            if ended > 0 {
                break;
            }
            let at = rng.random_range(0..under_way.len());
            let entry = *under_way.iter().nth(at).unwrap();
            let input = match rng.random_range(0..20) {
                0 if seed % 2 == 0 => Input::Cancel,
                1..6 => hindered(entry),
                _ => {
                    under_way.remove(&entry);
                    *settled.entry(entry).or_default() += 1;
                    Input::Settled(entry)
                }
            };
            effects = job.apply(input);
        }
        assert_eq!(ended, 1, "seed {seed}");
        assert_eq!(settled.len(), count as usize, "seed {seed}");
        assert!(settled.values().all(|times| *times == 1), "seed {seed}");
    }
}
