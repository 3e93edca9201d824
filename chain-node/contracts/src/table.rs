//! Tables of the state: one-byte prefixes, keys of a fixed layout, Borsh values.
//!
//! Numbers in keys are big-endian, so that they sort as numbers. A name, which varies in length,
//! may only end a key; elsewhere it is padded to 32 bytes with zeros, which names cannot hold. The
//! types see to both. The layout is part of the chain's rules: the commitment is over these bytes.
//!
//! Not here: what the values mean (`record`), and who may change them.

use std::marker::PhantomData;

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::{Digest, DistinguishingId, KeyId};
use xinqiao_ledger::{
    catalogue::Catalogue,
    genesis::Parameters,
    governance::Proposal,
    ids::{Fingerprint, GrantId, ObjectionId, OrderId, OrgId, SourceId, Subject, TxId, UserId},
    validators::Engine,
};

use crate::{
    record::{
        AccessRecord, CatalogueCodes, CertificateRecord, DigestEntry, GrantRecord, HistoryRecord,
        KeyRecord, MemberEntry, MisbehaviourRecord, ObjectionRecord, OrderRecord, ProposalRecord,
        SourceRecord, UserState, ValidatorEntry, ValidatorKeyRecord, VoteRecord,
    },
    state::{Overlay, Pairs, StateFault, StateRead, Writes},
};

/// Organisations.
pub const MEMBERS: Table<OrgId, MemberEntry> = Table::new(0x01);
/// Keys of members and of subjects.
pub const KEYS: Table<KeyId, KeyRecord> = Table::new(0x02);
/// TLS certificates of members.
pub const CERTIFICATES: Table<Fingerprint, CertificateRecord> = Table::new(0x03);
/// Users of institutions.
pub const USERS: Table<(UserId, OrgId), UserState> = Table::new(0x04);
/// The catalogue in force. Every order and consent asks for codes: those are beside it, as it is large.
pub const CATALOGUE: Table<(), Catalogue> = Table::new(0x05);
/// Data sources by number.
pub const SOURCES: Table<u32, SourceRecord> = Table::new(0x06);
/// Numbers of data sources by id.
pub const SOURCE_NUMBERS: Table<SourceId, u32> = Table::new(0x07);
/// How many sources there are; the next one's number.
pub const SOURCE_COUNT: Table<(), u32> = Table::new(0x08);
/// Validators by the member that runs them.
pub const VALIDATORS: Table<OrgId, ValidatorEntry> = Table::new(0x09);
/// How validators agree.
pub const ENGINE: Table<(), Engine> = Table::new(0x0a);
/// How much a member's vote counts; members without one are not in it.
pub const WEIGHTS: Table<OrgId, u32> = Table::new(0x0b);
/// The limits in force.
pub const PARAMETERS: Table<(), Parameters> = Table::new(0x0c);
/// The distinguishing id that everyone signs under.
pub const DISTINGUISHING_ID: Table<(), DistinguishingId> = Table::new(0x0d);
/// Every key that a validator has or had.
pub const VALIDATOR_KEYS: Table<KeyId, ValidatorKeyRecord> = Table::new(0x0e);
/// The height of the last checkpoint of the state.
pub const CHECKPOINT: Table<(), u64> = Table::new(0x0f);
/// Report digests by subject and source.
pub const DIGESTS: Table<(Subject, u32), DigestEntry> = Table::new(0x10);
/// The key that is bound to a subject.
pub const SUBJECT_KEYS: Table<Subject, KeyId> = Table::new(0x11);
/// Consent requests and grants.
pub const GRANTS: Table<GrantId, GrantRecord> = Table::new(0x12);
/// Grants of a subject, by height and place in the block.
pub const GRANTS_BY_SUBJECT: Table<(Subject, (u64, u32)), GrantId> = Table::new(0x13);
/// Orders.
pub const ORDERS: Table<OrderId, OrderRecord> = Table::new(0x14);
/// Orders by their access log index.
pub const ORDERS_BY_INDEX: Table<u64, OrderId> = Table::new(0x15);
/// What happened to a grant or an order, in order.
pub const HISTORY: Table<(TxId, u32), HistoryRecord> = Table::new(0x16);
/// The access log.
pub const ACCESS: Table<u64, AccessRecord> = Table::new(0x20);
/// Entries in the access log; the next one's index.
pub const ACCESS_COUNT: Table<(), u64> = Table::new(0x21);
/// Access log entries of an institution.
pub const ACCESS_BY_INSTITUTION: Table<(Padded, u64), ()> = Table::new(0x22);
/// Access log entries about a subject.
pub const ACCESS_BY_SUBJECT: Table<(Subject, u64), ()> = Table::new(0x23);
/// Counters of the summary.
pub const COUNTERS: Table<(u8, Name), u64> = Table::new(0x24);
/// Deadlines that wait to fire, by time.
pub const DEADLINES: Table<(u64, (u8, Digest)), ()> = Table::new(0x30);
/// Ids of ordered transactions, by the last height at which they could be ordered again.
pub const ORDERED: Table<(u64, TxId), ()> = Table::new(0x31);
/// The lowest height under which ids wait to be forgotten; absent when none is late.
pub const FORGET_FROM: Table<(), u64> = Table::new(0x32);
/// A time up to which all deadlines have fired or were cleared.
pub const FIRED_TO: Table<(), u64> = Table::new(0x33);
/// The codes of the catalogue in force.
pub const CATALOGUE_CODES: Table<(), CatalogueCodes> = Table::new(0x34);

