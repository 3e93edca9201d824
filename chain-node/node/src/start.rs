//! Starting a node and stopping it: wiring only.

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use xinqiao_contracts::validators;
use xinqiao_ledger::wire::{
    audit_service_server::AuditServiceServer, ledger_service_server::LedgerServiceServer,
    state_service_server::StateServiceServer, submission_service_server::SubmissionServiceServer,
    validator_service_server::ValidatorServiceServer,
};
use xinqiao_rpc::{BoundServer, Fitness, Identity, Limits, ServerBuilder, limited};
use xinqiao_store::{Reader, Store};

use crate::{
    config::{NodeConfig, Role, Upstream},
    error::Error,
    follower::Follower,
    host::{self, Heard, Host, Means},
    intake::Intake,
    join::Joiner,
    pruning,
    relay::Relay,
    replica::{Replica, Way},
    service::{
        audit::Audit, ledger::Ledger, state::State, submission::Submission, validator::Validators,
    },
    shared::{Shared, stopped},
    upstream::Feed,
    verifier::Verifier,
    wal::LogKeeper,
};

/// The folder of a validator's log, beside the store's files.
const LOG: &str = "validator-log";

/// How often, and how far apart, it is looked whether the store is let go.
const RELEASE: (u32, Duration) = (200, Duration::from_millis(5));

/// A ledger node.
#[derive(Debug, Clone, Copy)]
pub struct Node;

/// A running node.
#[derive(Debug)]
pub struct NodeHandle {
    /// Its view of the chain.
    pub replica: Replica,
    /// Where it listens, if it does.
    pub local_addr: Option<SocketAddr>,
    task: JoinHandle<Result<(), Error>>,
}

impl NodeHandle {
    /// Waits until it has stopped: told to, or because it cannot go on.
    ///
    /// # Errors
    /// [`Error`] when it could not go on. The process should end then, and be started again.
    pub async fn join(self) -> Result<(), Error> {
        // It reads the store, which is free for others once nobody does.
        drop(self.replica);
        self.task.await?
    }
}

