//! The way into a validator's mempool: parse, admit, verify, insert. All of it off the main loop.
//!
//! The cheap checks come first: whoever finds no room, or is refused, costs no signature check. The
//! mempool is behind a lock, for many callers insert while the loop takes whole blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message;
use tokio::sync::{Notify, Semaphore};
use tracing::Span;
use xinqiao_contracts::{NotAdmitted, VerifyTx, admit};
use xinqiao_ledger::{
    ids::TxId,
    outcome::Reason,
    tx::{NotSigned, Tx},
    wire,
};

use crate::{
    config::MempoolLimits,
    fault::SubmitFault,
    mempool::{Inserted, Mempool, Waiting},
    shared::Shared,
};

/// Transactions that are checked at once; more wait their turn, in order.
const CHECKED_AT_ONCE: usize = 2;

/// Takes transactions for a validator's blocks.
pub(crate) struct Intake {
    shared: Arc<Shared>,
    mempool: Mutex<Mempool>,
    arrived: Notify,
    turns: Arc<Semaphore>,
}

impl Intake {
    pub(crate) fn new(shared: Arc<Shared>, limits: MempoolLimits) -> Self {
        Self {
            shared,
            mempool: Mutex::new(Mempool::new(limits)),
            arrived: Notify::new(),
            turns: Arc::new(Semaphore::new(CHECKED_AT_ONCE)),
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

    /// Takes a transaction. One that waits already is taken again under the same id.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        transaction: wire::Transaction,
    ) -> Result<TxId, SubmitFault> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| SubmitFault::Stopping)?;
        let intake = Arc::clone(self);
        let span = Span::current();
        let checked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            span.in_scope(|| intake.check_and_insert(&transaction, &span))
        });
        checked.await.map_err(|_| SubmitFault::Stopping)?
    }

    fn check_and_insert(
        &self,
        transaction: &wire::Transaction,
        span: &Span,
    ) -> Result<TxId, SubmitFault> {
        let tx = Tx::parse(&transaction.encode_to_vec())?;
        let meta = *tx.meta();
        span.record("tx_id", tracing::field::display(&meta.id));
        if let Some(reason) = self.shared.halted() {
            return Err(SubmitFault::Halted(reason));
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
            let block = self.shared.next_block(&view.tip()?);
            admit(&view, &block, &tx).map_err(|fault| match fault {
                NotAdmitted::Refused(reason) => refused(reason),
                NotAdmitted::Fault(fault) => SubmitFault::Store(fault.into()),
            })?
        };
        let tx = tracing::debug_span!("tx.verify", tx_id = %meta.id)
            .in_scope(|| self.shared.verifier.verify(tx, &key))
            .map_err(|NotSigned| refused(Reason::SignatureInvalid))?;
        let waiting = Waiting {
            tx,
            span: span.clone(),
        };
        if self.mempool().insert(waiting)? == Inserted::New {
            self.arrived.notify_one();
        }
        Ok(meta.id)
    }
}
