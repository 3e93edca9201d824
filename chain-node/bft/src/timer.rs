//! Timers: which there are and how long they run. The host owns the clock.

use arc_malachitebft_core_types as core;
use borsh::{BorshDeserialize, BorshSerialize};
use core::{Round, Timeout, TimeoutKind};
use xinqiao_ledger::ids::Height;

use crate::context;

/// What a timer is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Step {
    /// For the round's proposal.
    Propose = 1,
    /// For more prevotes, when a quorum of them disagrees.
    Prevote = 2,
    /// For more precommits, when a quorum of them disagrees.
    Precommit = 3,
    /// To say again what this node said last, because it may have been lost.
    Rebroadcast = 4,
}

/// A timer of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// The height that it belongs to.
    pub height: Height,
    /// The round that it belongs to.
    pub round: u32,
    /// What it is for.
    pub step: Step,
}

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
            Step::Rebroadcast => return self.rebroadcast_ms,
        };
        self.delta_ms
            .saturating_mul(u64::from(timer.round))
            .saturating_add(base)
            .min(self.max_ms)
    }
}

impl Step {
    pub(crate) fn of_core(kind: TimeoutKind) -> Option<Self> {
        match kind {
            TimeoutKind::Propose => Some(Self::Propose),
            TimeoutKind::Prevote => Some(Self::Prevote),
            TimeoutKind::Precommit => Some(Self::Precommit),
            TimeoutKind::Rebroadcast => Some(Self::Rebroadcast),
            // Heights have no target time, so the core never waits for the end of one.
            TimeoutKind::FinalizeHeight(_) => None,
        }
    }
}

impl Timer {
    pub(crate) fn of_core(height: Height, timeout: Timeout) -> Option<Self> {
        Some(Self {
            height,
            round: context::numbered(timeout.round),
            step: Step::of_core(timeout.kind)?,
        })
    }
}

impl From<Timer> for Timeout {
    fn from(timer: Timer) -> Self {
        let kind = match timer.step {
            Step::Propose => TimeoutKind::Propose,
            Step::Prevote => TimeoutKind::Prevote,
            Step::Precommit => TimeoutKind::Precommit,
            Step::Rebroadcast => TimeoutKind::Rebroadcast,
        };
        Self::new(Round::new(timer.round), kind)
    }
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
