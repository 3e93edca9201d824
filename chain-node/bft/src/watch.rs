//! Equivocation: two statements of one validator of which an honest one makes one at most.
//!
//! The core forgets a height once it has passed and keeps few conflicts, so the engine keeps its
//! own [`Watch`] over what was verified, also for heights just passed and just ahead. Voting against
//! one's lock in a later round is not seen here: no two signed statements prove it.

use std::collections::BTreeMap;

use xinqiao_ledger::{
    ids::Height,
    vote::{Equivocation, VoteKind},
};

use crate::{
    context::{Proposal, Vote, Voter},
    message::{Message, Polka, RoundProof, Signed},
};

/// How many heights below the current one are watched.
const HEIGHTS_BEHIND: Height = 4;

/// How many statements of one validator at one height are kept: more than any honest one makes
/// before a height is decided in practice, and a bound on what a dishonest one can make us keep.
const STATEMENTS: usize = 96;

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
    pub(crate) fn note(&mut self, message: &Message) -> Vec<Equivocation> {
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

    fn vote(&mut self, vote: &Signed<Vote>) -> Option<Equivocation> {
        let it = &vote.message;
        let said = self.said.entry((it.height, it.validator)).or_default();
        let room = said.has_room();
        let key = (it.round, it.kind);
        match said.votes.get(&key) {
            Some(first) if first.message != *it && !said.accused => {
                said.accused = true;
                let stated = |vote: &Signed<Vote>| (vote.message.statement(), vote.signature);
                Some(Equivocation::new(
                    it.validator.0,
                    it.height,
                    it.round,
                    stated(first),
                    stated(vote),
                ))
            }
            None if room => {
                said.votes.insert(key, *vote);
                None
            }
            _ => None,
        }
    }

    fn proposal(&mut self, proposal: &Signed<Proposal>) -> Option<Equivocation> {
        let it = &proposal.message;
        let said = self.said.entry((it.height, it.proposer)).or_default();
        let room = said.has_room();
        match said.proposals.get(&it.round) {
            Some(first) if first.message != *it && !said.accused => {
                said.accused = true;
                let stated = |one: &Signed<Proposal>| (one.message.statement(), one.signature);
                Some(Equivocation::new(
                    it.proposer.0,
                    it.height,
                    it.round,
                    stated(first),
                    stated(proposal),
                ))
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
