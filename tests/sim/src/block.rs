//! The application: a chain of bodies that are lists of numbers, under the ledger's own headers.
//!
//! What transactions mean is for [`crate::books`], in runs that have them. In all others that a body
//! can be invalid, repeat what was committed, or come to another state than its header says, is
//! simulated all the same.

use std::{collections::BTreeSet, rc::Rc};

use xinqiao_crypto::{Digest, KeyId, sm3_parts};
use xinqiao_ledger::{
    block::{Certificate, Header},
    ids::{ChainId, HeaderHash, Height, TimeMs},
};

use crate::{
    books::{Books, Ledger},
    sets::Sets,
};

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
    /// The state, where transactions mean something.
    pub books: Option<Books>,
}

impl Tip {
    /// Before the first block.
    pub fn genesis(chain: ChainId) -> Self {
        Self {
            chain,
            height: 0,
            hash: HeaderHash(chain.0),
            time: 0,
            state: Digest::ZERO,
            done: BTreeSet::new(),
            books: None,
        }
    }

    /// Before the first block of a consortium.
    pub fn founded(ledger: Rc<Ledger>) -> Self {
        let books = Books::genesis(Rc::clone(&ledger));
        Self {
            time: ledger.time,
            state: books.commitment,
            books: Some(books),
            ..Self::genesis(ledger.chain)
        }
    }

    /// A block of these transactions that fits this tip.
    pub fn extend(&self, body: Vec<Tx>, now: TimeMs, proposer: KeyId, sets: &Sets) -> Candidate {
        let height = self.height + 1;
        let time = now.max(self.time + 1);
        let (tx_root, outcome_root, state_commitment) = match &self.books {
            Some(books) => {
                let ran = books.run(height, time, &body);
                (ran.tx_root, ran.outcome_root, ran.commitment)
            }
            None => {
                let encoded = encode(&body);
                let state = sm3_parts(&[b"state", self.state.as_bytes(), &encoded]);
                (sm3_parts(&[b"txs", &encoded]), Digest::ZERO, state)
            }
        };
        let header = Header {
            chain: self.chain,
            height,
            parent: self.hash,
            time,
            tx_count: body.len() as u32,
            tx_root,
            outcome_root,
            state_commitment,
            history_root: Digest::from([0; 32]),
            validator_set: sets.at(height).hash(),
            next_validators: sets.at(height + 1).hash(),
            checkpoint: None,
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
        let invalid = || match &self.books {
            Some(books) => {
                let weak = books.run(header.height, header.time, body).is_weak();
                weak || !body.iter().all(|tx| books.ledger.was_signed(*tx))
            }
            None => body.iter().any(|tx| tx & POISON != 0),
        };
        let repeated = body.iter().collect::<BTreeSet<_>>().len() != body.len();
        if expected.header != *header {
            Some("the header does not follow from parent and body")
        } else if validators.key(&header.proposer).is_none() {
            Some("the proposer is no validator")
        } else if invalid() {
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
        if let Some(books) = &mut self.books {
            books.advance(self.height, self.time, &candidate.body);
        }
        self.done.extend(&candidate.body);
    }
}

fn encode(body: &[Tx]) -> Vec<u8> {
    body.iter().flat_map(|tx| tx.to_be_bytes()).collect()
}
