//! The way into a validator's mempool: parse, admit, verify, insert. All of it off the main loop.
//!
//! The cheap checks come first: whoever finds no room, or is refused, costs no signature check. The
//! mempool is behind a lock, for many callers insert while the loop takes whole blocks.
//!
//! Going to another thread and back costs as much as a signature check. So those who submit stand in
//! one line, and whoever checks takes several at a time: they share the trip, a look at the state, and
//! the message in which other validators are told of them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, Semaphore, oneshot};
use tracing::Span;
use xinqiao_contracts::{
    BlockContext, NotAdmitted, NotVerified, StateFault, VerifyTx, admit, parameters,
};
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{ids::TxId, outcome::Reason, tx::Tx, wire};
use xinqiao_store::View;

use crate::{
    config::MempoolLimits,
    fault::SubmitFault,
    mempool::{Inserted, Mempool, Waiting},
    shared::Shared,
};

/// Threads that check what is handed in; the rest of the line waits its turn, in order.
const CHECKERS: usize = 2;

/// Transactions that one of them takes at a time: enough to share the trip, and so few that the first
/// does not wait long for the last.
const TAKEN_AT_ONCE: usize = 32;

/// Where a transaction comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
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
    line: Mutex<Line>,
    /// What validators tell of is checked beside what is handed in here, one batch at a time.
    told: Arc<Semaphore>,
}

/// Those who hand something in, in the order in which they came.
#[derive(Default)]
struct Line {
    waiting: VecDeque<HandedIn>,
    /// Threads that take from it.
    checkers: usize,
}

/// A transaction that waits to be checked, and where its answer goes.
struct HandedIn {
    transaction: wire::Transaction,
    span: Span,
    answer: oneshot::Sender<Result<TxId, SubmitFault>>,
}

/// What checking a transaction came to, if it is not refused.
enum Sound {
    /// It may be inserted.
    New(Waiting),
    /// It waits already.
    Known(TxId),
}

/// What transactions are checked against: the state at the tip, and the block after it.
struct Sight<'a> {
    view: View<'a>,
    block: BlockContext,
}

impl Intake {
    pub(crate) fn new(me: KeyId, shared: Arc<Shared>, limits: MempoolLimits) -> Self {
        Self {
            me,
            shared,
            mempool: Mutex::new(Mempool::new(limits)),
            fresh: Mutex::new(Vec::new()),
            arrived: Notify::new(),
            line: Mutex::default(),
            told: Arc::new(Semaphore::new(1)),
        }
    }

