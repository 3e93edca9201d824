//! Messages for heights that this node has not reached: verified, few, and no sender can crowd out
//! another's.
//!
//! The core would buffer them unverified. A node that is further behind catches up by blocks, so
//! nothing is kept for heights beyond the next two.

use std::collections::BTreeMap;

use xinqiao_consensus::Message as _;
use xinqiao_ledger::ids::Height;

use crate::{context::Voter, message::Verified};

/// How far ahead messages are kept.
pub(crate) const HEIGHTS_AHEAD: Height = 2;

/// How many messages of one sender are kept for one height.
const QUOTA: usize = 32;

/// The buffer.
#[derive(Debug, Default)]
pub(crate) struct Future {
    kept: BTreeMap<(Height, Voter), Vec<Verified>>,
}

impl Future {
    /// Keeps a message for later, if it is near and its sender has room left.
    pub(crate) fn keep(&mut self, current: Height, from: Voter, message: Verified) {
        let height = message.message().height();
        if height > current.saturating_add(HEIGHTS_AHEAD) {
            return;
        }
        let kept = self.kept.entry((height, from)).or_default();
        if kept.len() < QUOTA && !kept.contains(&message) {
            kept.push(message);
        }
    }

    /// What was kept for a height, each sender's in its order. All below is dropped.
    pub(crate) fn take(&mut self, height: Height) -> Vec<Verified> {
        let later = self
            .kept
            .split_off(&(height, Voter(xinqiao_crypto::Digest::from([0; 32]).into())));
        self.kept = later;
        let mut taken = Vec::new();
        self.kept.retain(|(at, _), messages| {
            let now = *at == height;
            if now {
                taken.append(messages);
            }
            !now
        });
        taken
    }
}

#[cfg(test)]
mod tests;
