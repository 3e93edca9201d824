//! The way into a validator's mempool: parse, admit, verify, insert. All of it off the main loop.
//!
//! The cheap checks come first: whoever finds no room, or is refused, costs no signature check. The
//! mempool is behind a lock, for many callers insert while the loop takes whole blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message;
use tokio::sync::{Notify, Semaphore};
use tracing::Span;
use xinqiao_contracts::{NotAdmitted, NotVerified, StateFault, VerifyTx, admit, parameters};
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{ids::TxId, outcome::Reason, tx::Tx, wire};

use crate::{
    config::MempoolLimits,
    fault::SubmitFault,
    mempool::{Inserted, Mempool, Waiting},
    shared::Shared,
};

/// Transactions that are checked at once; more wait their turn, in order.
const CHECKED_AT_ONCE: usize = 2;

/// Where a transaction comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Somebody handed it in here: other validators are told of it.
    Here,
    /// Another validator told of it, and told all others as well.
    Validator,
}

/// Takes transactions for a validator's blocks.
pub(crate) struct Intake {
    /// The validator whose blocks they are for.
    me: KeyId,
    shared: Arc<Shared>,
    mempool: Mutex<Mempool>,
    /// Handed in here and not yet told to other validators.
    fresh: Mutex<Vec<wire::Transaction>>,
    arrived: Notify,
    turns: Arc<Semaphore>,
    /// What validators tell of is checked beside what is handed in here, one batch at a time.
    told: Arc<Semaphore>,
}

impl Intake {
    pub(crate) fn new(me: KeyId, shared: Arc<Shared>, limits: MempoolLimits) -> Self {
        Self {
            me,
            shared,
            mempool: Mutex::new(Mempool::new(limits)),
            fresh: Mutex::new(Vec::new()),
            arrived: Notify::new(),
            turns: Arc::new(Semaphore::new(CHECKED_AT_ONCE)),
            told: Arc::new(Semaphore::new(1)),
        }
    }

    /// The mempool. The lock is held for moments only, never across a signature check.
    pub(crate) fn mempool(&self) -> MutexGuard<'_, Mempool> {
        self.mempool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when something has arrived since the last time.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// What was handed in here since the last time.
    pub(crate) fn fresh(&self) -> Vec<wire::Transaction> {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *fresh)
    }

    /// Takes a transaction. One that waits already is taken again under the same id.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        transaction: wire::Transaction,
        origin: Origin,
    ) -> Result<TxId, SubmitFault> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| SubmitFault::Stopping)?;
        let intake = Arc::clone(self);
        let span = Span::current();
        let checked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            span.in_scope(|| intake.check_and_insert(transaction, &span, origin))
        });
        checked.await.map_err(|_| SubmitFault::Stopping)?
    }

    /// Takes what another validator told of. One that is refused here is refused in a block as well:
    /// nobody need be told.
    pub(crate) async fn take_told(self: &Arc<Self>, batch: Vec<wire::Transaction>) {
        let Ok(turn) = Arc::clone(&self.told).acquire_owned().await else {
            return;
        };
        let intake = Arc::clone(self);
        let checked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            for transaction in batch {
                let taken = intake.check_and_insert(transaction, &Span::none(), Origin::Validator);
                if let Err(fault) = taken {
                    tracing::debug!(%fault, "a validator told of a transaction that is not taken");
                }
            }
        });
        if let Err(lost) = checked.await {
            tracing::error!(%lost, "checking transactions was lost");
        }
    }

    fn check_and_insert(
        &self,
        transaction: wire::Transaction,
        span: &Span,
        origin: Origin,
    ) -> Result<TxId, SubmitFault> {
        let tx = Tx::parse(&transaction.encode_to_vec())?;
        let meta = *tx.meta();
        span.record("tx_id", tracing::field::display(&meta.id));
        if let Some(reason) = self.shared.halted() {
            return Err(SubmitFault::Halted(reason));
        }
        let in_force = self.shared.epochs.borrow().last().key(&self.me).is_some();
        if !in_force {
            return Err(SubmitFault::NotInForce);
        }
        {
            let mempool = self.mempool();
            if mempool.holds(&meta.id) {
                return Ok(meta.id);
            }
            mempool.room(&meta.signer, tx.encoded().len())?;
        }
        let refused = |reason| match reason {
            Reason::TxReplayed => SubmitFault::Replayed(meta.id),
            reason => SubmitFault::Refused {
                reason,
                id: meta.id,
            },
        };
        let key = {
            let view = self.shared.reader.view();
            let limits = parameters(&view).map_err(|fault| SubmitFault::Store(fault.into()))?;
            let block = self.shared.next_block(&view.tip()?, limits);
            admit(&view, &block, &tx).map_err(|fault| match fault {
                NotAdmitted::Refused(reason) => refused(reason),
                NotAdmitted::Fault(fault) => SubmitFault::Store(fault.into()),
            })?
        };
        let tx = tracing::debug_span!("tx.verify", tx_id = %meta.id)
            .in_scope(|| self.shared.verifier.verify(tx, &key))
            .map_err(|fault| match fault {
                NotVerified::NotSigned(_) => refused(Reason::SignatureInvalid),
                NotVerified::NoKey(fault) => SubmitFault::Store(StateFault::from(fault).into()),
            })?;
        let waiting = Waiting {
            tx,
            span: span.clone(),
        };
        if self.mempool().insert(waiting)? == Inserted::New {
            if origin == Origin::Here {
                let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
                fresh.push(transaction);
            }
            self.arrived.notify_one();
        }
        Ok(meta.id)
    }
}
