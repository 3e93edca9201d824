//! Jobs: many enterprises asked about at once, results as they come, and going on after either side was stopped.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;
use xinqiao_ledger::{
    ids::{GrantId, OrderId},
    wire,
};

use crate::{
    client::Client,
    error::Error,
    report::{self, Report},
    retry,
};

/// How long the agent may be away before following gives up.
const AWAY: Duration = Duration::from_secs(60);

/// A job to start.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct JobRequest {
    wire: wire::StartJobRequest,
}

impl JobRequest {
    /// A job about these enterprises, 1 to 10,000, for that purpose, by that user of the institution.
    pub fn new<U: Into<String>>(
        usccs: impl IntoIterator<Item = U>,
        purpose: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        let entries = usccs.into_iter().map(|uscc| wire::JobEntry {
            uscc: uscc.into(),
            grant: Vec::new(),
        });
        Self {
            wire: wire::StartJobRequest {
                entries: entries.collect(),
                purpose: purpose.into(),
                user: user.into(),
                ..Default::default()
            },
        }
    }

    /// One more enterprise, with the grant that is to be used.
    pub fn and(mut self, uscc: impl Into<String>, grant: &GrantId) -> Self {
        self.wire.entries.push(wire::JobEntry {
            uscc: uscc.into(),
            grant: grant.to_vec(),
        });
        self
    }

    /// Under that id, 1 to 64 visible ASCII characters.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.wire.job_id = id.into();
        self
    }

    /// Only these items, by their codes. At most 64.
    pub fn items<I: Into<String>>(mut self, codes: impl IntoIterator<Item = I>) -> Self {
        self.wire.items = codes.into_iter().map(Into::into).collect();
        self
    }

    /// On behalf of this branch.
    pub fn branch(mut self, branch: impl Into<String>) -> Self {
        self.wire.branch = branch.into();
        self
    }

    /// How long the sources have for one enterprise, 100 ms to 24 h; 10 s without this.
    pub fn sources_within(mut self, time: Duration) -> Self {
        self.wire.deadline_ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        self
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(&self) -> wire::StartJobRequest {
        self.wire.clone()
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Entries are being queried.
    Running,
    /// It was cancelled, and open orders are being closed.
    Cancelling,
    /// Every entry has its result.
    Completed,
    /// It was cancelled, and every entry has its result.
    Cancelled,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: JobState,
    /// How many entries came out how.
    pub counts: wire::JobCounts,
    /// Results up to this one were acknowledged; 0 for none.
    pub acknowledged: u64,
    /// When it was started, in milliseconds since 1970-01-01 UTC.
    pub started_at_ms: u64,
    /// When every entry had its result; none before.
    pub ended_at_ms: Option<u64>,
}

impl Job {
    /// Whether every entry has its result.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, JobState::Completed | JobState::Cancelled)
    }
}

impl TryFrom<wire::Job> for Job {
    type Error = Error;

    fn try_from(wire: wire::Job) -> Result<Self, Error> {
        use wire::JobState as W;
        Ok(Self {
            state: match wire.state() {
                W::Unspecified => return Err(Error::unreadable("a job's state")),
                W::Running => JobState::Running,
                W::Cancelling => JobState::Cancelling,
                W::Completed => JobState::Completed,
                W::Cancelled => JobState::Cancelled,
            },
            id: wire.job_id,
            counts: wire.counts.unwrap_or_default(),
            acknowledged: wire.acknowledged,
            started_at_ms: wire.started_at_ms,
            ended_at_ms: Some(wire.ended_at_ms).filter(|at| *at != 0),
        })
    }
}

/// A job that an answer has to tell of.
pub(crate) fn told(job: Option<wire::Job>) -> Result<Job, Error> {
    job.ok_or_else(|| Error::unreadable("no job"))?.try_into()
}

/// What came of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobResult {
    /// Its place among the results, from 1: what to acknowledge, and to go on after.
    pub sequence: u64,
    /// Which entry of the request, from 0.
    pub entry: usize,
    /// The entry's code, as it was given.
    pub uscc: String,
    /// The order, if one was placed.
    pub order: Option<OrderId>,
    /// What came of it.
    pub outcome: JobOutcome,
}

/// What came of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// An order was placed and answered; no report once it was acknowledged.
    Report(Option<Box<Report>>),
    /// The query was refused, which is on record.
    Refused(Why),
    /// It could not be carried out, though it was tried again.
    Failed(Why),
    /// The entry is faulty, and nothing was asked.
    Invalid(Why),
    /// An earlier entry, that one, has the same code. Nothing was asked.
    Duplicate(usize),
    /// The job was cancelled before an answer came.
    Cancelled(Why),
}

