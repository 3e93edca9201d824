//! The application: a chain of bodies that are lists of numbers, under the ledger's own headers.
//!
//! What transactions mean is not simulated here. That a body can be invalid, repeat what was
//! committed, or come to another state than its header says, is.

use std::collections::BTreeSet;

use xinqiao_crypto::{Digest, KeyId, sm3_parts};
use xinqiao_ledger::{
    block::{Certificate, Header},
    ids::{ChainId, HeaderHash, Height, TimeMs},
};

use crate::sets::Sets;

/// A transaction.
pub type Tx = u64;

/// Transactions with this bit are invalid, and only a liar puts them into a block.
pub const POISON: Tx = 1 << 63;

/// How far ahead of a voter's clock a block's time may lie.
const MAX_AHEAD_MS: TimeMs = 10_000;

/// A header with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The header.
    pub header: Header,
    /// The transactions.
    pub body: Vec<Tx>,
}

/// A committed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Header and body.
    pub candidate: Candidate,
    /// The quorum's signatures.
    pub certificate: Certificate,
}

/// The end of a chain: what the next block has to fit.
#[derive(Debug, Clone)]
pub struct Tip {
    /// Which chain.
    pub chain: ChainId,
    /// Height of the last block.
    pub height: Height,
    /// Its hash.
    pub hash: HeaderHash,
    /// Its time.
    pub time: TimeMs,
    /// Commitment to the state after it.
    pub state: Digest,
    /// All transactions so far.
    pub done: BTreeSet<Tx>,
}

impl Tip {
    /// Before the first block.
    pub fn genesis(chain: ChainId) -> Self {
        Self {
            chain,
            height: 0,
            hash: HeaderHash(chain.0),
            time: 0,
            state: Digest::from([0; 32]),
            done: BTreeSet::new(),
        }
    }

    /// A block of these transactions that fits this tip.
    pub fn extend(&self, body: Vec<Tx>, now: TimeMs, proposer: KeyId, sets: &Sets) -> Candidate {
        let encoded = encode(&body);
        let height = self.height + 1;
        let header = Header {
            chain: self.chain,
            height,
            parent: self.hash,
            time: now.max(self.time + 1),
            tx_count: body.len() as u32,
            tx_root: sm3_parts(&[b"txs", &encoded]),
            outcome_root: Digest::from([0; 32]),
            state_commitment: sm3_parts(&[b"state", self.state.as_bytes(), &encoded]),
            history_root: Digest::from([0; 32]),
            validator_set: sets.at(height).hash(),
            next_validators: sets.at(height + 1).hash(),
            proposer,
        };
        Candidate { header, body }
    }

    /// Why a block does not follow this tip; a clock is given by voters, not by followers.
    pub fn refuses(
        &self,
        candidate: &Candidate,
        sets: &Sets,
        clock: Option<TimeMs>,
    ) -> Option<&'static str> {
        let Candidate { header, body } = candidate;
        let expected = self.extend(body.clone(), header.time, header.proposer, sets);
        let validators = sets.at(self.height + 1);
        let repeated = body.iter().collect::<BTreeSet<_>>().len() != body.len();
        if expected.header != *header {
            Some("the header does not follow from parent and body")
        } else if validators.key(&header.proposer).is_none() {
            Some("the proposer is no validator")
        } else if body.iter().any(|tx| tx & POISON != 0) {
            Some("a transaction is invalid")
        } else if repeated || body.iter().any(|tx| self.done.contains(tx)) {
            Some("a transaction is repeated")
        } else if clock.is_some_and(|now| header.time > now + MAX_AHEAD_MS) {
            Some("the block's time is too far ahead")
        } else {
            None
        }
    }

    /// Goes on by a block.
    pub fn advance(&mut self, candidate: &Candidate) {
        self.height = candidate.header.height;
        self.hash = candidate.header.hash();
        self.time = candidate.header.time;
        self.state = candidate.header.state_commitment;
        self.done.extend(&candidate.body);
    }
}

fn encode(body: &[Tx]) -> Vec<u8> {
    body.iter().flat_map(|tx| tx.to_be_bytes()).collect()
}