/// Where proposals stand.
pub const PROPOSALS: Table<TxId, ProposalRecord> = Table::new(0x40);
/// What they propose.
pub const PROPOSED: Table<TxId, Proposal> = Table::new(0x41);
/// Proposals by number.
pub const PROPOSALS_BY_INDEX: Table<u64, TxId> = Table::new(0x42);
/// Votes on a proposal by member.
pub const VOTES: Table<(TxId, OrgId), VoteRecord> = Table::new(0x43);
/// Proposals that are voted on or wait for their height, with who made them.
pub const PENDING: Table<TxId, OrgId> = Table::new(0x44);
/// Proposals that passed, by the height at which they are to be in force and their number.
pub const SCHEDULED: Table<(u64, u64), TxId> = Table::new(0x45);
/// Contradictions of validators by key and height.
pub const MISBEHAVIOUR: Table<(KeyId, u64), MisbehaviourRecord> = Table::new(0x46);
/// The same by number.
pub const MISBEHAVIOUR_BY_INDEX: Table<u64, (KeyId, u64)> = Table::new(0x47);

/// Objections.
pub const OBJECTIONS: Table<ObjectionId, ObjectionRecord> = Table::new(0x50);
/// Objections by number.
pub const OBJECTIONS_BY_INDEX: Table<u64, ObjectionId> = Table::new(0x51);
/// Objections whose mark stands, by the subject and source that they are about.
pub const MARKED: Table<((Subject, u32), ObjectionId), ()> = Table::new(0x52);

/// A table: its prefix, and the types of its keys and values.
pub struct Table<K, V> {
    prefix: u8,
    types: PhantomData<fn(K) -> V>,
}

/// Keys with their values.
pub type Entries<K, V> = Vec<(K, V)>;

/// Part of a key.
pub trait Key: Sized {
    /// Appends the key's bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads it back from all the bytes that are left.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// Part of a key with a length of its own, so that something may follow it.
pub trait FixedKey: Key {
    /// Its length in bytes.
    const LEN: usize;
}

/// A name, padded to 32 bytes with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padded([u8; 32]);

impl From<&OrgId> for Padded {
    fn from(org: &OrgId) -> Self {
        let mut bytes = [0; 32];
        bytes[..org.as_str().len()].copy_from_slice(org.as_str().as_bytes());
        Self(bytes)
    }
}

/// A name of any form, at the end of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub String);

impl Key for () {
    fn write(&self, _: &mut Vec<u8>) {}
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

impl Key for Name {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok().map(Self)
    }
}

macro_rules! names {
    ($($type:ty),+) => {$(
        impl Key for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.as_str().as_bytes());
            }
            fn read(bytes: &[u8]) -> Option<Self> {
                Self::parse("key", std::str::from_utf8(bytes).ok()?).ok()
            }
        }
    )+};
}
names!(OrgId, SourceId);

