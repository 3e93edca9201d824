//! Starting an observer, and asking it.

use std::net::SocketAddr;

use tokio::sync::watch;
use xinqiao_contracts::query;
use xinqiao_ledger::ids::OrderId;
use xinqiao_node::{Node, NodeHandle, Replica};

use crate::{
    AccessFilter, Page,
    config::ObserverConfig,
    error::Error,
    feed::Feed,
    views::{Attempt, Names, OrderTrace, Overview},
};

/// The most entries of one page.
pub const MAX_PAGE: usize = 1_000;

/// An observer.
#[derive(Debug, Clone, Copy)]
pub struct Observer;

/// A running observer: everything it has seen, and nothing to write with.
#[derive(Debug)]
pub struct ObserverHandle {
    node: NodeHandle,
    stopping: watch::Receiver<bool>,
}

impl Observer {
    /// Opens the store, follows the upstreams, and listens if told to. It runs until `shutdown`
    /// completes.
    ///
    /// # Errors
    /// [`Error`] when the certificate is not an observer's, the store cannot be opened, or the
    /// address not be bound.
    pub async fn start(
        config: ObserverConfig,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<ObserverHandle, Error> {
        let (stop, stopping) = watch::channel(false);
        let told = async move {
            shutdown.await;
            stop.send_replace(true);
        };
        let node = Node::start(config.into_node()?, told).await?;
        tracing::info!(listen = ?node.local_addr, "the observer runs");
        Ok(ObserverHandle { node, stopping })
    }
}

impl ObserverHandle {
    /// Where it listens, if it does.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.node.local_addr
    }

    /// Why it refuses to go on, if it does: a block that it could not confirm by its own execution.
    pub fn halted(&self) -> Option<String> {
        self.replica().halted()
    }

    /// Where the chain stands here, and counts over the whole access log.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn overview(&self) -> Result<Overview, Error> {
        Overview::of(self.replica())
    }

    /// Attempts before an index (0 for the newest), newest first, refused ones too. At most
    /// [`MAX_PAGE`].
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn attempts(
        &self,
        filter: &AccessFilter,
        before_index: u64,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        let state = self.replica().state();
        let page = query::access_entries(&state, filter, before_index, limit.min(MAX_PAGE))?;
        let mut names = Names::of(&state)?;
        Ok(Page {
            entries: page
                .entries
                .into_iter()
                .map(|record| names.attempt(&state, record))
                .collect::<Result<_, _>>()?,
            next_before_index: page.next_before_index,
        })
    }

    /// Orders before an access log index (0 for the newest) with all that became of their parts,
    /// newest first. At most [`MAX_PAGE`].
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn orders(&self, before_index: u64, limit: usize) -> Result<Page<OrderTrace>, Error> {
        let state = self.replica().state();
        let page = query::orders_page(&state, before_index, limit.min(MAX_PAGE))?;
        let mut names = Names::of(&state)?;
        Ok(Page {
            entries: page
                .entries
                .into_iter()
                .map(|record| names.order(&state, record))
                .collect::<Result<_, _>>()?,
            next_before_index: page.next_before_index,
        })
    }

    /// One order.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn order(&self, id: &OrderId) -> Result<Option<OrderTrace>, Error> {
        let state = self.replica().state();
        let Some(record) = query::order(&state, id)? else {
            return Ok(None);
        };
        Ok(Some(Names::of(&state)?.order(&state, record)?))
    }

    /// Attempts from an access log index on, as they are recorded: 0 for all that ever were.
    pub fn feed(&self, from_index: u64) -> Feed {
        Feed::new(self.replica().clone(), self.stopping.clone(), from_index)
    }

    /// Waits until it has stopped: told to, or because it cannot go on.
    ///
    /// # Errors
    /// [`Error`] when it could not go on.
    pub async fn join(self) -> Result<(), Error> {
        Ok(self.node.join().await?)
    }

    /// The replica has a call that sends transactions, so it does not leave this crate; on an
    /// observer that call refuses.
    fn replica(&self) -> &Replica {
        &self.node.replica
    }
}
