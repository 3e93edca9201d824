//! Elections: each voter waits for a time of its own, longer than a lease.

use std::collections::BTreeSet;

use super::*;

#[test]
fn voters_of_one_term_wait_for_different_times_and_take_turns() {
    for count in [3, 4, 5, 7, 10] {
        let mut firsts = BTreeSet::new();
        for term in 0..count as u64 {
            for seed in 0..20 {
                let draw = |place: usize| {
                    let mut patience = Patience::new(seed + 1000 * place as u64);
                    patience.draw(place, count, term)
                };
                let mut waits: Vec<(usize, usize)> =
                    (0..count).map(|place| (draw(place), place)).collect();
                waits.sort();
                firsts.insert(waits[0].1);
                let ticks: BTreeSet<usize> = waits.iter().map(|(ticks, _)| *ticks).collect();
                assert_eq!(ticks.len(), count, "{waits:?}");
            }
        }
        assert_eq!(firsts.len(), count, "everybody's turn comes");
    }
}

#[test]
fn a_wait_is_longer_than_the_lease_and_not_more_than_a_second() {
    for count in [1, 2, 3, 5, 7, 10, 11, 128] {
        for seed in 0..300 {
            let mut patience = Patience::new(seed);
            let ticks = patience.draw(seed as usize % count, count, seed);
            assert!((LEAST_TICKS..MOST_TICKS).contains(&ticks), "{ticks}");
            assert!(ticks > LEASE_TICKS + 1 && ticks as u64 * TICK_MS <= 1_000);
        }
    }
}
