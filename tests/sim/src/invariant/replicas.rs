//! Determinism of the contracts: every replica, a validator's or a holder's, comes to the same state
//! and the same outcomes at every height, each by executing the block itself.

use std::collections::BTreeMap;

use xinqiao_crypto::Digest;
use xinqiao_ledger::ids::{HeaderHash, Height};

use crate::block::Tip;

/// What the first replica came to at each height.
#[derive(Debug, Default)]
pub struct Replicas(BTreeMap<Height, (HeaderHash, Digest, Digest)>);

impl Replicas {
    /// A replica went on to this tip.
    pub fn executed(&mut self, who: &str, tip: &Tip) -> Result<(), String> {
        let Some((books, ran)) =
            (tip.books.as_ref()).and_then(|books| Some((books, books.last.as_ref()?)))
        else {
            return Ok(());
        };
        let came_to = (tip.hash, books.commitment, ran.outcome_root);
        let first = *self.0.entry(tip.height).or_insert(came_to);
        if first == came_to {
            return Ok(());
        }
        Err(format!(
            "height {}: {who} came to {came_to:?}, the first replica to {first:?}",
            tip.height
        ))
    }
}
