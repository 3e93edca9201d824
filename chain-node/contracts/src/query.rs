//! Typed reads for nodes, gateways, holders and observers, over any view of the state.
//!
//! Not here: any decision. Lists are bounded; those that can be long are read page by page.

mod objections;
mod watched;

pub use objections::{ObjectionFilter, objection, objections};
pub use watched::{DigestSummary, MAX_DIGESTS, SubjectDigests, watched};

use xinqiao_crypto::{KeyId, PublicKey};
use xinqiao_ledger::{
    catalogue::Catalogue,
    governance::{Proposal, Tally},
    ids::{Fingerprint, GrantId, OrderId, OrgId, SourceId, Subject, TimeMs, TxId, UserId},
    member::{Member, MemberKey},
    wire,
};

use crate::{
    access::Counter,
    catalogue as catalogues,
    deadline::{self, Deadline},
    governance,
    record::{
        AccessRecord, CertificateRecord, DigestEntry, GrantRecord, HistoryRecord, KeyBytes,
        KeyOwner, KeyRecord, KeyState, MemberEntry, MemberRecord, MisbehaviourRecord, OrderRecord,
        ProposalRecord, RegisteredDigest, SourceRecord, UserState, ValidatorKeyRecord, VoteRecord,
    },
    sources as source_contract,
    state::{StateFault, StateRead},
    table::{
        ACCESS, ACCESS_BY_INSTITUTION, ACCESS_BY_SUBJECT, ACCESS_COUNT, CERTIFICATES, COUNTERS,
        DEADLINES, DIGESTS, GRANTS, GRANTS_BY_SUBJECT, HISTORY, KEYS, MEMBERS, MISBEHAVIOUR,
        MISBEHAVIOUR_BY_INDEX, Name, ORDERS, ORDERS_BY_INDEX, PROPOSALS, PROPOSALS_BY_INDEX,
        Padded, SOURCE_NUMBERS, SUBJECT_KEYS, USERS, VALIDATOR_KEYS, VOTES, WEIGHTS,
    },
};

/// The most grants of a subject that are listed.
pub const MAX_GRANTS: usize = 1_000;

/// The most entries that one page of the access log looks at to find those that match.
pub const MAX_LOOKED_AT: usize = 10_000;

/// The most names in one list of the summary.
pub const MAX_NAMES: usize = 1_000;

/// Entries read at a time where all of a table is wanted.
const CHUNK: usize = 1_000;

/// A member by its id.
///
/// # Errors
/// When the store fails, as with all of these.
pub fn member<S: StateRead>(state: &S, org: &OrgId) -> Result<Option<MemberRecord>, StateFault> {
    MEMBERS
        .get(state, org)?
        .map(|entry| assemble(state, org, entry))
        .transpose()
}

/// The member that a valid certificate belongs to. Its standing is the caller's to look at.
///
/// # Errors
/// When the store fails.
pub fn member_by_certificate<S: StateRead>(
    state: &S,
    print: &Fingerprint,
) -> Result<Option<MemberRecord>, StateFault> {
    match CERTIFICATES.get(state, print)? {
        Some(CertificateRecord {
            org,
            state: KeyState::Valid,
            ..
        }) => member(state, &org),
        _ => Ok(None),
    }
}

/// The member that a valid key belongs to. Its standing is the caller's to look at.
///
/// # Errors
/// When the store fails.
pub fn member_by_key<S: StateRead>(
    state: &S,
    id: &KeyId,
) -> Result<Option<MemberRecord>, StateFault> {
    match KEYS.get(state, id)? {
        Some(KeyRecord {
            owner: KeyOwner::Member { org, .. },
            state: KeyState::Valid,
            ..
        }) => member(state, &org),
        _ => Ok(None),
    }
}

/// All members, in ascending order of ids.
///
/// # Errors
/// When the store fails.
pub fn members<S: StateRead>(state: &S) -> Result<Vec<MemberRecord>, StateFault> {
    let mut all = Vec::new();
    let mut chunk = MEMBERS.first(state, CHUNK)?;
    loop {
        let last = chunk.last().map(|(org, _)| org.clone());
        for (org, entry) in chunk {
            all.push(assemble(state, &org, entry)?);
        }
        match last {
            Some(last) => chunk = MEMBERS.after(state, &last, CHUNK)?,
            None => return Ok(all),
        }
    }
}

