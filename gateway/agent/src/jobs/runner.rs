//! Carrying out one job: the effects of its machine. What came of an entry is on disk before the machine hears
//! of it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use prost::Message;
use tokio::{sync::watch, task::JoinSet};
use tonic::{Code, Status};
use tracing::Instrument;
use xinqiao_dispatch::job::{self, Effect, Entry, Input};
use xinqiao_ledger::{
    ids::TxId,
    order::{PartRef, Verdict},
    wire,
};
use xinqiao_rpc::{FaultView, Reason};

use super::{
    Job, Jobs,
    book::{Outcome, Settled},
    report_aad, report_path,
};
use crate::{
    ask::{Ask, EntryAsk},
    gateway::{Acting, now_ms},
    ordering::{Ordered, Ordering},
    requests::{blocking, on_record},
    state::unusable,
};

/// The pause before a full or failing disk is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What became of one try of an entry.
enum Done {
    /// It has its result, with the verdicts to be recorded once that is on disk.
    Settled {
        settled: Settled,
        report: Option<Box<wire::QueryReportResponse>>,
        held: Vec<(PartRef, Verdict)>,
    },
    /// It is to be tried again.
    Hindered(Status),
}

/// Runs a job to its end.
pub(super) async fn run(jobs: Jobs, job: Arc<Job>) {
    let mut runner = Runner {
        tasks: JoinSet::new(),
        entries: HashMap::new(),
        hindrances: HashMap::new(),
        cancelled: job.cancelled.subscribe(),
        jobs,
        job,
    };
    runner.run().await;
}

struct Runner {
    jobs: Jobs,
    job: Arc<Job>,
    // Dropping the set ends what is under way; it is on disk as far as it got.
    tasks: JoinSet<Done>,
    entries: HashMap<tokio::task::Id, Entry>,
    /// Why entries were hindered last.
    hindrances: HashMap<Entry, Status>,
    cancelled: watch::Receiver<bool>,
}

impl Runner {
    async fn run(&mut self) {
        let (mut machine, mut effects) = {
            let book = self.job.book();
            let open = (0..).zip(&self.job.entries);
            let open = open.filter_map(|(entry, _)| (!book.is_done(entry)).then_some(entry));
            let limit = self.jobs.0.limits.concurrency;
            job::Job::begin(open, &book.ordered_entries(), limit)
        };
        if *self.cancelled.borrow_and_update() {
            effects.extend(machine.apply(Input::Cancel));
        }
        loop {
            let mut left = Vec::new();
            let mut failed = Vec::new();
            let mut ended = false;
            for effect in effects {
                match effect {
                    Effect::Query { entry, after_ms } => self.query(entry, after_ms),
                    // Every try watches for that itself.
                    Effect::Withdraw(_) => {}
                    Effect::Fail(entry) => failed.push(entry),
                    Effect::Leave(entry) => left.push(cancelled(entry, None)),
                    Effect::End => ended = true,
                }
            }
            if !left.is_empty() {
                self.keep(left, None).await;
            }
            self.job.in_flight.send_replace(machine.in_flight());
            if ended {
                self.end().await;
                return;
            }
            effects = Vec::new();
            for entry in failed {
                let settled = self.failed(entry);
                self.keep(vec![settled], None).await;
                effects.extend(machine.apply(Input::Settled(entry)));
            }
            if !effects.is_empty() {
                continue;
            }
            let input = tokio::select! {
                Some(done) = self.tasks.join_next_with_id() => self.done(done).await,
                Ok(()) = self.cancelled.changed() => Some(Input::Cancel),
            };
            if let Some(input) = input {
                effects = machine.apply(input);
            }
        }
    }

