//! Members, sources, catalogue and limits as the region's node has them, remembered for at most a second.
//!
//! They are few and asked for with every call, so one snapshot serves all. A block that changes any of
//! them makes the snapshot stale at once (see [`crate::feed`]); the second is for the time in which the
//! stream of blocks is interrupted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, RwLock};
use tonic::Status;
use xinqiao_decide::Standing;
use xinqiao_identity::{DirectoryError, Membership, TokenPublicKey, token};
use xinqiao_ledger::{
    ids::{OrgId, SourceId},
    member::{Member, MemberKey},
    wire::{self, MemberStatus},
};

use crate::node::Node;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(1);

/// A member and how it stands.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) member: Member,
    pub(crate) standing: Standing,
}

/// What the node said at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) members: BTreeMap<OrgId, Known>,
    pub(crate) sources: BTreeMap<SourceId, wire::SourceState>,
    pub(crate) catalogue: wire::Catalogue,
    /// How many blocks a transaction's expiry may lie ahead by now: a vote changes it.
    pub(crate) max_expiry_window: u64,
    taken: Instant,
    epoch: u64,
}

impl Snapshot {
    pub(crate) fn member(&self, org: &str) -> Option<&Known> {
        self.members.get(&org.parse::<OrgId>().ok()?)
    }

    /// The organisation whose gateway stands before this member: its own, or its home's.
    pub(crate) fn gateway_of(&self, org: &OrgId) -> Option<&Known> {
        let known = self.members.get(org)?;
        if known.member.gateway_endpoint.is_empty() {
            self.members.get(known.member.home.as_ref()?)
        } else {
            Some(known)
        }
    }
}

/// The directory.
#[derive(Debug)]
pub(crate) struct LedgerDirectory {
    node: Node,
    epoch: AtomicU64,
    latest: RwLock<Option<Arc<Snapshot>>>,
    // Held while the node is asked, so that many callers cause one question.
    asking: Mutex<()>,
}

impl LedgerDirectory {
    pub(crate) fn new(node: Node) -> Self {
        Self {
            node,
            epoch: AtomicU64::new(0),
            latest: RwLock::new(None),
            asking: Mutex::new(()),
        }
    }

    /// A block changed members, sources, the catalogue or the limits.
    pub(crate) fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Status> {
        if let Some(fresh) = self.fresh().await {
            return Ok(fresh);
        }
        let _asking = self.asking.lock().await;
        if let Some(fresh) = self.fresh().await {
            return Ok(fresh);
        }
        // Read before asking: a change in between makes the answer stale, not fresh.
        let epoch = self.epoch.load(Ordering::Acquire);
        let (members, sources, catalogue, status) = tokio::try_join!(
            self.node.members(),
            self.node.sources(),
            self.node.catalogue(),
            self.node.status()
        )?;
        let snapshot = Arc::new(Snapshot {
            members: members.iter().filter_map(known).collect(),
            sources: sources.into_iter().filter_map(named).collect(),
            catalogue,
            max_expiry_window: status.max_expiry_window,
            taken: Instant::now(),
            epoch,
        });
        *self.latest.write().await = Some(snapshot.clone());
        Ok(snapshot)
    }

    async fn fresh(&self) -> Option<Arc<Snapshot>> {
        let latest = self.latest.read().await;
        let snapshot = latest.as_ref()?;
        let current = snapshot.epoch == self.epoch.load(Ordering::Acquire);
        (current && snapshot.taken.elapsed() < FRESH).then(|| snapshot.clone())
    }
}

fn known(state: &wire::MemberState) -> Option<(OrgId, Known)> {
    let parsed = state.member.as_ref().map(Member::try_from)?;
    let member = match parsed {
        Ok(member) => member,
        Err(fault) => {
            tracing::error!(%fault, "the node names a member that is none");
            return None;
        }
    };
    let standing = match state.status() {
        MemberStatus::Active => Standing::Active,
        MemberStatus::Frozen => Standing::Frozen,
        MemberStatus::Expelled => Standing::Expelled,
        MemberStatus::Unspecified => Standing::Unknown,
    };
    Some((member.org.clone(), Known { member, standing }))
}

fn named(state: wire::SourceState) -> Option<(SourceId, wire::SourceState)> {
    let id = state.source.as_ref()?.source.parse().ok()?;
    Some((id, state))
}

impl xinqiao_identity::Directory for LedgerDirectory {
    async fn membership(
        &self,
        org: &str,
        certificate_sha256: [u8; 32],
    ) -> Result<Membership, DirectoryError> {
        let snapshot = self.snapshot().await.map_err(unasked)?;
        Ok(match snapshot.member(org) {
            None => Membership {
                standing: Standing::Unknown,
                certificate_registered: false,
            },
            Some(known) => Membership {
                standing: known.standing,
                certificate_registered: (known.member.certificates)
                    .iter()
                    .any(|print| *print.as_bytes() == certificate_sha256),
            },
        })
    }

    async fn token_key(
        &self,
        org: &str,
        kid: &str,
    ) -> Result<Option<TokenPublicKey>, DirectoryError> {
        let snapshot = self.snapshot().await.map_err(unasked)?;
        Ok(snapshot.member(org).and_then(|known| {
            known.member.keys.iter().find_map(|key| match key {
                MemberKey::Token(point) => {
                    let key = TokenPublicKey(*point);
                    (token::key_id(&key) == kid).then_some(key)
                }
                MemberKey::Sm2 { .. } => None,
            })
        }))
    }
}

fn unasked(status: Status) -> DirectoryError {
    DirectoryError(format!("{:?}: {}", status.code(), status.message()))
}
