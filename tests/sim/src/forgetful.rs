//! A mistake planted around the Byzantine engine: it skips the lock rule.
//!
//! The rule is inside the library: who has precommitted to a header prevotes no other in a later
//! round, unless a quorum did (Tendermint's lines 22 and 28 to 30). Whoever forgets, at the
//! beginning of every round, all proposals and prevotes of earlier rounds holds no lock; so each
//! round gets an engine of its own here, which is told of that round and of no earlier one.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use xinqiao_bft::{Bft, Message as BftMessage, Verified};
use xinqiao_consensus::{Effect, Engine, Error, Input, Signer, Step, Timer};
use xinqiao_crypto::{KeyId, Signature};
use xinqiao_ledger::{
    ids::{HeaderHash, Height},
    validators::{self, ValidatorSet},
    vote::VoteKind,
};

use crate::{
    kind::{Byzantine, Kind, Making, Stated},
    liar::Fault,
};

/// The Byzantine engine without its lock.
#[derive(Debug)]
pub struct Forgetful;

impl Kind for Forgetful {
    type Message = BftMessage;
    type Engine<S: Signer> = Forgetting<S>;

    const NAME: &'static str = "bft";
    const SET: validators::Engine = Byzantine::SET;
    const FAULTS: &'static [Fault] = Byzantine::FAULTS;
    const RESTS: bool = Byzantine::RESTS;

    fn most_faulty(validators: usize) -> usize {
        Byzantine::most_faulty(validators)
    }

    fn engine<S: Signer>(making: Making, signer: S) -> Forgetting<S> {
        let signer = Shared(Rc::new(RefCell::new(signer)));
        Forgetting {
            making,
            engine: Byzantine::engine(making, signer.clone()),
            signer,
            begun: None,
            round: 0,
            heard: Vec::new(),
            asked: BTreeSet::new(),
        }
    }

    fn stated(message: &BftMessage) -> Vec<Stated> {
        Byzantine::stated(message)
    }
}

/// A signer for one engine after the other.
pub struct Shared<S>(Rc<RefCell<S>>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S: Signer> Signer for Shared<S> {
    fn validator(&self) -> KeyId {
        self.0.borrow().validator()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        self.0.borrow_mut().sign(message)
    }
}

/// An engine that forgets at the beginning of every round.
pub struct Forgetting<S> {
    making: Making,
    signer: Shared<S>,
    engine: Bft<Shared<S>>,
    /// The height under way, since when its validators are in force, and those.
    begun: Option<(Height, Height, ValidatorSet)>,
    round: u32,
    /// What it was told at this height.
    heard: Vec<(KeyId, Verified)>,
    /// Which headers the engine of this round asked about.
    asked: BTreeSet<HeaderHash>,
}

impl<S: Signer> Engine for Forgetting<S> {
    type Message = BftMessage;

    fn handle(&mut self, input: Input<Verified>) -> Result<Vec<Effect<BftMessage>>, Error> {
        match &input {
            Input::Start {
                height,
                since,
                validators,
                ..
            } => {
                self.begun = Some((*height, *since, validators.clone()));
                self.round = 0;
                self.heard.clear();
            }
            // An answer to an engine that is no more.
            Input::Judged { header, .. } if !self.asked.contains(header) => {
                return Ok(Vec::new());
            }
            Input::Message { from, message } => self.heard.push((*from, message.clone())),
            _ => {}
        }
        let mut effects = self.engine.handle(input)?;
        while self.engine.round() > self.round {
            self.round = self.engine.round();
            effects.retain(|effect| !self.is_of_this_round(effect));
            self.asked.clear();
            effects.extend(self.forget()?);
        }
        for effect in &effects {
            if let Effect::Judge { header, .. } = effect {
                self.asked.insert(*header);
            }
        }
        Ok(effects)
    }

    fn height(&self) -> Height {
        self.engine.height()
    }
}

impl<S: Signer> Forgetting<S> {
    /// A new engine that stands at the round under way, and was told what is of it or later, and the
    /// precommits that may decide.
    fn forget(&mut self) -> Result<Vec<Effect<BftMessage>>, Error> {
        let Some((height, since, validators)) = self.begun.clone() else {
            return Ok(Vec::new());
        };
        self.engine = Byzantine::engine(self.making, self.signer.clone());
        let start = Input::Start {
            height,
            since,
            validators,
            log: Vec::new(),
            work: true,
        };
        // What it would do in earlier rounds it did before it forgot them.
        self.engine.handle(start)?;
        let mut effects = Vec::new();
        for round in 0..self.round {
            let timer = Timer {
                height,
                round,
                step: Step::Precommit,
            };
            effects = self.engine.handle(Input::Timeout(timer))?;
        }
        let remembered = |message: &Verified| match message.message() {
            BftMessage::Vote(vote) => {
                vote.message.round >= self.round || vote.message.kind == VoteKind::Precommit
            }
            BftMessage::Proposal(proposal) => proposal.message.round >= self.round,
            BftMessage::Polka(polka) => polka.round >= self.round,
            BftMessage::Round(proof) => proof.round >= self.round,
        };
        let heard = self.heard.clone().into_iter();
        for (from, message) in heard.filter(|(_, message)| remembered(message)) {
            let again = Input::Message { from, message };
            effects.extend(self.engine.handle(again)?);
        }
        Ok(effects)
    }

    /// Whether an effect is a statement of the round that it has just come to, made under the lock
    /// that it is about to forget, or a question of the engine that is no more.
    fn is_of_this_round(&self, effect: &Effect<BftMessage>) -> bool {
        match effect {
            Effect::Broadcast(BftMessage::Vote(vote)) => vote.message.round >= self.round,
            Effect::Broadcast(BftMessage::Proposal(it)) => it.message.round >= self.round,
            Effect::Judge { .. } => true,
            _ => false,
        }
    }
}
