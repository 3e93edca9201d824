//! The client: submits signed transactions over several connections to all validators, and follows the chain
//! at one of them, to see when each is committed. No submission waits for a receipt.
//!
//! Closed loop: so many are under way at any time, as fast as the chain goes. Open loop: at a given rate whatever
//! the chain does; latency counts from the moment at which a transaction was due, so that a stall of the chain
//! is not hidden by a client that waits for it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};
use tonic::{Code, Status};
use xinqiao_ledger::wire::{
    self, ledger_service_client::LedgerServiceClient, submission_result,
    submission_service_client::SubmissionServiceClient,
};
use xinqiao_rpc::{FaultView, Reason, RpcChannel, limited};

use crate::payload::{Signed, mark};

/// When a submission that found no room is tried again, if the node does not say.
const RETRY: Duration = Duration::from_millis(100);

/// How often a submission is tried again after faults that may pass.
const TRIES: u32 = 50;

/// How often the open loop looks what is due.
const BEAT: Duration = Duration::from_millis(1);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is under way, and what became of it.
#[derive(Debug, Default)]
struct Track {
    /// When each was due.
    pending: Mutex<HashMap<u64, Instant>>,
    /// Microseconds from due to committed, while that is recorded.
    latencies: Mutex<Vec<u64>>,
    recording: AtomicBool,
    committed: AtomicU64,
    blocks: AtomicU64,
    height: AtomicU64,
    /// Submissions that found the mempool full.
    full: AtomicU64,
    /// Submissions tried again for another reason.
    again: AtomicU64,
    /// Submissions given up.
    refused: AtomicU64,
    /// Why the last one was given up.
    why: Mutex<String>,
}

/// Counts of the chain at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) committed: u64,
    pub(crate) blocks: u64,
    pub(crate) full: u64,
    pub(crate) again: u64,
    pub(crate) refused: u64,
}

impl Counts {
    /// What came since.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            committed: self.committed - before.committed,
            blocks: self.blocks - before.blocks,
            full: self.full - before.full,
            again: self.again - before.again,
            refused: self.refused - before.refused,
        }
    }
}

/// The client.
pub(crate) struct Client {
    ways: Vec<RpcChannel>,
    track: Arc<Track>,
    /// Permits of the closed loop.
    room: Arc<Semaphore>,
    seen: watch::Receiver<u64>,
    follower: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// A closed loop under way.
pub(crate) struct Loop {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    supply: Arc<Mutex<std::vec::IntoIter<Signed>>>,
}

impl Loop {
    /// Whether there is nothing left to submit.
    pub(crate) fn is_dry(&self) -> bool {
        lock(&self.supply).len() == 0
    }

    /// Ends it; gives back what was not submitted.
    pub(crate) async fn end(mut self) -> Vec<Signed> {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        lock(&self.supply).by_ref().collect()
    }
}

impl Client {
    /// Submits over these connections and follows over that one, from the beginning of the chain.
    pub(crate) fn new(ways: Vec<RpcChannel>, follow: RpcChannel) -> Self {
        let track = Arc::new(Track::default());
        let room = Arc::new(Semaphore::new(0));
        let (told, seen) = watch::channel(0);
        Self {
            follower: tokio::spawn(follow_chain(
                follow,
                Arc::clone(&track),
                Arc::clone(&room),
                told,
            )),
            ways,
            track,
            room,
            seen,
        }
    }

