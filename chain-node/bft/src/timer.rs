//! How long timers run, and which of the core's each is. The host owns the clock.

use arc_malachitebft_core_types as core;
use core::{Round, Timeout, TimeoutKind};
use xinqiao_consensus::{Step, Timer};
use xinqiao_ledger::ids::Height;

use crate::context;

/// How long timers run, in milliseconds. All but the last grow with the round, so that some round is long
/// enough for whatever delay the network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a proposal.
    pub propose_ms: u64,
    /// For votes, once a quorum disagrees.
    pub vote_ms: u64,
    /// What each round adds to either.
    pub delta_ms: u64,
    /// The longest that any of them gets.
    pub max_ms: u64,
    /// Between two rebroadcasts.
    pub rebroadcast_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            propose_ms: 500,
            vote_ms: 200,
            delta_ms: 200,
            max_ms: 10_000,
            rebroadcast_ms: 500,
        }
    }
}

impl Timeouts {
    /// How long that timer runs.
    pub fn of(&self, timer: Timer) -> u64 {
        let base = match timer.step {
            Step::Propose => self.propose_ms,
            Step::Prevote | Step::Precommit => self.vote_ms,
            // The core does not tick.
            Step::Rebroadcast | Step::Tick => return self.rebroadcast_ms,
        };
        self.delta_ms
            .saturating_mul(u64::from(timer.round))
            .saturating_add(base)
            .min(self.max_ms)
    }
}

/// What one of the core's timers is for.
pub(crate) fn step_of_core(kind: TimeoutKind) -> Option<Step> {
    match kind {
        TimeoutKind::Propose => Some(Step::Propose),
        TimeoutKind::Prevote => Some(Step::Prevote),
        TimeoutKind::Precommit => Some(Step::Precommit),
        TimeoutKind::Rebroadcast => Some(Step::Rebroadcast),
        // Heights have no target time, so the core never waits for the end of one.
        TimeoutKind::FinalizeHeight(_) => None,
    }
}

/// One of the core's timers.
pub(crate) fn timer_of_core(height: Height, timeout: Timeout) -> Option<Timer> {
    Some(Timer {
        height,
        round: context::numbered(timeout.round),
        step: step_of_core(timeout.kind)?,
    })
}

/// The core's timer; none if it has no such.
pub(crate) fn timer_into_core(step: Step, round: u32) -> Option<Timeout> {
    let kind = match step {
        Step::Propose => TimeoutKind::Propose,
        Step::Prevote => TimeoutKind::Prevote,
        Step::Precommit => TimeoutKind::Precommit,
        Step::Rebroadcast => TimeoutKind::Rebroadcast,
        Step::Tick => return None,
    };
    Some(Timeout::new(Round::new(round), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_grow_with_the_round_up_to_their_limit() {
        let timeouts = Timeouts::default();
        for (step, round, expected) in [
            (Step::Propose, 0, 500),
            (Step::Propose, 3, 1_100),
            (Step::Prevote, 1, 400),
            (Step::Precommit, u32::MAX, 10_000),
            (Step::Rebroadcast, 9, 500),
        ] {
            let timer = Timer {
                height: 1,
                round,
                step,
            };
            assert_eq!(timeouts.of(timer), expected, "{timer:?}");
        }
    }
}
