//! The follower's loop: takes checked blocks from one upstream after the other, executes them
//! again, and writes those on which it agrees.
//!
//! Two things end in different ways. A lying upstream is dropped with a warning, and another one is
//! asked. A certified block on which this node disagrees means that either this node or the quorum
//! is wrong: the node halts, remembers why, and goes on serving what it has.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::AbortHandle};
use xinqiao_consensus::time;
use xinqiao_ledger::{block::Header, ids::TxId};
use xinqiao_store::{Slot, Store};

use crate::{
    error::Error,
    shared::{Shared, now, stopped},
    upstream::{self, Checked, Checking, Feed, UpstreamFault},
};

/// How long to wait before the next upstream is tried: doubled each time, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long an upstream may send nothing before another one is asked whether it is further.
const SILENCE: Duration = Duration::from_secs(5);

/// A follower at work.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    store: Option<Store>,
    upstreams: Vec<Feed>,
}

/// What came of a block.
pub(crate) enum Applied {
    /// It is on disk; its transactions.
    Yes(Vec<TxId>),
    /// The upstream sent another block than the next one.
    Faulty(UpstreamFault),
    /// The quorum certified what we do not come to.
    Differs(String),
}

/// Why following one upstream ended.
enum End {
    Stopped,
    Halted,
    Fault(UpstreamFault),
}

impl Follower {
    pub(crate) fn new(shared: Arc<Shared>, store: Store, upstreams: Vec<Feed>) -> Self {
        Self {
            shared,
            store: Some(store),
            upstreams,
        }
    }

    /// Runs until told to stop, or halted.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
        let mut backoff = BACKOFF.0;
        for turn in 0_usize.. {
            if self.shared.halted().is_some() {
                break;
            }
            let index = turn % self.upstreams.len();
            let before = self.shared.tip.borrow().height;
            let fault = match self.follow(index, &mut stop).await? {
                End::Stopped | End::Halted => break,
                End::Fault(fault) => fault,
            };
            let uri = &self.upstreams[index].uri;
            if fault.is_lie() {
                tracing::warn!(upstream = %uri, %fault, "an upstream is dropped: it does not tell the truth");
            } else {
                tracing::info!(upstream = %uri, %fault, "an upstream is given up for now");
            }
            if self.shared.tip.borrow().height > before {
                backoff = BACKOFF.0;
            }
            tokio::select! {
                () = stopped(&mut stop) => break,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(BACKOFF.1);
        }
        Ok(())
    }