    /// Counts so far.
    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            committed: read(&self.track.committed),
            blocks: read(&self.track.blocks),
            full: read(&self.track.full),
            again: read(&self.track.again),
            refused: read(&self.track.refused),
        }
    }

    /// The last block's height.
    pub(crate) fn height(&self) -> u64 {
        self.track.height.load(Ordering::Relaxed)
    }

    /// Why the last submission was given up.
    pub(crate) fn why(&self) -> String {
        lock(&self.track.why).clone()
    }

    /// Begins to keep so many under way, with so many calls at once of at most `batch` transactions each.
    pub(crate) fn begin(
        &self,
        supply: Vec<Signed>,
        in_flight: usize,
        calls: usize,
        batch: usize,
    ) -> Loop {
        let stop = Arc::new(AtomicBool::new(false));
        let supply = Arc::new(Mutex::new(supply.into_iter()));
        // Permits of a loop before are void.
        self.room.forget_permits(usize::MAX >> 4);
        self.room.add_permits(in_flight);
        let mut tasks = JoinSet::new();
        let (calls, batch) = (calls.max(self.ways.len()), batch.max(1));
        for number in 0..calls {
            let way = self.ways[number % self.ways.len()].clone();
            let (track, room) = (Arc::clone(&self.track), Arc::clone(&self.room));
            let (stop, supply) = (Arc::clone(&stop), Arc::clone(&supply));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // Looked at now and then, for a chain that stands still gives none back.
                    let acquired =
                        tokio::time::timeout(Duration::from_millis(200), room.acquire()).await;
                    let Ok(Ok(permit)) = acquired else {
                        continue;
                    };
                    // Given back when it is committed.
                    permit.forget();
                    // What room there is beside is shared between all calls.
                    let more = (room.available_permits() / calls).min(batch - 1) as u32;
                    let more = room.try_acquire_many(more).map_or(0, |permits| {
                        let more = permits.num_permits();
                        permits.forget();
                        more
                    });
                    let signed: Vec<Signed> = lock(&supply).by_ref().take(1 + more).collect();
                    if signed.is_empty() {
                        return;
                    }
                    let count = signed.len();
                    let taken = submit(&way, &track, signed, Instant::now()).await;
                    room.add_permits(count - taken);
                }
            });
        }
        Loop {
            stop,
            tasks,
            supply,
        }
    }

    /// Submits all of them at that rate a second; gives the latencies, and how many were never committed.
    pub(crate) async fn open_loop(
        &self,
        supply: Vec<Signed>,
        rate: f64,
    ) -> Result<(Vec<u64>, u64)> {
        lock(&self.track.latencies).clear();
        self.track.recording.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        let mut beat = tokio::time::interval(BEAT);
        let mut supply = supply.into_iter().enumerate().peekable();
        while supply.peek().is_some() {
            beat.tick().await;
            let now = Instant::now();
            while let Some((number, _)) = supply.peek() {
                let due = begun + Duration::from_secs_f64(*number as f64 / rate);
                if due > now {
                    break;
                }
                let Some((number, signed)) = supply.next() else {
                    break;
                };
                let way = self.ways[number % self.ways.len()].clone();
                let track = Arc::clone(&self.track);
                tasks.spawn(async move {
                    submit(&way, &track, vec![signed], due).await;
                });
            }
            while tasks.try_join_next().is_some() {}
        }
        while tasks.join_next().await.is_some() {}
        let lost = self.drain(Duration::from_secs(20)).await;
        self.track.recording.store(false, Ordering::Relaxed);
        Ok((std::mem::take(&mut *lock(&self.track.latencies)), lost))
    }

    /// Waits until nothing is under way; gives how many never were committed, and forgets them.
    pub(crate) async fn drain(&self, patience: Duration) -> u64 {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if lock(&self.track.pending).is_empty() {
                return 0;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut pending = lock(&self.track.pending);
        let lost = pending.len() as u64;
        pending.clear();
        lost
    }

    /// Submits one and waits until it is committed.
    pub(crate) async fn one(&mut self, signed: Signed, patience: Duration) -> Result<()> {
        let before = self.counts().committed;
        if submit(&self.ways[0], &self.track, vec![signed], Instant::now()).await == 0 {
            bail!("the first transaction was refused: {}", self.why());
        }
        let wait = self.seen.wait_for(|committed| *committed > before);
        tokio::time::timeout(patience, wait)
            .await
            .ok()
            .context("nothing was committed in time")??;
        Ok(())
    }
}

/// Submits these in one call, and those again that may yet be taken; gives how many a node took.
async fn submit(way: &RpcChannel, track: &Track, signed: Vec<Signed>, due: Instant) -> usize {
    // Before they are sent: they may be in a block before the answer is here.
    lock(&track.pending).extend(signed.iter().map(|one| (one.mark, due)));
    let (mut left, mut taken) = (signed, 0);
    for _ in 0..TRIES {
        let refused = call(way, &left).await;
        let mut wait = None;
        let mut again = Vec::new();
        for (one, status) in left.into_iter().zip(refused) {
            let Some(status) = status else {
                taken += 1;
                continue;
            };
            let fault = FaultView::from_status(&status);
            if fault.reason == Some(Reason::MempoolFull) {
                track.full.fetch_add(1, Ordering::Relaxed);
            } else if fault.is_transient() || status.code() == Code::Unavailable {
                track.again.fetch_add(1, Ordering::Relaxed);
            } else {
                *lock(&track.why) = fault.message;
                taken += usize::from(give_up(track, &one));
                continue;
            }
            wait = wait.max(Some(fault.retry_after.unwrap_or(RETRY)));
            again.push(one);
        }
        left = again;
        let Some(wait) = wait else {
            return taken;
        };
        tokio::time::sleep(wait).await;
        // An answer was lost, and the transaction was not.
        let pending = lock(&track.pending);
        let before = left.len();
        left.retain(|one| pending.contains_key(&one.mark));
        taken += before - left.len();
    }
    for one in &left {
        taken += usize::from(give_up(track, one));
    }
    taken
}

