//! The calls about jobs. What they do is decided in [`super`]; here they are taken and answered.

use std::pin::Pin;

use futures::Stream;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use xinqiao_ledger::wire::{self, job_service_server::JobService};

use super::{Job, Jobs};
use crate::ask;

/// Results that wait for a follower who is slow.
const AHEAD: usize = 4;

/// The job service.
#[derive(Clone)]
pub(crate) struct JobCalls(pub(crate) Jobs);

type Followed = Pin<Box<dyn Stream<Item = Result<wire::FollowJobResponse, Status>> + Send>>;

impl JobCalls {
    /// Tells a follower of a job until it has ended, or nobody listens.
    async fn follow(
        jobs: Jobs,
        job: std::sync::Arc<Job>,
        request: wire::FollowJobRequest,
        to: mpsc::Sender<Result<wire::FollowJobResponse, Status>>,
    ) {
        let mut changed = job.changed.subscribe();
        let mut told = request.after;
        let progress = |job: wire::Job| wire::FollowJobResponse {
            result: None,
            job: Some(job),
        };
        if to.send(Ok(progress(jobs.standing(&job)))).await.is_err() {
            return;
        }
        loop {
            changed.mark_unchanged();
            // The state is read before the results: what it calls ended has all of them.
            let standing = jobs.standing(&job);
            loop {
                let result = jobs.result(&job, told + 1, !request.without_reports).await;
                let message = match result {
                    Ok(None) => break,
                    Ok(Some(result)) => Ok(wire::FollowJobResponse {
                        result: Some(result),
                        job: Some(jobs.standing(&job)),
                    }),
                    Err(status) => Err(status),
                };
                told += 1;
                let failed = message.is_err();
                if to.send(message).await.is_err() || failed {
                    return;
                }
            }
            if standing.ended_at_ms > 0 {
                // Nobody listens when the application has gone.
                let _ = to.send(Ok(progress(jobs.standing(&job)))).await;
                return;
            }
            tokio::select! {
                changed = changed.changed() => if changed.is_err() { return },
                () = to.closed() => return,
            }
        }
    }
}

#[tonic::async_trait]
impl JobService for JobCalls {
    type FollowJobStream = Followed;

    async fn start_job(
        &self,
        request: Request<wire::StartJobRequest>,
    ) -> Result<Response<wire::StartJobResponse>, Status> {
        let job = self.0.start(request.into_inner()).await?;
        Ok(Response::new(wire::StartJobResponse { job: Some(job) }))
    }

    async fn follow_job(
        &self,
        request: Request<wire::FollowJobRequest>,
    ) -> Result<Response<Followed>, Status> {
        let request = request.into_inner();
        let job = self.0.named(&ask::job_id(&request.job_id)?)?;
        let (to, mut from) = mpsc::channel(AHEAD);
        tokio::spawn(Self::follow(self.0.clone(), job, request, to));
        let told = futures::stream::poll_fn(move |context| from.poll_recv(context));
        Ok(Response::new(Box::pin(told)))
    }

    async fn acknowledge_job(
        &self,
        request: Request<wire::AcknowledgeJobRequest>,
    ) -> Result<Response<wire::AcknowledgeJobResponse>, Status> {
        let request = request.get_ref();
        let id = ask::job_id(&request.job_id)?;
        let job = self.0.acknowledge(&id, request.through).await?;
        let answer = wire::AcknowledgeJobResponse { job: Some(job) };
        Ok(Response::new(answer))
    }

    async fn cancel_job(
        &self,
        request: Request<wire::CancelJobRequest>,
    ) -> Result<Response<wire::CancelJobResponse>, Status> {
        let id = ask::job_id(&request.get_ref().job_id)?;
        let job = Some(self.0.cancel(&id).await?);
        Ok(Response::new(wire::CancelJobResponse { job }))
    }

    async fn get_job(
        &self,
        request: Request<wire::GetJobRequest>,
    ) -> Result<Response<wire::GetJobResponse>, Status> {
        let job = self.0.named(&ask::job_id(&request.get_ref().job_id)?)?;
        let job = Some(self.0.standing(&job));
        Ok(Response::new(wire::GetJobResponse { job }))
    }

    async fn list_jobs(
        &self,
        _request: Request<wire::ListJobsRequest>,
    ) -> Result<Response<wire::ListJobsResponse>, Status> {
        let all: Vec<_> = self.0.all().values().cloned().collect();
        let mut jobs: Vec<wire::Job> = all.iter().map(|job| self.0.standing(job)).collect();
        jobs.sort_by(|one, other| {
            (other.started_at_ms, &other.job_id).cmp(&(one.started_at_ms, &one.job_id))
        });
        Ok(Response::new(wire::ListJobsResponse { jobs }))
    }

    async fn drop_job(
        &self,
        request: Request<wire::DropJobRequest>,
    ) -> Result<Response<wire::DropJobResponse>, Status> {
        self.0
            .drop_job(&ask::job_id(&request.get_ref().job_id)?)
            .await?;
        Ok(Response::new(wire::DropJobResponse {}))
    }
}
