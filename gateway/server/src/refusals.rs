//! Every attempt leaves a record (DESIGN promise 4): what this gateway refuses, it writes on the ledger.
//!
//! The caller's answer waits until the record is committed, for at most [`PATIENCE`]; a record that
//! takes longer is tried on in the background. At most [`MAX_PENDING`] wait at once. A gateway whose
//! node is away refuses nobody in the first place: without the directory no certificate is accepted,
//! and what was never authenticated is not an attempt of any institution.
//!
//! Refusals must not become a way to flood the ledger. While a caller is within its quota each refusal
//! has its own record, so the quota bounds them. Beyond it, one record a second stands for all
//! refusals of the same institution, user and reason; the log has their number.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;
use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;
use xinqiao_crypto::{DistinguishingId, SecretKey};
use xinqiao_ledger::{
    ids::{ChainId, GrantId, ItemCode, OrgId, Subject, TxId, UserId},
    order::PlaceOrder,
    outcome::Outcome,
    tx::{Tx, id_of},
    wire,
};
use xinqiao_rpc::{FaultView, Reason};

use crate::{directory::LedgerDirectory, feed::Feed, node::Node};

/// How long an answer waits for its record.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a record is tried for.
const PERSISTENCE: Duration = Duration::from_secs(60);

/// The most records that wait to be committed.
pub(crate) const MAX_PENDING: usize = 1_024;

/// Over the quota, the same refusal is recorded once in this time.
const AGGREGATE: Duration = Duration::from_secs(1);

/// The most institutions, users and reasons that are told apart over the quota.
const MAX_AGGREGATES: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// How far ahead a record's expiry lies, in blocks.
const EXPIRY_BLOCKS: u64 = 500;

/// What is known of an attempt, as far as it got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) user: Option<UserId>,
    pub(crate) subject: Option<Subject>,
    pub(crate) purpose: String,
    pub(crate) items: Vec<ItemCode>,
    pub(crate) grant: Option<GrantId>,
}

impl Attempt {
    /// An attempt at this order. Its user is not proved yet.
    pub(crate) fn at(order: &PlaceOrder) -> Self {
        Self {
            user: None,
            subject: Some(order.subject),
            purpose: order.purpose.to_string(),
            items: order.items.clone(),
            grant: Some(order.grant),
        }
    }
}

pub(crate) struct Signer {
    pub(crate) key: SecretKey,
    pub(crate) chain: ChainId,
    pub(crate) distinguishing_id: DistinguishingId,
}

pub(crate) struct Recorder {
    node: Node,
    feed: Arc<Feed>,
    directory: Arc<LedgerDirectory>,
    signer: Signer,
    places: Arc<Semaphore>,
    aggregates: Mutex<LruCache<AggregateKey, Aggregate>>,
}

type AggregateKey = (OrgId, Option<UserId>, Reason);

#[derive(Debug, Clone, Copy)]
struct Aggregate {
    since: Instant,
    more: u64,
}

impl Recorder {
    pub(crate) fn new(
        node: Node,
        feed: Arc<Feed>,
        directory: Arc<LedgerDirectory>,
        signer: Signer,
    ) -> Self {
        Self {
            node,
            feed,
            directory,
            signer,
            places: Arc::new(Semaphore::new(MAX_PENDING)),
            aggregates: Mutex::new(LruCache::new(MAX_AGGREGATES)),
        }
    }