/// Gives one up; says whether it was committed nevertheless.
fn give_up(track: &Track, signed: &Signed) -> bool {
    track.refused.fetch_add(1, Ordering::Relaxed);
    lock(&track.pending).remove(&signed.mark).is_none()
}

/// One call; gives for each why it was not taken, if it was not.
async fn call(way: &RpcChannel, signed: &[Signed]) -> Vec<Option<Status>> {
    let mut client = limited!(SubmissionServiceClient::new(way.clone()));
    if let [one] = signed {
        let request = wire::SubmitTransactionRequest {
            transaction: Some(one.wire.clone()),
            wait_ms: 0,
        };
        return vec![client.submit_transaction(request).await.err()];
    }
    let request = wire::SubmitTransactionsRequest {
        transactions: signed.iter().map(|one| one.wire.clone()).collect(),
    };
    match client.submit_transactions(request).await {
        Ok(answer) => {
            let results = answer.into_inner().results;
            let mut refused: Vec<_> = results.into_iter().map(refusal).collect();
            refused.resize_with(signed.len(), || Some(Status::internal("no answer for it")));
            refused
        }
        Err(status) => vec![Some(status); signed.len()],
    }
}

/// The status of a transaction that was not taken.
fn refusal(result: wire::SubmissionResult) -> Option<Status> {
    match result.result {
        Some(submission_result::Result::TxId(_)) => None,
        Some(submission_result::Result::Refused(refused)) => Some(Status::with_details(
            Code::from(i32::try_from(refused.code).unwrap_or(i32::MAX)),
            refused.message,
            refused.details.into(),
        )),
        None => Some(Status::internal("an answer that says nothing")),
    }
}

/// Follows the chain for as long as this client lives.
async fn follow_chain(
    way: RpcChannel,
    track: Arc<Track>,
    room: Arc<Semaphore>,
    told: watch::Sender<u64>,
) {
    loop {
        let mut ledger = limited!(LedgerServiceClient::new(way.clone()));
        let request = wire::StreamBlocksRequest {
            from_height: track.height.load(Ordering::Relaxed) + 1,
        };
        if let Ok(stream) = ledger.stream_blocks(request).await {
            let mut stream = stream.into_inner();
            while let Ok(Some(message)) = stream.message().await {
                let at = Instant::now();
                let Some(block) = message.block else {
                    continue;
                };
                let ours = note(&track, &block, at);
                room.add_permits(ours);
                track.height.fetch_add(1, Ordering::Relaxed);
                told.send_replace(track.committed.load(Ordering::Relaxed));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Takes note of a block; gives how many of its transactions were under way.
fn note(track: &Track, block: &wire::Block, at: Instant) -> usize {
    let mut latencies = Vec::new();
    {
        let mut pending = lock(&track.pending);
        for encoded in &block.transactions {
            if let Some(due) = pending.remove(&mark(encoded)) {
                let took = at.saturating_duration_since(due);
                latencies.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
        }
    }
    let (all, ours) = (block.transactions.len() as u64, latencies.len());
    track.committed.fetch_add(all, Ordering::Relaxed);
    track.blocks.fetch_add(1, Ordering::Relaxed);
    if track.recording.load(Ordering::Relaxed) {
        lock(&track.latencies).append(&mut latencies);
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(ends: &[u64]) -> wire::Block {
        wire::Block {
            transactions: ends
                .iter()
                .map(|end| [&b"body"[..], &end.to_be_bytes()].concat())
                .collect(),
            ..wire::Block::default()
        }
    }

    #[test]
    fn a_transaction_counts_once_and_from_when_it_was_due() {
        let track = Track::default();
        let due = Instant::now();
        lock(&track.pending).extend([(1, due), (2, due), (3, due)]);
        let after = |millis| due + Duration::from_millis(millis);
        assert_eq!(note(&track, &block(&[1, 9]), after(5)), 1);
        // Not recorded yet, and it was somebody else's too.
        assert!(lock(&track.latencies).is_empty());
        track.recording.store(true, Ordering::Relaxed);
        assert_eq!(note(&track, &block(&[2, 1]), after(7)), 1);
        assert_eq!(note(&track, &block(&[]), after(8)), 0);
        assert_eq!(*lock(&track.latencies), [7_000]);
        assert_eq!(track.committed.load(Ordering::Relaxed), 4);
        assert_eq!(track.blocks.load(Ordering::Relaxed), 3);
        assert_eq!(lock(&track.pending).len(), 1);
    }

    #[test]
    fn counts_are_of_what_came_between() {
        let before = Counts {
            committed: 5,
            blocks: 1,
            ..Counts::default()
        };
        let after = Counts {
            committed: 9,
            blocks: 3,
            full: 2,
            ..Counts::default()
        };
        let between = after.since(before);
        assert_eq!((between.committed, between.blocks, between.full), (4, 2, 2));
    }
}