macro_rules! fixed {
    ($($type:ty, $len:literal, $self:ident => $to:expr, $bytes:ident => $from:expr;)+) => {$(
        impl Key for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let $self = self;
                out.extend_from_slice(&$to);
            }
            fn read(bytes: &[u8]) -> Option<Self> {
                let $bytes: [u8; $len] = bytes.try_into().ok()?;
                Some($from)
            }
        }
        impl FixedKey for $type {
            const LEN: usize = $len;
        }
    )+};
}
fixed! {
    u8, 1, it => [*it], bytes => bytes[0];
    u32, 4, it => it.to_be_bytes(), bytes => u32::from_be_bytes(bytes);
    u64, 8, it => it.to_be_bytes(), bytes => u64::from_be_bytes(bytes);
    Padded, 32, it => it.0, bytes => Self(bytes);
    Digest, 32, it => *it.as_bytes(), bytes => Self::from(bytes);
    KeyId, 32, it => *it.as_bytes(), bytes => Self::from(Digest::from(bytes));
    Fingerprint, 32, it => *it.as_bytes(), bytes => Self(bytes.into());
    UserId, 32, it => *it.as_bytes(), bytes => Self(bytes.into());
    Subject, 32, it => *it.as_bytes(), bytes => Self(bytes.into());
    GrantId, 32, it => *it.as_bytes(), bytes => Self(bytes.into());
    OrderId, 32, it => *it.as_bytes(), bytes => Self(bytes.into());
    ObjectionId, 32, it => *it.as_bytes(), bytes => Self(bytes.into());
    TxId, 32, it => *it.as_bytes(), bytes => Self(bytes.into());
}

impl<A: FixedKey, B: Key> Key for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_at_checked(A::LEN)?;
        Some((A::read(first)?, B::read(rest)?))
    }
}

impl<A: FixedKey, B: FixedKey> FixedKey for (A, B) {
    const LEN: usize = A::LEN + B::LEN;
}

impl<K: Key, V: BorshSerialize + BorshDeserialize> Table<K, V> {
    const fn new(prefix: u8) -> Self {
        Self {
            prefix,
            types: PhantomData,
        }
    }

    /// The bytes of a key.
    pub fn key(&self, key: &K) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        bytes.push(self.prefix);
        key.write(&mut bytes);
        bytes
    }

    /// The value under a key.
    ///
    /// # Errors
    /// When the store fails, or holds what is no such value.
    pub fn get<S: StateRead>(&self, state: &S, key: &K) -> Result<Option<V>, StateFault> {
        state
            .get(&self.key(key))?
            .map(|bytes| self.decode(&bytes))
            .transpose()
    }

    /// The values under several keys.
    ///
    /// # Errors
    /// As with [`Table::get`].
    pub fn get_many<S: StateRead>(
        &self,
        state: &S,
        keys: impl Iterator<Item = K>,
    ) -> Result<Vec<Option<V>>, StateFault> {
        let keys: Vec<Vec<u8>> = keys.map(|key| self.key(&key)).collect();
        state
            .get_many(&keys)?
            .into_iter()
            .map(|bytes| bytes.map(|bytes| self.decode(&bytes)).transpose())
            .collect()
    }

    /// Whether there is something under a key.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has<S: StateRead>(&self, state: &S, key: &K) -> Result<bool, StateFault> {
        Ok(state.get(&self.key(key))?.is_some())
    }

    /// Writes a value.
    pub fn put<S: StateRead>(&self, draft: &mut Overlay<'_, S>, key: &K, value: &V) {
        let bytes = borsh::to_vec(value).expect("writing to memory does not fail");
        draft.put(self.key(key), bytes);
    }

    /// Deletes a key.
    pub fn delete<S: StateRead>(&self, draft: &mut Overlay<'_, S>, key: &K) {
        draft.delete(self.key(key));
    }

    /// Whether any of the writes is to this table.
    pub fn is_in(&self, writes: &Writes) -> bool {
        let keys = [self.prefix][..].to_vec()..vec![self.prefix + 1];
        writes.range(keys).next().is_some()
    }

    /// The first `limit` entries, ascending.
    ///
    /// # Errors
    /// As with [`Table::get`].
    pub fn first<S: StateRead>(
        &self,
        state: &S,
        limit: usize,
    ) -> Result<Entries<K, V>, StateFault> {
        self.typed(state.scan(&[self.prefix], &[self.prefix + 1], limit)?)
    }

    /// The first `limit` entries whose keys come after one, ascending.
    ///
    /// # Errors
    /// As with [`Table::get`].
    pub fn after<S: StateRead>(
        &self,
        state: &S,
        key: &K,
        limit: usize,
    ) -> Result<Entries<K, V>, StateFault> {
        self.after_key(state, self.key(key), limit)
    }

    /// The same, after the bytes of a key.
    pub(crate) fn after_key<S: StateRead>(
        &self,
        state: &S,
        mut start: Vec<u8>,
        limit: usize,
    ) -> Result<Entries<K, V>, StateFault> {
        start.push(0);
        self.typed(state.scan(&start, &[self.prefix + 1], limit)?)
    }

    /// The last `limit` entries whose keys come before one, descending.
    ///
    /// # Errors
    /// As with [`Table::get`].
    pub fn before<S: StateRead>(
        &self,
        state: &S,
        key: &K,
        limit: usize,
    ) -> Result<Entries<K, V>, StateFault> {
        self.typed(state.scan_back(&[self.prefix], &self.key(key), limit)?)
    }

    fn typed(&self, pairs: Pairs) -> Result<Entries<K, V>, StateFault> {
        pairs
            .into_iter()
            .map(|(key, value)| Ok((self.read_key(&key)?, self.decode(&value)?)))
            .collect()
    }

    fn read_key(&self, bytes: &[u8]) -> Result<K, StateFault> {
        bytes
            .split_first()
            .and_then(|(_, rest)| K::read(rest))
            .ok_or_else(|| StateFault(format!("table {:#04x} holds a key of no form", self.prefix)))
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, StateFault> {
        borsh::from_slice(bytes)
            .map_err(|fault| StateFault(format!("table {:#04x}: {fault}", self.prefix)))
    }
}

