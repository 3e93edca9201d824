//! The trait that every engine implements, with all its inputs and all its effects.

use xinqiao_crypto::{KeyId, Signature};
use xinqiao_ledger::{
    block::{Certificate, Header},
    ids::{HeaderHash, Height, TimeMs},
};

/// Orders blocks. One owner feeds it inputs one after the other and carries out what comes back.
pub trait Engine {
    /// Takes an input and answers with what is to be done now, in this order.
    ///
    /// # Errors
    /// When the input does not fit where the engine stands: the node's loop is wrong, and it stops.
    fn handle(&mut self, input: Input) -> Result<Effects, Error>;

    /// Where the chain stands as far as the engine knows.
    fn position(&self) -> Position;
}

/// What is to be done, in order. Often nothing.
pub type Effects = Vec<Effect>;

/// Where the chain stands: the last block that is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its height; 0 before the first.
    pub height: Height,
    /// Its time; the genesis' time before the first.
    pub time: TimeMs,
    /// When the earliest deadline in sight has to fire, if one is in sight. A node looks ahead for a
    /// bounded time only; what it sees later it tells by [`Input::Deadline`].
    pub deadline: Option<TimeMs>,
}

/// A block to be formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: TimeMs,
}

/// What an engine is told. `now` is the node's clock, in milliseconds since 1970-01-01 UTC; it may
/// jump either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// At least one transaction waits. Telling it again is harmless.
    Waiting {
        /// The node's clock.
        now: TimeMs,
    },
    /// Time has passed; in answer to [`Effect::WakeAt`], or at any other moment.
    Tick {
        /// The node's clock.
        now: TimeMs,
    },
    /// A deadline has come into sight; no other is earlier. While a block is under way it need not
    /// be told, for [`Input::Committed`] says anew what is in sight.
    Deadline {
        /// When it has to fire.
        at: TimeMs,
        /// The node's clock.
        now: TimeMs,
    },
    /// The block of [`Effect::Build`] is executed and this is its header.
    Built(Box<Header>),
    /// The header of [`Effect::Sign`] is signed.
    Signed {
        /// The validator that signed.
        validator: KeyId,
        /// Its signature over the header.
        signature: Signature,
    },
    /// The block of [`Effect::Commit`] is on disk.
    Committed {
        /// Where the chain stands now.
        position: Position,
        /// Whether transactions wait now. It settles what was told before: a transaction told of by
        /// [`Input::Waiting`] may have gone into this very block.
        waiting: bool,
        /// The node's clock.
        now: TimeMs,
    },
}

/// Everything that an engine may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Take waiting transactions (none, if a deadline alone is due), execute them as this block and
    /// answer with [`Input::Built`].
    Build(Slot),
    /// Sign this header as a validator and answer with [`Input::Signed`].
    Sign {
        /// The header's height.
        height: Height,
        /// The header's hash.
        header: HeaderHash,
    },
    /// Write the block that was built, with this certificate, in a way that survives a crash;
    /// answer with [`Input::Committed`].
    Commit(Certificate),
    /// Come back with [`Input::Tick`] at that time. It replaces an earlier one.
    WakeAt(TimeMs),
    /// Tell the operator: the node's clock is this far behind the chain's time, and blocks wait.
    ClockBehind {
        /// How far, in milliseconds.
        by_ms: u64,
    },
}

/// The node's loop did something that the engine did not ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An answer came that nothing waits for.
    #[error("{input} came while the engine was {state}")]
    Unexpected {
        /// Name of the input.
        input: &'static str,
        /// Name of the state.
        state: &'static str,
    },
    /// The answer is about another block than the one under way.
    #[error("the answer is about height {got}, under way is {expected}")]
    OtherBlock {
        /// The height under way.
        expected: Height,
        /// The height that came.
        got: Height,
    },
    /// The header has another time than the slot.
    #[error("the header's time is {got}, the slot's is {expected}")]
    OtherTime {
        /// The slot's time.
        expected: TimeMs,
        /// The header's time.
        got: TimeMs,
    },
}
