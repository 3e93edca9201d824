//! A handle on a running node for code of the same process: gateways and holders read the ledger
//! here, and trust nobody else for what is final.

use std::{sync::Arc, time::Duration};

use prost::Message;
use tokio::sync::watch;
use xinqiao_ledger::{
    block::Header,
    genesis::Genesis,
    ids::{ChainId, Height, TxId},
    outcome::Outcome,
    tx::Tx,
    validators::{Epochs, ValidatorSet},
    wire,
};
use xinqiao_store::{Error as StoreError, Reader, Tip, View};

use crate::{fault::SubmitFault, intake::Intake, relay::Relay, shared::Shared};

/// A node's view of the chain. Cloning is cheap.
#[derive(Clone)]
pub struct Replica {
    pub(crate) shared: Arc<Shared>,
    pub(crate) way: Way,
}

/// Where transactions go.
#[derive(Clone)]
pub(crate) enum Way {
    /// Into our own mempool.
    Own(Arc<Intake>),
    /// To an upstream.
    Relayed(Arc<Relay>),
    /// Nowhere: there is no code behind an observer that could send one.
    Closed,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("chain", &self.shared.chain)
            .field("tip", &self.tip().height)
            .finish_non_exhaustive()
    }
}

/// A block that this replica has executed and applied.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedBlock {
    /// The header.
    pub header: Header,
    /// The transactions, in order.
    pub txs: Vec<Tx>,
    /// The block's own outcome, then one for each transaction.
    pub outcomes: Vec<Outcome>,
}

/// Proof that a transaction is final: applied here, in a certified block that is on this disk. Only
/// a replica makes it; it says nothing about whether the ledger refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Final {
    id: TxId,
    height: Height,
    outcome: Outcome,
}

impl Final {
    /// The transaction.
    pub fn id(&self) -> TxId {
        self.id
    }

    /// Height of its block.
    pub fn height(&self) -> Height {
        self.height
    }

    /// What it came to.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

/// Why a transaction's end was not seen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// It was not ordered in time. It may still be.
    #[error("the transaction was not final within {0:?}")]
    Timeout(Duration),
    /// The node refuses to go on, so it will not see it.
    #[error("the node has halted: {0}")]
    Halted(String),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Replica {
    /// Where the chain stands here.
    pub fn tip(&self) -> Tip {
        *self.shared.tip.borrow()
    }

    /// Where the chain stands, again and again. A value is published once its block is on disk.
    pub fn watch(&self) -> watch::Receiver<Tip> {
        self.shared.tip.subscribe()
    }

    /// What the chain began with.
    pub fn genesis(&self) -> &Arc<Genesis> {
        &self.shared.genesis
    }

    /// The chain.
    pub fn chain(&self) -> ChainId {
        self.shared.chain
    }

    /// The validators in force at the next height.
    pub fn validators(&self) -> ValidatorSet {
        self.shared.epochs.borrow().last().clone()
    }

    /// The validators in force at every height up to the next.
    pub fn epochs(&self) -> Epochs {
        self.shared.epochs.borrow().clone()
    }

    /// The store, for reading blocks and proofs.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// One consistent state at the tip. Keep it only as long as one answer takes.
    pub fn state(&self) -> View<'_> {
        self.shared.reader.view()
    }

    /// A block that was applied, if the chain is that high here.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn applied(&self, height: Height) -> Result<Option<AppliedBlock>, StoreError> {
        let reader = &self.shared.reader;
        let (Some(block), Some(outcomes)) = (reader.block(height)?, reader.outcomes(height)?)
        else {
            return Ok(None);
        };
        Ok(Some(AppliedBlock {
            header: block.header,
            txs: block.txs,
            outcomes,
        }))
    }

    /// The receipt of a transaction, if it was ordered.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn receipt(&self, tx: &TxId) -> Result<Option<wire::Receipt>, StoreError> {
        self.shared.reader.receipt(tx)
    }

    /// Whether a transaction is final here, and what it came to.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn is_final(&self, tx: &TxId) -> Result<Option<Final>, StoreError> {
        // What the store shows is on disk: a batch becomes visible only after its log is synced.
        let found = self.shared.reader.outcome(tx)?;
        Ok(found.map(|(place, outcome)| Final {
            id: *tx,
            height: place.height,
            outcome,
        }))
    }

    /// Waits until a transaction is final here.
    ///
    /// # Errors
    /// When it is not within `patience`, or never will be.
    pub async fn wait_final(&self, tx: &TxId, patience: Duration) -> Result<Final, WaitError> {
        let mut tips = self.shared.tip.subscribe();
        let mut halted = self.shared.halted.subscribe();
        let deadline = tokio::time::sleep(patience);
        tokio::pin!(deadline);
        loop {
            // The mark comes first, so that a block that comes in between is not missed.
            tips.mark_unchanged();
            if let Some(found) = self.is_final(tx)? {
                return Ok(found);
            }
            tokio::select! {
                changed = tips.changed() => changed.map_err(|_| WaitError::Stopping)?,
                why = halted.wait_for(Option::is_some) => {
                    let why = why.map_err(|_| WaitError::Stopping)?.clone().unwrap_or_default();
                    return Err(WaitError::Halted(why));
                }
                () = &mut deadline => return Err(WaitError::Timeout(patience)),
            }
        }
    }

    /// Hands in a transaction: to the own mempool, or to an upstream. Being taken is not being
    /// final; see [`Replica::wait_final`].
    ///
    /// # Errors
    /// When it is not taken. [`SubmitFault::Replayed`] means that it was ordered before.
    pub async fn submit(&self, transaction: wire::Transaction) -> Result<TxId, SubmitFault> {
        self.submit_after(transaction, 0).await
    }

    /// The same for a transaction that so many nodes have relayed already.
    pub(crate) async fn submit_after(
        &self,
        transaction: wire::Transaction,
        relayed: u32,
    ) -> Result<TxId, SubmitFault> {
        match &self.way {
            Way::Own(intake) => intake.submit(transaction).await,
            Way::Relayed(relay) => {
                let tx = Tx::parse(&transaction.encode_to_vec())?;
                if let Some(reason) = self.halted() {
                    return Err(SubmitFault::Halted(reason));
                }
                let id = tx.meta().id;
                relay.submit(id, transaction, relayed).await?;
                Ok(id)
            }
            Way::Closed => Err(SubmitFault::ReadOnly),
        }
    }

    /// Why the node refuses to go on, if it does.
    pub fn halted(&self) -> Option<String> {
        self.shared.halted()
    }
}
