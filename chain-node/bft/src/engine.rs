//! The engine: inputs in, effects out, one height at a time.
//!
//! ```text
//!         Input                                    Effect
//!  host ──▶ Start ─────────▶ Bft ──▶ Build, Judge ─────────▶ host forms or judges a body
//!       ──▶ Built, Judged ──────────▶ Append, Flush ───────▶ host's log
//!       ──▶ Flushed ────────────────▶ Broadcast, Send ─────▶ other validators
//!       ──▶ Message, Timeout ───────▶ Commit ──────────────▶ host writes block and certificate
//!       ──▶ Start (the next height)
//! ```
//!
//! What the host owes:
//!
//! 1. It carries effects out in their order, and stops for good when one fails. Nothing is said to
//!    others that is not on disk: `Broadcast` and `Send` come only after `Flushed` has covered every
//!    entry appended before them, so a log that cannot be written silences the node by itself.
//! 2. `Flush` covers the bodies too that were built or judged before it: a prevote promises to
//!    have the body.
//! 3. A proposal travels with its body, when this node has it.
//! 4. `Commit` may come again after a crash. Block and certificate are on disk before anybody is
//!    shown them, and before the next `Start`.
//! 5. A node that learns of a block and its certificate from elsewhere checks and applies them by
//!    itself, and goes on with `Start`. Nothing of this passes through the engine.

use arc_malachitebft_core_consensus::{
    Input as CoreInput, LocallyProposedValue, Params, State, process,
};
use arc_malachitebft_core_types as core;
use core::{Round, Timeout, ValuePayload, VoteExtensionPolicy};
use xinqiao_ledger::ids::{ChainId, HeaderHash, Height};

use crate::{
    certificate::CommitCertificate,
    context::{self, BlockId, Chain, Validators, Voter},
    desk::Desk,
    electorate::Electorate,
    evidence::{Evidence, Watch},
    future::Future,
    message::{Message, Verified},
    sign::Signer,
    timer::{Step, Timeouts, Timer},
    wal::{Entry, Event},
};

/// What the engine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The chain stands just below this height: the block before it and its certificate are on disk.
    Start {
        /// The height to decide.
        height: Height,
        /// The validators in force there.
        validators: Electorate,
        /// What the log holds, when the node starts up; nothing when it goes on.
        log: Vec<Entry>,
        /// Whether transactions wait, or a deadline is due.
        work: bool,
    },
    /// Transactions wait, or a deadline is due. Telling it again is harmless.
    Work,
    /// A verified message.
    Message {
        /// The validator that it came from, which need not be its author.
        from: Voter,
        /// The message.
        message: Verified,
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
        validator: Voter,
    },
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Append this record to the write-ahead log.
    Append(Vec<u8>),
    /// Bring the log, and all bodies, to disk; answer with [`Input::Flushed`].
    Flush {
        /// The number of the last entry appended.
        upto: u64,
    },
    /// Entries below this height are needed no more.
    Truncate {
        /// The height.
        below: Height,
    },
    /// Send a message to all other validators.
    Broadcast(Message),
    /// Send a message to one.
    Send {
        /// To whom.
        to: Voter,
        /// What.
        message: Message,
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
        proposer: Voter,
    },
    /// A quorum committed to this header: write it, and go on with [`Input::Start`].
    Commit(CommitCertificate),
    /// A validator contradicted itself.
    Accuse(Evidence),
    /// A validator is still at a height that this node has left: send it blocks.
    Behind {
        /// Which.
        validator: Voter,
        /// Where it is.
        height: Height,
    },
}

/// Why the engine cannot go on. The node stops: what it would sign next cannot be trusted.
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
    /// Something came that belongs to a height, and none was started.
    #[error("no height is under way")]
    NotStarted,
    /// A verdict on a body that nobody asked for.
    #[error("a verdict came on {0}, which nobody asked about")]
    NotAsked(HeaderHash),
    /// This node was about to contradict itself.
    #[error("this node was about to sign against itself at height {height}, round {round}")]
    DoubleSign {
        /// The height.
        height: Height,
        /// The round.
        round: u32,
    },
    /// The core asked for something that this chain does not have.
    #[error("the core asked for {0}")]
    Unexpected(&'static str),
    /// The core failed; after a crash: the log does not lead to what this node said.
    #[error("the core failed: {0}")]
    Core(String),
}

