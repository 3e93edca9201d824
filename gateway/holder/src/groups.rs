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
    holder::Origin, opened::Opened, together::Together,
};
use xinqiao_node::Replica;

use crate::desk::now_ms;

type Group = Opened<HolderGroup<StateFile>>;

/// A question, and the key that its letter brings.
type Question = (Ask, ReleasedKey);

/// A group's place.
#[derive(Clone)]
struct Slot {
    group: Arc<Group>,
    /// Questions that wait for it. Those that come at once are answered with one write to disk.
    asks: Arc<Together<Question, Result<Answer, Error>>>,
}

/// The groups of one node.
pub(crate) struct Groups {
    at: Arc<At>,
    open: Mutex<HashMap<OrgId, Slot>>,
}

/// Where the groups are, and who the node is.
struct At {
    dir: PathBuf,
    replica: Replica,
    identity: Identity,
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
            at: Arc::new(At {
                dir,
                replica,
                identity,
            }),
            open: Mutex::default(),
        }
    }

    /// The node, as groups know it.
    pub(crate) fn member(&self) -> &Member {
        &self.at.identity.member
    }

    /// The key that stands behind it.
    pub(crate) fn key(&self) -> &SecretKey {
        &self.at.identity.key
    }

    /// The epoch that the group with an institution is in. Blocks: files are written and synced.
    pub(crate) fn mark(&self, institution: &OrgId) -> Result<EpochMark, Error> {
        let slot = self.slot(institution);
        self.at.with(&slot.group, institution, |group| group.mark())
    }

    /// Answers an agent of an institution. `key` is of an order of that institution.
    pub(crate) async fn answer(
        &self,
        institution: &OrgId,
        ask: Ask,
        key: ReleasedKey,
    ) -> Result<Answer, Error> {
        let answer = self.slot(institution).asks.add((ask, key)).await;
        answer.unwrap_or_else(|| Err(Error::Library("an answer was not finished".to_owned())))
    }

    fn slot(&self, institution: &OrgId) -> Slot {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = open.entry(institution.clone()).or_insert_with(|| {
            let group = Arc::new(Group::default());
            let (at, of, institution) = (
                Arc::clone(&self.at),
                Arc::clone(&group),
                institution.clone(),
            );
            let asks = Together::new(move |asks| at.answers(&of, &institution, &asks));
            Slot { group, asks }
        });
        slot.clone()
    }
}

impl At {
    fn answers(
        &self,
        group: &Group,
        institution: &OrgId,
        asks: &[Question],
    ) -> Vec<Result<Answer, Error>> {
        let answers = self.with(group, institution, |group| {
            let asks: Vec<(&Ask, &[ReleasedKey])> = (asks.iter())
                .map(|(ask, key)| (ask, std::slice::from_ref(key)))
                .collect();
            let ledger = OnLedger(&self.replica);
            group.answers(&asks, &self.identity, &ledger, now_ms(), &mut rand::rng())
        });
        answers.unwrap_or_else(|error| error.for_each_of(asks.len()))
    }

    /// Works on the group. Blocks: files are written and synced.
    fn with<T>(
        &self,
        group: &Group,
        institution: &OrgId,
        work: impl FnOnce(&mut HolderGroup<StateFile>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        group.with(|| self.begin(institution), work)
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
