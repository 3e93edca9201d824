//! Which validators are in force at which height.

use xinqiao_crypto::{DistinguishingId, PublicKey};
use xinqiao_ledger::{
    ids::Height,
    validators::{Engine, ValidatorSet},
};

use crate::dice::Dice;

/// How many times sets change at most; the last one stays.
const CHANGES: usize = 60;

/// The sets of a run: always all validators, or again and again one leaves, another for it, or all are
/// there.
#[derive(Debug)]
pub struct Sets(Vec<(Height, ValidatorSet)>);

impl Sets {
    /// The sets over those keys; they change if chance is given.
    pub fn new(engine: Engine, keys: &[PublicKey], changes: Option<&mut Dice>) -> Self {
        let set = |left: Option<usize>| {
            let there = keys
                .iter()
                .enumerate()
                .filter(|(place, _)| Some(*place) != left);
            let there = there.map(|(_, key)| *key);
            ValidatorSet::new(engine, there, DistinguishingId::default())
                .expect("simulated validators differ")
        };
        let mut sets = vec![(1, set(None))];
        if let Some(dice) = changes {
            let (mut since, mut left) = (1, None);
            for _ in 0..CHANGES {
                // Some sets stay long enough for a log to be cut.
                let longest = if dice.permille(200) { 60 } else { 6 };
                since += dice.between(1, longest);
                let other = dice.permille(600).then(|| dice.index(keys.len()));
                if other != left {
                    left = other;
                    sets.push((since, set(left)));
                }
            }
        }
        Self(sets)
    }

    /// The first height at which the set of a height is in force without a break.
    pub fn since(&self, height: Height) -> Height {
        self.of(height).0
    }

    /// The set of a height.
    pub fn at(&self, height: Height) -> &ValidatorSet {
        &self.of(height).1
    }

    fn of(&self, height: Height) -> &(Height, ValidatorSet) {
        let after = self.0.partition_point(|(since, _)| *since <= height);
        &self.0[after.saturating_sub(1)]
    }
}