/// The Byzantine-fault-tolerant engine.
pub struct Bft<S> {
    desk: Desk<S>,
    watch: Watch,
    future: Future,
    current: Option<Current>,
    stopped: bool,
}

/// The height under way.
struct Current {
    height: Height,
    validators: Electorate,
    core: State<Chain>,
}

impl<S: Signer> Bft<S> {
    /// An engine that signs as a validator of a chain; it waits for [`Input::Start`].
    pub fn new(chain: ChainId, signer: S, timeouts: Timeouts) -> Self {
        Self {
            desk: Desk::new(chain, signer, timeouts),
            watch: Watch::default(),
            future: Future::default(),
            current: None,
            stopped: false,
        }
    }

    /// Takes an input and answers with what is to be done now, in this order.
    ///
    /// # Errors
    /// [`Error`], and then every time again. Nothing of the input is to be carried out.
    pub fn handle(&mut self, input: Input) -> Result<Vec<Effect>, Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        match self.step(input) {
            Ok(()) => Ok(self.desk.take_effects()),
            Err(error) => {
                self.stopped = true;
                Err(error)
            }
        }
    }

    /// The height under way; 0 before the first is started.
    pub fn height(&self) -> Height {
        self.current.as_ref().map_or(0, |current| current.height)
    }

    /// The round under way.
    pub fn round(&self) -> u32 {
        let round = self.current.as_ref().map(|current| current.core.round());
        round.and_then(|round| round.as_u32()).unwrap_or(0)
    }

    fn step(&mut self, input: Input) -> Result<(), Error> {
        match input {
            Input::Start {
                height,
                validators,
                log,
                work,
            } => self.start(height, validators, log, work),
            Input::Work => {
                if self.current.is_some() {
                    self.desk.wake();
                }
                Ok(())
            }
            Input::Message { from, message } => self.message(from, message),
            Input::Built {
                height,
                round,
                header,
            } => {
                if height != self.height() {
                    return Ok(());
                }
                self.feed(CoreInput::Propose(LocallyProposedValue::new(
                    context::Height(height),
                    Round::new(round),
                    BlockId(header),
                )))
            }
            Input::Judged {
                height,
                header,
                valid,
            } => {
                if height != self.height() {
                    return Ok(());
                }
                match self.desk.judged(BlockId(header), valid)? {
                    Some(verdict) => self.feed(verdict.into_core(height)),
                    None => Ok(()),
                }
            }
            Input::Timeout(timer) => {
                if timer.height != self.height() {
                    return Ok(());
                }
                if timer.step == Step::Rebroadcast {
                    self.repeat_proposal();
                }
                self.feed(CoreInput::TimeoutElapsed(Timeout::from(timer)))
            }
            Input::Flushed { upto } => {
                self.desk.flushed(upto);
                Ok(())
            }
            Input::Connected { validator } => {
                self.repeat_to(validator);
                Ok(())
            }
        }
    }

    fn start(
        &mut self,
        height: Height,
        validators: Electorate,
        log: Vec<Entry>,
        work: bool,
    ) -> Result<(), Error> {
        if let Some(current) = &self.current
            && height <= current.height
        {
            return Err(Error::NotAbove {
                current: current.height,
                got: height,
            });
        }
        if let Some(ahead) = log.iter().find(|entry| entry.height > height) {
            return Err(Error::LogAhead {
                log: ahead.height,
                start: height,
            });
        }
        let log: Vec<Event> = log
            .into_iter()
            .filter(|entry| entry.height == height)
            .map(|entry| entry.event)
            .collect();
        let early = self.future.take(height);
        self.watch.forget_before(height);
        self.desk.begin(height, &log);
        let set = Validators::from(&validators);
        // A core of its own for each height: nothing that an earlier one left behind can matter.
        let core = State::new(
            Chain,
            context::Height(height),
            set.clone(),
            Params {
                address: self.desk.voter(),
                threshold_params: Default::default(),
                // The verdict on a body is the host's; with the other mode there would be none.
                value_payload: ValuePayload::ProposalAndParts,
                enabled: true,
            },
            1,
            1,
        );
        let current = self.current.insert(Current {
            height,
            validators,
            core,
        });
        let replay: Vec<CoreInput<Chain>> = log
            .into_iter()
            .map(|event| event.into_core(height))
            .collect();
        current.core.index_wal_entries(&replay);
        let start = CoreInput::StartHeight(
            context::Height(height),
            set,
            false,
            None,
            VoteExtensionPolicy::Disabled,
        );
        drive(&mut current.core, &mut self.desk, start)?;
        let restarted = !replay.is_empty();
        if work || restarted || !early.is_empty() {
            self.desk.wake();
        }
        for input in replay {
            drive(&mut current.core, &mut self.desk, input)?;
        }
        current.core.reset_entries_index();
        self.desk.replayed(current.core.round());
        // Replay derives votes anew, and so says them again; a proposal it finds in the log.
        if restarted {
            self.repeat_proposal();
        }
        for message in early {
            self.current_message(message)?;
        }
        Ok(())
    }

    fn message(&mut self, from: Voter, message: Verified) -> Result<(), Error> {
        let current = self.current.as_ref().ok_or(Error::NotStarted)?;
        let height = message.message().height();
        if height <= current.height.saturating_add(crate::future::HEIGHTS_AHEAD) {
            for evidence in self.watch.note(message.message()) {
                self.desk.accuse(evidence);
            }
        }
        if height < current.height {
            self.desk.behind(from, height);
            return Ok(());
        }
        if height > current.height {
            self.future.keep(current.height, from, message);
            return Ok(());
        }
        self.current_message(message)
    }

    fn current_message(&mut self, message: Verified) -> Result<(), Error> {
        let current = self.current.as_ref().ok_or(Error::NotStarted)?;
        // Verified against a set that is not in force here: it proves nothing.
        if message.validators() != current.validators.hash() {
            return Ok(());
        }
        if self.desk.is_decided() {
            return Ok(());
        }
        self.desk.wake();
        self.feed(match message.into_message() {
            Message::Proposal(proposal) => CoreInput::Proposal(proposal.into_core()),
            Message::Vote(vote) => CoreInput::Vote(vote.into_core()),
            Message::Polka(polka) => CoreInput::PolkaCertificate(polka.into()),
            Message::Round(proof) => CoreInput::RoundCertificate(proof.into()),
        })
    }

    fn feed(&mut self, input: CoreInput<Chain>) -> Result<(), Error> {
        if self.desk.is_decided() {
            return Ok(());
        }
        let current = self.current.as_mut().ok_or(Error::NotStarted)?;
        drive(&mut current.core, &mut self.desk, input)
    }

    /// The core repeats votes. Proposals it does not, before round 10, and a lost one costs a round.
    fn repeat_proposal(&mut self) {
        for proposal in self.desk.proposals(self.round()) {
            self.desk.say(Message::Proposal(proposal));
        }
    }

    fn repeat_to(&mut self, validator: Voter) {
        let Some(current) = &self.current else { return };
        let round = context::numbered(current.core.round());
        let proposals = self.desk.proposals(round);
        let votes = [
            &current.core.last_signed_prevote,
            &current.core.last_signed_precommit,
        ];
        let votes = votes.into_iter().flatten();
        let votes = votes.map(|vote| Message::Vote(vote.clone().into()));
        for message in proposals.into_iter().map(Message::Proposal).chain(votes) {
            self.desk.say_to(validator, message);
        }
    }
}

/// Lets the core take an input. The core's own loop logs a failed effect and goes on voting; this
/// one leaves at once.
fn drive<S: Signer>(
    core: &mut State<Chain>,
    desk: &mut Desk<S>,
    input: CoreInput<Chain>,
) -> Result<(), Error> {
    let result: Result<(), arc_malachitebft_core_consensus::Error<Chain>> = process!(
        input: input,
        state: core,
        metrics: &(),
        with: effect => match desk.carry_out(effect) {
            Ok(resume) => Ok::<_, Error>(resume),
            Err(error) => return Err(error),
        }
    );
    result.map_err(|error| Error::Core(error.to_string()))?;
    desk.settle();
    Ok(())
}

#[cfg(test)]
mod tests;
