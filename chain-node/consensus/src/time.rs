//! The rules of block time: it rises with every block, and never runs far ahead of a voter's clock.
//!
//! Followers check [`rises`] alone: a block that a quorum certified was held against the voters'
//! clocks already, and a follower whose own clock is wrong can still tell what the chain holds.

use xinqiao_ledger::ids::TimeMs;

/// How far a block's time may lie ahead of the clock of a validator that proposes it or votes for
/// it, in milliseconds.
pub const MAX_AHEAD_MS: u64 = 10_000;

/// Why a block's time is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeFault {
    /// It is not later than the parent's.
    #[error("the block's time {time} is not later than its parent's, {parent}")]
    NotLater {
        /// The parent's time.
        parent: TimeMs,
        /// The block's time.
        time: TimeMs,
    },
    /// It is too far ahead of the clock.
    #[error("the block's time is {by_ms} ms ahead of the clock")]
    Ahead {
        /// How far.
        by_ms: u64,
    },
}

/// The time of a block that is formed now: the clock's, or the least that the parent allows.
///
/// # Errors
/// [`TimeFault::Ahead`] when the clock is so far behind that this would be a time that no voter
/// accepts.
pub fn next(parent: TimeMs, now: TimeMs) -> Result<TimeMs, TimeFault> {
    let time = now.max(parent.saturating_add(1));
    vote(parent, time, now).map(|()| time)
}

/// Whether a block's time may follow its parent's.
///
/// # Errors
/// [`TimeFault::NotLater`].
pub fn rises(parent: TimeMs, time: TimeMs) -> Result<(), TimeFault> {
    if time > parent {
        Ok(())
    } else {
        Err(TimeFault::NotLater { parent, time })
    }
}

/// Whether a validator whose clock says `now` may vote for a block of that time.
///
/// # Errors
/// [`TimeFault`].
pub fn vote(parent: TimeMs, time: TimeMs, now: TimeMs) -> Result<(), TimeFault> {
    rises(parent, time)?;
    match time.saturating_sub(now) {
        by_ms if by_ms > MAX_AHEAD_MS => Err(TimeFault::Ahead { by_ms }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_time_is_the_clock_s_but_always_rises_and_never_runs_far_ahead() {
        for (parent, now, expected) in [
            (100, 200, Ok(200)),
            (100, 101, Ok(101)),
            (100, 100, Ok(101)),
            (100, 99, Ok(101)),
            (100_000, 90_001, Ok(100_001)),
            (100_000, 90_000, Err(TimeFault::Ahead { by_ms: 10_001 })),
            (100_000, 0, Err(TimeFault::Ahead { by_ms: 100_001 })),
            (0, u64::MAX, Ok(u64::MAX)),
            (
                u64::MAX,
                u64::MAX,
                Err(TimeFault::NotLater {
                    parent: u64::MAX,
                    time: u64::MAX,
                }),
            ),
        ] {
            assert_eq!(next(parent, now), expected, "parent {parent}, now {now}");
        }
    }
}
