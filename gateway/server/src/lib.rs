//! A bureau's gateway: it lets the institutions of its region in, puts their orders on the ledger, and
//! relays sealed parts to them.
//!
//! ```text
//!   agent ──▶ access: certificate ▸ quota ▸ token ▸ policy ▸ Permit ──▶ orders, consents
//!                │ refused                                              │            │
//!                ▼                                                      ▼            ▼
//!             refusals ──── RecordRefusal ────────────────────▶ node   feed ◀── blocks
//!                                                                       │
//!   agent ◀── ciphertext ── relay ◀── one of the own holders, or the operator's gateway (delivery)
//! ```
//!
//! It holds no copy of the ledger and no report: it asks the region's node over gRPC, and what it relays
//! is sealed to the institution. The contract has the last word on everything that it lets through.

mod access;
mod config;
mod consents;
mod delivery;
mod directory;
mod fault;
mod feed;
mod holders;
mod node;
mod orders;
mod queue;
mod quota;
mod refusals;
mod relay;
mod subjects;
mod turns;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{sync::watch, task::JoinHandle};
use xinqiao_identity::{Authenticator, Policy, SystemClock};
use xinqiao_ledger::wire::{
    consent_service_server::ConsentServiceServer, delivery_service_server::DeliveryServiceServer,
    directory_service_server::DirectoryServiceServer, order_service_server::OrderServiceServer,
    subject_service_server::SubjectServiceServer,
};
use xinqiao_rpc::{ServerBuilder, limited, serve, tls};

use holders::Holders;

pub use config::{Endpoint, GatewayConfig, Quotas, Rate};
pub use turns::TurnLimits;

/// Why a gateway cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The role policy cannot be used.
    #[error(transparent)]
    Policy(#[from] xinqiao_identity::policy::Error),
    /// The node's address or TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The server cannot start or go on.
    #[error(transparent)]
    Server(#[from] serve::Error),
    /// The certificate is not this organisation's gateway's.
    #[error("the certificate names {0}, expected is the gateway of {1}")]
    OtherIdentity(String, String),
    /// A task was lost.
    #[error("a task of the gateway ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A gateway.
#[derive(Debug)]
pub struct Gateway;

/// A gateway that runs.
#[derive(Debug)]
pub struct GatewayHandle {
    address: SocketAddr,
    task: JoinHandle<Result<(), Error>>,
}

impl GatewayHandle {
    /// The address it listens on, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    /// With what stopped it, if it was not told to.
    pub async fn join(self) -> Result<(), Error> {
        self.task.await?
    }
}

impl Gateway {
    /// Starts a gateway, which runs until `shutdown` completes. It starts without its node too, and
    /// says through gRPC health that it is not fit for work until the node is there.
    ///
    /// # Errors
    /// When the policy, the certificate or an address cannot be used.
    pub async fn start(
        config: GatewayConfig,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<GatewayHandle, Error> {
        let own = config.identity.own();
        if own.org != config.org.as_str() || own.role != xinqiao_rpc::Role::Gateway {
            return Err(Error::OtherIdentity(
                own.to_string(),
                config.org.to_string(),
            ));
        }
        let policy = match &config.policy {
            Some(text) => Policy::from_csv(text).await?,
            None => Policy::standard().await?,
        };
        let node = node::Node::new(&config.node, &config.identity, &config.limits)?;
        let directory = Arc::new(directory::LedgerDirectory::new(node.clone()));
        let feed = Arc::new(feed::Feed::new(node.clone(), directory.clone()));
        let chain = config.genesis.chain_id();
        let recorder = Arc::new(refusals::Recorder::new(
            node.clone(),
            feed.clone(),
            directory.clone(),
            refusals::Signer {
                key: config.signing_key,
                chain,
                distinguishing_id: config.genesis.distinguishing_id.clone(),
            },
        ));
        let gate = Arc::new(access::Gate {
            auth: Authenticator::new(
                directory.clone(),
                config.org.as_str(),
                Arc::new(SystemClock),
            ),
            policy,
            quota: quota::Quota::new(&config.quotas),
            recorder: recorder.clone(),
            directory: directory.clone(),
            node: node.clone(),
            chain,
        });
        let relay = Arc::new(relay::Relay {
            own: config.org,
            identity: config.identity.clone(),
            limits: config.limits.clone(),
            holders: (config.holders.into_iter())
                .map(|(source, nodes)| (source, Holders::new(nodes)))
                .collect(),
            directory,
            channels: Mutex::new(HashMap::new()),
        });

        let server = ServerBuilder::mutual_tls(&config.identity)
            .limits(config.limits)
            .reflection(xinqiao_proto::FILE_DESCRIPTOR_SET)
            .add_service(limited!(OrderServiceServer::new(orders::Orders {
                gate: gate.clone(),
                feed: feed.clone(),
                relay: relay.clone(),
                node: node.clone(),
                queue: Arc::new(queue::Queue::new(config.turns)),
            })))
            .add_service(limited!(SubjectServiceServer::new(subjects::Subjects {
                gate: gate.clone(),
                feed: feed.clone(),
                node: node.clone(),
                watches: subjects::Watches::default(),
            })))
            .add_service(limited!(ConsentServiceServer::new(consents::Consents {
                gate: gate.clone(),
                node: node.clone(),
            })))
            .add_service(limited!(DirectoryServiceServer::new(
                consents::Directories {
                    gate: gate.clone(),
                    feed: feed.clone(),
                }
            )))
            .add_service(limited!(DeliveryServiceServer::new(delivery::Deliveries {
                gate,
                feed: feed.clone(),
                relay,
                node,
            })));
        let fitness = server.fitness();
        let server = server.bind(config.listen).await?;
        let address = server.local_addr();
        let (stop, stopping) = watch::channel(false);
        let following = tokio::spawn(feed.run(fitness, stopping));
        let task = tokio::spawn(async move {
            let served = server.serve(shutdown).await;
            // What was refused last still gets its record.
            recorder.drained().await;
            // The receiver may be gone: then there is nothing to stop.
            let _ = stop.send(true);
            following.await?;
            Ok(served?)
        });
        Ok(GatewayHandle { address, task })
    }
}
