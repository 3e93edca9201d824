//! The validator's loop: consensus decides, this carries out. One owner of the store, `select →
//! apply`; executing and writing happen on the blocking pool, so transactions gather meanwhile.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};
use tracing::Span;
use xinqiao_consensus::{Effect, Engine, Input, Position, Slot};
use xinqiao_contracts::{Candidate, next_deadline};
use xinqiao_crypto::SecretKey;
use xinqiao_ledger::{
    block::{Certificate, Header},
    ids::{TimeMs, TxId},
};
use xinqiao_store::{Execution, Store};

use crate::{
    error::Error,
    intake::Intake,
    shared::{Shared, now, stopped},
};

/// How far ahead of a block's time, and of the clock while none is formed, deadlines are looked for.
/// Most are cleared long before they would fire, and a store is slow to walk over what was cleared:
/// looking for the earliest of all would cost more the more was done.
const SIGHT_MS: TimeMs = 1_000;

/// A validator at work.
pub(crate) struct Validator<E> {
    engine: E,
    key: SecretKey,
    shared: Arc<Shared>,
    intake: Arc<Intake>,
    /// Here, or with the job under way.
    store: Option<Store>,
    job: Option<JoinHandle<Result<(Store, Done), Error>>>,
    built: Option<Execution>,
    wake_at: Option<TimeMs>,
    /// Up to when deadlines were looked for and none was seen; none while the engine knows of one.
    clear_until: Option<TimeMs>,
}

/// What the blocking pool has done.
enum Done {
    Built(Box<Execution>),
    Committed { position: Position, ids: Vec<TxId> },
}

/// Where a store's chain stands, for its engine.
pub(crate) fn position(store: &Store) -> Result<Position, Error> {
    let tip = store.tip();
    Ok(Position {
        height: tip.height,
        time: tip.time,
        deadline: next_deadline(&store.reader().view(), 0..=in_sight(tip.time))?,
    })
}

fn in_sight(time: TimeMs) -> TimeMs {
    time.saturating_add(SIGHT_MS)
}

/// Up to when a position knows that no deadline waits.
fn clear_until(position: &Position) -> Option<TimeMs> {
    match position.deadline {
        Some(_) => None,
        None => Some(in_sight(position.time)),
    }
}

impl<E: Engine> Validator<E> {
    pub(crate) fn new(
        engine: E,
        key: SecretKey,
        shared: Arc<Shared>,
        intake: Arc<Intake>,
        store: Store,
    ) -> Self {
        Self {
            clear_until: clear_until(&engine.position()),
            engine,
            key,
            shared,
            intake,
            store: Some(store),
            job: None,
            built: None,
            wake_at: None,
        }
    }

