//! Whose turn it is, and how many validators surely include an honest one.

use xinqiao_crypto::KeyId;
use xinqiao_ledger::{ids::Height, validators::ValidatorSet};

/// Whose turn it is: validators take turns by id, and each failed round goes on to the next.
pub fn proposer(validators: &ValidatorSet, height: Height, round: u32) -> KeyId {
    validators.keys()[turn(validators.count(), height, round)].0
}

/// The place of the validator whose turn it is.
pub(crate) fn turn(validators: usize, height: Height, round: u32) -> usize {
    let turn = (u128::from(height) + u128::from(round)) % (validators as u128);
    usize::try_from(turn).expect("less than the number of validators")
}

/// How many of so many validators surely include an honest one: more than a third.
pub(crate) fn honest(validators: usize) -> usize {
    validators / 3 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::validators;

    #[test]
    fn everybody_has_a_turn_at_every_height() {
        let set = validators();
        for height in [1, 2, 7, u64::MAX] {
            let mut turns: Vec<KeyId> = (0..4).map(|round| proposer(&set, height, round)).collect();
            assert_ne!(turns[0], proposer(&set, height.wrapping_sub(1), 0));
            turns.sort_unstable();
            turns.dedup();
            assert_eq!(turns.len(), 4, "height {height}");
        }
    }

    #[test]
    fn an_honest_one_is_among_one_more_than_may_lie() {
        for (validators, least) in [(1, 1), (2, 1), (3, 2), (4, 2), (6, 3), (7, 3), (10, 4)] {
            assert_eq!(honest(validators), least, "of {validators}");
        }
    }
}
