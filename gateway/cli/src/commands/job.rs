//! `xinqiao job`: queries of many enterprises as one job of an institution's agent. The job is the agent's: it
//! goes on when this program ends, and is followed again by its id.

mod list;
mod out;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use xinqiao_agent::JobClient;
use xinqiao_ledger::{
    ids::{ItemCode, PurposeCode},
    wire::{self, JobState},
};
use xinqiao_rpc::FaultView;

pub use list::entries;

use self::out::{Format, Results};
use crate::{client::explain, progress, render};

/// How long an agent that was lost is asked again for the rest of a job.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pause between two tries.
const AGAIN: Duration = Duration::from_secs(1);

/// Jobs of an institution's agent.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Start a job and follow it to its end.
    Start(Start),
    /// Follow a job, from its beginning or after a result.
    Follow(Follow),
    /// List the jobs that the agent has.
    List(AgentAt),
    /// End a job early: nothing more is ordered, and open orders are cancelled.
    Cancel(Named),
    /// Say that results have arrived for good: their reports are deleted from the agent's disk.
    Ack(Ack),
    /// Delete a job that has ended, with its results.
    Drop(Named),
}

/// Which agent.
#[derive(Debug, Args)]
pub struct AgentAt {
    /// The agent, `http://127.0.0.1:port`.
    #[arg(long, env = "XINQIAO_AGENT")]
    agent: String,
}

/// Which job.
#[derive(Debug, Args)]
pub struct Named {
    #[command(flatten)]
    at: AgentAt,
    /// The job's id.
    job: String,
}

/// What is to be asked.
#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    at: AgentAt,
    /// The enterprises: a file with a code a line, and a grant behind it where one is to be used; `-` for standard
    /// input. At most 10,000.
    file: PathBuf,
    /// Why.
    #[arg(long)]
    purpose: PurposeCode,
    /// Items, separated by commas; all that each consent covers if not given.
    #[arg(long, value_delimiter = ',')]
    items: Vec<ItemCode>,
    /// Who asks, as the institution knows them. Only a pseudonym leaves the agent.
    #[arg(long, default_value = "clerk-7")]
    user: String,
    /// Branch that asks; head office if not given.
    #[arg(long, default_value = "")]
    branch: String,
    /// How long the sources have for one enterprise, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    deadline_ms: u32,
    /// The job's id: the same one again, with the same content, is the same job. Made up if not given.
    #[arg(long, default_value = "")]
    id: String,
    /// Start it and do not follow it.
    #[arg(long, conflicts_with = "out")]
    detach: bool,
    #[command(flatten)]
    to: To,
}

/// Where results go.
#[derive(Debug, Args)]
pub struct To {
    /// Write the results to this file, at its end if it is there; only its owner can read it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = Format::Jsonl, requires = "out")]
    format: Format,
    /// Acknowledge results as they are written, so that the agent deletes their reports.
    #[arg(long, requires = "out")]
    ack: bool,
}

/// What is to be followed.
#[derive(Debug, Args)]
pub struct Follow {
    #[command(flatten)]
    named: Named,
    /// Only results after this one.
    #[arg(long, default_value_t = 0)]
    after: u64,
    #[command(flatten)]
    to: To,
}

/// What has arrived.
#[derive(Debug, Args)]
pub struct Ack {
    #[command(flatten)]
    named: Named,
    /// The last result that arrived.
    #[arg(long)]
    through: u64,
}

impl AgentAt {
    fn client(&self) -> Result<JobClient> {
        Ok(xinqiao_agent::connect_jobs(&self.agent)?)
    }
}

/// Runs the command.
pub async fn run(command: JobCommand, as_json: bool) -> Result<()> {
    match command {
        JobCommand::Start(start) => begin(start, as_json).await,
        JobCommand::Follow(follow) => {
            let client = follow.named.at.client()?;
            followed(client, follow.named.job, follow.after, &follow.to, as_json).await
        }
        JobCommand::List(at) => {
            let listed = at.client()?.list_jobs(wire::ListJobsRequest {}).await;
            let jobs = listed.map_err(explain)?.into_inner().jobs;
            if as_json {
                render::print_json(&jobs.iter().map(out::job_json).collect());
            } else {
                println!("{}", jobs_table(&jobs));
            }
            Ok(())
        }
        JobCommand::Cancel(named) => {
            let request = wire::CancelJobRequest { job_id: named.job };
            let answer = named.at.client()?.cancel_job(request).await;
            show(answer.map_err(explain)?.into_inner().job, as_json);
            Ok(())
        }
        JobCommand::Ack(ack) => {
            let request = wire::AcknowledgeJobRequest {
                job_id: ack.named.job,
                through: ack.through,
            };
            let answer = ack.named.at.client()?.acknowledge_job(request).await;
            show(answer.map_err(explain)?.into_inner().job, as_json);
            Ok(())
        }
        JobCommand::Drop(named) => {
            let request = wire::DropJobRequest { job_id: named.job };
            let answer = named.at.client()?.drop_job(request).await;
            answer.map_err(explain)?;
            Ok(())
        }
    }
}

