//! Record before release: a sealed report leaves a holder only when a transaction that records these
//! very bytes for this very part took effect in a block that the validators agreed on and that the
//! holder's own replica has.

use std::collections::BTreeMap;

use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    action::Action,
    ids::{HeaderHash, Height},
    order::PartRef,
    outcome::{Event, Outcome},
    tx::Tx,
    wire::PartStatus,
};

use crate::block::Tip;

/// What was recorded, in which block.
#[derive(Debug, Default)]
pub struct RecordBeforeRelease {
    recorded: BTreeMap<(PartRef, Digest), Height>,
    blocks: BTreeMap<Height, HeaderHash>,
}

impl RecordBeforeRelease {
    /// The validators agreed on a block.
    pub fn agreed(&mut self, tip: &Tip) {
        self.blocks.insert(tip.height, tip.hash);
    }

    /// A transaction of it came to that.
    pub fn came_to(&mut self, tip: &Tip, tx: &Tx, outcome: &Outcome) {
        if let Action::DeliverPart(delivery) = tx.action()
            && is_delivered(delivery.part, outcome)
        {
            let bytes = (delivery.part, delivery.ciphertext_digest);
            self.recorded.entry(bytes).or_insert(tip.height);
        }
    }

    /// A holder whose replica stands there let bytes of that digest leave.
    pub fn released(&self, part: PartRef, bytes: Digest, replica: &Tip) -> Result<Height, String> {
        let name = format!("part {} of order {}", part.part, part.order);
        let Some(height) = self.recorded.get(&(part, bytes)).copied() else {
            return Err(format!("{name} left, and no block records it"));
        };
        if height > replica.height {
            return Err(format!(
                "{name} is recorded at height {height}, and left a holder that stands at {}",
                replica.height
            ));
        }
        if self.blocks.get(&replica.height) != Some(&replica.hash) {
            return Err(format!(
                "{name} left a holder whose replica is another chain"
            ));
        }
        Ok(height)
    }
}

/// Whether an outcome says that the part was delivered.
pub fn is_delivered(part: PartRef, outcome: &Outcome) -> bool {
    let delivered = |event: &Event| {
        matches!(event, Event::PartChanged(changed)
            if changed.order == part.order.to_vec()
                && changed.part == u32::from(part.part)
                && changed.status() == PartStatus::Delivered)
    };
    match outcome {
        Outcome::Applied(events) => events.iter().any(delivered),
        Outcome::Rejected { .. } => false,
    }
}
