//! The validators of a height, with everything about them that each message would otherwise
//! compute again: their ids, and the hash of the set.

use std::sync::Arc;

use xinqiao_crypto::{Digest, PublicKey};
use xinqiao_ledger::{block::ValidatorSet, ids::Height};

use crate::context::Voter;

/// A validator set, prepared for checking many messages. Cloning it is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Electorate(Arc<Prepared>);

#[derive(Debug, PartialEq, Eq)]
struct Prepared {
    hash: Digest,
    quorum: usize,
    /// By ascending id.
    validators: Vec<(Voter, PublicKey)>,
}

impl From<&ValidatorSet> for Electorate {
    fn from(set: &ValidatorSet) -> Self {
        let keys = set.keys().iter();
        Self(Arc::new(Prepared {
            hash: set.hash(),
            quorum: set.quorum(),
            validators: keys.map(|key| (Voter(key.id()), *key)).collect(),
        }))
    }
}

impl Electorate {
    /// Hash of the set, as headers name it.
    pub fn hash(&self) -> Digest {
        self.0.hash
    }

    /// How many validators decide: more than two thirds.
    pub fn quorum(&self) -> usize {
        self.0.quorum
    }

    /// How many validators surely include an honest one: more than a third.
    pub fn honest(&self) -> usize {
        self.count() / 3 + 1
    }

    /// How many validators there are.
    pub fn count(&self) -> usize {
        self.0.validators.len()
    }

    /// Validators and keys, by ascending id.
    pub fn validators(&self) -> &[(Voter, PublicKey)] {
        &self.0.validators
    }

    /// The key of a validator.
    pub fn key(&self, voter: &Voter) -> Option<&PublicKey> {
        let validators = self.validators();
        let found = validators.binary_search_by_key(voter, |(voter, _)| *voter);
        found.ok().map(|place| &validators[place].1)
    }

    /// Whose turn it is: validators take turns by id, and each failed round goes on to the next.
    pub fn proposer(&self, height: Height, round: u32) -> Voter {
        self.validators()[turn(self.count(), height, round)].0
    }
}

/// The place of the validator whose turn it is.
pub(crate) fn turn(validators: usize, height: Height, round: u32) -> usize {
    let turn = (u128::from(height) + u128::from(round)) % (validators as u128);
    usize::try_from(turn).expect("less than the number of validators")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{validators, voter};

    #[test]
    fn an_electorate_says_what_its_set_says() {
        let set = validators();
        let electorate = Electorate::from(&set);
        assert_eq!(electorate.hash(), set.hash());
        assert_eq!(
            (electorate.count(), electorate.quorum(), electorate.honest()),
            (4, 3, 2)
        );
        for place in 0..4 {
            let voter = voter(place);
            assert_eq!(electorate.key(&voter), set.key(&voter.0));
        }
        let stranger = Voter(Digest::from([1; 32]).into());
        assert_eq!(electorate.key(&stranger), None);
    }

    #[test]
    fn everybody_has_a_turn_at_every_height() {
        let electorate = Electorate::from(&validators());
        for height in [1, 2, 7, u64::MAX] {
            let mut turns: Vec<Voter> = (0..4)
                .map(|round| electorate.proposer(height, round))
                .collect();
            assert_ne!(turns[0], electorate.proposer(height.wrapping_sub(1), 0));
            turns.sort_unstable();
            turns.dedup();
            assert_eq!(turns.len(), 4, "height {height}");
        }
    }
}
