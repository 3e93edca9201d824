//! Durability: what a node committed, and told its clients, is there after every crash.

use std::collections::{BTreeMap, BTreeSet};

use xinqiao_ledger::ids::HeaderHash;

use crate::{
    block::{Block, Tx},
    node::Seen,
};

/// What was acknowledged.
#[derive(Debug, Default)]
pub struct Durability {
    chains: BTreeMap<usize, Vec<HeaderHash>>,
    acknowledged: BTreeSet<Tx>,
}

impl Durability {
    /// A node committed a block.
    pub fn committed(&mut self, node: &dyn Seen, block: &Block) {
        let hash = block.candidate.header.hash();
        self.chains.entry(node.id()).or_default().push(hash);
        self.acknowledged.extend(&block.candidate.body);
    }

    /// A node started from its disk.
    pub fn restarted(&self, node: &dyn Seen) -> Result<(), String> {
        let Some(acknowledged) = self.chains.get(&node.id()) else {
            return Ok(());
        };
        let blocks = node.blocks().iter();
        let found: Vec<HeaderHash> = blocks.map(|block| block.candidate.header.hash()).collect();
        if found == *acknowledged {
            return Ok(());
        }
        Err(format!(
            "node {} committed {} blocks and found {} after its restart",
            node.id(),
            acknowledged.len(),
            found.len()
        ))
    }

    /// Whether a client was told that a transaction is committed.
    pub fn is_acknowledged(&self, tx: Tx) -> bool {
        self.acknowledged.contains(&tx)
    }
}
