//! The institution's agent: it speaks plainly with the bank's application on the same machine, and in
//! pseudonyms, signatures and sealed parts with everyone else.
//!
//! ```text
//!   app ──plain──▶ service: ask ▸ choose a grant ▸ sign ──▶ home gateway ──▶ ledger
//!    ▲                                                          │ receipt, checked against the genesis
//!    │ report      fetching: fetch ▸ open ▸ verify, side by side ◀┘
//!    └───────────────┴── verdicts, in the background ──▶ ledger
//! ```
//!
//! It trusts the genesis and its own keys. What comes from the gateway is believed as far as a receipt
//! or a path to a registered root proves it. It keeps no report but the answers to requests that may be repeated
//! and the results of jobs, encrypted, for as long as they may be wanted; beside them its seats in delivery groups
//! (`groups`), which it can do without.

mod ask;
mod config;
mod directory;
mod fetching;
mod gateway;
mod groups;
mod jobs;
mod journal;
mod ordering;
mod persistence;
mod portfolio;
mod requests;
mod service;
mod state;
mod tasks;
mod verdicts;

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, RwLock},
};

use tokio::task::JoinHandle;
use xinqiao_crypto::VerifierCache;
use xinqiao_identity::TokenIssuer;
use xinqiao_ledger::{
    group::NodeName,
    malformed::Malformed,
    validators::Epochs,
    wire::{
        job_service_client::JobServiceClient, job_service_server::JobServiceServer,
        portfolio_service_client::PortfolioServiceClient,
        portfolio_service_server::PortfolioServiceServer,
        report_service_client::ReportServiceClient, report_service_server::ReportServiceServer,
    },
};
use xinqiao_rpc::{
    ExpectedPeer, Limits, MAX_DEADLINE, Role, RpcChannel, ServerBuilder, limited, serve, tls,
};

pub use config::{AgentConfig, JobLimits, UserAccess};
pub use xinqiao_dispatch::pseudonym::UserKey;

use crate::gateway::{Acting, HomeGateway};

/// Prepared keys of validators kept at once: 464 KiB each, made when a key is met first.
const PREPARED_KEYS: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