    /// Records a refusal and waits for that. `over_quota` says that the caller has no quota left.
    pub(crate) async fn record(
        self: &Arc<Self>,
        institution: &OrgId,
        attempt: Attempt,
        reason: Reason,
        over_quota: bool,
    ) {
        if over_quota && self.stands_for_this(institution, &attempt, reason) {
            return;
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            tracing::error!(%institution, %reason, "too many refusals wait for their record: this one has none");
            return;
        };
        let refusal = wire::RecordRefusal {
            institution: institution.to_string(),
            user: attempt.user.map(|user| user.to_vec()).unwrap_or_default(),
            subject: attempt
                .subject
                .map(|subject| subject.to_vec())
                .unwrap_or_default(),
            purpose: attempt.purpose,
            items: attempt.items.iter().map(ToString::to_string).collect(),
            grant: attempt
                .grant
                .map(|grant| grant.to_vec())
                .unwrap_or_default(),
            reason: reason.code().to_owned(),
        };
        let (recorded, wait) = oneshot::channel();
        let recorder = self.clone();
        let writing = async move {
            let written = recorder.write(refusal).await;
            drop(place);
            // Nobody listens when the caller has its answer already.
            let _ = recorded.send(written);
        };
        tokio::spawn(writing.in_current_span());
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            tracing::warn!(%institution, %reason, "a refusal is answered before its record is committed");
        }
    }

    /// Waits, for as long as an answer would, until no record is under way.
    pub(crate) async fn drained(&self) {
        let all = u32::try_from(MAX_PENDING).expect("a small number");
        if tokio::time::timeout(PATIENCE, self.places.acquire_many(all))
            .await
            .is_err()
        {
            tracing::error!("the gateway stops before every refusal has its record");
        }
    }

    /// Whether a record within the last second stands for this refusal too.
    fn stands_for_this(&self, institution: &OrgId, attempt: &Attempt, reason: Reason) -> bool {
        let key = (institution.clone(), attempt.user, reason);
        let mut aggregates = self
            .aggregates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(aggregate) = aggregates.get_mut(&key) {
            if aggregate.since.elapsed() < AGGREGATE {
                aggregate.more += 1;
                return true;
            }
            if aggregate.more > 0 {
                tracing::warn!(%institution, %reason, count = aggregate.more, "refusals over the quota share the record before");
            }
        }
        let fresh = Aggregate {
            since: Instant::now(),
            more: 0,
        };
        aggregates.put(key, fresh);
        false
    }

    /// Hands the record in, again and again with the same bytes, so that one refusal has one record. Other
    /// bytes are signed only when the node says that the first ones never take effect.
    async fn write(&self, refusal: wire::RecordRefusal) {
        let give_up = Instant::now() + PERSISTENCE;
        let mut pause = Duration::from_millis(50);
        let mut signed = None;
        loop {
            let why = match self.signed(&mut signed, &refusal).await {
                Ok((tx, id)) => match self.try_write(tx, id).await {
                    Ok(()) => return,
                    Err(why) => {
                        if why.is_void {
                            signed = None;
                        }
                        why.text
                    }
                },
                Err(why) => why,
            };
            if Instant::now() + pause > give_up {
                tracing::error!(%why, reason = refusal.reason, institution = refusal.institution, "a refusal could not be recorded");
                return;
            }
            tracing::warn!(%why, "recording a refusal again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn signed(
        &self,
        before: &mut Option<(wire::Transaction, TxId)>,
        refusal: &wire::RecordRefusal,
    ) -> Result<(wire::Transaction, TxId), String> {
        if let Some(signed) = before {
            return Ok(signed.clone());
        }
        let snapshot = self.directory.snapshot().await;
        let snapshot = snapshot.map_err(|status| FaultView::from_status(&status).to_string())?;
        let window = snapshot.max_expiry_window.min(EXPIRY_BLOCKS);
        let tx = Tx::sign(
            wire::tx_body::Action::RecordRefusal(refusal.clone()),
            &self.signer.chain,
            self.feed.tip().height + window,
            &self.signer.key,
            &self.signer.distinguishing_id,
            &mut rand::rng(),
        );
        let id = id_of(&self.signer.chain, &self.signer.key.public().id(), &tx.body);
        Ok(before.insert((tx, id)).clone())
    }

    async fn try_write(&self, tx: wire::Transaction, id: TxId) -> Result<(), NotWritten> {
        let receipt = match self.node.submit(tx, id).await {
            Ok(receipt) => receipt,
            Err(status) => {
                let view = FaultView::from_status(&status);
                let void = [Reason::TxExpired, Reason::TxExpiryTooFar];
                return Err(NotWritten {
                    is_void: view.reason.is_some_and(|reason| void.contains(&reason)),
                    text: view.to_string(),
                });
            }
        };
        // What the ledger refused once, it refuses again: the next try is another transaction.
        let refused = |text| NotWritten {
            is_void: true,
            text,
        };
        match Outcome::parse(&receipt.outcome) {
            Ok((_, Outcome::Applied(_))) => Ok(()),
            Ok((_, Outcome::Rejected { reason, subject })) => Err(refused(format!(
                "the ledger refused the record: {} {subject}",
                reason.code()
            ))),
            Err(fault) => Err(refused(fault.to_string())),
        }
    }
}

/// A record that is not on the ledger, as far as is known.
struct NotWritten {
    /// Whether these bytes never take effect.
    is_void: bool,
    text: String,
}
