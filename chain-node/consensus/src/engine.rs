//! The trait that every engine implements, with all its inputs and all its effects.

use std::fmt;

use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    block::Certificate,
    ids::{ChainId, HeaderHash, Height},
    validators::ValidatorSet,
    vote::Equivocation,
};

use crate::{
    sign::Verifier,
    timer::Timer,
    wire::{Malformed, Refused},
};

/// Agrees with the engines of other validators on one header a height. One owner feeds it inputs one
/// after the other and carries out what comes back.
///
/// What the host owes:
///
/// 1. It carries effects out in their order, and stops for good when one fails. Nothing is said to
///    others that is not on disk: what depends on the log comes only after [`Input::Flushed`] has
///    covered it, so a log that cannot be written silences the node by itself.
/// 2. [`Effect::Flush`] covers the bodies too that were built or judged before it: who votes for a
///    header, or takes it into its log, promises to have its body.
/// 3. A message that proposes a header ([`Message::proposes`]) travels with its body, when this node
///    has it.
/// 4. [`Effect::Commit`] may come again after a crash. Block and certificate are on disk before
///    anybody is shown them, and before the next [`Input::Start`].
/// 5. A node that learns of a block and its certificate from elsewhere checks and applies them by
///    itself, and goes on with [`Input::Start`]. Nothing of this passes through the engine.
pub trait Engine {
    /// What validators with this engine say to each other.
    type Message: Message;

    /// Takes an input and answers with what is to be done now, in this order.
    ///
    /// # Errors
    /// [`Error`], and then every time again. Nothing of the input is to be carried out.
    fn handle(&mut self, input: Input<Said<Self>>) -> Result<Vec<Effect<Self::Message>>, Error>;

    /// The height under way; 0 before the first is started.
    fn height(&self) -> Height;
}

/// A verified message of an engine.
pub type Said<E> = <<E as Engine>::Message as Message>::Verified;

/// A message between validators.
pub trait Message: Sized + Clone + fmt::Debug + Send + 'static {
    /// The message once everything in it was checked that can be checked without the engine.
    type Verified: fmt::Debug + Send + 'static;

    /// The canonical encoding.
    fn encode(&self) -> Vec<u8>;

    /// Parses an encoding.
    ///
    /// # Errors
    /// [`Malformed`].
    fn decode(bytes: &[u8]) -> Result<Self, Malformed>;

    /// The height whose validators are to check it.
    fn height(&self) -> Height;

    /// The headers that it proposes: their bodies travel beside it.
    fn proposes(&self) -> Vec<HeaderHash>;

    /// Checks every signature in the message, and that its authors may say what it says.
    ///
    /// This is the expensive part and needs nothing of the engine: the host calls it beside its
    /// loop, and feeds the loop with what comes out. `from` is the validator that the message came
    /// from, which need not be its author.
    ///
    /// # Errors
    /// [`Refused`].
    fn verify(
        self,
        from: KeyId,
        chain: &ChainId,
        validators: &ValidatorSet,
        verifier: &impl Verifier,
    ) -> Result<Self::Verified, Refused>;
}

