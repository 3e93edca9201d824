//! Blocks that receipts were asked of last, with the trees that their paths are taken from: whoever has a transaction
//! in a block asks for its receipt at once, and each would read and hash the whole block.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use xinqiao_crypto::merkle::Tree;
use xinqiao_ledger::ids::Height;

use crate::{error::Error, layout::StoredList, read::StoredHead};

/// How many blocks are remembered.
const BLOCKS: usize = 8;

/// How many bytes of transactions and outcomes a block may have to be remembered.
const BLOCK_BYTES: usize = 4 << 20;

/// A block as receipts are made of it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) head: StoredHead,
    pub(crate) txs: StoredList,
    pub(crate) outcomes: StoredList,
    pub(crate) tx_tree: Tree,
    pub(crate) outcome_tree: Tree,
}

impl Shown {
    pub(crate) fn of(head: StoredHead, txs: StoredList, outcomes: StoredList) -> Self {
        Self {
            tx_tree: Tree::over(txs.leaves()),
            outcome_tree: Tree::over(outcomes.leaves()),
            head,
            txs,
            outcomes,
        }
    }
}

/// Those blocks, the newest last. What is in it never changes; only pruning takes from it.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<(Height, Arc<Shown>)>>);

impl Recent {
    /// A block, as it is remembered or as it is read now.
    pub(crate) fn get(
        &self,
        height: Height,
        read: impl FnOnce() -> Result<Shown, Error>,
    ) -> Result<Arc<Shown>, Error> {
        let found = |blocks: &VecDeque<(Height, Arc<Shown>)>| {
            let found = blocks.iter().find(|(at, _)| *at == height);
            found.map(|(_, shown)| Arc::clone(shown))
        };
        if let Some(shown) = found(&self.blocks()) {
            return Ok(shown);
        }
        // Not under the lock: who asks for another block does not wait for this one.
        let shown = Arc::new(read()?);
        if shown.txs.bytes() + shown.outcomes.bytes() <= BLOCK_BYTES {
            let mut blocks = self.blocks();
            if found(&blocks).is_none() {
                blocks.push_back((height, Arc::clone(&shown)));
            }
            if blocks.len() > BLOCKS {
                blocks.pop_front();
            }
        }
        Ok(shown)
    }

    /// Forgets a block of which something is no longer here.
    pub(crate) fn forget(&self, height: Height) {
        self.blocks().retain(|(at, _)| *at != height);
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, VecDeque<(Height, Arc<Shown>)>> {
        // A panic leaves it whole: each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
