//! Jobs: many queries as one, in the state folder from their beginning to their end.
//!
//! ```text
//!   service ──StartJob──▶ book: request on disk ──▶ runner: the machine of `xinqiao_dispatch::job`
//!      ▲                   ▲ order, result on disk        │ queries, side by side
//!      └── FollowJob ──────┴──────────────────────────────┘
//! ```
//!
//! What an application may rely on: an entry is ordered once, however often the agent is killed; a result has one
//! sequence number for good; a report stays until it is acknowledged, or the job is dropped or too old.

mod book;
mod runner;
mod service;

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prost::Message;
use tokio::sync::{Semaphore, watch};
use tonic::Status;
use xinqiao_crypto::{Digest, sm3};
use xinqiao_ledger::wire::{self, JobState};
use xinqiao_rpc::{Fault, Reason};

use self::book::Book;
pub(crate) use self::service::JobCalls;
use crate::{
    Error,
    ask::{EntryAsk, JobAsk},
    config::JobLimits,
    gateway::now_ms,
    requests::blocking,
    service::Agency,
    state::{State, make_dir, unusable},
    tasks::Tasks,
};

/// How often jobs that are too old are looked for.
const SWEEP: Duration = Duration::from_secs(600);

/// One job.
pub(crate) struct Job {
    id: String,
    dir: PathBuf,
    /// Digest of all that was asked but the id.
    content: Digest,
    request: wire::StartJobRequest,
    ask: JobAsk,
    entries: Vec<EntryAsk>,
    book: Mutex<Book>,
    /// Says that a result came or the state changed.
    changed: watch::Sender<()>,
    cancelled: watch::Sender<bool>,
    in_flight: watch::Sender<usize>,
}

impl Job {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    fn standing(&self, limits: &JobLimits) -> wire::Job {
        let book = self.book();
        let state = match (book.ended_at(), *self.cancelled.borrow()) {
            (Some(_), true) => JobState::Cancelled,
            (Some(_), false) => JobState::Completed,
            (None, true) => JobState::Cancelling,
            (None, false) => JobState::Running,
        };
        let mut counts = book.counts();
        counts.entries = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        counts.in_flight = u32::try_from(*self.in_flight.borrow()).unwrap_or(u32::MAX);
        wire::Job {
            job_id: self.id.clone(),
            state: state.into(),
            counts: Some(counts),
            user: self.ask.user.clone(),
            purpose: self.request.purpose.clone(),
            started_at_ms: book.started_at(),
            ended_at_ms: book.ended_at().unwrap_or_default(),
            acknowledged: book.acknowledged(),
            deleted_at_ms: (book.ended_at()).map_or(0, |ended| ended + limits.keep_ms()),
        }
    }
}

/// The jobs of one agent.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Shared>);

struct Shared {
    agency: Arc<Agency>,
    state: Arc<State>,
    limits: JobLimits,
    /// Queries of all jobs that go side by side.
    slots: Arc<Semaphore>,
    jobs: Mutex<HashMap<Digest, Arc<Job>>>,
    /// Held while a job is started or dropped, so that an id means one job.
    starting: tokio::sync::Mutex<()>,
    tasks: Arc<Tasks>,
}