    /// Runs until told to stop. A block under way is finished first.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
        let mut inputs = vec![Input::Tick { now: now() }];
        loop {
            for input in std::mem::take(&mut inputs) {
                for effect in self.engine.handle(input)? {
                    inputs.extend(self.carry_out(effect)?);
                }
            }
            if !inputs.is_empty() {
                continue;
            }
            let input = tokio::select! {
                () = stopped(&mut stop) => break,
                done = finished(&mut self.job) => Some(self.note(done)?),
                // What arrived may be in the block under way already.
                () = self.intake.arrived() => self
                    .intake
                    .mempool()
                    .waits()
                    .then(|| Input::Waiting { now: now() }),
                // Half of what is in sight is left by then: time enough to form the block.
                () = wake(self.clear_until.map(|time| time.saturating_sub(SIGHT_MS / 2))) => {
                    self.look_ahead()?
                }
                () = wake(self.wake_at) => {
                    self.wake_at = None;
                    Some(Input::Tick { now: now() })
                }
            };
            inputs.extend(input);
        }
        if self.job.is_some() {
            let done = finished(&mut self.job).await;
            self.note(done)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> Result<Option<Input>, Error> {
        match effect {
            Effect::Build(slot) => self.build(slot)?,
            Effect::Sign { .. } => return Ok(self.sign()),
            Effect::Commit(certificate) => self.commit(certificate)?,
            Effect::WakeAt(time) => self.wake_at = Some(time),
            Effect::ClockBehind { by_ms } => tracing::warn!(
                by_ms,
                "this machine's clock is behind the chain's time: no block is formed until it has caught up"
            ),
        }
        Ok(None)
    }

    /// Looks for deadlines where nobody has looked before.
    fn look_ahead(&mut self) -> Result<Option<Input>, Error> {
        let Some(seen) = self.clear_until.take() else {
            return Ok(None);
        };
        // The block under way ends with a position that says anew what is in sight.
        if self.job.is_some() {
            return Ok(None);
        }
        let now = now();
        let until = in_sight(now);
        match next_deadline(&self.shared.reader.view(), seen..=until)? {
            Some(at) => Ok(Some(Input::Deadline { at, now })),
            None => {
                self.clear_until = Some(until.max(seen));
                Ok(None)
            }
        }
    }

    fn build(&mut self, slot: Slot) -> Result<(), Error> {
        let slot = xinqiao_store::Slot {
            height: slot.height,
            time: slot.time,
            proposer: self.key.public().id(),
        };
        let (shared, intake) = (Arc::clone(&self.shared), Arc::clone(&self.intake));
        self.work(move |store| {
            let waiting = intake.mempool().take();
            let span =
                tracing::info_span!("block.execute", height = slot.height, txs = waiting.len());
            let callers: Vec<Span> = waiting.iter().map(|one| one.span.clone()).collect();
            for caller in &callers {
                span.follows_from(caller);
            }
            let candidates = waiting
                .into_iter()
                .map(|one| Candidate::Verified(one.tx))
                .collect();
            let execution = span.in_scope(|| store.execute(slot, candidates, &shared.verifier))?;
            for (caller, id) in callers.iter().zip(execution.ids()) {
                caller.in_scope(|| tracing::debug!(tx_id = %id, height = slot.height, "ordered"));
            }
            Ok(Done::Built(Box::new(execution)))
        })
    }

    /// Signs the header that was built.
    fn sign(&self) -> Option<Input> {
        let header = self.built.as_ref()?.header();
        let (validator, signature) = Certificate::sign(
            header,
            &self.key,
            &self.shared.genesis.distinguishing_id,
            &mut rand::rng(),
        );
        Some(Input::Signed {
            validator,
            signature,
        })
    }

    fn commit(&mut self, certificate: Certificate) -> Result<(), Error> {
        let Some(execution) = self.built.take() else {
            return Ok(());
        };
        let shared = Arc::clone(&self.shared);
        self.work(move |store| {
            let header: Header = execution.header().clone();
            let ids = execution.ids().to_vec();
            let _span =
                tracing::info_span!("block.commit", height = header.height, txs = ids.len())
                    .entered();
            let certified =
                certificate.check_known(header, &shared.validators, shared.verifier.cache())?;
            let tip = store.commit(execution, &certified, &certificate)?;
            shared.committed(tip);
            Ok(Done::Committed {
                position: position(store)?,
                ids,
            })
        })
    }

    fn note(&mut self, done: Result<(Store, Done), Error>) -> Result<Input, Error> {
        self.job = None;
        let (store, done) = done?;
        self.store = Some(store);
        Ok(match done {
            Done::Built(execution) => {
                let header = Box::new(execution.header().clone());
                self.built = Some(*execution);
                Input::Built(header)
            }
            Done::Committed { position, ids } => {
                self.clear_until = clear_until(&position);
                let mut mempool = self.intake.mempool();
                mempool.settle(&ids);
                Input::Committed {
                    position,
                    waiting: mempool.waits(),
                    now: now(),
                }
            }
        })
    }

    /// Hands the store to the blocking pool.
    fn work(
        &mut self,
        job: impl FnOnce(&mut Store) -> Result<Done, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let mut store = self.store.take().ok_or(Error::Busy)?;
        self.job = Some(tokio::task::spawn_blocking(move || {
            let done = job(&mut store)?;
            Ok((store, done))
        }));
        Ok(())
    }
}

/// Completes with the job under way; never, when there is none.
async fn finished(
    job: &mut Option<JoinHandle<Result<(Store, Done), Error>>>,
) -> Result<(Store, Done), Error> {
    match job {
        Some(job) => job.await?,
        None => pending().await,
    }
}

/// Completes at that time by the machine's clock, however the clock was set meanwhile.
async fn wake(at: Option<TimeMs>) {
    let Some(at) = at else {
        return pending().await;
    };
    // The clock may step: look again at least every second.
    while let Some(left) = at.checked_sub(now()).filter(|left| *left > 0) {
        tokio::time::sleep(Duration::from_millis(left.min(1_000))).await;
    }
}