    /// The mempool. The lock is held for moments only, never across a signature check.
    pub(crate) fn mempool(&self) -> MutexGuard<'_, Mempool> {
        self.mempool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Takes a transaction that somebody hands in. One that waits already is taken again under the same
    /// id.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        transaction: wire::Transaction,
    ) -> Result<TxId, SubmitFault> {
        let (answer, answered) = oneshot::channel();
        let handed_in = HandedIn {
            transaction,
            span: Span::current(),
            answer,
        };
        let more = {
            let mut line = self.line();
            line.waiting.push_back(handed_in);
            let wanted = line.waiting.len().div_ceil(TAKEN_AT_ONCE).min(CHECKERS);
            let more = line.checkers < wanted;
            line.checkers += usize::from(more);
            more
        };
        if more {
            let checker = Checker {
                intake: Arc::clone(self),
                counted: true,
            };
            tokio::task::spawn_blocking(move || checker.work());
        }
        answered.await.map_err(|_| SubmitFault::Stopping)?
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
            let batch = batch.into_iter().map(|one| (one, Span::none())).collect();
            for taken in intake.check_and_insert(batch, Origin::Validator) {
                if let Err(fault) = taken {
                    tracing::debug!(%fault, "a validator told of a transaction that is not taken");
                }
            }
        });
        if let Err(lost) = checked.await {
            tracing::error!(%lost, "checking transactions was lost");
        }
    }

    /// Checks one after the other, each by itself, and makes known once what is new.
    fn check_and_insert(
        &self,
        batch: Vec<(wire::Transaction, Span)>,
        origin: Origin,
    ) -> Vec<Result<TxId, SubmitFault>> {
        let (mut sight, mut new) = (None, Vec::new());
        let mut take = |(transaction, span): (wire::Transaction, Span)| {
            let waiting = match span.in_scope(|| self.check(&transaction, &span, &mut sight))? {
                Sound::New(waiting) => waiting,
                Sound::Known(id) => return Ok(id),
            };
            let id = waiting.tx.meta().id;
            if self.mempool().insert(waiting)? == Inserted::New {
                new.push(transaction);
            }
            Ok(id)
        };
        let answers = batch.into_iter().map(&mut take).collect();
        if !new.is_empty() {
            if origin == Origin::Here {
                let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
                fresh.append(&mut new);
            }
            self.arrived.notify_one();
        }
        answers
    }

    /// Checks a transaction by itself.
    fn check<'a>(
        &'a self,
        transaction: &wire::Transaction,
        span: &Span,
        sight: &mut Option<Sight<'a>>,
    ) -> Result<Sound, SubmitFault> {
        let tx = Tx::from_wire(transaction.clone())?;
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
                return Ok(Sound::Known(meta.id));
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
        let Sight { view, block } = self.look(sight)?;
        let key = admit(view, block, &tx).map_err(|fault| match fault {
            NotAdmitted::Refused(reason) => refused(reason),
            NotAdmitted::Fault(fault) => SubmitFault::Store(fault.into()),
        })?;
        let tx = tracing::debug_span!("tx.verify", tx_id = %meta.id)
            .in_scope(|| self.shared.verifier.verify(tx, &key))
            .map_err(|fault| match fault {
                NotVerified::NotSigned(_) => refused(Reason::SignatureInvalid),
                NotVerified::NoKey(fault) => SubmitFault::Store(StateFault::from(fault).into()),
            })?;
        Ok(Sound::New(Waiting {
            tx,
            span: span.clone(),
        }))
    }

    /// The state at the tip. What was ordered meanwhile must not be taken again: so a look taken for the
    /// one before serves only as long as the tip has not moved.
    fn look<'s, 'a>(
        &'a self,
        sight: &'s mut Option<Sight<'a>>,
    ) -> Result<&'s Sight<'a>, SubmitFault> {
        let next = self.shared.tip.borrow().height + 1;
        if sight.as_ref().is_none_or(|sight| sight.block.height < next) {
            let view = self.shared.reader.view();
            let limits = parameters(&view).map_err(|fault| SubmitFault::Store(fault.into()))?;
            let block = self.shared.next_block(&view.tip()?, limits);
            *sight = Some(Sight { view, block });
        }
        Ok(sight.as_ref().expect("it was just looked"))
    }
}

/// A thread that takes from the line until nobody waits in it.
struct Checker {
    intake: Arc<Intake>,
    /// Whether the line counts it.
    counted: bool,
}

impl Checker {
    fn work(mut self) {
        while let Some(taken) = self.next() {
            let mut answers = Vec::with_capacity(taken.len());
            let mut batch = Vec::with_capacity(taken.len());
            for HandedIn {
                transaction,
                span,
                answer,
            } in taken
            {
                answers.push(answer);
                batch.push((transaction, span));
            }
            let checked = self.intake.check_and_insert(batch, Origin::Here);
            for (answer, result) in answers.into_iter().zip(checked) {
                // Whoever has gone meanwhile is told nothing.
                let _ = answer.send(result);
            }
        }
    }

    /// The next ones in the line, without those who have gone. When there are none, it is counted no
    /// more under the same lock: whoever comes then starts another.
    fn next(&mut self) -> Option<Vec<HandedIn>> {
        let mut line = self.intake.line();
        loop {
            let count = line.waiting.len().min(TAKEN_AT_ONCE);
            if count == 0 {
                line.checkers -= 1;
                self.counted = false;
                return None;
            }
            let taken = line.waiting.drain(..count);
            let there: Vec<HandedIn> = taken.filter(|one| !one.answer.is_closed()).collect();
            if !there.is_empty() {
                return Some(there);
            }
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        if self.counted {
            self.intake.line().checkers -= 1;
        }
    }
}