    fn query(&mut self, entry: Entry, after_ms: u64) {
        let Some(EntryAsk::Ask(ask)) = self.job.entries.get(entry as usize) else {
            return; // The others were settled when the job began.
        };
        let attempt = Attempt {
            jobs: self.jobs.clone(),
            job: self.job.clone(),
            entry,
            ask: ask.clone(),
            cancelled: self.cancelled.clone(),
        };
        let after = Duration::from_millis(after_ms);
        let task = self.tasks.spawn(attempt.run(after).in_current_span());
        self.entries.insert(task.id(), entry);
    }

    async fn done(
        &mut self,
        done: Result<(tokio::task::Id, Done), tokio::task::JoinError>,
    ) -> Option<Input> {
        let (id, done) = match done {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => {
                tracing::error!(%error, "a query of a job ended unexpectedly");
                (error.id(), None)
            }
        };
        let entry = self.entries.remove(&id)?;
        match done {
            Some(Done::Settled {
                settled,
                report,
                held,
            }) => {
                self.keep(vec![settled], report).await;
                self.hindrances.remove(&entry);
                let user = &self.job.ask.user;
                if let Ok(acting) = self.jobs.0.agency.acting(user) {
                    let verdicts = &self.jobs.0.agency.fetching.verdicts;
                    for (part, verdict) in held {
                        verdicts.record(acting.clone(), part, verdict).await;
                    }
                }
                Some(Input::Settled(entry))
            }
            Some(Done::Hindered(status)) => {
                let after = FaultView::from_status(&status).retry_after;
                self.hindrances.insert(entry, status);
                Some(Input::Hindered {
                    entry,
                    after_ms: after
                        .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
                })
            }
            None => Some(Input::Hindered {
                entry,
                after_ms: None,
            }),
        }
    }

    /// The result of an entry that was tried too often.
    fn failed(&mut self, entry: Entry) -> Settled {
        let order = (self.job.book().signed(entry)).and_then(|bytes| Ordered::decode(&bytes));
        let status = self.hindrances.remove(&entry);
        let status = status.unwrap_or_else(|| Status::internal("it was lost"));
        Settled {
            order: order.map(|order| order.id),
            ..refused(entry, Outcome::Failed, &status)
        }
    }

