//! Putting a data-holding node together: its replica, its sources, its desk, and its one service.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use xinqiao_ledger::group::NodeName;
use xinqiao_node::{Node, NodeConfig, NodeHandle, Replica, Role};
use xinqiao_proto::v1::{
    delivery_service_server::DeliveryServiceServer, holder_service_server::HolderServiceServer,
};
use xinqiao_rpc::{RunningServer, ServerBuilder, limited};

use crate::{
    admin::Administration,
    config::{HolderConfig, ReplicaConfig},
    desk::{Desk, Shop},
    error::Error,
    groups::Groups,
    holding::Holding,
    service::Delivery,
    shelf::Shelf,
    spool::Spool,
    sync::Registrar,
};

/// How long a stopping node waits for reads and writes under way.
const LAST_WORK: Duration = Duration::from_secs(5);

/// A data-holding node.
#[derive(Debug)]
pub struct Holder;

/// A data-holding node that runs.
pub struct HolderHandle {
    replica: Replica,
    holdings: Vec<Arc<Holding>>,
    local_addr: SocketAddr,
    node: NodeHandle,
    server: RunningServer,
    desk: JoinHandle<Result<(), Error>>,
    stop: Arc<watch::Sender<bool>>,
    shop: Weak<Shop>,
}

impl Holder {
    /// Opens the sources, starts the replica, and serves until `shutdown` completes.
    ///
    /// # Errors
    /// When a source, the spool or the replica's store cannot be opened, or the address not be bound.
    pub async fn start(
        config: HolderConfig,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<HolderHandle, Error> {
        let (stop, stopped) = watch::channel(false);
        let stop = Arc::new(stop);
        let stopper = Arc::clone(&stop);
        tokio::spawn(async move {
            shutdown.await;
            let _ = stopper.send(true);
        });
        let until_stopped = |mut stopped: watch::Receiver<bool>| async move {
            // An error means that the handle is gone, which is a stop as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };

        let HolderConfig {
            org,
            node: name,
            replica,
            identity,
            listen,
            keys,
            sources,
            spool_dir,
            state_dir,
            group_dir,
            limits,
        } = config;
        let holdings = {
            let group_dir = group_dir.clone();
            let pseudonym = keys.pseudonym.clone();
            tokio::task::spawn_blocking(move || {
                let open = |source| Holding::open(source, &pseudonym, &state_dir).map(Arc::new);
                let holdings = sources.iter().map(open).collect::<Result<Vec<_>, _>>()?;
                std::fs::create_dir_all(&group_dir).map_err(Error::file(&group_dir))?;
                Ok::<_, Error>(holdings)
            })
            .await??
        };
        let spool = {
            let limit = limits.spool_bytes;
            tokio::task::spawn_blocking(move || Spool::open(&spool_dir, limit)).await??
        };

        let ReplicaConfig {
            data_dir,
            genesis,
            upstreams,
            listen: ledger_listen,
        } = replica;
        let mut node = NodeConfig::new(data_dir, genesis, Role::Follower, identity.clone());
        node.upstreams = upstreams;
        node.listen = ledger_listen;
        let node = Node::start(node, until_stopped(stopped.clone())).await?;
        let replica = node.replica.clone();

        let administration = Administration {
            org: org.clone(),
            replica: replica.clone(),
            registrar: Registrar::new(replica.clone(), org.clone(), keys.clone()),
            holdings: holdings.clone(),
            turn: Arc::new(Semaphore::new(1)),
        };
        let shop = Arc::new(Shop {
            replica: replica.clone(),
            me: keys.holder.public().id(),
            key: Arc::clone(&keys.holder),
            started: Instant::now(),
            holdings: holdings
                .iter()
                .map(|holding| (holding.id().clone(), Arc::clone(holding)))
                .collect(),
            spool,
            groups: Arc::new(Groups::new(
                group_dir,
                replica.clone(),
                org.clone(),
                name.unwrap_or_else(|| NodeName::of(keys.holder.public().id().as_bytes())),
                Arc::clone(&keys.holder),
            )),
            shelf: Arc::new(Shelf::new(limits.shelf_bytes)),
            slots: Arc::new(Semaphore::new(limits.parts)),
            limits,
        });
        let (desk, counter) = Desk::new(Arc::clone(&shop));
        let works = Arc::downgrade(&shop);
        let server = ServerBuilder::mutual_tls(&identity)
            .reflection(xinqiao_proto::FILE_DESCRIPTOR_SET)
            .add_service(limited!(sealed: DeliveryServiceServer::new(Delivery::new(shop, counter))))
            .add_service(limited!(HolderServiceServer::new(administration)))
            .bind(listen)
            .await?;
        let local_addr = server.local_addr();
        let server = server.spawn(until_stopped(stopped.clone()));
        let desk = tokio::spawn(desk.run(until_stopped(stopped)));
        for holding in &holdings {
            tokio::spawn(Arc::clone(holding).warm_up());
        }
        tracing::info!(%org, %local_addr, sources = holdings.len(), "the data-holding node serves");
        Ok(HolderHandle {
            replica,
            holdings,
            local_addr,
            node,
            server,
            desk,
            stop,
            shop: works,
        })
    }
}

impl HolderHandle {
    /// The node's own replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The sources that it serves.
    pub fn holdings(&self) -> &[Arc<Holding>] {
        &self.holdings
    }

    /// Where it serves sealed reports.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until the node has stopped: by its shutdown, or because one of its parts failed, which
    /// stops the others.
    ///
    /// # Errors
    /// The first failure.
    pub async fn join(self) -> Result<(), Error> {
        let Self {
            node,
            server,
            mut desk,
            stop,
            shop,
            ..
        } = self;
        let node = async move { node.join().await.map_err(Error::from) };
        let server = async move { server.stopped().await.map_err(Error::from) };
        tokio::pin!(node, server);
        let mut first = tokio::select! {
            ended = &mut desk => (0, ended.map_err(Error::from).and_then(|ended| ended)),
            ended = &mut node => (1, ended),
            ended = &mut server => (2, ended),
        };
        let _ = stop.send(true);
        for other in 0..3 {
            if other == first.0 {
                continue;
            }
            let ended = match other {
                0 => (&mut desk)
                    .await
                    .map_err(Error::from)
                    .and_then(|ended| ended),
                1 => (&mut node).await,
                _ => (&mut server).await,
            };
            if first.1.is_ok() {
                first.1 = ended;
            }
        }
        // Tasks that were stopped may still hold the store for a moment; then it is free for others.
        let begun = tokio::time::Instant::now();
        while shop.strong_count() > 0 && begun.elapsed() < LAST_WORK {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first.1
    }
}