async fn begin(start: Start, as_json: bool) -> Result<()> {
    let mut client = start.at.client()?;
    let request = wire::StartJobRequest {
        job_id: start.id,
        entries: entries(&start.file)?,
        items: start.items.iter().map(ToString::to_string).collect(),
        purpose: start.purpose.to_string(),
        user: start.user,
        branch: start.branch,
        deadline_ms: start.deadline_ms,
    };
    let started = client.start_job(request).await;
    let job = started.map_err(explain)?.into_inner().job;
    let id = job
        .as_ref()
        .map(|job| job.job_id.clone())
        .unwrap_or_default();
    if start.detach {
        show(job, as_json);
        return Ok(());
    }
    eprintln!("job {id}: it goes on by itself; `xinqiao job follow {id}` takes it up again");
    followed(client, id, 0, &start.to, as_json).await
}

fn show(job: Option<wire::Job>, as_json: bool) {
    let Some(job) = job else { return };
    if as_json {
        render::print_json(&out::job_json(&job));
    } else {
        println!("{}", jobs_table(&[job]));
    }
}

/// Follows a job to its end, also when the agent is restarted meanwhile.
async fn followed(
    mut client: JobClient,
    id: String,
    after: u64,
    to: &To,
    as_json: bool,
) -> Result<()> {
    let mut results = Results::open(to.out.as_deref(), to.format)?;
    let mut told = after;
    let mut reasons = out::Reasons::default();
    let mut bar: Option<ProgressBar> = None;
    let mut last = None;
    let mut lost_since: Option<std::time::Instant> = None;
    loop {
        let request = wire::FollowJobRequest {
            job_id: id.clone(),
            after: told,
            without_reports: to.out.is_none(),
        };
        let ended: Result<(), tonic::Status> = async {
            let mut stream = client.follow_job(request).await?.into_inner();
            while let Some(message) = stream.message().await? {
                lost_since = None;
                if let Some(job) = message.job {
                    let counts = job.counts.unwrap_or_default();
                    let bar = bar.get_or_insert_with(|| {
                        progress::bar(counts.entries as usize, "enterprises")
                    });
                    bar.set_position(counts.done.into());
                    last = Some(job);
                }
                if let Some(result) = message.result {
                    told = result.sequence;
                    reasons.count(&result);
                    let written = results.write(&result, last.as_ref());
                    written.map_err(|fault| tonic::Status::aborted(fault.to_string()))?;
                    if to.ack && told.is_multiple_of(100) {
                        acknowledge(&mut client, &id, told).await?;
                    }
                }
            }
            Ok(())
        }
        .await;
        let over = (last.as_ref()).is_some_and(|job| job.ended_at_ms > 0);
        match ended {
            Ok(()) if over => break,
            Err(status) if !FaultView::from_status(&status).is_transient() => {
                return Err(explain(status));
            }
            ended => {
                let since = *lost_since.get_or_insert_with(std::time::Instant::now);
                if since.elapsed() > PATIENCE {
                    return ended.map_err(explain);
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    if to.ack {
        acknowledge(&mut client, &id, told).await.map_err(explain)?;
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if as_json {
        render::print_json(&last.as_ref().map(out::job_json).unwrap_or_default());
    } else {
        println!("{}", jobs_table(last.as_slice()));
        println!("{}", reasons.table());
    }
    Ok(())
}

async fn acknowledge(client: &mut JobClient, id: &str, through: u64) -> Result<(), tonic::Status> {
    let request = wire::AcknowledgeJobRequest {
        job_id: id.to_owned(),
        through,
    };
    client.acknowledge_job(request).await.map(|_| ())
}

fn state(value: i32) -> &'static str {
    match JobState::try_from(value) {
        Ok(JobState::Running) => "running 进行中",
        Ok(JobState::Cancelling) => "cancelling 取消中",
        Ok(JobState::Completed) => "completed 已完成",
        Ok(JobState::Cancelled) => "cancelled 已取消",
        Ok(JobState::Unspecified) | Err(_) => "?",
    }
}

fn jobs_table(jobs: &[wire::Job]) -> comfy_table::Table {
    let mut table = render::table([
        "job",
        "state",
        "started",
        "done",
        "complete",
        "partial",
        "empty",
        "refused",
        "failed",
        "invalid",
        "double",
        "cancelled",
    ]);
    for job in jobs {
        let counts = job.counts.unwrap_or_default();
        table.add_row([
            job.job_id.clone(),
            state(job.state).to_owned(),
            render::moment(job.started_at_ms),
            format!("{}/{}", counts.done, counts.entries),
            counts.complete.to_string(),
            counts.partial.to_string(),
            counts.empty.to_string(),
            counts.refused.to_string(),
            counts.failed.to_string(),
            counts.invalid.to_string(),
            counts.duplicate.to_string(),
            counts.cancelled.to_string(),
        ]);
    }
    table
}