/// What an engine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<V> {
    /// The chain stands just below this height: the block before it and its certificate are on disk.
    Start {
        /// The height to decide.
        height: Height,
        /// The first height at which these validators are in force without a break. Not every node
        /// sees it pass: one may join, or catch up, in the middle.
        since: Height,
        /// The validators in force there.
        validators: ValidatorSet,
        /// The records that the log holds, when the node starts up; nothing when it goes on.
        log: Vec<Vec<u8>>,
        /// Whether transactions wait, or a deadline is due.
        work: bool,
    },
    /// Transactions wait, or a deadline is due. Telling it again is harmless.
    Work,
    /// A verified message.
    Message {
        /// The validator that it came from, which need not be its author.
        from: KeyId,
        /// The message.
        message: V,
    },
    /// The block of [`Effect::Build`] is formed.
    Built {
        /// The height asked for.
        height: Height,
        /// The round asked for.
        round: u32,
        /// The header's hash.
        header: HeaderHash,
    },
    /// The body of [`Effect::Judge`] is there and was judged.
    Judged {
        /// The height asked for.
        height: Height,
        /// The header's hash.
        header: HeaderHash,
        /// Whether this node can stand for it.
        valid: bool,
    },
    /// A timer ran out.
    Timeout(Timer),
    /// Everything appended up to this entry is on disk.
    Flushed {
        /// The number that [`Effect::Flush`] gave.
        upto: u64,
    },
    /// A validator can be reached again; what it missed is said to it again.
    Connected {
        /// Which.
        validator: KeyId,
    },
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<M> {
    /// Append this record to the log.
    Append(Vec<u8>),
    /// Bring the log, and all bodies, to disk; answer with [`Input::Flushed`].
    Flush {
        /// The number of the last entry appended.
        upto: u64,
    },
    /// Records appended before this height was started are needed no more.
    Truncate {
        /// The height.
        below: Height,
    },
    /// Send a message to all other validators.
    Broadcast(M),
    /// Send a message to one.
    Send {
        /// To whom.
        to: KeyId,
        /// What.
        message: M,
    },
    /// Answer with [`Input::Timeout`] when this time has passed.
    SetTimer {
        /// The timer. Setting it again begins anew; one of a height that has passed means nothing.
        timer: Timer,
        /// How long it runs, in milliseconds.
        after_ms: u64,
    },
    /// A timer is needed no more.
    CancelTimer(Timer),
    /// No timer set so far is needed.
    CancelTimers,
    /// Form a block and answer with [`Input::Built`]. It may be empty: others are awake.
    Build {
        /// For this height.
        height: Height,
        /// For this round.
        round: u32,
    },
    /// Get the body of this header, from whoever has it, judge it, and answer with
    /// [`Input::Judged`]. As long as it cannot be got, there is no answer.
    Judge {
        /// The height that it is proposed for.
        height: Height,
        /// The header's hash.
        header: HeaderHash,
        /// Its proposer, who has the body.
        proposer: KeyId,
    },
    /// A quorum committed to this header: write it, and go on with [`Input::Start`].
    Commit(Certificate),
    /// A validator contradicted itself.
    Accuse(Equivocation),
    /// A validator is still at a height that this node has left: tell it where the chain stands.
    Behind {
        /// Which.
        validator: KeyId,
        /// Where it is.
        height: Height,
    },
}

/// Why an engine cannot go on. The node stops: what it would sign next cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It stopped earlier.
    #[error("the engine has stopped after an earlier error")]
    Stopped,
    /// A height was started that is not above the current one.
    #[error("height {got} was started, but {current} is under way")]
    NotAbove {
        /// The height under way.
        current: Height,
        /// The height given.
        got: Height,
    },
    /// The log knows of a height above the chain's end: blocks were lost that this node voted on.
    #[error("the write-ahead log reaches height {log}, but the chain ends below {start}")]
    LogAhead {
        /// The height in the log.
        log: Height,
        /// The height to start.
        start: Height,
    },
    /// The log holds what the engine never wrote.
    #[error("record {index} of the write-ahead log is damaged, and others follow it: {why}")]
    LogDamaged {
        /// Which record, from 0.
        index: usize,
        /// What is wrong with it.
        why: Malformed,
    },
    /// Something came that belongs to a height, and none was started.
    #[error("no height is under way")]
    NotStarted,
    /// An answer that nobody asked for.
    #[error("an answer came on {0}, which nobody asked about")]
    NotAsked(HeaderHash),
    /// This node was about to contradict itself.
    #[error("this node was about to sign against itself at height {height}, round {round}")]
    DoubleSign {
        /// The height.
        height: Height,
        /// The round.
        round: u32,
    },
    /// A header that the others agreed on is not what this node comes to.
    #[error("the header {0} was agreed on, and this node does not come to it")]
    Diverged(HeaderHash),
    /// The core asked for something that this chain does not have.
    #[error("the core asked for {0}")]
    Unexpected(&'static str),
    /// The core failed; after a crash: the log does not lead to what this node said.
    #[error("the core failed: {0}")]
    Core(String),
}
