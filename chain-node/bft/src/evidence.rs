//! Equivocation: two statements of one validator of which an honest one makes one at most.
//!
//! The core forgets a height once it has passed and keeps few conflicts, so the engine keeps its
//! own [`Watch`] over what was verified, also for heights just passed and just ahead. Evidence
//! stands alone: whoever knows the validators of that height can check it. Voting against one's
//! lock in a later round is not seen here: no two signed statements prove it.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_ledger::ids::{ChainId, Height};

use crate::{
    certificate::{Refused, verified},
    context::{Proposal, Vote, VoteKind, Voter},
    electorate::Electorate,
    message::{Malformed, Message, Polka, RoundProof, Signed, decoded, encoded},
    sign::Verifier,
};

/// How many heights below the current one are watched.
const HEIGHTS_BEHIND: Height = 4;

/// How many statements of one validator at one height are kept: more than any honest one makes
/// before a height is decided in practice, and a bound on what a dishonest one can make us keep.
const STATEMENTS: usize = 96;

/// Two statements that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two votes of one kind in one round.
    Votes(Signed<Vote>, Signed<Vote>),
    /// Two proposals in one round.
    Proposals(Signed<Proposal>, Signed<Proposal>),
}

/// Why evidence proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The statements can both be an honest validator's.
    #[error("the two statements do not contradict each other")]
    NoConflict,
    /// The signer is no validator, or a signature is wrong.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Evidence {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        encoded(self)
    }

    /// Parses an encoding.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decoded(bytes)
    }

    /// The height that it is about: its validators are to check it.
    pub fn height(&self) -> Height {
        match self {
            Self::Votes(first, _) => first.message.height,
            Self::Proposals(first, _) => first.message.height,
        }
    }

    /// Checks it, and says who equivocated.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn check(
        &self,
        chain: &ChainId,
        validators: &Electorate,
        verifier: &impl Verifier,
    ) -> Result<Voter, Unproven> {
        let check = |voter, message: &[u8], signature| {
            verified(validators, voter, message, signature, verifier)
        };
        match self {
            Self::Votes(first, second) => {
                let (one, other) = (&first.message, &second.message);
                let comparable = one.validator == other.validator
                    && (one.height, one.round, one.kind) == (other.height, other.round, other.kind);
                if !comparable || one.header == other.header {
                    return Err(Unproven::NoConflict);
                }
                check(one.validator, &one.signing_message(chain), &first.signature)?;
                check(
                    one.validator,
                    &other.signing_message(chain),
                    &second.signature,
                )?;
                Ok(one.validator)
            }
            Self::Proposals(first, second) => {
                let (one, other) = (&first.message, &second.message);
                let comparable = one.proposer == other.proposer
                    && (one.height, one.round) == (other.height, other.round);
                if !comparable || one == other {
                    return Err(Unproven::NoConflict);
                }
                check(one.proposer, &one.signing_message(chain), &first.signature)?;
                check(
                    one.proposer,
                    &other.signing_message(chain),
                    &second.signature,
                )?;
                Ok(one.proposer)
            }
        }
    }
}

/// What validators said lately.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    said: BTreeMap<(Height, Voter), Said>,
}

#[derive(Debug, Default)]
struct Said {
    votes: BTreeMap<(u32, VoteKind), Signed<Vote>>,
    proposals: BTreeMap<u32, Signed<Proposal>>,
    /// One proof a height is enough.
    accused: bool,
}

impl Watch {
    /// Takes note of a verified message and answers with the contradictions that it shows.
    pub(crate) fn note(&mut self, message: &Message) -> Vec<Evidence> {
        match message {
            Message::Vote(vote) => self.vote(vote).into_iter().collect(),
            Message::Proposal(proposal) => self.proposal(proposal).into_iter().collect(),
            Message::Polka(polka) => votes_of_polka(polka)
                .filter_map(|vote| self.vote(&vote))
                .collect(),
            Message::Round(proof) => votes_of_proof(proof)
                .filter_map(|vote| self.vote(&vote))
                .collect(),
        }
    }

    /// Forgets what lies too far below a height.
    pub(crate) fn forget_before(&mut self, height: Height) {
        let least = height.saturating_sub(HEIGHTS_BEHIND);
        self.said.retain(|(height, _), _| *height >= least);
    }

    fn vote(&mut self, vote: &Signed<Vote>) -> Option<Evidence> {
        let it = &vote.message;
        let said = self.said.entry((it.height, it.validator)).or_default();
        let room = said.has_room();
        let key = (it.round, it.kind);
        match said.votes.get(&key) {
            Some(first) if first.message != *it && !said.accused => {
                said.accused = true;
                Some(Evidence::Votes(*first, *vote))
            }
            None if room => {
                said.votes.insert(key, *vote);
                None
            }
            _ => None,
        }
    }

    fn proposal(&mut self, proposal: &Signed<Proposal>) -> Option<Evidence> {
        let it = &proposal.message;
        let said = self.said.entry((it.height, it.proposer)).or_default();
        let room = said.has_room();
        match said.proposals.get(&it.round) {
            Some(first) if first.message != *it && !said.accused => {
                said.accused = true;
                Some(Evidence::Proposals(*first, *proposal))
            }
            None if room => {
                said.proposals.insert(it.round, *proposal);
                None
            }
            _ => None,
        }
    }
}

impl Said {
    fn has_room(&self) -> bool {
        self.votes.len() + self.proposals.len() < STATEMENTS
    }
}

fn votes_of_polka(polka: &Polka) -> impl Iterator<Item = Signed<Vote>> {
    polka.signatures.iter().map(|(voter, signature)| Signed {
        message: polka.prevote(*voter),
        signature: *signature,
    })
}

fn votes_of_proof(proof: &RoundProof) -> impl Iterator<Item = Signed<Vote>> {
    proof.votes.iter().map(|one| Signed {
        message: one.vote,
        signature: one.signature,
    })
}

#[cfg(test)]
mod tests;