/// A key, whoever's it is, revoked ones too.
///
/// # Errors
/// When the store fails.
pub fn key<S: StateRead>(state: &S, id: &KeyId) -> Result<Option<KeyRecord>, StateFault> {
    KEYS.get(state, id)
}

/// A certificate, revoked ones too.
///
/// # Errors
/// When the store fails.
pub fn certificate<S: StateRead>(
    state: &S,
    print: &Fingerprint,
) -> Result<Option<CertificateRecord>, StateFault> {
    CERTIFICATES.get(state, print)
}

/// The signing key that is bound to a subject.
///
/// # Errors
/// When the store fails.
pub fn subject_key<S: StateRead>(
    state: &S,
    subject: &Subject,
) -> Result<Option<PublicKey>, StateFault> {
    let Some(id) = SUBJECT_KEYS.get(state, subject)? else {
        return Ok(None);
    };
    Ok(KEYS.get(state, &id)?.and_then(|record| record.key.sm2()))
}

/// All data sources, in ascending order of ids.
///
/// # Errors
/// When the store fails.
pub fn sources<S: StateRead>(state: &S) -> Result<Vec<SourceRecord>, StateFault> {
    let mut all = Vec::new();
    let mut chunk = SOURCE_NUMBERS.first(state, CHUNK)?;
    loop {
        let last = chunk.last().map(|(id, _)| id.clone());
        for (_, number) in chunk {
            all.push(source_contract::numbered(state, number)?);
        }
        match last {
            Some(last) => chunk = SOURCE_NUMBERS.after(state, &last, CHUNK)?,
            None => return Ok(all),
        }
    }
}

/// A data source by its id.
///
/// # Errors
/// When the store fails.
pub fn source<S: StateRead>(state: &S, id: &SourceId) -> Result<Option<SourceRecord>, StateFault> {
    SOURCE_NUMBERS
        .get(state, id)?
        .map(|number| source_contract::numbered(state, number))
        .transpose()
}

/// The catalogue in force.
///
/// # Errors
/// When the store fails, or the genesis was not written.
pub fn catalogue<S: StateRead>(state: &S) -> Result<Catalogue, StateFault> {
    catalogues::current(state)
}

/// The digest that a source has registered for a subject.
///
/// # Errors
/// When the store fails.
pub fn digest<S: StateRead>(
    state: &S,
    subject: &Subject,
    id: &SourceId,
) -> Result<Option<RegisteredDigest>, StateFault> {
    let Some(source) = source(state, id)? else {
        return Ok(None);
    };
    match DIGESTS.get(state, &(*subject, source.number))? {
        Some(DigestEntry::Registered(record)) => Ok(Some(RegisteredDigest {
            record,
            items: record.item_codes(&source),
        })),
        Some(DigestEntry::Withdrawn { .. }) | None => Ok(None),
    }
}

/// A consent request or grant.
///
/// # Errors
/// When the store fails.
pub fn grant<S: StateRead>(state: &S, id: &GrantId) -> Result<Option<GrantRecord>, StateFault> {
    GRANTS.get(state, id)
}

/// A subject's consents, oldest first; the first [`MAX_GRANTS`].
///
/// # Errors
/// When the store fails.
pub fn grants_of<S: StateRead>(
    state: &S,
    subject: &Subject,
) -> Result<Vec<GrantRecord>, StateFault> {
    GRANTS_BY_SUBJECT
        .under(state, subject, MAX_GRANTS)?
        .into_iter()
        .map(|(_, id)| {
            grant(state, &id)?
                .ok_or_else(|| StateFault(format!("grant {id} is indexed and not there")))
        })
        .collect()
}

/// What changed a grant's state, in order; the first `limit` entries.
///
/// # Errors
/// When the store fails.
pub fn grant_history<S: StateRead>(
    state: &S,
    id: &GrantId,
    limit: usize,
) -> Result<Vec<HistoryRecord>, StateFault> {
    history(state, TxId(id.0), limit)
}

/// What changed an order or its parts, in order; the first `limit` entries.
///
/// # Errors
/// When the store fails.
pub fn order_history<S: StateRead>(
    state: &S,
    id: &OrderId,
    limit: usize,
) -> Result<Vec<HistoryRecord>, StateFault> {
    history(state, TxId(id.0), limit)
}

