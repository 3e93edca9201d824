//! Which validators are in force at which height.

use xinqiao_bft::Electorate;
use xinqiao_crypto::{DistinguishingId, PublicKey};
use xinqiao_ledger::{block::ValidatorSet, ids::Height};

/// How many heights a set stays in force, where sets change.
const HEIGHTS: Height = 3;

/// A validator set in both its forms.
#[derive(Debug)]
pub struct Prepared {
    /// As headers name it.
    pub set: ValidatorSet,
    /// As messages are checked against it.
    pub electorate: Electorate,
}

/// The sets of a run: always all validators, or every few heights the last one leaves or returns.
#[derive(Debug)]
pub struct Sets {
    all: Prepared,
    without_last: Option<Prepared>,
}

impl Sets {
    /// The sets over those keys.
    pub fn new(keys: &[PublicKey], changes: bool) -> Self {
        let fewer = &keys[..keys.len() - 1];
        Self {
            all: prepare(keys),
            without_last: changes.then(|| prepare(fewer)),
        }
    }

    /// The set of a height.
    pub fn at(&self, height: Height) -> &Prepared {
        match &self.without_last {
            Some(fewer) if height / HEIGHTS % 2 == 1 => fewer,
            _ => &self.all,
        }
    }
}

fn prepare(keys: &[PublicKey]) -> Prepared {
    let set = ValidatorSet::new(keys.to_vec(), DistinguishingId::default())
        .expect("simulated validators differ");
    Prepared {
        electorate: Electorate::from(&set),
        set,
    }
}