/// The loop that owns the store.
type Work = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Node {
    /// Opens the store, starts following or proposing, and listens. It runs until `shutdown`
    /// completes.
    ///
    /// # Errors
    /// [`Error`] when the store cannot be opened, the address not be bound, or the configuration
    /// does not fit the genesis.
    pub async fn start(
        config: NodeConfig,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<NodeHandle, Error> {
        let store = open(&config).await?;
        let tip = store.tip();
        let (stopping, stop) = watch::channel(false);
        let shared = Arc::new(Shared {
            genesis: Arc::clone(&config.genesis),
            chain: store.chain(),
            epochs: watch::Sender::new(store.epochs().clone()),
            reader: store.reader(),
            verifier: Verifier::new(config.genesis.distinguishing_id.clone()),
            tip: watch::Sender::new(tip),
            halted: watch::Sender::new(store.reader().halted()?),
            stop: stop.clone(),
        });
        if let Some(reason) = shared.halted() {
            tracing::error!(%reason, "the node had halted before it was stopped, and stays halted");
        }
        let role = format!("{:?}", config.role);
        if let Some(keep) = config.keep {
            tokio::spawn(pruning::run(Arc::clone(&shared), keep));
        }
        let (listen, identity, limits) = (
            config.listen,
            config.identity.clone(),
            config.limits.clone(),
        );
        let (way, door, work) = arrange(config, &shared, store)?;
        let replica = Replica { shared, way };
        let server = match listen {
            Some(address) => {
                let (server, fitness) = bind(&identity, &limits, &replica, door, address).await?;
                tokio::spawn(unfit_once_halted(fitness, Arc::clone(&replica.shared)));
                Some(server)
            }
            None => None,
        };
        let local_addr = server.as_ref().map(BoundServer::local_addr);
        tracing::info!(chain = %replica.chain(), role, height = tip.height, listen = ?local_addr, "the node runs");
        let running = Running {
            replica: replica.clone(),
            server,
            work,
            stopping,
        };
        Ok(NodeHandle {
            replica,
            local_addr,
            task: tokio::spawn(running.until(shutdown)),
        })
    }
}

/// Everything of a node that runs.
struct Running {
    replica: Replica,
    server: Option<BoundServer>,
    work: Work,
    stopping: watch::Sender<bool>,
}

impl Running {
    async fn until(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let mut stop = self.stopping.subscribe();
        let server = self
            .server
            .map(|server| server.spawn(async move { stopped(&mut stop).await }));
        let mut work = tokio::spawn(self.work);
        tokio::pin!(shutdown);
        let ended = tokio::select! {
            () = &mut shutdown => {
                self.stopping.send_replace(true);
                work.await?
            }
            ended = &mut work => match ended? {
                // It has halted: what it has is served on.
                Ok(()) => {
                    shutdown.await;
                    Ok(())
                }
                Err(error) => {
                    self.replica.shared.halt(error.to_string());
                    Err(error)
                }
            },
        };
        self.stopping.send_replace(true);
        let reader = self.replica.reader().clone();
        drop(self.replica);
        if let Some(server) = server {
            server.stopped().await?;
        }
        released(&reader).await;
        ended
    }
}

/// A halted node answers from what it has, which grows old: whoever balances load must pass it by.
async fn unfit_once_halted(fitness: Fitness, shared: Arc<Shared>) {
    let (mut halted, mut stop) = (shared.halted.subscribe(), shared.stop.clone());
    // What it holds must not keep a stopped node's store open.
    drop(shared);
    let halts = async move { halted.wait_for(Option::is_some).await.is_ok() };
    tokio::select! {
        halted = halts => if halted { fitness.set(false).await },
        () = stopped(&mut stop) => {}
    }
}

/// Waits until calls and checks that were under way have let go of the store, so that it can be
/// opened again at once. A replica that somebody keeps is not waited for long.
async fn released(reader: &Reader) {
    for _ in 0..RELEASE.0 {
        if reader.is_last() {
            return;
        }
        tokio::time::sleep(RELEASE.1).await;
    }
    tracing::debug!("the node has stopped, and somebody still reads its store");
}

/// Where other validators are heard.
struct Door {
    intake: Arc<Intake>,
    heard: mpsc::Sender<Heard>,
}

/// What a role does: where its transactions go, whether other validators are heard, and which loop owns
/// the store.
fn arrange(
    config: NodeConfig,
    shared: &Arc<Shared>,
    store: Store,
) -> Result<(Way, Option<Door>, Work), Error> {
    let stop = shared.stop.clone();
    let halted = shared.halted().is_some();
    let ways = config.ways();
    let (way, door, work): (Way, Option<Door>, Work) = match config.role {
        Role::Validator { key } => {
            let me = key.public().id();
            let intake = Arc::new(Intake::new(me, Arc::clone(shared), config.mempool));
            let (log, recovered) = LogKeeper::open(&config.data_dir.join(LOG))?;
            let (tell, heard) = host::channel();
            let door = Door {
                intake: Arc::clone(&intake),
                heard: tell.clone(),
            };
            let means = Means {
                key,
                intake: Arc::clone(&intake),
                ways,
                tell,
                heard,
                log,
                recovered,
                speak_without_log: config.speak_without_log,
            };
            let host = Host::new(Arc::clone(shared), store, means)?;
            (Way::Own(intake), Some(door), Box::pin(host.run(stop)))
        }
        role @ (Role::Follower | Role::Observer) => {
            let feeds = feeds(&config.upstreams, &config.identity, &config.limits)?;
            let way = if matches!(role, Role::Follower) {
                Way::Relayed(Relay::new(&feeds))
            } else {
                Way::Closed
            };
            let follower = Follower::new(Arc::clone(shared), store, feeds);
            (way, None, Box::pin(follower.run(stop)))
        }
    };
    if halted {
        return Ok((way, None, Box::pin(async { Ok(()) })));
    }
    Ok((way, door, work))
}

/// Opens the store, after beginning with a snapshot if the node is far behind.
async fn open(config: &NodeConfig) -> Result<Store, Error> {
    let open = || {
        let (data_dir, genesis) = (config.data_dir.clone(), Arc::clone(&config.genesis));
        async move {
            let opening = move || Store::open(&data_dir, &genesis);
            Ok::<_, Error>(tokio::task::spawn_blocking(opening).await??)
        }
    };
    let store = open().await?;
    let Some(after) = config.snapshot_after else {
        return Ok(store);
    };
    let mut feeds = match &config.role {
        Role::Validator { .. } => Vec::new(),
        Role::Follower | Role::Observer => {
            feeds(&config.upstreams, &config.identity, &config.limits)?
        }
    };
    if let Role::Validator { key } = &config.role {
        let (me, ways) = (key.public(), config.ways());
        let others = validators(&store.reader().view())?;
        let others = others.iter().filter(|one| one.key != *me);
        feeds.extend(others.filter_map(|one| ways.feed(one).ok()));
    }
    let joiner = Joiner {
        data_dir: &config.data_dir,
        genesis: &config.genesis,
        after,
        feeds,
        tip: store.tip(),
    };
    if !joiner.is_far_behind().await {
        return Ok(store);
    }
    // The snapshot takes the store's place.
    drop(store);
    joiner.run().await?;
    open().await
}

fn feeds(upstreams: &[Upstream], identity: &Identity, limits: &Limits) -> Result<Vec<Feed>, Error> {
    if upstreams.is_empty() {
        return Err(Error::NoUpstream);
    }
    upstreams
        .iter()
        .map(|Upstream { org, uri }| Feed::new(org, uri, identity, limits))
        .collect()
}

async fn bind(
    identity: &Identity,
    limits: &Limits,
    replica: &Replica,
    door: Option<Door>,
    address: SocketAddr,
) -> Result<(BoundServer, Fitness), Error> {
    let own = || replica.clone();
    let mut server = ServerBuilder::mutual_tls(identity)
        .limits(limits.clone())
        .reflection(xinqiao_proto::FILE_DESCRIPTOR_SET)
        .add_service(limited!(LedgerServiceServer::new(Ledger {
            replica: own()
        })))
        .add_service(limited!(StateServiceServer::new(State { replica: own() })))
        .add_service(limited!(AuditServiceServer::new(Audit { replica: own() })));
    if !matches!(replica.way, Way::Closed) {
        server = server.add_service(limited!(SubmissionServiceServer::new(Submission {
            replica: own()
        })));
    }
    if let Some(Door { intake, heard }) = door {
        server = server.add_service(limited!(ValidatorServiceServer::new(Validators {
            replica: own(),
            intake,
            heard,
        })));
    }
    let fitness = server.fitness();
    Ok((server.bind(address).await?, fitness))
}
