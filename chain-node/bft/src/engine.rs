//! The engine: inputs in, effects out, one height at a time.

use std::collections::BTreeSet;

use arc_malachitebft_core_consensus::{
    Input as CoreInput, LocallyProposedValue, Params, State, process,
};
use arc_malachitebft_core_types as core;
use core::{Round, ValuePayload, VoteExtensionPolicy};
use xinqiao_consensus::{Effect, Engine, Error, Input, Message as _, Signer, Step};
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    ids::{ChainId, Height},
    validators::{Engine as Kind, ValidatorSet},
};

use crate::{
    context::{self, BlockId, Chain, Validators, Voter},
    desk::Desk,
    future::Future,
    message::{Message, Signed, Verified},
    timer::{Timeouts, timer_into_core},
    wal::{Event, recover},
    watch::Watch,
};

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
    validators: ValidatorSet,
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

    /// The round under way.
    pub fn round(&self) -> u32 {
        let round = self.current.as_ref().map(|current| current.core.round());
        round.and_then(|round| round.as_u32()).unwrap_or(0)
    }

    fn step(&mut self, input: Input<Verified>) -> Result<(), Error> {
        match input {
            Input::Start {
                height,
                since: _,
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
                let verdict = self.desk.judged(BlockId(header), valid)?;
                match verdict.and_then(|verdict| verdict.into_core(height)) {
                    Some(verdict) => self.feed(verdict),
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
                match timer_into_core(timer.step, timer.round) {
                    Some(timeout) => self.feed(CoreInput::TimeoutElapsed(timeout)),
                    None => Ok(()),
                }
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
        validators: ValidatorSet,
        log: Vec<Vec<u8>>,
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
        debug_assert_eq!(validators.engine(), Kind::Bft, "whose quorums these are");
        let log = recover(&log)?;
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
        let log = without_unproposed(self.desk.voter(), log);
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
            .filter_map(|event| event.into_core(height))
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

    fn message(&mut self, from: KeyId, message: Verified) -> Result<(), Error> {
        let current = self.current.as_ref().ok_or(Error::NotStarted)?;
        let height = message.message().height();
        if height <= current.height.saturating_add(crate::future::HEIGHTS_AHEAD) {
            for equivocation in self.watch.note(message.message()) {
                self.desk.accuse(equivocation);
            }
        }
        if height < current.height {
            self.desk.behind(from, height);
            return Ok(());
        }
        if height > current.height {
            self.future.keep(current.height, Voter(from), message);
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

    fn repeat_to(&mut self, validator: KeyId) {
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

impl<S: Signer> Engine for Bft<S> {
    type Message = Message;

    fn handle(&mut self, input: Input<Verified>) -> Result<Vec<Effect<Message>>, Error> {
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

    fn height(&self) -> Height {
        self.current.as_ref().map_or(0, |current| current.height)
    }
}

/// The log without bodies of this node's own that a crash kept it from proposing. The core counts them
/// among a round's proposals, of which it takes two: after two such crashes it would not know its own
/// proposal again, nor that it has voted for it.
fn without_unproposed(me: Voter, log: Vec<Event>) -> Vec<Event> {
    let own = |event: &Event| match event {
        Event::Proposal(Signed { message: it, .. }) if it.proposer == me => {
            Some((it.round, it.header))
        }
        _ => None,
    };
    let proposed: BTreeSet<_> = log.iter().filter_map(own).collect();
    let stands = |event: &Event| match event {
        Event::Verdict {
            round,
            proposer,
            header,
            ..
        } => *proposer != me || proposed.contains(&(*round, *header)),
        _ => true,
    };
    log.into_iter().filter(stands).collect()
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