impl Jobs {
    /// Opens the jobs in the state folder. Blocks. Those that have not ended go on with [`Jobs::go_on`].
    pub(crate) fn open(
        agency: Arc<Agency>,
        state: Arc<State>,
        limits: JobLimits,
        tasks: Arc<Tasks>,
    ) -> Result<Self, Error> {
        let dir = state.folder("jobs");
        let failed = |error: io::Error| Error::State {
            dir: dir.clone(),
            why: error.to_string(),
        };
        let mut jobs = HashMap::new();
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match open(&state, path.clone()) {
                Ok(Some(job)) => {
                    state.count(job.book().bytes());
                    jobs.insert(sm3(job.id.as_bytes()), Arc::new(job));
                }
                // A crash came before anybody was told that it had been started.
                Ok(None) => fs::remove_dir_all(&path).map_err(failed)?,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a job cannot be read and is left alone");
                }
            }
        }
        Ok(Self(Arc::new(Shared {
            agency,
            state,
            slots: Arc::new(Semaphore::new(limits.concurrency.max(1) as usize)),
            limits,
            jobs: Mutex::new(jobs),
            starting: tokio::sync::Mutex::new(()),
            tasks,
        })))
    }

    /// Goes on with what has not ended, and deletes from time to time what is too old.
    pub(crate) fn go_on(&self) {
        let open: Vec<Arc<Job>> = (self.all().values())
            .filter(|job| job.book().ended_at().is_none())
            .cloned()
            .collect();
        for job in open {
            self.0.tasks.spawn(runner::run(self.clone(), job));
        }
        let own = self.clone();
        self.0.tasks.spawn(async move {
            loop {
                own.sweep().await;
                tokio::time::sleep(SWEEP).await;
            }
        });
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Job>>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn named(&self, id: &str) -> Result<Arc<Job>, Fault> {
        let job = self.all().get(&sm3(id.as_bytes())).cloned();
        job.ok_or_else(|| Fault::new(Reason::JobNotFound))
    }

    fn standing(&self, job: &Job) -> wire::Job {
        job.standing(&self.0.limits)
    }

    async fn start(&self, mut request: wire::StartJobRequest) -> Result<wire::Job, Status> {
        let ask = JobAsk::parse(&request)?;
        self.0.agency.acting(&ask.user)?;
        let id = match &ask.job_id {
            Some(id) => id.clone(),
            None => format!("job-{}", hex::encode(rand::random::<[u8; 8]>())),
        };
        request.job_id = String::new();
        let content = sm3(&request.encode_to_vec());
        request.job_id.clone_from(&id);
        let key = sm3(id.as_bytes());
        let _starting = self.0.starting.lock().await;
        if let Some(job) = self.all().get(&key) {
            return match job.content == content {
                true => Ok(self.standing(job)),
                false => Err(Fault::new(Reason::RequestIdReused).status()),
            };
        }
        self.check_limits(&ask.user)?;
        let path = self
            .0
            .state
            .folder("jobs")
            .join(hex::encode(key.as_bytes()));
        let state = self.0.state.clone();
        let job = blocking(move || create(&state, path, request, ask)).await?;
        let job = Arc::new(job);
        self.all().insert(key, job.clone());
        self.0.tasks.spawn(runner::run(self.clone(), job.clone()));
        tracing::info!(job = %key, entries = job.entries.len(), "a job was started");
        Ok(self.standing(&job))
    }

    fn check_limits(&self, user: &str) -> Result<(), Fault> {
        let limits = &self.0.limits;
        let jobs = self.all();
        let of_user = jobs.values().filter(|job| job.ask.user == user);
        let open = of_user.filter(|job| job.book().ended_at().is_none());
        let reached = if jobs.len() >= limits.jobs {
            format!("{} jobs in all", limits.jobs)
        } else if open.count() >= limits.open_of_user {
            format!("{} open jobs of one user", limits.open_of_user)
        } else if !self.0.state.has_room() {
            return Err(Fault::new(Reason::StateFull));
        } else {
            return Ok(());
        };
        Err(Fault::new(Reason::JobLimit).because(reached))
    }

    async fn acknowledge(&self, id: &str, through: u64) -> Result<wire::Job, Status> {
        let job = self.named(id)?;
        let last = job.book().last();
        if through > last {
            let text = format!("must be at most {last}, the newest result");
            return Err(Fault::field("through", Reason::FieldRange, text).status());
        }
        let (own, acknowledged) = (self.0.state.clone(), job.clone());
        blocking(move || {
            let dropped = acknowledged.book().acknowledge(through);
            let dropped = dropped.map_err(|error| unusable(&acknowledged.dir, &error))?;
            for (sequence, bytes) in dropped {
                own.forget(&report_path(&acknowledged, sequence), bytes);
            }
            Ok(())
        })
        .await?;
        job.changed.send_replace(());
        Ok(self.standing(&job))
    }

    async fn cancel(&self, id: &str) -> Result<wire::Job, Status> {
        let job = self.named(id)?;
        let cancelled = job.clone();
        blocking(move || {
            let mut book = cancelled.book();
            if book.ended_at().is_none() && !*cancelled.cancelled.borrow() {
                (book.cancel()).map_err(|error| unusable(&cancelled.dir, &error))?;
                cancelled.cancelled.send_replace(true);
            }
            Ok(())
        })
        .await?;
        job.changed.send_replace(());
        Ok(self.standing(&job))
    }

    async fn drop_job(&self, id: &str) -> Result<(), Status> {
        let _starting = self.0.starting.lock().await;
        let job = self.named(id)?;
        if job.book().ended_at().is_none() {
            return Err(Fault::new(Reason::JobNotEnded).status());
        }
        self.delete(job).await
    }

    async fn delete(&self, job: Arc<Job>) -> Result<(), Status> {
        let state = self.0.state.clone();
        let key = sm3(job.id.as_bytes());
        blocking(move || {
            for (sequence, bytes) in job.book().reports() {
                state.forget(&report_path(&job, sequence), bytes);
            }
            fs::remove_dir_all(&job.dir).map_err(|error| unusable(&job.dir, &error))
        })
        .await?;
        self.all().remove(&key);
        Ok(())
    }

    async fn sweep(&self) {
        let _starting = self.0.starting.lock().await;
        let now = now_ms();
        let is_old = |job: &Job| {
            let ended = job.book().ended_at();
            ended.is_some_and(|ended| ended + self.0.limits.keep_ms() < now)
        };
        let old: Vec<Arc<Job>> = (self.all().values())
            .filter(|job| is_old(job))
            .cloned()
            .collect();
        for job in old {
            // What fails is in the log, and tried again.
            let _ = self.delete(job).await;
        }
    }

    /// A result, with its report if it is wanted and there.
    async fn result(
        &self,
        job: &Arc<Job>,
        sequence: u64,
        with_report: bool,
    ) -> Result<Option<wire::JobResult>, Status> {
        let Some((mut result, has_report)) = job.book().result(sequence) else {
            return Ok(None);
        };
        if let Some(entry) = job.request.entries.get(result.entry as usize) {
            result.uscc.clone_from(&entry.uscc);
        }
        if with_report && has_report {
            let (state, job) = (self.0.state.clone(), job.clone());
            result.report = blocking(move || {
                let path = report_path(&job, sequence);
                // Acknowledged in this moment, it is gone.
                let bytes = state.kept(&path, &report_aad(&job, sequence))?;
                bytes
                    .map(|bytes| wire::QueryReportResponse::decode(bytes.as_slice()))
                    .transpose()
                    .map_err(|error| unusable(&path, &error))
            })
            .await?;
        }
        Ok(Some(result))
    }
}

