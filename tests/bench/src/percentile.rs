//! Percentiles of latencies, by the nearest rank: every number that is reported was measured.

use serde::{Deserialize, Serialize};

/// What many latencies come to, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// How many.
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// Of latencies in microseconds, in any order.
    pub(crate) fn of(mut micros: Vec<u64>) -> Self {
        micros.sort_unstable();
        let at = |per_mille| nearest_rank(&micros, per_mille).map_or(0.0, |one| one as f64 / 1e3);
        Self {
            count: micros.len() as u64,
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p999: at(999),
            max: at(1_000),
        }
    }
}

/// The least value that so many of a thousand do not exceed; none of no values.
pub(crate) fn nearest_rank(ascending: &[u64], per_mille: usize) -> Option<u64> {
    let rank = (ascending.len() * per_mille).div_ceil(1_000).max(1);
    ascending.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let check = |values: &[u64], per_mille, expected| {
            assert_eq!(
                nearest_rank(values, per_mille),
                expected,
                "{per_mille} of {values:?}"
            );
        };
        let hundred: Vec<u64> = (1..=100).collect();
        check(&hundred, 500, Some(50));
        check(&hundred, 990, Some(99));
        check(&hundred, 999, Some(100));
        check(&hundred, 1_000, Some(100));
        check(&hundred, 0, Some(1));
        check(&[7], 500, Some(7));
        check(&[7], 999, Some(7));
        check(&[1, 2], 500, Some(1));
        check(&[1, 2, 3], 500, Some(2));
        check(&[], 500, None);
    }

    #[test]
    fn latencies_may_come_in_any_order_and_are_given_in_milliseconds() {
        let latency = Latency::of(vec![3_000, 1_000, 2_500]);
        assert_eq!(latency.count, 3);
        assert_eq!((latency.p50, latency.max), (2.5, 3.0));
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