    /// Follows one upstream as long as it is worth it.
    async fn follow(
        &mut self,
        index: usize,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<End, Error> {
        let from = self.shared.tip.borrow().height + 1;
        let (out, mut blocks) = upstream::channel();
        let feed = self.upstreams[index].clone();
        let mut feeding = tokio::spawn(feed.run(Arc::clone(&self.shared), from, out));
        let _abort = AbortOnDrop(feeding.abort_handle());
        loop {
            let checking = tokio::select! {
                () = stopped(stop) => return Ok(End::Stopped),
                next = blocks.recv() => match next {
                    Some(checking) => checking,
                    None => return Ok(End::Fault((&mut feeding).await?)),
                },
                () = tokio::time::sleep(SILENCE) => match self.further_than_us(index).await {
                    Some(other) => return Ok(End::Fault(UpstreamFault::Behind(other))),
                    None => continue,
                },
            };
            match self.take(checking).await? {
                Applied::Yes(_) => {}
                Applied::Faulty(fault) => return Ok(End::Fault(fault)),
                Applied::Differs(reason) => {
                    self.halt(reason).await?;
                    return Ok(End::Halted);
                }
            }
        }
    }

    /// Another upstream that has blocks which this one does not send, if there is one.
    async fn further_than_us(&self, index: usize) -> Option<String> {
        let ours = self.shared.tip.borrow().height;
        for offset in 1..self.upstreams.len() {
            let other = &self.upstreams[(index + offset) % self.upstreams.len()];
            if let Ok(height) = other.height(self.shared.chain).await
                && height > ours
                && self.shared.tip.borrow().height == ours
            {
                return Some(other.uri.clone());
            }
        }
        None
    }

    /// Executes and writes a block, off the loop.
    async fn take(&mut self, checking: Checking) -> Result<Applied, Error> {
        let block = match checking.await? {
            Ok(block) => block,
            // Our own store: nothing can go on.
            Err(UpstreamFault::Store(fault)) => return Err(fault.into()),
            Err(fault) => return Ok(Applied::Faulty(fault)),
        };
        let mut store = self.store.take().ok_or(Error::Busy)?;
        let shared = Arc::clone(&self.shared);
        let (store, applied) = tokio::task::spawn_blocking(move || {
            let applied = apply(&shared, &mut store, block)?;
            Ok::<_, Error>((store, applied))
        })
        .await??;
        self.store = Some(store);
        Ok(applied)
    }

    async fn halt(&mut self, reason: String) -> Result<(), Error> {
        let mut store = self.store.take().ok_or(Error::Busy)?;
        let kept = reason.clone();
        let store = tokio::task::spawn_blocking(move || {
            store.halt(&kept)?;
            Ok::<_, Error>(store)
        })
        .await??;
        self.store = Some(store);
        self.shared.halt(reason);
        Ok(())
    }
}

/// Executes and writes a block, if it is the next one and executing it comes to what was certified.
pub(crate) fn apply(shared: &Shared, store: &mut Store, block: Checked) -> Result<Applied, Error> {
    let tip = store.tip();
    let height = block.header.height;
    if height != tip.height + 1 {
        return Ok(Applied::Faulty(UpstreamFault::OutOfOrder {
            expected: tip.height + 1,
            got: height,
        }));
    }
    let header = match block.certified(store.validators(), shared.verifier.cache()) {
        Ok(header) => header,
        Err(fault) => {
            return Ok(Applied::Faulty(UpstreamFault::Uncertified {
                height,
                fault,
            }));
        }
    };
    let Checked {
        certificate,
        candidates,
        ..
    } = block;
    if header.parent != tip.hash {
        return Ok(Applied::Differs(format!(
            "block {height} is certified and does not follow the certified block {} that this node has",
            tip.height
        )));
    }
    if let Err(fault) = time::rises(tip.time, header.time) {
        return Ok(Applied::Differs(format!(
            "block {height} is certified with an impossible time: {fault}"
        )));
    }
    if let Err(fault) = time::vote(tip.time, header.time, now()) {
        tracing::warn!(height, %fault, "is this machine's clock right?");
    }
    let slot = Slot {
        height,
        time: header.time,
        proposer: header.proposer,
    };
    let span = tracing::info_span!("block.apply", height, txs = candidates.len());
    let _entered = span.enter();
    let execution = store.execute(slot, candidates, &shared.verifier)?;
    if let Some(difference) = difference(execution.header(), &header) {
        return Ok(Applied::Differs(format!(
            "block {height} is certified, and executing it comes to another {difference}"
        )));
    }
    if store.validators().key(&header.proposer).is_none() {
        return Ok(Applied::Differs(format!(
            "block {height} is certified, and its proposer is no validator"
        )));
    }
    let ids = execution.ids().to_vec();
    store.commit(execution, &header, &certificate)?;
    shared.committed(store);
    Ok(Applied::Yes(ids))
}

/// What two headers differ in, in the order in which a cause would show.
fn difference(ours: &Header, theirs: &Header) -> Option<String> {
    if ours == theirs {
        return None;
    }
    let fields = [
        ("outcome root", ours.outcome_root, theirs.outcome_root),
        (
            "state commitment",
            ours.state_commitment,
            theirs.state_commitment,
        ),
        ("history root", ours.history_root, theirs.history_root),
        ("transaction root", ours.tx_root, theirs.tx_root),
    ];
    let named: Vec<String> = fields
        .iter()
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(name, ours, theirs)| format!("{name} ({ours}, certified is {theirs})"))
        .collect();
    Some(if named.is_empty() {
        "header".to_owned()
    } else {
        named.join(", ")
    })
}

/// Ends a task when it is no longer wanted.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