/// Why an agent cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The gateway's address or TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The server cannot start or go on.
    #[error(transparent)]
    Server(#[from] serve::Error),
    /// The genesis cannot be used.
    #[error("the genesis cannot be used: {0}")]
    Genesis(#[from] Malformed),
    /// The certificate is not this institution's agent's.
    #[error("the certificate names {0}, expected is the agent of {1}")]
    OtherIdentity(String, String),
    /// The service user is none of the users.
    #[error("the service user {0:?} is not among the users, and others may do nothing")]
    ServiceUser(String),
    /// The folder for delivery groups cannot be made.
    #[error("{}: {source}", path.display())]
    GroupDir {
        /// Which.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state folder cannot be used.
    #[error("the state folder {} cannot be used: {why}", dir.display())]
    State {
        /// The folder.
        dir: PathBuf,
        /// Why.
        why: String,
    },
    /// A task was lost.
    #[error("a task of the agent ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A client of the report API, for applications on the agent's machine.
pub type AgentClient = ReportServiceClient<RpcChannel>;

/// Connects to an agent on this machine: `http://127.0.0.1:port`.
///
/// # Errors
/// When the address is not a loopback one.
pub fn connect(uri: &str) -> Result<AgentClient, tls::Error> {
    let channel = tls::plain_channel(uri, &Limits::default())?.with_default_deadline(MAX_DEADLINE);
    Ok(limited!(sealed: ReportServiceClient::new(channel)))
}

/// A client of an agent's jobs.
pub type JobClient = JobServiceClient<RpcChannel>;

/// Connects to an agent on this machine, for jobs.
///
/// # Errors
/// When the address is not a loopback one.
pub fn connect_jobs(uri: &str) -> Result<JobClient, tls::Error> {
    let channel = tls::plain_channel(uri, &Limits::default())?;
    Ok(limited!(sealed: JobServiceClient::new(channel)))
}

/// A client of an agent's watches.
pub type PortfolioClient = PortfolioServiceClient<RpcChannel>;

/// Connects to an agent on this machine, for watching.
///
/// # Errors
/// When the address is not a loopback one.
pub fn connect_portfolio(uri: &str) -> Result<PortfolioClient, tls::Error> {
    let channel = tls::plain_channel(uri, &Limits::default())?;
    Ok(limited!(PortfolioServiceClient::new(channel)))
}

/// An agent.
#[derive(Debug)]
pub struct Agent;

/// An agent that runs.
#[derive(Debug)]
pub struct AgentHandle {
    address: SocketAddr,
    task: JoinHandle<Result<(), Error>>,
}

impl AgentHandle {
    /// The address it listens on, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has stopped, its last verdicts recorded.
    ///
    /// # Errors
    /// With what stopped it, if it was not told to.
    pub async fn join(self) -> Result<(), Error> {
        self.task.await?
    }
}

impl Agent {
    /// Starts an agent, which runs until `shutdown` completes. It starts without its gateway too.
    ///
    /// # Errors
    /// When a key, the certificate, the genesis or an address cannot be used.
    pub async fn start(
        config: AgentConfig,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<AgentHandle, Error> {
        let own = config.identity.own();
        if own.org != config.org.as_str() || own.role != Role::Agent {
            return Err(Error::OtherIdentity(
                own.to_string(),
                config.org.to_string(),
            ));
        }
        let access = (config.users.get(&config.service_user))
            .or(config.other_users.as_ref())
            .cloned();
        let service = Acting {
            user: config.user_key.user(&config.org, &config.service_user),
            access: access.ok_or(Error::ServiceUser(config.service_user))?,
        };
        let group_dir = config.group_dir;
        std::fs::create_dir_all(&group_dir).map_err(|source| Error::GroupDir {
            path: group_dir.clone(),
            source,
        })?;
        let org = config.org.clone();
        let node = (config.node).unwrap_or_else(|| NodeName::of(&own.fingerprint_sha256));
        let signing_key = Arc::new(config.signing_key);
        let expected = ExpectedPeer::org(config.gateway_org.as_str()).with_role(Role::Gateway);
        let gateway = Arc::new(HomeGateway {
            channel: tls::channel_to(
                &config.gateway_uri,
                &config.identity,
                expected,
                &config.limits,
            )?,
            org: config.gateway_org,
            tokens: TokenIssuer::new(
                config.token_key,
                config.org.as_str(),
                own.fingerprint_sha256,
            ),
            chain: config.genesis.chain_id(),
            epochs: RwLock::new(Epochs::begin(config.genesis.validator_set()?)),
            known: VerifierCache::new(PREPARED_KEYS),
            distinguishing_id: config.genesis.distinguishing_id.clone(),
            signing_key: Arc::clone(&signing_key),
            max_expiry_window: config.genesis.parameters.max_expiry_window.into(),
            height: 0.into(),
        });
        let verdicts = verdicts::Verdicts::new(gateway.clone());
        let (dir, room) = (config.state_dir, config.jobs.state_bytes);
        let key = Arc::new(config.encryption_key);
        let own = key.clone();
        let state = blocking(move || state::State::open(&dir, &own, room)).await?;
        let state = Arc::new(state);
        let recipient = key.public().id();
        let agency = Arc::new(service::Agency {
            org: config.org,
            directory: Arc::new(directory::Directory::new(gateway.clone(), service.clone())),
            fetching: fetching::Fetching {
                gateway: gateway.clone(),
                key,
                groups: Arc::new(groups::Groups::new(
                    group_dir,
                    gateway.clone(),
                    org,
                    node,
                    signing_key,
                )),
                verdicts: verdicts.clone(),
            },
            gateway,
            recipient,
            pseudonym_key: config.pseudonym_key,
            user_key: config.user_key,
            users: config.users,
            other_users: config.other_users,
            service,
        });
        let tasks = Arc::new(tasks::Tasks::default());
        let (jobs, requests) = {
            let (agency, tasks, limits) = (agency.clone(), tasks.clone(), config.jobs);
            blocking(move || {
                let jobs = jobs::Jobs::open(agency.clone(), state.clone(), limits, tasks.clone())?;
                Ok((jobs, requests::Requests::open(agency, state, tasks)?))
            })
            .await?
        };
        let reports = service::Reports {
            agency: agency.clone(),
            requests: requests.clone(),
        };
        // A query takes as long as its sources may: the application's own deadline is what ends it.
        let limits = Limits {
            request_timeout: MAX_DEADLINE,
            ..config.limits
        };
        let server = ServerBuilder::plain_loopback()
            .limits(limits)
            .reflection(xinqiao_proto::FILE_DESCRIPTOR_SET)
            .add_service(limited!(sealed: ReportServiceServer::new(reports)))
            .add_service(limited!(sealed: JobServiceServer::new(jobs::JobCalls(jobs.clone()))))
            .add_service(limited!(PortfolioServiceServer::new(
                portfolio::Portfolios(agency)
            )))
            .bind(config.listen)
            .await?;
        let address = server.local_addr();
        jobs.go_on();
        requests.keep_tidy();
        let task = tokio::spawn(async move {
            let served = server.serve(shutdown).await;
            tasks.end().await;
            verdicts.drained().await;
            Ok(served?)
        });
        Ok(AgentHandle { address, task })
    }
}

/// What reads the disk before anything is served.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await?
}
