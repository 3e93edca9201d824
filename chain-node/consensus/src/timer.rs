//! Timers: which there are. The host owns the clock, and each engine says how long they run.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_ledger::ids::Height;

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
    /// For everything of an engine that counts ticks.
    Tick = 5,
}

/// A timer of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// The height that it belongs to; 0 if it belongs to none.
    pub height: Height,
    /// The round that it belongs to.
    pub round: u32,
    /// What it is for.
    pub step: Step,
}
