//! Transactions that wait for a block: verified, each once, and never more than the limits allow.
//!
//! First come, first served. Nothing is thrown out to make room: who comes too late is told when to
//! try again, and no signer can take up all of the room.

use std::collections::{HashMap, VecDeque};

use tracing::Span;
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    block::{MAX_BLOCK_BYTES, MAX_BLOCK_TXS},
    ids::TxId,
    tx::{Tx, Verified},
};

use crate::config::MempoolLimits;

/// A transaction that waits, and the span of the call that brought it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) tx: Verified<Tx>,
    pub(crate) span: Span,
}

/// Which limit has been reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The mempool's count.
    #[error("the mempool holds as many transactions as it may, {0}")]
    Txs(usize),
    /// The mempool's bytes.
    #[error("the mempool holds as many bytes as it may, {0}")]
    Bytes(usize),
    /// The signer's count.
    #[error("as many transactions of this signer wait as may, {0}")]
    SignerTxs(usize),
    /// The signer's bytes.
    #[error("as many bytes of this signer wait as may, {0}")]
    SignerBytes(usize),
}

/// What inserting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It waits now.
    New,
    /// It waited already.
    Known,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) txs: usize,
    pub(crate) bytes: usize,
}

impl Load {
    fn add(&mut self, bytes: usize) {
        self.txs += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.txs -= 1;
        self.bytes -= bytes;
    }
}

/// The transactions that wait, and those in the block under way.
#[derive(Debug)]
pub(crate) struct Mempool {
    limits: MempoolLimits,
    queue: VecDeque<Waiting>,
    /// Waiting or in the block under way: signer and size.
    held: HashMap<TxId, (KeyId, usize)>,
    signers: HashMap<KeyId, Load>,
    load: Load,
}

impl Mempool {
    pub(crate) fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            queue: VecDeque::new(),
            held: HashMap::new(),
            signers: HashMap::new(),
            load: Load::default(),
        }
    }

    /// What it holds, the block under way included.
    pub(crate) fn load(&self) -> Load {
        self.load
    }

    /// Whether any transaction waits that is in no block yet.
    pub(crate) fn waits(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) fn holds(&self, id: &TxId) -> bool {
        self.held.contains_key(id)
    }

    /// Whether there is room for another one.
    pub(crate) fn room(&self, signer: &KeyId, bytes: usize) -> Result<(), Full> {
        let limits = &self.limits;
        let signer = self.signers.get(signer).copied().unwrap_or_default();
        if self.load.txs >= limits.txs {
            Err(Full::Txs(limits.txs))
        } else if self.load.bytes + bytes > limits.bytes {
            Err(Full::Bytes(limits.bytes))
        } else if signer.txs >= limits.signer_txs {
            Err(Full::SignerTxs(limits.signer_txs))
        } else if signer.bytes + bytes > limits.signer_bytes {
            Err(Full::SignerBytes(limits.signer_bytes))
        } else {
            Ok(())
        }
    }

    pub(crate) fn insert(&mut self, waiting: Waiting) -> Result<Inserted, Full> {
        let (id, signer) = (waiting.tx.meta().id, waiting.tx.meta().signer);
        if self.holds(&id) {
            return Ok(Inserted::Known);
        }
        let bytes = waiting.tx.encoded().len();
        self.room(&signer, bytes)?;
        self.load.add(bytes);
        self.signers.entry(signer).or_default().add(bytes);
        self.held.insert(id, (signer, bytes));
        self.queue.push_back(waiting);
        Ok(Inserted::New)
    }

    /// Takes as many as one block may hold, oldest first. They stay held until [`Self::settle`].
    pub(crate) fn take(&mut self) -> Vec<Waiting> {
        let mut bytes = 0;
        let mut count = 0;
        for waiting in &self.queue {
            bytes += waiting.tx.encoded().len();
            if count == MAX_BLOCK_TXS || bytes > MAX_BLOCK_BYTES {
                break;
            }
            count += 1;
        }
        self.queue.drain(..count).collect()
    }

    /// Lets go of the transactions of a block that is committed.
    pub(crate) fn settle(&mut self, ids: &[TxId]) {
        for id in ids {
            let Some((signer, bytes)) = self.held.remove(id) else {
                continue;
            };
            self.load.remove(bytes);
            if let Some(load) = self.signers.get_mut(&signer) {
                load.remove(bytes);
                if load.txs == 0 {
                    self.signers.remove(&signer);
                }
            }
        }
    }
}
