//! `solo`: one validator that decides alone. For development, tests and simulation.
//!
//! A block is formed as soon as the engine is free and something waits; there is no interval. While
//! one block is under way, transactions gather for the next. It keeps no log: what it signs is shown
//! to nobody before the block is on disk, so after a crash nothing is left that it could contradict.

use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    block::Certificate,
    ids::{ChainId, HeaderHash, Height},
    validators::ValidatorSet,
    vote::commit_message,
};

use crate::{
    engine::{Effect, Engine, Error, Input, Message},
    sign::{Signer, Verifier},
    wire::{Malformed, Refused},
};

/// The engine of a single validator.
#[derive(Debug)]
pub struct Solo<S> {
    chain: ChainId,
    signer: S,
    height: Height,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Free,
    Building,
    Committed,
}

/// What a single validator says to others: there are no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {}

impl Message for Silence {
    type Verified = Self;

    fn encode(&self) -> Vec<u8> {
        match *self {}
    }

    fn decode(_: &[u8]) -> Result<Self, Malformed> {
        Err(Malformed::Encoding)
    }

    fn height(&self) -> Height {
        match *self {}
    }

    fn proposes(&self) -> Vec<HeaderHash> {
        match *self {}
    }

    fn verify(
        self,
        _: KeyId,
        _: &ChainId,
        _: &ValidatorSet,
        _: &impl Verifier,
    ) -> Result<Self, Refused> {
        match self {}
    }
}

impl<S: Signer> Solo<S> {
    /// An engine that signs as the validator of a chain; it waits for [`Input::Start`].
    pub fn new(chain: ChainId, signer: S) -> Self {
        Self {
            chain,
            signer,
            height: 0,
            phase: Phase::Free,
        }
    }

    fn begin(&mut self) -> Vec<Effect<Silence>> {
        self.phase = Phase::Building;
        vec![Effect::Build {
            height: self.height,
            round: 0,
        }]
    }

    fn certify(&mut self, header: HeaderHash) -> Vec<Effect<Silence>> {
        let message = commit_message(&self.chain, self.height, 0, &header);
        let signature = self.signer.sign(&message);
        self.phase = Phase::Committed;
        vec![Effect::Commit(Certificate {
            height: self.height,
            round: 0,
            header,
            signatures: vec![(self.signer.validator(), signature)],
        })]
    }
}

impl<S: Signer> Engine for Solo<S> {
    type Message = Silence;

    fn handle(&mut self, input: Input<Silence>) -> Result<Vec<Effect<Silence>>, Error> {
        match input {
            Input::Start { height, .. } if height <= self.height => Err(Error::NotAbove {
                current: self.height,
                got: height,
            }),
            Input::Start { height, work, .. } => {
                self.height = height;
                self.phase = Phase::Free;
                Ok(if work { self.begin() } else { Vec::new() })
            }
            Input::Work if self.height > 0 && self.phase == Phase::Free => Ok(self.begin()),
            Input::Built { height, header, .. } if height == self.height => {
                if self.phase != Phase::Building {
                    return Err(Error::NotAsked(header));
                }
                Ok(self.certify(header))
            }
            Input::Judged { header, .. } => Err(Error::NotAsked(header)),
            Input::Message { message, .. } => match message {},
            Input::Work
            | Input::Built { .. }
            | Input::Timeout(_)
            | Input::Flushed { .. }
            | Input::Connected { .. } => Ok(Vec::new()),
        }
    }

    fn height(&self) -> Height {
        self.height
    }
}

#[cfg(test)]
mod tests;