impl<V: BorshSerialize + BorshDeserialize> Table<u64, V> {
    /// The number after the last, counted from 0.
    ///
    /// # Errors
    /// As with [`Table::get`].
    pub(crate) fn next<S: StateRead>(&self, state: &S) -> Result<u64, StateFault> {
        let last = self.before(state, &u64::MAX, 1)?;
        Ok(last.first().map_or(0, |(index, _)| index + 1))
    }
}

impl<A: FixedKey, B: Key, V: BorshSerialize + BorshDeserialize> Table<(A, B), V> {
    /// The first `limit` entries under the first part of a key, ascending.
    ///
    /// # Errors
    /// As with [`Table::get`].
    pub fn under<S: StateRead>(
        &self,
        state: &S,
        first: &A,
        limit: usize,
    ) -> Result<Entries<B, V>, StateFault> {
        let (start, end) = self.range(first);
        let pairs = self.typed(state.scan(&start, &end, limit)?)?;
        Ok(pairs
            .into_iter()
            .map(|((_, rest), value)| (rest, value))
            .collect())
    }

    /// The last `limit` entries under the first part of a key whose second part comes before
    /// one, descending.
    ///
    /// # Errors
    /// As with [`Table::get`].
    pub fn under_before<S: StateRead>(
        &self,
        state: &S,
        first: &A,
        second: &B,
        limit: usize,
    ) -> Result<Entries<B, V>, StateFault> {
        let (start, mut end) = (self.range(first).0, self.range(first).0);
        second.write(&mut end);
        let pairs = self.typed(state.scan_back(&start, &end, limit)?)?;
        Ok(pairs
            .into_iter()
            .map(|((_, rest), value)| (rest, value))
            .collect())
    }

    /// The first `limit` entries whose first part lies between two, both included, ascending.
    ///
    /// # Errors
    /// As with [`Table::get`].
    pub fn between<S: StateRead>(
        &self,
        state: &S,
        from: &A,
        to: &A,
        limit: usize,
    ) -> Result<Entries<(A, B), V>, StateFault> {
        let (start, end) = (self.range(from).0, self.range(to).1);
        self.typed(state.scan(&start, &end, limit)?)
    }

    /// The first `limit` entries whose first part is at least that, ascending.
    ///
    /// # Errors
    /// As with [`Table::get`].
    pub fn from<S: StateRead>(
        &self,
        state: &S,
        from: &A,
        limit: usize,
    ) -> Result<Entries<(A, B), V>, StateFault> {
        let start = self.range(from).0;
        self.typed(state.scan(&start, &[self.prefix + 1], limit)?)
    }

    /// All keys that begin with the first part.
    fn range(&self, first: &A) -> (Vec<u8>, Vec<u8>) {
        let mut start = Vec::with_capacity(48);
        start.push(self.prefix);
        first.write(&mut start);
        let mut end = start.clone();
        // The prefix is below 0xff, so there is always a byte to count up.
        while let Some(last) = end.pop() {
            if last < 0xff {
                end.push(last + 1);
                break;
            }
        }
        (start, end)
    }
}
