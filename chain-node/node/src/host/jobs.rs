//! What takes the store: forming, judging, writing and applying blocks, one at a time, on the blocking
//! pool.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prost::Message as _;
use tokio::task::JoinHandle;
use tracing::Span;
use xinqiao_consensus::{
    Input,
    time::{self, TimeFault},
};
use xinqiao_contracts::{Candidate, next_deadline, validators};
use xinqiao_ledger::{
    block::{Certificate, Header},
    ids::{HeaderHash, Height, TimeMs, TxId},
};
use xinqiao_store::{Execution, Store};

use super::{Host, in_sight};
use crate::{
    bodies::{Body, Stage},
    catch_up::Fetch,
    error::Error,
    follower::{Applied, apply},
    mesh::Saying,
    shared::{Shared, now},
    upstream::{Checked, UpstreamFault},
    wal::Kind,
};

/// What only one at a time can do, for it takes the store.
pub(super) enum Work {
    Build { height: Height, round: u32 },
    Judge(HeaderHash),
    Commit(Certificate),
    Apply(Box<Checked>),
}

/// What the blocking pool has done.
pub(super) enum Done {
    Built {
        execution: Box<Execution>,
        round: u32,
    },
    Judged {
        hash: HeaderHash,
        height: Height,
        stands: Option<Box<Execution>>,
    },
    Committed {
        ids: Vec<TxId>,
        deadline: Option<TimeMs>,
    },
    Refused(UpstreamFault),
    Diverged(String),
}

/// A job and what it gives back.
pub(super) type Job = JoinHandle<Result<(Store, Done), Error>>;

/// The earliest deadline in sight from a store's tip.
pub(super) fn deadline_of(store: &Store) -> Result<Option<TimeMs>, Error> {
    Ok(next_deadline(
        &store.reader().view(),
        0..=in_sight(store.tip().time),
    )?)
}

impl Host {
    /// Begins what is to be done next, if the store is free.
    pub(super) fn work_on(&mut self) -> Result<(), Error> {
        while self.job.is_none()
            && let Some(work) = self.todo.pop_front()
        {
            match work {
                Work::Build { height, round } => self.build(height, round)?,
                Work::Judge(hash) => self.execute(hash)?,
                Work::Commit(certificate) => self.commit(certificate)?,
                Work::Apply(block) => self.apply(block)?,
            }
        }
        Ok(())
    }

    pub(super) fn build(&mut self, height: Height, round: u32) -> Result<(), Error> {
        let tip = *self.shared.tip.borrow();
        if height != tip.height + 1 {
            return Ok(());
        }
        let time = match time::next(tip.time, now()) {
            Ok(time) => time,
            Err(TimeFault::Ahead { by_ms }) => {
                tracing::warn!(
                    by_ms,
                    "this machine's clock is behind the chain's time: it forms no block until it has caught up"
                );
                let wait = Duration::from_millis(by_ms - time::MAX_AHEAD_MS);
                self.build_at = Some((Instant::now() + wait, height, round));
                return Ok(());
            }
            // Only after the last millisecond that 64 bits can tell.
            Err(TimeFault::NotLater { .. }) => return Ok(()),
        };
        let slot = xinqiao_store::Slot {
            height,
            time,
            proposer: self.me,
        };
        let (shared, intake) = (Arc::clone(&self.shared), Arc::clone(&self.intake));
        self.work(move |store| {
            let waiting = intake.mempool().next_block(height);
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
            Ok(Done::Built {
                execution: Box::new(execution),
                round,
            })
        })
    }

    pub(super) fn execute(&mut self, hash: HeaderHash) -> Result<(), Error> {
        let tip = *self.shared.tip.borrow();
        let Some(kept) = self.bodies.get(&hash) else {
            return Ok(());
        };
        let (header, height) = (kept.header.clone(), kept.header.height);
        if height != tip.height + 1 || !matches!(kept.stage, Stage::Waits(_)) {
            return Ok(());
        }
        let Some(Stage::Waits(candidates)) = self.bodies.advance(&hash, Stage::Executing) else {
            return Ok(());
        };
        if let Err(fault) = time::vote(tip.time, header.time, now()) {
            tracing::warn!(height, %fault, "a proposed block's time is refused");
            self.bodies.advance(&hash, Stage::Refused);
            return self.feed(Input::Judged {
                height,
                header: hash,
                valid: false,
            });
        }
        let shared = Arc::clone(&self.shared);
        self.work(move |store| {
            let execution = try_out(&shared, store, &header, candidates)?;
            Ok(Done::Judged {
                hash,
                height,
                stands: execution.map(Box::new),
            })
        })
    }

