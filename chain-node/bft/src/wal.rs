//! The entries of the write-ahead log: what has to be known again after a crash, so that this node
//! never signs against itself.
//!
//! Where entries lie, how they are framed and when they are on disk is the host's business; what a
//! log that a crash cut short still says is [`recover`]'s.

use arc_malachitebft_core_consensus::{Input as CoreInput, ProposedValue};
use arc_malachitebft_core_types as core;
use borsh::{BorshDeserialize, BorshSerialize};
use core::{Round, Validity, ValueOrigin};
use xinqiao_consensus::{Error, Malformed, Step};
use xinqiao_ledger::ids::Height;

use crate::{
    context::{self, BlockId, Chain, Proposal, Vote, Voter},
    message::{Polka, Signed, decoded, encoded},
    timer::{step_of_core, timer_into_core},
};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Entry {
    /// The height that it belongs to.
    pub(crate) height: Height,
    /// What happened.
    pub(crate) event: Event,
}

/// What happened, in the order in which the core was told.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Event {
    /// A vote, our own or another's.
    Vote(Signed<Vote>),
    /// A proposal, our own or another's.
    Proposal(Signed<Proposal>),
    /// A quorum's prevotes.
    Polka(Polka),
    /// The host's verdict on a body, or our own body.
    Verdict {
        /// The round that it was first proposed in.
        round: u32,
        /// The earlier round that the proposal referred to.
        pol_round: Option<u32>,
        /// Its proposer there.
        proposer: Voter,
        /// The header.
        header: BlockId,
        /// Whether the body is valid.
        valid: bool,
    },
    /// A timer ran out.
    Timeout {
        /// Which.
        step: Step,
        /// Of which round.
        round: u32,
    },
}

impl Entry {
    /// The canonical encoding.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encoded(self)
    }

    /// Parses an encoding.
    ///
    /// # Errors
    /// [`Malformed`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let entry: Self = decoded(bytes)?;
        match &entry.event {
            // Of the steps that there are, the core does not have every one.
            Event::Timeout { step, round } if timer_into_core(*step, *round).is_none() => {
                Err(Malformed::Encoding)
            }
            _ => Ok(entry),
        }
    }
}

/// The entries that a log holds after a crash. What they say is believed, signatures and all, so the
/// host's framing has to notice a flipped bit, and the node to stop.
/// A last record that was cut short was never flushed,
/// so nothing depends on it and it is left out.
///
/// # Errors
/// [`Error::LogDamaged`] when any other record is no entry: what follows it cannot be trusted, and voting
/// without it could be voting twice.
pub(crate) fn recover<T: AsRef<[u8]>>(records: &[T]) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        match Entry::decode(record.as_ref()) {
            Ok(entry) => entries.push(entry),
            Err(_) if index + 1 == records.len() => {}
            Err(why) => return Err(Error::LogDamaged { index, why }),
        }
    }
    Ok(entries)
}

impl Event {
    /// The event that the core wants logged; none if it is of a kind that is never logged.
    pub(crate) fn of_core(input: CoreInput<Chain>) -> Option<Self> {
        Some(match input {
            CoreInput::Vote(vote) => Self::Vote(vote.into()),
            CoreInput::Proposal(proposal) => Self::Proposal(proposal.into()),
            CoreInput::PolkaCertificate(polka) => Self::Polka(polka.into()),
            CoreInput::ProposedValue(value, _) => Self::Verdict {
                round: context::numbered(value.round),
                pol_round: value.valid_round.as_u32(),
                proposer: value.proposer,
                header: value.value,
                valid: value.validity.is_valid(),
            },
            CoreInput::TimeoutElapsed(timeout) => Self::Timeout {
                step: step_of_core(timeout.kind)?,
                round: context::numbered(timeout.round),
            },
            CoreInput::StartHeight(..)
            | CoreInput::RoundCertificate(_)
            | CoreInput::Propose(_)
            | CoreInput::SyncValueResponse(_) => return None,
        })
    }

    /// As the core was told; none if it cannot have been.
    pub(crate) fn into_core(self, height: Height) -> Option<CoreInput<Chain>> {
        Some(match self {
            Self::Vote(vote) => CoreInput::Vote(vote.into_core()),
            Self::Proposal(proposal) => CoreInput::Proposal(proposal.into_core()),
            Self::Polka(polka) => CoreInput::PolkaCertificate(polka.into()),
            Self::Verdict {
                round,
                pol_round,
                proposer,
                header,
                valid,
            } => CoreInput::ProposedValue(
                ProposedValue {
                    height: context::Height(height),
                    round: Round::new(round),
                    valid_round: Round::from(pol_round),
                    proposer,
                    value: header,
                    validity: Validity::from_bool(valid),
                },
                ValueOrigin::Consensus,
            ),
            Self::Timeout { step, round } => {
                CoreInput::TimeoutElapsed(timer_into_core(step, round)?)
            }
        })
    }
}

#[cfg(test)]
mod tests;