fn history<S: StateRead>(
    state: &S,
    id: TxId,
    limit: usize,
) -> Result<Vec<HistoryRecord>, StateFault> {
    let entries = HISTORY.under(state, &id, limit)?;
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// An order.
///
/// # Errors
/// When the store fails.
pub fn order<S: StateRead>(state: &S, id: &OrderId) -> Result<Option<OrderRecord>, StateFault> {
    ORDERS.get(state, id)
}

/// Orders some part of which is open, by deadline, each after `after` if given: what a holder
/// looks through when it starts. Gives the place to go on from, if there may be more.
///
/// # Errors
/// When the store fails.
pub fn open_orders<S: StateRead>(
    state: &S,
    after: Option<OpenOrderPlace>,
    limit: usize,
) -> Result<(Vec<OrderRecord>, Option<OpenOrderPlace>), StateFault> {
    let page = match after {
        None => DEADLINES.from(state, &deadline::fired_to(state)?, limit)?,
        Some(OpenOrderPlace(time, kind, id)) => {
            DEADLINES.after(state, &(time, (kind, id)), limit)?
        }
    };
    let full = page.len() == limit;
    let mut next = None;
    let mut orders = Vec::new();
    for ((time, (kind, id)), ()) in page {
        next = Some(OpenOrderPlace(time, kind, id));
        if let Deadline::Order(id) = Deadline::of(kind, id)? {
            orders.extend(order(state, &id)?);
        }
    }
    Ok((orders, next.filter(|_| full)))
}

/// Where a walk through the open orders goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOrderPlace(TimeMs, u8, xinqiao_crypto::Digest);

/// Whether an institution's user is open.
///
/// # Errors
/// When the store fails.
pub fn user_is_open<S: StateRead>(
    state: &S,
    org: &OrgId,
    user: &UserId,
) -> Result<bool, StateFault> {
    let known = USERS.get(state, &(*user, org.clone()))?;
    Ok(matches!(known, Some(UserState::Open(_))))
}

/// Which attempts are wanted; all that are given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessFilter {
    /// Only this institution's.
    pub institution: Option<OrgId>,
    /// Only those about this subject.
    pub subject: Option<Subject>,
    /// Only refused ones.
    pub refused_only: bool,
}

impl AccessFilter {
    fn matches(&self, record: &AccessRecord) -> bool {
        let institution = self.institution.as_ref();
        institution.is_none_or(|org| *org == record.institution)
            && (self.subject.is_none() || self.subject == record.subject)
            && (!self.refused_only || !record.outcome.refusal().is_empty())
    }
}

/// A page of a list that is read from its newest entry on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found, newest first.
    pub entries: Vec<T>,
    /// `before_index` of the next page; 0 when there is none. A page may be short, even empty, and
    /// still have a next one: the work for one page is bounded.
    pub next_before_index: u64,
}

/// Attempts before an index (0 for the newest), newest first.
///
/// # Errors
/// When the store fails.
pub fn access_entries<S: StateRead>(
    state: &S,
    filter: &AccessFilter,
    before_index: u64,
    limit: usize,
) -> Result<Page<AccessRecord>, StateFault> {
    let mut before = if before_index == 0 {
        u64::MAX
    } else {
        before_index
    };
    let mut entries = Vec::new();
    let mut looked_at = 0;
    while entries.len() < limit && looked_at < MAX_LOOKED_AT {
        let wanted = (limit - entries.len())
            .min(MAX_LOOKED_AT - looked_at)
            .min(CHUNK);
        let indices = indices_before(state, filter, before, wanted)?;
        let exhausted = indices.len() < wanted;
        looked_at += indices.len();
        for index in indices {
            before = index;
            let record = ACCESS
                .get(state, &index)?
                .ok_or_else(|| StateFault(format!("access log entry {index} is not there")))?;
            if filter.matches(&record) {
                entries.push(record);
            }
        }
        if exhausted {
            before = 0;
            break;
        }
    }
    Ok(Page {
        entries,
        next_before_index: before,
    })
}