    pub(super) fn commit(&mut self, certificate: Certificate) -> Result<(), Error> {
        if certificate.height != self.next_height() {
            return Ok(());
        }
        let hash = certificate.header;
        let header = match self.bodies.get(&hash) {
            Some(kept) if !matches!(kept.stage, Stage::Refused) => kept.header.clone(),
            _ => {
                // Others have it: it comes as a block, and is looked at once more.
                tracing::warn!(%hash, "a header was decided on that this node cannot stand for yet");
                return Ok(());
            }
        };
        let Some(stage) = self.bodies.advance(&hash, Stage::Executing) else {
            return Ok(());
        };
        let shared = Arc::clone(&self.shared);
        self.work(move |store| {
            let execution = match stage {
                Stage::Stands(execution) => Some(*execution),
                Stage::Waits(candidates) => try_out(&shared, store, &header, candidates)?,
                Stage::Executing | Stage::Refused => None,
            };
            let Some(execution) = execution else {
                return Ok(Done::Diverged(format!(
                    "block {} was decided on, and executing it comes to another header",
                    header.height
                )));
            };
            let ids = execution.ids().to_vec();
            let _span =
                tracing::info_span!("block.commit", height = header.height, txs = ids.len())
                    .entered();
            let certified =
                certificate.check_known(header, store.validators(), shared.verifier.cache())?;
            store.commit(execution, &certified, &certificate)?;
            shared.committed(store);
            let deadline = deadline_of(store)?;
            Ok(Done::Committed { ids, deadline })
        })
    }

    pub(super) fn apply(&mut self, block: Box<Checked>) -> Result<(), Error> {
        // The own decision may have come first.
        if block.header.height < self.next_height() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        self.work(move |store| {
            Ok(match apply(&shared, store, *block)? {
                Applied::Yes(ids) => Done::Committed {
                    ids,
                    deadline: deadline_of(store)?,
                },
                Applied::Faulty(fault) => Done::Refused(fault),
                Applied::Differs(reason) => Done::Diverged(reason),
            })
        })
    }

    /// Takes note of what was done; says whether this is the end.
    pub(super) fn note(&mut self, done: Result<(Store, Done), Error>) -> Result<bool, Error> {
        self.job = None;
        let (store, done) = done?;
        self.store = Some(store);
        match done {
            Done::Built { execution, round } => {
                let body = Body::built(&execution);
                let (height, header) = (body.header.height, body.hash);
                self.log_body(&body);
                self.bodies.keep_own(body, execution);
                self.feed(Input::Built {
                    height,
                    round,
                    header,
                })?;
            }
            Done::Judged {
                hash,
                height,
                stands,
            } => {
                let valid = stands.is_some();
                let stage = stands.map_or(Stage::Refused, Stage::Stands);
                self.bodies.advance(&hash, stage);
                if valid && let Some(kept) = self.bodies.get(&hash) {
                    self.log.append(Kind::Body, kept.wire.encode_to_vec());
                }
                self.feed(Input::Judged {
                    height,
                    header: hash,
                    valid,
                })?;
            }
            Done::Committed { ids, deadline } => self.committed(&ids, deadline)?,
            Done::Refused(fault) => self.leave(&fault)?,
            Done::Diverged(reason) => {
                let mut store = self.store.take().ok_or(Error::Busy)?;
                store.halt(&reason)?;
                self.store = Some(store);
                self.shared.halt(reason);
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn log_body(&self, body: &Body) {
        // A single validator's engine keeps no log: nothing is agreed on before it is on disk.
        if self.mesh.others().next().is_some() {
            self.log.append(Kind::Body, body.record());
        }
    }

    pub(super) fn committed(
        &mut self,
        ids: &[TxId],
        deadline: Option<TimeMs>,
    ) -> Result<(), Error> {
        let tip = *self.shared.tip.borrow();
        self.intake.mempool().settle(ids);
        self.bodies.forget(tip.height);
        self.wanted.retain(|_, wanted| wanted.height > tip.height);
        self.build_at = None;
        self.others.got_on();
        self.got_on = Instant::now();
        self.deadline = deadline;
        self.clear_until = deadline.is_none().then(|| in_sight(tip.time));
        if self.shared.epochs.borrow().last_from() == tip.height + 1 {
            self.mesh.set(validators(&self.shared.reader.view())?);
        }
        // At once: who follows has to know whether it is in step before its own turn comes.
        self.mesh.say_all(&Saying::Tip(tip.height));
        // While more blocks are here, the engine need not look at each of their heights.
        if self.fetch.as_ref().is_some_and(Fetch::has_more) {
            return Ok(());
        }
        self.start_height()
    }

    /// Hands the store to the blocking pool.
    pub(super) fn work(
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

/// Executes a proposed block; gives what it comes to if that is the very header that was proposed.
fn try_out(
    shared: &Shared,
    store: &Store,
    header: &Header,
    candidates: Vec<Candidate>,
) -> Result<Option<Execution>, Error> {
    let height = header.height;
    if store.validators().key(&header.proposer).is_none() {
        tracing::warn!(height, "a proposed block's proposer is no validator");
        return Ok(None);
    }
    let slot = xinqiao_store::Slot {
        height,
        time: header.time,
        proposer: header.proposer,
    };
    let span = tracing::info_span!("block.judge", height, txs = candidates.len());
    let execution = span.in_scope(|| store.execute(slot, candidates, &shared.verifier))?;
    if execution.header() == header {
        return Ok(Some(execution));
    }
    tracing::warn!(height, proposer = %header.proposer, "a proposed block comes to another header here");
    Ok(None)
}
