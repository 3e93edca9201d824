//! How long things take: ticks, and how many of them a follower waits for its leader.

use xinqiao_consensus::{Step, Timer};

/// The one timer of this engine.
pub(crate) const TICK: Timer = Timer {
    height: 0,
    round: 0,
    step: Step::Tick,
};

/// How long a tick is, in milliseconds.
pub const TICK_MS: u64 = 50;

/// How many ticks lie between a leader's signs of life.
pub(crate) const HEARTBEAT_TICKS: usize = 2;

/// For how many ticks after a leader's last sign of life a follower helps nobody to depose it, and
/// a leader leads without a majority's.
pub(crate) const LEASE_TICKS: usize = 8;

/// The fewest ticks without a leader after which a follower campaigns: half a second. Ticks of
/// different nodes are out of step, so it is more than the lease: whoever campaigns first would
/// otherwise find the others still loyal.
pub(crate) const LEAST_TICKS: usize = 10;

/// One more than the most: a second.
pub(crate) const MOST_TICKS: usize = 20;

/// After how many ticks what no answer came to is said again.
pub(crate) const AGAIN_TICKS: u64 = 4;

/// How many ticks this node waits for a leader, drawn anew for each term: from a seed, so that a
/// run can be played again.
#[derive(Debug, Clone)]
pub(crate) struct Patience(u64);

impl Patience {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// For the voter at that place among so many. Voters of one term draw from ranges that lie
    /// apart, so that two of them hardly campaign at once and split the votes; with every term each
    /// moves on by a range, so that nobody is the first for ever.
    pub(crate) fn draw(&mut self, place: usize, count: usize, term: u64) -> usize {
        let span = MOST_TICKS - LEAST_TICKS;
        let width = span / count;
        let turn = (place as u64).wrapping_add(term) % count as u64;
        let (first, room) = match width {
            0 => (0, span),
            _ => (turn as usize * width, (width - 1).max(1)),
        };
        LEAST_TICKS + first + (self.next() % room as u64) as usize
    }

    /// Goes on to other numbers.
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
