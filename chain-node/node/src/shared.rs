//! What all tasks of a node see: the chain's constants, the store to read, where it stands, and
//! whether it has halted.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use xinqiao_contracts::BlockContext;
use xinqiao_ledger::{
    genesis::{Genesis, Parameters},
    ids::{ChainId, TimeMs},
    validators::Epochs,
};
use xinqiao_store::{Reader, Store, Tip};

use crate::verifier::Verifier;

pub(crate) struct Shared {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) chain: ChainId,
    /// The validators in force at every height up to the next.
    pub(crate) epochs: watch::Sender<Epochs>,
    pub(crate) reader: Reader,
    pub(crate) verifier: Verifier,
    pub(crate) tip: watch::Sender<Tip>,
    pub(crate) halted: watch::Sender<Option<String>>,
    /// True once the node is told to stop.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Shared {
    /// What a transaction would be executed in, were it in the block after the tip.
    pub(crate) fn next_block(&self, tip: &Tip, parameters: Parameters) -> BlockContext {
        BlockContext {
            chain: self.chain,
            height: tip.height + 1,
            time: now().max(tip.time + 1),
            parameters,
        }
    }

    /// Publishes a block that is on disk; whoever hears of it finds its validators known.
    pub(crate) fn committed(&self, store: &Store) {
        if self.epochs.borrow().last_from() != store.epochs().last_from() {
            self.epochs.send_replace(store.epochs().clone());
        }
        self.tip.send_replace(store.tip());
    }

    /// Publishes that the node refuses to go on.
    pub(crate) fn halt(&self, reason: String) {
        tracing::error!(%reason, "the node has halted: it serves what it has and goes no further");
        self.halted.send_replace(Some(reason));
    }

    pub(crate) fn halted(&self) -> Option<String> {
        self.halted.borrow().clone()
    }
}

/// Completes once the node is told to stop, or whoever would tell it is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The machine's clock, in milliseconds since 1970-01-01 UTC.
pub(crate) fn now() -> TimeMs {
    // A clock before 1970 reads as 1970; consensus then waits and says so.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