/// Up to `limit` indices below one, descending, by the narrowest index that the filter allows.
fn indices_before<S: StateRead>(
    state: &S,
    filter: &AccessFilter,
    before: u64,
    limit: usize,
) -> Result<Vec<u64>, StateFault> {
    let indexed = if let Some(subject) = &filter.subject {
        ACCESS_BY_SUBJECT.under_before(state, subject, &before, limit)?
    } else if let Some(org) = &filter.institution {
        ACCESS_BY_INSTITUTION.under_before(state, &Padded::from(org), &before, limit)?
    } else {
        let end = before.min(access_count(state)?);
        let indices = (0..end).rev().take(limit);
        return Ok(indices.collect());
    };
    Ok(indexed.into_iter().map(|(index, ())| index).collect())
}

/// Entries in the whole access log.
///
/// # Errors
/// When the store fails.
pub fn access_count<S: StateRead>(state: &S) -> Result<u64, StateFault> {
    Ok(ACCESS_COUNT.get(state, &())?.unwrap_or(0))
}

/// Orders whose access log entry lies before an index (0 for the newest), newest first.
///
/// # Errors
/// When the store fails.
pub fn orders_page<S: StateRead>(
    state: &S,
    before_index: u64,
    limit: usize,
) -> Result<Page<OrderRecord>, StateFault> {
    let before = if before_index == 0 {
        u64::MAX
    } else {
        before_index
    };
    let found = ORDERS_BY_INDEX.before(state, &before, limit)?;
    let next = match found.last() {
        Some((index, _)) if found.len() == limit => *index,
        _ => 0,
    };
    let entries = found
        .into_iter()
        .map(|(_, id)| {
            order(state, &id)?
                .ok_or_else(|| StateFault(format!("order {id} is indexed and not there")))
        })
        .collect::<Result<_, _>>()?;
    Ok(Page {
        entries,
        next_before_index: next,
    })
}

/// Counts over the whole access log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Attempts in all.
    pub attempts: u64,
    /// Orders placed.
    pub orders: u64,
    /// Refusals by reason code, ascending.
    pub refusals: Vec<(String, u64)>,
    /// Attempts by institution, ascending.
    pub institutions: Vec<(String, u64)>,
    /// Parts by state, ascending by the state's name (such as `DELIVERED`).
    pub parts: Vec<(String, u64)>,
}

/// The summary; at most [`MAX_NAMES`] names a list.
///
/// # Errors
/// When the store fails.
pub fn summary<S: StateRead>(state: &S) -> Result<Summary, StateFault> {
    let counts = |counter: Counter| -> Result<Vec<(String, u64)>, StateFault> {
        let counts = COUNTERS.under(state, &(counter as u8), MAX_NAMES)?;
        Ok(counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(Name(name), count)| (name, count))
            .collect())
    };
    Ok(Summary {
        attempts: access_count(state)?,
        orders: counts(Counter::Orders)?
            .first()
            .map_or(0, |(_, count)| *count),
        refusals: counts(Counter::Refusals)?,
        institutions: counts(Counter::Institutions)?,
        parts: counts(Counter::Parts)?,
    })
}

impl From<&Summary> for wire::GetSummaryResponse {
    fn from(summary: &Summary) -> Self {
        let named = |counts: &[(String, u64)]| {
            let counts = counts.iter().cloned();
            counts
                .map(|(name, count)| wire::NamedCount { name, count })
                .collect()
        };
        Self {
            attempts: summary.attempts,
            orders: summary.orders,
            refusals: named(&summary.refusals),
            institutions: named(&summary.institutions),
            parts: named(&summary.parts),
        }
    }
}

/// A vote, and how much it counts now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedVote {
    /// The member.
    pub org: OrgId,
    /// The vote.
    pub vote: VoteRecord,
    /// 0 while the member is frozen, and once it was expelled or lost its vote.
    pub weight: u32,
}

/// A proposal with its votes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalView {
    /// Where it stands.
    pub record: ProposalRecord,
    /// What it proposes.
    pub proposed: Proposal,
    /// The votes cast, in ascending order of members; the first [`MAX_VOTES`].
    pub votes: Vec<CountedVote>,
    /// The count: as it is now while the vote is open, as it was once it is decided.
    pub tally: Tally,
}

/// The most votes on a proposal that are listed.
pub const MAX_VOTES: usize = 128;

