//! The connection to the agent: deadlines, repetitions, and every call in types. It keeps no state but the
//! connection, and cloning it is cheap.

use std::{net::IpAddr, time::Duration};

use http::Uri;
use rand::RngExt;
use tokio::time::Instant;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};
use xinqiao_ledger::{
    ids::GrantId,
    wire::{
        self, job_service_client::JobServiceClient,
        portfolio_service_client::PortfolioServiceClient,
        report_service_client::ReportServiceClient,
    },
};

use crate::{
    catalogue::{Catalogue, Grant},
    error::Error,
    job::{self, Job, JobRequest, JobResults},
    query::{GrantRequest, Query},
    report::{self, Report},
    retry,
    watch::{PortfolioChanges, Watch},
};

/// The largest message that the agent sends, in bytes (20 MiB).
const MAX_MESSAGE_BYTES: usize = 20 * 1024 * 1024;

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// How often a silent connection is probed, and how long the answer may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// How long a call may take in all, unless the caller says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a query may take beyond the time of its sources: placing the order, the last block, opening, checking.
const BEYOND_SOURCES: Duration = Duration::from_secs(5);

/// A client of an institution's agent.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    patience: Duration,
}

impl Client {
    /// A client of the agent at `http://127.0.0.1:port`. It connects with the first call, and again when the
    /// connection was lost. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::BadInput`] when the address is none, or not of this machine: what is spoken here is plain.
    pub fn new(agent: &str) -> Result<Self, Error> {
        let wrong = || Error::argument("agent", "http://host:port of this machine");
        let uri: Uri = agent.parse().map_err(|_| wrong())?;
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let here = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if uri.scheme_str() != Some("http") || !here {
            return Err(wrong());
        }
        let endpoint = Endpoint::from(uri)
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEPALIVE.0)
            .keep_alive_timeout(KEEPALIVE.1)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        Ok(Self {
            channel: endpoint.connect_lazy(),
            patience: PATIENCE,
        })
    }

    /// How long each call may take in all, repetitions included; 30 s without this. Queries have five seconds more
    /// than their sources.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    fn reports(&self) -> ReportServiceClient<Channel> {
        ReportServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn jobs_of_agent(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn portfolios(&self) -> PortfolioServiceClient<Channel> {
        PortfolioServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Queries one enterprise and waits for all that its sources deliver within their time. Partial reports are
    /// normal: [`Report::parts`] says what did not come.
    ///
    /// It is repeated while the agent is away, under the same `request_id`, so that at most one order is placed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn query(&self, query: &Query) -> Result<Report, Error> {
        self.ask(query).await?.try_into()
    }

    /// The same, as it travels: for whoever renders it or passes it on.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ask(&self, query: &Query) -> Result<wire::QueryReportResponse, Error> {
        let mut request = query.to_wire();
        if request.request_id.is_empty() {
            request.request_id = made_up_id();
        }
        let within = query.time_of_sources() + BEYOND_SOURCES;
        self.call(within, request, async |request| {
            self.reports().query_report(request).await
        })
        .await
    }

    /// The catalogue in force and the sources: what can be asked for, and why.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn catalogue(&self) -> Result<Catalogue, Error> {
        let request = wire::ListCatalogueRequest {};
        self.call(self.patience, request, async |request| {
            self.reports().list_catalogue(request).await
        })
        .await?
        .try_into()
    }

    /// An enterprise's grants to this institution, oldest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn grants(&self, uscc: &str) -> Result<Vec<Grant>, Error> {
        let request = wire::ReportServiceListGrantsRequest {
            uscc: uscc.to_owned(),
        };
        let answer: wire::ReportServiceListGrantsResponse = self
            .call(self.patience, request, async |request| {
                self.reports().list_grants(request).await
            })
            .await?;
        answer.grants.into_iter().map(Grant::try_from).collect()
    }

    /// Asks an enterprise for consent; gives the id that the grant will have. It is not repeated by itself: a
    /// second request would be a second one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn request_grant(&self, request: GrantRequest) -> Result<GrantId, Error> {
        let until = Instant::now() + self.patience;
        let request = wire::RequestGrantRequest::from(request);
        let answer = once(until, request, async |request| {
            self.reports().request_grant(request).await
        })
        .await?;
        report::id(&answer.grant, "grant").map(GrantId)
    }

    /// Starts a job: many enterprises, one after the other or side by side as the agent can. Repeated with the same
    /// id and content it is the same job; without an id the library makes one up.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start_job(&self, job: &JobRequest) -> Result<Job, Error> {
        let mut request = job.to_wire();
        if request.job_id.is_empty() {
            request.job_id = made_up_id();
        }
        let answer = self
            .call(self.patience, request, async |request| {
                self.jobs_of_agent().start_job(request).await
            })
            .await?;
        job::told(answer.job)
    }

    /// Follows a job: its results after that one (0 for all), in the order in which they come. It goes on by itself
    /// when the connection is lost.
    #[must_use]
    pub fn follow_job(&self, id: &str, after: u64) -> JobResults {
        JobResults::new(self.clone(), id, after)
    }

    /// Says that results up to this one have arrived for good; the agent deletes their reports.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn acknowledge_job(&self, id: &str, through: u64) -> Result<Job, Error> {
        let request = wire::AcknowledgeJobRequest {
            job_id: id.to_owned(),
            through,
        };
        let answer = self
            .call(self.patience, request, async |request| {
                self.jobs_of_agent().acknowledge_job(request).await
            })
            .await?;
        job::told(answer.job)
    }

    /// Ends a job early.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel_job(&self, id: &str) -> Result<Job, Error> {
        let request = wire::CancelJobRequest {
            job_id: id.to_owned(),
        };
        let answer = self
            .call(self.patience, request, async |request| {
                self.jobs_of_agent().cancel_job(request).await
            })
            .await?;
        job::told(answer.job)
    }

    /// How a job stands.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job(&self, id: &str) -> Result<Job, Error> {
        let request = wire::GetJobRequest {
            job_id: id.to_owned(),
        };
        let answer = self
            .call(self.patience, request, async |request| {
                self.jobs_of_agent().get_job(request).await
            })
            .await?;
        job::told(answer.job)
    }

    /// The jobs that the agent has, newest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn jobs(&self) -> Result<Vec<Job>, Error> {
        let request = wire::ListJobsRequest {};
        let answer: wire::ListJobsResponse = self
            .call(self.patience, request, async |request| {
                self.jobs_of_agent().list_jobs(request).await
            })
            .await?;
        answer.jobs.into_iter().map(Job::try_from).collect()
    }

    /// Deletes a job that has ended, with its entries and results.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn drop_job(&self, id: &str) -> Result<(), Error> {
        let until = Instant::now() + self.patience;
        let request = wire::DropJobRequest {
            job_id: id.to_owned(),
        };
        once(until, request, async |request| {
            self.jobs_of_agent().drop_job(request).await
        })
        .await?;
        Ok(())
    }

    /// Watches enterprises: tells when a source registers, supersedes or withdraws what it has of one that has
    /// given consent. It goes on by itself when the connection is lost, and may tell a change twice then.
    #[must_use]
    pub fn watch(&self, watch: Watch) -> PortfolioChanges {
        PortfolioChanges::new(self.clone(), watch)
    }

    /// A call that may be repeated.
    async fn call<W: Clone, A>(
        &self,
        within: Duration,
        request: W,
        send: impl AsyncFn(Request<W>) -> Result<Response<A>, Status>,
    ) -> Result<A, Error> {
        let until = Instant::now() + within;
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match once(until, request.clone(), &send).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let left = until.saturating_duration_since(Instant::now());
            let Some(pause) = retry::pause(&error, tries, left) else {
                return Err(error);
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// One call, with the rest of the time as its deadline.
async fn once<W, A>(
    until: Instant,
    request: W,
    send: impl AsyncFn(Request<W>) -> Result<Response<A>, Status>,
) -> Result<A, Error> {
    let mut request = Request::new(request);
    request.set_timeout(until.saturating_duration_since(Instant::now()));
    match tokio::time::timeout_at(until, send(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(Error::from_status(status)),
        Err(_) => Err(Error::deadline()),
    }
}

/// A name for a request that has none: 128 random bits in hexadecimal digits.
fn made_up_id() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_may_be_as_large_as_the_agent_sends_them() {
        assert_eq!(
            MAX_MESSAGE_BYTES,
            xinqiao_rpc::limits::MAX_SEALED_MESSAGE_BYTES
        );
    }

    #[tokio::test]
    async fn only_this_machine_is_connected_to() {
        for good in [
            "http://127.0.0.1:9300",
            "http://[::1]:9300",
            "http://localhost:1",
        ] {
            assert!(Client::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:9300",
            "https://127.0.0.1:1",
            "http://192.0.2.1:1",
            "http://bank.example:1",
        ] {
            let error = Client::new(bad).unwrap_err();
            assert_eq!(
                (error.class(), error.reason()),
                ("bad_input", "FIELD_FORMAT"),
                "{bad}"
            );
        }
    }

    #[tokio::test]
    async fn an_agent_that_is_not_there_is_unavailable() {
        let client = Client::new("http://127.0.0.1:9").unwrap();
        let error = client
            .patience(Duration::from_millis(350))
            .catalogue()
            .await
            .unwrap_err();
        assert_eq!(
            (error.class(), error.reason()),
            ("unavailable", "UPSTREAM_UNAVAILABLE")
        );
    }
}
