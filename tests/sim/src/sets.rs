//! Which validators are in force at which height.

use xinqiao_crypto::{DistinguishingId, PublicKey};
use xinqiao_ledger::{
    ids::Height,
    validators::{Engine, ValidatorSet},
};

/// How many heights a set stays in force, where sets change.
const HEIGHTS: Height = 3;

/// The sets of a run: always all validators, or every few heights the last one leaves or returns.
#[derive(Debug)]
pub struct Sets {
    all: ValidatorSet,
    without_last: Option<ValidatorSet>,
}

impl Sets {
    /// The sets over those keys.
    pub fn new(engine: Engine, keys: &[PublicKey], changes: bool) -> Self {
        let set = |keys: &[PublicKey]| {
            ValidatorSet::new(engine, keys.to_vec(), DistinguishingId::default())
                .expect("simulated validators differ")
        };
        Self {
            all: set(keys),
            without_last: changes.then(|| set(&keys[..keys.len() - 1])),
        }
    }

    /// The first height at which the set of a height is in force without a break.
    pub fn since(&self, height: Height) -> Height {
        match &self.without_last {
            Some(_) => (height / HEIGHTS * HEIGHTS).max(1),
            None => 1,
        }
    }

    /// The set of a height.
    pub fn at(&self, height: Height) -> &ValidatorSet {
        match &self.without_last {
            Some(fewer) if height / HEIGHTS % 2 == 1 => fewer,
            _ => &self.all,
        }
    }
}