    /// Keeps results, however long that takes: without them nothing more is begun.
    async fn keep(&self, settled: Vec<Settled>, report: Option<Box<wire::QueryReportResponse>>) {
        let report = report.map(|report| Arc::new(report.encode_to_vec()));
        loop {
            let (state, job) = (self.jobs.0.state.clone(), self.job.clone());
            let (mut settled, report) = (settled.clone(), report.clone());
            let kept = blocking(move || {
                // One runner alone adds results, so this is where the next one stands.
                let sequence = job.book().last() + 1;
                if let (Some(report), [one]) = (report, settled.as_mut_slice()) {
                    let (path, aad) = (report_path(&job, sequence), report_aad(&job, sequence));
                    let length = state.keep(&path, &aad, &report)?;
                    if let Outcome::Report { bytes, .. } = &mut one.outcome {
                        *bytes = length;
                    }
                }
                let written = job.book().settle(settled);
                written.map_err(|error| unusable(&job.dir, &error))
            });
            if kept.await.is_ok() {
                self.job.changed.send_replace(());
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn end(&self) {
        loop {
            let job = self.job.clone();
            let ended = blocking(move || {
                let ended = job.book().end(now_ms());
                ended.map_err(|error| unusable(&job.dir, &error))
            });
            if ended.await.is_ok() {
                self.job.changed.send_replace(());
                let counts = self.job.book().counts();
                tracing::info!(?counts, "a job has ended");
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// One try of one entry.
struct Attempt {
    jobs: Jobs,
    job: Arc<Job>,
    entry: Entry,
    ask: Box<Ask>,
    cancelled: watch::Receiver<bool>,
}

impl Attempt {
    async fn run(mut self, after: Duration) -> Done {
        let kept = (self.job.book().signed(self.entry)).and_then(|bytes| Ordered::decode(&bytes));
        // What was ordered is seen through, so that its order does not stay open.
        let ready = async {
            tokio::time::sleep(after).await;
            while !self.jobs.0.state.has_room() {
                tokio::time::sleep(AGAIN).await;
            }
            self.jobs.0.slots.clone().acquire_owned().await.ok()
        };
        let slot = tokio::select! {
            slot = ready => slot,
            () = told(&mut self.cancelled), if kept.is_none() => {
                return unasked(cancelled(self.entry, None));
            }
        };
        let agency = self.jobs.0.agency.clone();
        let acting = match agency.acting(&self.ask.user) {
            Ok(acting) => acting,
            Err(fault) => {
                return unasked(refused(self.entry, Outcome::Refused, &fault.status()));
            }
        };
        let ordering = Ordering {
            agency: &agency,
            acting: &acting,
            ask: &self.ask,
            of_job: true,
        };
        let keep = |ordered: &Ordered| {
            let (job, entry, bytes) = (self.job.clone(), self.entry, ordered.encode());
            blocking(move || {
                let written = job.book().ordered(entry, bytes);
                written.map_err(|error| unusable(&job.dir, &error))
            })
            .boxed()
        };
        let placement = match ordering.place(kept, keep).await {
            Ok(placement) => placement,
            Err(status) => return self.not_placed(status),
        };
        let order = placement.id();
        let mut held = Vec::new();
        let gathered = {
            let until = Instant::now() + xinqiao_rpc::MAX_DEADLINE;
            let gathering = ordering.gather(placement, until, Some(&mut held));
            tokio::pin!(gathering);
            tokio::select! {
                gathered = &mut gathering => gathered,
                () = told(&mut self.cancelled) => {
                    if cancel(&agency.gateway, &acting, order).await {
                        return unasked(cancelled(self.entry, Some(order)));
                    }
                    // Something was delivered: that use is spent, and its report is worth having.
                    gathering.await
                }
            }
        };
        drop(slot);
        match gathered {
            Ok(report) => Done::Settled {
                settled: Settled {
                    entry: self.entry,
                    outcome: Outcome::of(&report),
                    reason: String::new(),
                    message: String::new(),
                    order: Some(order),
                },
                report: Some(Box::new(report)),
                held,
            },
            Err(status) => Done::Hindered(status),
        }
    }

    fn not_placed(&self, status: Status) -> Done {
        let view = FaultView::from_status(&status);
        if view.is_transient() && !on_record(&status) {
            return Done::Hindered(status);
        }
        let lies_in_the_request = matches!(
            view.grpc_code,
            Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Unauthenticated
        );
        let outcome = if on_record(&status) || lies_in_the_request {
            Outcome::Refused
        } else {
            Outcome::Failed
        };
        unasked(refused(self.entry, outcome, &status))
    }
}

/// Waits until the job is cancelled.
async fn told(cancelled: &mut watch::Receiver<bool>) {
    if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
        // The job outlives its tries.
        std::future::pending::<()>().await;
    }
}

/// Cancels an order; whether it is closed now without anything delivered.
async fn cancel(gateway: &crate::gateway::HomeGateway, acting: &Acting, order: TxId) -> bool {
    let action = wire::tx_body::Action::CancelOrder(wire::CancelOrder {
        order: order.to_vec(),
    });
    gateway.change(acting, action).await.is_ok()
}

fn unasked(settled: Settled) -> Done {
    Done::Settled {
        settled,
        report: None,
        held: Vec::new(),
    }
}

fn cancelled(entry: Entry, order: Option<TxId>) -> Settled {
    Settled {
        entry,
        outcome: Outcome::Cancelled,
        reason: Reason::JobCancelled.code().to_owned(),
        message: Reason::JobCancelled.english().happened.to_owned(),
        order,
    }
}

fn refused(entry: Entry, outcome: Outcome, status: &Status) -> Settled {
    let view = FaultView::from_status(status);
    Settled {
        entry,
        outcome,
        reason: view
            .reason_code
            .unwrap_or_else(|| Reason::Internal.code().to_owned()),
        message: view.message,
        order: None,
    }
}