/// A proposal.
///
/// # Errors
/// When the store fails.
pub fn proposal<S: StateRead>(state: &S, id: &TxId) -> Result<Option<ProposalView>, StateFault> {
    let Some(record) = PROPOSALS.get(state, id)? else {
        return Ok(None);
    };
    let mut votes = Vec::new();
    for (org, vote) in VOTES.under(state, id, MAX_VOTES)? {
        votes.push(CountedVote {
            weight: governance::counts(state, &org)?,
            org,
            vote,
        });
    }
    let tally = match record.state.decision() {
        Some(decision) => decision.tally,
        None => governance::tally(state, id)?,
    };
    Ok(Some(ProposalView {
        proposed: governance::proposed(state, id)?,
        record,
        votes,
        tally,
    }))
}

/// Proposals whose number lies before one (0 for the newest), newest first.
///
/// # Errors
/// When the store fails.
pub fn proposals<S: StateRead>(
    state: &S,
    before_index: u64,
    limit: usize,
) -> Result<Page<ProposalView>, StateFault> {
    let before = if before_index == 0 {
        u64::MAX
    } else {
        before_index
    };
    let found = PROPOSALS_BY_INDEX.before(state, &before, limit)?;
    let next_before_index = next_before(&found, limit);
    let view = |(_, id)| {
        proposal(state, &id)?
            .ok_or_else(|| StateFault(format!("proposal {id} is indexed and not there")))
    };
    Ok(Page {
        entries: found.into_iter().map(view).collect::<Result<_, _>>()?,
        next_before_index,
    })
}

/// Contradictions of validators whose number lies before one (0 for the newest), newest first.
///
/// # Errors
/// When the store fails.
pub fn misbehaviour<S: StateRead>(
    state: &S,
    before_index: u64,
    limit: usize,
) -> Result<Page<MisbehaviourRecord>, StateFault> {
    let before = if before_index == 0 {
        u64::MAX
    } else {
        before_index
    };
    let found = MISBEHAVIOUR_BY_INDEX.before(state, &before, limit)?;
    let next_before_index = next_before(&found, limit);
    let record = |(index, place)| {
        MISBEHAVIOUR
            .get(state, &place)?
            .ok_or_else(|| StateFault(format!("misbehaviour {index} is indexed and not there")))
    };
    Ok(Page {
        entries: found.into_iter().map(record).collect::<Result<_, _>>()?,
        next_before_index,
    })
}

/// Where the page after these entries begins. None when they are the last: nothing is before number 0.
fn next_before<V>(found: &[(u64, V)], limit: usize) -> u64 {
    match found.last() {
        Some((index, _)) if found.len() == limit => *index,
        _ => 0,
    }
}

/// A key that a validator has or had.
///
/// # Errors
/// When the store fails.
pub fn validator_key<S: StateRead>(
    state: &S,
    id: &KeyId,
) -> Result<Option<ValidatorKeyRecord>, StateFault> {
    VALIDATOR_KEYS.get(state, id)
}

/// A member with its valid keys, which are stored apart.
fn assemble<S: StateRead>(
    state: &S,
    org: &OrgId,
    entry: MemberEntry,
) -> Result<MemberRecord, StateFault> {
    let records = KEYS.get_many(state, entry.keys.iter().copied())?;
    let keys = records
        .into_iter()
        .map(|record| record.as_ref().and_then(member_key))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| StateFault(format!("a key of {org} is not there")))?;
    Ok(MemberRecord {
        member: Member {
            org: org.clone(),
            kind: entry.kind,
            name: entry.name,
            region: entry.region,
            gateway_endpoint: entry.gateway_endpoint,
            keys,
            certificates: entry.certificates,
            home: entry.home,
        },
        state: entry.state,
        sponsor: entry.sponsor,
        admitted_at: entry.admitted_at,
        weight: WEIGHTS.get(state, org)?.unwrap_or(0),
        seal_scheme: entry.seal_scheme,
    })
}

fn member_key(record: &KeyRecord) -> Option<MemberKey> {
    match (&record.owner, &record.key) {
        (KeyOwner::Member { .. }, KeyBytes::Token(point)) => Some(MemberKey::Token(*point)),
        (KeyOwner::Member { role, .. }, KeyBytes::Sm2(_)) => Some(MemberKey::Sm2 {
            role: *role,
            key: record.key.sm2()?,
        }),
        (KeyOwner::Subject(_), _) => None,
    }
}