/// A reason with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// Stable reason code (docs/errors.md).
    pub reason: String,
    /// The same for people.
    pub message: String,
}

impl TryFrom<wire::JobResult> for JobResult {
    type Error = Error;

    fn try_from(wire: wire::JobResult) -> Result<Self, Error> {
        use wire::JobOutcome as W;
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let kind = wire.outcome();
        let why = Why {
            reason: wire.reason,
            message: wire.message,
        };
        Ok(Self {
            sequence: wire.sequence,
            entry: place(wire.entry),
            uscc: wire.uscc,
            order: match &*wire.order {
                [] => None,
                bytes => Some(OrderId(report::id(bytes, "order")?)),
            },
            outcome: match kind {
                W::Unspecified => return Err(Error::unreadable("outcome of a job's entry")),
                W::Report => {
                    let report = wire.report.map(Report::try_from).transpose()?;
                    JobOutcome::Report(report.map(Box::new))
                }
                W::Refused => JobOutcome::Refused(why),
                W::Failed => JobOutcome::Failed(why),
                W::Invalid => JobOutcome::Invalid(why),
                W::Duplicate => JobOutcome::Duplicate(place(wire.duplicate_of)),
                W::Cancelled => JobOutcome::Cancelled(why),
            },
        })
    }
}

/// What following a job brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// A result.
    Result(Box<JobResult>),
    /// How the job stands; when it has ended, nothing follows.
    Progress(Job),
}

/// A job that is being followed.
#[derive(Debug)]
pub struct JobResults {
    client: Client,
    request: wire::FollowJobRequest,
    stream: Option<Streaming<wire::FollowJobResponse>>,
    /// What one message told beside its result.
    waiting: Option<Job>,
    /// Whether the job has ended, by what was told last.
    ended: bool,
    /// Whether all was told.
    over: bool,
}

impl JobResults {
    pub(crate) fn new(client: Client, id: &str, after: u64) -> Self {
        Self {
            client,
            request: wire::FollowJobRequest {
                job_id: id.to_owned(),
                after,
                without_reports: false,
            },
            stream: None,
            waiting: None,
            ended: false,
            over: false,
        }
    }

    /// Leaves the reports out, for showing progress.
    #[must_use]
    pub fn without_reports(mut self) -> Self {
        self.request.without_reports = true;
        self
    }

    /// The next result, or how the job stands; `None` when it has ended and all was told. A lost connection is
    /// made up for: it goes on after the last result that came.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unavailable`] once the agent was away for a minute.
    pub async fn next(&mut self) -> Result<Option<JobEvent>, Error> {
        if let Some(job) = self.waiting.take() {
            return Ok(Some(JobEvent::Progress(job)));
        }
        if self.over {
            return Ok(None);
        }
        let until = Instant::now() + AWAY;
        let mut tries = 0;
        loop {
            let error = match self.receive().await {
                Ok(message) => return self.told(message),
                Err(error) => error,
            };
            self.stream = None;
            tries += 1;
            let left = until.saturating_duration_since(Instant::now());
            // The agent may be restarted meanwhile: tries are limited by time alone.
            let Some(pause) = retry::pause(&error, tries.min(4), left) else {
                return Err(error);
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn receive(&mut self) -> Result<Option<wire::FollowJobResponse>, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let mut jobs = self.client.jobs_of_agent();
                let begun = jobs.follow_job(self.request.clone()).await;
                none.insert(begun.map_err(Error::from_status)?.into_inner())
            }
        };
        match stream.message().await.map_err(Error::from_status)? {
            // The agent has stopped in order, and the job goes on when it is back.
            None if !self.ended => {
                let stopped = tonic::Status::unavailable("the agent has stopped");
                Err(Error::from_status(stopped))
            }
            message => Ok(message),
        }
    }

    fn told(
        &mut self,
        message: Option<wire::FollowJobResponse>,
    ) -> Result<Option<JobEvent>, Error> {
        let Some(message) = message else {
            self.over = true;
            return Ok(None);
        };
        let job = message.job.map(Job::try_from).transpose()?;
        if let Some(job) = &job {
            self.ended = job.has_ended();
        }
        if let Some(result) = message.result {
            let result = JobResult::try_from(result)?;
            self.request.after = result.sequence;
            self.waiting = job;
            return Ok(Some(JobEvent::Result(Box::new(result))));
        }
        let job = job.ok_or_else(|| Error::unreadable("a message without content"))?;
        Ok(Some(JobEvent::Progress(job)))
    }
}
