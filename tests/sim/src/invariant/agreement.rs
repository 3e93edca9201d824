//! Agreement: no two honest nodes commit different headers at one height.

use std::collections::BTreeMap;

use xinqiao_ledger::ids::{HeaderHash, Height};

use crate::{block::Block, node::Seen};

/// What was committed, by the first who did.
#[derive(Debug, Default)]
pub struct Agreement(BTreeMap<Height, (HeaderHash, usize)>);

impl Agreement {
    /// A node committed a block.
    pub fn committed(&mut self, node: &dyn Seen, block: &Block) -> Result<(), String> {
        let header = &block.candidate.header;
        let hash = header.hash();
        let (first, by) = *self.0.entry(header.height).or_insert((hash, node.id()));
        if first == hash {
            return Ok(());
        }
        Err(format!(
            "height {}: node {by} committed {first}, node {} committed {hash}",
            header.height,
            node.id()
        ))
    }
}