fn report_path(job: &Job, sequence: u64) -> PathBuf {
    job.dir.join(format!("{sequence}.report"))
}

fn report_aad(job: &Job, sequence: u64) -> Vec<u8> {
    [
        sm3(job.id.as_bytes()).as_bytes(),
        &sequence.to_be_bytes()[..],
    ]
    .concat()
}

/// Begins a job in a folder of its own. Blocks.
fn create(
    state: &State,
    dir: PathBuf,
    request: wire::StartJobRequest,
    ask: JobAsk,
) -> Result<Job, Status> {
    let begun = || -> io::Result<Job> {
        make_dir(&dir)?;
        let mut book = Book::open(state, &dir)?;
        let entries = ask.entries(&request);
        book.begin(now_ms(), &request, &entries)?;
        Ok(job(dir.clone(), request, ask, entries, book))
    };
    begun().map_err(|error| unusable(&dir, &error))
}

/// A job from its folder; none if it was never begun. Blocks.
fn open(state: &State, dir: PathBuf) -> io::Result<Option<Job>> {
    let book = Book::open(state, &dir)?;
    let Some(request) = book.request() else {
        return Ok(None);
    };
    let ask = JobAsk::parse(&request)
        .map_err(|fault| io::Error::other(fault.status().message().to_owned()))?;
    let entries = ask.entries(&request);
    Ok(Some(job(dir, request, ask, entries, book)))
}

fn job(
    dir: PathBuf,
    request: wire::StartJobRequest,
    ask: JobAsk,
    entries: Vec<EntryAsk>,
    book: Book,
) -> Job {
    let without_id = wire::StartJobRequest {
        job_id: String::new(),
        ..request.clone()
    };
    Job {
        id: request.job_id.clone(),
        dir,
        content: sm3(&without_id.encode_to_vec()),
        request,
        ask,
        entries,
        cancelled: watch::Sender::new(book.is_cancelled()),
        book: Mutex::new(book),
        changed: watch::Sender::new(()),
        in_flight: watch::Sender::new(0),
    }
}
