//! This node's delivery groups, one for each institution, as `xinqiao-mls` makes them: opened when they are
//! first needed, one question at a time each, and with the replica as the ledger that they believe.
//!
//! Not here: whether a key may leave. What is handed in here is a [`ReleasedKey`], which the delivery machine
//! makes only against the replica's proof.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use xinqiao_contracts::{
    query,
    record::{KeyOwner, KeyState},
};
use xinqiao_crypto::{DistinguishingId, KeyId, SecretKey};
use xinqiao_dispatch::delivery::ReleasedKey;
use xinqiao_ledger::{
    group::{EpochMark, NodeName},
    ids::{ChainId, OrgId},
};
use xinqiao_mls::{
    Answer, Ask, Error, HolderGroup, Identity, Ledger, Member, Pair, Side, Signer, StateFile,
    holder::Origin,
};
use xinqiao_node::Replica;

use crate::desk::now_ms;

/// A group, once it was opened; none again after its disk failed.
type Group = Option<HolderGroup<StateFile>>;

/// Its place. Questions that wait for it hold no thread.
type Slot = Arc<tokio::sync::Mutex<Group>>;

/// The groups of one node.
pub(crate) struct Groups {
    dir: PathBuf,
    replica: Replica,
    identity: Identity,
    open: Mutex<HashMap<OrgId, Slot>>,
}

impl Groups {
    /// Groups whose states are files in `dir`, which exists.
    pub(crate) fn new(
        dir: PathBuf,
        replica: Replica,
        org: OrgId,
        node: NodeName,
        key: Arc<SecretKey>,
    ) -> Self {
        let identity = Identity {
            member: Member {
                side: Side::Holder,
                org,
                node,
                key: key.public().id(),
            },
            key,
            chain: replica.chain(),
            id: replica.genesis().distinguishing_id.clone(),
        };
        Self {
            dir,
            replica,
            identity,
            open: Mutex::default(),
        }
    }

    /// The node, as groups know it.
    pub(crate) fn member(&self) -> &Member {
        &self.identity.member
    }

    /// The key that stands behind it.
    pub(crate) fn key(&self) -> &SecretKey {
        &self.identity.key
    }

    /// The epoch that the group with an institution is in. Blocks: files are written and synced.
    pub(crate) fn mark(&self, institution: &OrgId) -> Result<EpochMark, Error> {
        let slot = self.slot(institution);
        self.with(&mut slot.blocking_lock(), institution, |group| group.mark())
    }

    /// Answers an agent of an institution. `key` is of an order of that institution.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        institution: OrgId,
        ask: Ask,
        key: ReleasedKey,
    ) -> Result<Answer, Error> {
        let this = Arc::clone(self);
        let mut slot = self.slot(&institution).lock_owned().await;
        let answer = tokio::task::spawn_blocking(move || {
            this.with(&mut slot, &institution, |group| {
                let ledger = OnLedger(&this.replica);
                group.answer(
                    &ask,
                    &[key],
                    &this.identity,
                    &ledger,
                    now_ms(),
                    &mut rand::rng(),
                )
            })
        });
        answer
            .await
            .unwrap_or_else(|error| Err(Error::Library(error.to_string())))
    }

    fn slot(&self, institution: &OrgId) -> Slot {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(open.entry(institution.clone()).or_default())
    }

    fn with<T>(
        &self,
        slot: &mut Group,
        institution: &OrgId,
        work: impl FnOnce(&mut HolderGroup<StateFile>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let group = match &mut *slot {
            Some(group) => group,
            None => slot.insert(self.begin(institution)?),
        };
        let done = work(group);
        if let Err(Error::Disk(_) | Error::Reopen) = &done {
            // Only the disk knows which state it has now.
            *slot = None;
        }
        done
    }

    fn begin(&self, institution: &OrgId) -> Result<HolderGroup<StateFile>, Error> {
        let pair = Pair {
            chain: self.identity.chain,
            holder: self.identity.member.org.clone(),
            node: self.identity.member.node.clone(),
            institution: institution.clone(),
        };
        let path = self.dir.join(format!("{institution}.group"));
        let disk = StateFile::open(&path).map_err(Error::Disk)?;
        let (group, origin) = HolderGroup::open(disk, pair, &self.identity, now_ms())?;
        match origin {
            Origin::New => tracing::info!(%institution, "a delivery group is begun"),
            Origin::Found => tracing::info!(%institution, "a delivery group goes on"),
            Origin::Damaged => {
                tracing::error!(%institution, "a delivery group's state is damaged; a new group takes its place");
            }
        }
        Ok(group)
    }
}

/// The replica, as groups ask it.
struct OnLedger<'a>(&'a Replica);

impl Ledger for OnLedger<'_> {
    fn chain(&self) -> ChainId {
        self.0.chain()
    }

    fn distinguishing_id(&self) -> DistinguishingId {
        self.0.genesis().distinguishing_id.clone()
    }

    fn signer(&self, key: &KeyId) -> Option<Signer> {
        let state = self.0.state();
        let found = query::key(&state, key).and_then(|record| {
            let Some(record) = record.filter(|record| record.state == KeyState::Valid) else {
                return Ok(None);
            };
            let (KeyOwner::Member { org, role }, Some(key)) = (&record.owner, record.key.sm2())
            else {
                return Ok(None);
            };
            let acts = query::member(&state, org)?.is_some_and(|member| member.is_active());
            Ok(acts.then(|| Signer {
                org: org.clone(),
                role: *role,
                key,
            }))
        });
        // Whom the replica cannot tell about is nobody.
        found.unwrap_or_else(|fault| {
            tracing::error!(%fault, "the replica cannot be read");
            None
        })
    }
}
