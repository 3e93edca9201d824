//! Validity: every block that an honest node commits follows from its parent, holds valid and new
//! transactions, and has a certificate that a third party can check. So has evidence.

use std::{collections::BTreeMap, rc::Rc};

use xinqiao_ledger::vote::Equivocation;

use crate::{
    block::{Block, Tip},
    node::Seen,
    sets::Sets,
};

type CheckBlock = Box<dyn Fn(&Block) -> Result<(), String>>;
type CheckEvidence = Box<dyn Fn(&Equivocation) -> Result<usize, String>>;

/// Follows every honest node's chain.
pub struct Validity {
    genesis: Tip,
    sets: Rc<Sets>,
    certificate: CheckBlock,
    evidence: CheckEvidence,
    tips: BTreeMap<usize, Tip>,
}

impl Validity {
    /// Checks of single certificates and evidence are the scheme's.
    pub fn new(
        genesis: Tip,
        sets: Rc<Sets>,
        certificate: CheckBlock,
        evidence: CheckEvidence,
    ) -> Self {
        Self {
            genesis,
            sets,
            certificate,
            evidence,
            tips: BTreeMap::new(),
        }
    }

    /// A node committed a block.
    pub fn committed(&mut self, node: &dyn Seen, block: &Block) -> Result<(), String> {
        let tip = self
            .tips
            .entry(node.id())
            .or_insert_with(|| self.genesis.clone());
        let height = block.candidate.header.height;
        if let Some(why) = tip.refuses(&block.candidate, &self.sets, None) {
            return Err(format!("node {}, height {height}: {why}", node.id()));
        }
        tip.advance(&block.candidate);
        self.certified(block)
            .map_err(|why| format!("node {}, {why}", node.id()))
    }

    /// Whether a third party finds the block certified.
    pub fn certified(&self, block: &Block) -> Result<(), String> {
        let height = block.candidate.header.height;
        (self.certificate)(block).map_err(|why| format!("height {height}: {why}"))
    }

    /// Who is accused, if the evidence proves it.
    pub fn evidence(&self, evidence: &Equivocation) -> Result<usize, String> {
        (self.evidence)(evidence)
    }
}
