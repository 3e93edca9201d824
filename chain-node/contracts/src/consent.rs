//! Consent: what information subjects allow, for how long, and how often.
//!
//! ```text
//! requested ──grant──▶ active ⇄ paused          active, paused ──time──▶ expired
//!     │ └──decline──▶ declined                  active ──last use spent──▶ exhausted
//!     └──time──▶ lapsed                         active, paused, exhausted ──revoke──▶ revoked
//! ```
//!
//! An order reserves a use. The use is spent with the order's first delivery, and given back when
//! all parts closed without one. An exhausted grant can still be revoked: other parts of its last
//! order may be waiting, and revocation binds them. A period of a frequency bound is counted from
//! `valid_from` in steps of its length; a use given back counts in the period of its order.

use xinqiao_crypto::{Digest, PublicKey};
use xinqiao_ledger::{
    consent::ConsentTerms,
    ids::{GrantId, OrgId, Subject, TimeMs},
    member::{KeyRole, MemberKind},
    order::PlaceOrder,
    outcome::{Event, Reason},
    wire,
};

use crate::{
    catalogue,
    deadline::Deadline,
    execute::{Call, Step},
    members,
    record::{
        ConsentState, GrantRecord, GrantSigner, Granted, HistoryRecord, KeyBytes, KeyOwner,
        KeyRecord, KeyState, Window,
    },
    rejection::{Rejection, Stop, ensure, refuse},
    signer::Signer,
    state::{StateFault, StateRead},
    table::{
        GRANTS, GRANTS_BY_SUBJECT, HISTORY, KEYS, SOURCE_NUMBERS, SUBJECT_KEYS, VALIDATOR_KEYS,
    },
};

const DAY_MS: u64 = 86_400_000;

/// Binds a signing key to a subject, in place of the one bound before.
pub(crate) fn bind_key<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    subject: &Subject,
    key: &PublicKey,
) -> Result<(), Stop> {
    call.signer
        .member_of(&[KeyRole::Admin], &[MemberKind::Bureau])?;
    let id = key.id();
    match KEYS.get(step.draft, &id)?.map(|record| record.owner) {
        Some(KeyOwner::Subject(_)) => return Err(refuse(Reason::SubjectKeyExists, id).into()),
        Some(KeyOwner::Member { .. }) => return Err(refuse(Reason::KeyExists, id).into()),
        None => {}
    }
    let certifies = VALIDATOR_KEYS.has(step.draft, &id)?;
    ensure(!certifies, Reason::KeyExists, id)?;
    let height = step.block.height;
    if let Some(before) = SUBJECT_KEYS.get(step.draft, subject)? {
        let mut record = KEYS
            .get(step.draft, &before)?
            .ok_or_else(|| StateFault(format!("key {before} of a subject is not in its table")))?;
        record.state = KeyState::Revoked(height);
        KEYS.put(step.draft, &before, &record);
    }
    let record = KeyRecord {
        owner: KeyOwner::Subject(*subject),
        key: KeyBytes::Sm2(key.to_sec1()),
        valid_from: height,
        state: KeyState::Valid,
    };
    KEYS.put(step.draft, &id, &record);
    SUBJECT_KEYS.put(step.draft, subject, &id);
    step.events
        .push(Event::SubjectKeyBound(wire::SubjectKeyBound {
            subject: subject.to_vec(),
            key_id: id.as_bytes().to_vec(),
        }));
    Ok(())
}

/// Asks for consent.
pub(crate) fn request<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    terms: &ConsentTerms,
    lapses_at: TimeMs,
) -> Result<(), Stop> {
    let institution = call.signer.member_of(
        &[KeyRole::Agent, KeyRole::Admin],
        &[MemberKind::Institution],
    )?;
    let own = terms.grantee == institution.org;
    ensure(own, Reason::ConsentWrongGrantee, &terms.grantee)?;
    check_terms(step, terms)?;
    let now = step.block.time;
    let waits = lapses_at > now && lapses_at - now <= longest(step);
    ensure(waits, Reason::ConsentValidity, "lapses_at_ms")?;
    let id = GrantId::from(call.tx);
    open(step, call, id, terms, ConsentState::Requested { lapses_at });
    Deadline::Request(id).set(step.draft, lapses_at);
    Ok(())
}

/// Grants consent, in answer to a request or without one.
pub(crate) fn grant<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    request: Option<&GrantId>,
    terms: &ConsentTerms,
) -> Result<(), Stop> {
    let signer = speaker(&call.signer, &terms.subject)?;
    check_terms(step, terms)?;
    let granted = ConsentState::Active(Granted {
        signer,
        spent: 0,
        reserved: 0,
        window: None,
    });
    let id = match request {
        None => {
            let id = GrantId::from(call.tx);
            open(step, call, id, terms, granted);
            id
        }
        Some(id) => {
            let mut record = found(step.draft, id)?;
            let lapses_at = answerable(step, &record)?;
            ensure(record.terms == *terms, Reason::ConsentTermsDiffer, id)?;
            Deadline::Request(*id).clear(step.draft, lapses_at);
            change(step, &mut record, granted);
            *id
        }
    };
    Deadline::Grant(id).set(step.draft, terms.valid_until);
    Ok(())
}

/// Declines a request.
pub(crate) fn decline<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &GrantId,
) -> Result<(), Stop> {
    let mut record = spoken_for(step, call, id)?;
    let lapses_at = answerable(step, &record)?;
    Deadline::Request(*id).clear(step.draft, lapses_at);
    change(step, &mut record, ConsentState::Declined);
    Ok(())
}

/// Pauses a grant.
pub(crate) fn pause<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &GrantId,
) -> Result<(), Stop> {
    let mut record = spoken_for(step, call, id)?;
    check_in_time(step, &record)?;
    let ConsentState::Active(granted) = &record.state else {
        return Err(refuse(Reason::ConsentStateConflict, id).into());
    };
    let paused = ConsentState::Paused(granted.clone());
    change(step, &mut record, paused);
    Ok(())
}

/// Resumes a paused grant.
pub(crate) fn resume<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &GrantId,
) -> Result<(), Stop> {
    let mut record = spoken_for(step, call, id)?;
    check_in_time(step, &record)?;
    let ConsentState::Paused(granted) = &record.state else {
        return Err(refuse(Reason::ConsentStateConflict, id).into());
    };
    let active = ConsentState::Active(granted.clone());
    change(step, &mut record, active);
    Ok(())
}

/// Revokes a grant for good.
pub(crate) fn revoke<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &GrantId,
) -> Result<(), Stop> {
    let mut record = spoken_for(step, call, id)?;
    check_in_time(step, &record)?;
    let granted = match &record.state {
        ConsentState::Active(granted) | ConsentState::Paused(granted) => {
            Deadline::Grant(*id).clear(step.draft, record.terms.valid_until);
            granted.clone()
        }
        // Its deadline was cleared when it was exhausted.
        ConsentState::Exhausted(granted) => granted.clone(),
        ConsentState::Requested { .. }
        | ConsentState::Revoked(_)
        | ConsentState::Expired(_)
        | ConsentState::Declined
        | ConsentState::Lapsed => return Err(refuse(Reason::ConsentStateConflict, id).into()),
    };
    change(step, &mut record, ConsentState::Revoked(granted));
    Ok(())
}

/// A request's deadline: it lapses if it was not answered.
pub(crate) fn lapse<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    id: GrantId,
) -> Result<(), StateFault> {
    let mut record = kept(step.draft, &id)?;
    if let ConsentState::Requested { .. } = record.state {
        change(step, &mut record, ConsentState::Lapsed);
    }
    Ok(())
}

/// A grant's deadline: it expires.
pub(crate) fn expire<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    id: GrantId,
) -> Result<(), StateFault> {
    let mut record = kept(step.draft, &id)?;
    if let ConsentState::Active(granted) | ConsentState::Paused(granted) = &record.state {
        let expired = ConsentState::Expired(granted.clone());
        change(step, &mut record, expired);
    }
    Ok(())
}

/// Whether an order may be placed under its grant, which is given back to reserve a use of.
pub(crate) fn check_order<S: StateRead>(
    step: &Step<'_, '_, S>,
    institution: &OrgId,
    order: &PlaceOrder,
) -> Result<GrantRecord, Stop> {
    let record = found(step.draft, &order.grant)?;
    let terms = &record.terms;
    // Whose it is comes first: a stranger learns nothing of its state.
    let branch = terms.branch.is_empty() || terms.branch == order.branch;
    let own = terms.grantee == *institution && branch;
    ensure(own, Reason::ConsentWrongGrantee, "")?;
    ensure(
        terms.subject == order.subject,
        Reason::ConsentSubjectMismatch,
        "",
    )?;
    let granted = usable(&record, step.block.time)?;
    let purpose = terms.purposes.binary_search(&order.purpose).is_ok();
    ensure(purpose, Reason::ConsentWrongPurpose, &order.purpose)?;
    let outside = (order.items.iter()).find(|item| terms.items.binary_search(item).is_err());
    if let Some(item) = outside {
        return Err(refuse(Reason::ConsentItemOutOfScope, item).into());
    }
    let left = granted.spent.saturating_add(granted.reserved) < terms.max_uses;
    ensure(left, Reason::ConsentExhausted, "")?;
    if let Some(bound) = terms.frequency {
        let period = period(terms, step.block.time);
        let used = granted.window.filter(|window| window.period == period);
        let room = used.map_or(0, |window| window.uses) < bound.max_uses;
        ensure(room, Reason::ConsentTooFrequent, "")?;
    }
    Ok(record)
}

/// What was granted, if it may be used for a new order at this time.
fn usable(record: &GrantRecord, now: TimeMs) -> Result<&Granted, Rejection> {
    let refused = |reason: Reason| Err(reason.into());
    match &record.state {
        ConsentState::Requested { .. } | ConsentState::Declined | ConsentState::Lapsed => {
            refused(Reason::ConsentNotGranted)
        }
        ConsentState::Revoked(_) => refused(Reason::ConsentRevoked),
        ConsentState::Expired(_) => refused(Reason::ConsentExpired),
        ConsentState::Exhausted(_) => refused(Reason::ConsentExhausted),
        _ if now >= record.terms.valid_until => refused(Reason::ConsentExpired),
        ConsentState::Paused(_) => refused(Reason::ConsentPaused),
        _ if now < record.terms.valid_from => refused(Reason::ConsentNotYetValid),
        ConsentState::Active(granted) => Ok(granted),
    }
}

/// Whether a delivery may be recorded under a grant whose use was reserved: checked anew each time.
/// An exhausted grant's last use may be this very order's.
pub(crate) fn check_delivery<S: StateRead>(
    step: &Step<'_, '_, S>,
    id: &GrantId,
) -> Result<Result<(), Reason>, StateFault> {
    let record = kept(step.draft, id)?;
    let in_time = step.block.time < record.terms.valid_until;
    Ok(match &record.state {
        ConsentState::Active(_) | ConsentState::Exhausted(_) if in_time => Ok(()),
        ConsentState::Paused(_) if in_time => Err(Reason::ConsentPaused),
        ConsentState::Revoked(_) => Err(Reason::ConsentRevoked),
        ConsentState::Active(_)
        | ConsentState::Exhausted(_)
        | ConsentState::Paused(_)
        | ConsentState::Expired(_) => Err(Reason::ConsentExpired),
        ConsentState::Requested { .. } | ConsentState::Declined | ConsentState::Lapsed => {
            Err(Reason::ConsentNotGranted)
        }
    })
}

/// Reserves a use for an order that [`check_order`] allowed.
pub(crate) fn reserve<S: StateRead>(step: &mut Step<'_, '_, S>, mut record: GrantRecord) {
    let bounded = record.terms.frequency.is_some();
    let period = period(&record.terms, step.block.time);
    if let ConsentState::Active(granted) = &mut record.state {
        granted.reserved += 1;
        if bounded {
            let before = granted.window.filter(|window| window.period == period);
            let uses = before.map_or(0, |window| window.uses) + 1;
            granted.window = Some(Window { period, uses });
        }
    }
    GRANTS.put(step.draft, &record.grant, &record);
}

/// Spends a reserved use; the last one exhausts the grant.
pub(crate) fn spend<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    id: &GrantId,
) -> Result<(), StateFault> {
    let mut record = kept(step.draft, id)?;
    let max_uses = record.terms.max_uses;
    let granted = granted_mut(&mut record)?;
    granted.reserved = granted.reserved.saturating_sub(1);
    granted.spent += 1;
    let last = granted.spent >= max_uses;
    match &record.state {
        ConsentState::Active(granted) if last => {
            Deadline::Grant(*id).clear(step.draft, record.terms.valid_until);
            let exhausted = ConsentState::Exhausted(granted.clone());
            change(step, &mut record, exhausted);
        }
        _ => GRANTS.put(step.draft, id, &record),
    }
    Ok(())
}

/// Gives back a reserved use of an order that nothing was delivered for.
pub(crate) fn give_back<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    id: &GrantId,
    placed_at: TimeMs,
) -> Result<(), StateFault> {
    let mut record = kept(step.draft, id)?;
    let of_order = period(&record.terms, placed_at);
    let granted = granted_mut(&mut record)?;
    granted.reserved = granted.reserved.saturating_sub(1);
    if let Some(window) = &mut granted.window
        && window.period == of_order
    {
        window.uses = window.uses.saturating_sub(1);
    }
    GRANTS.put(step.draft, id, &record);
    Ok(())
}

/// Which period of its frequency bound a moment lies in; 0 without a bound.
fn period(terms: &ConsentTerms, at: TimeMs) -> u64 {
    terms.frequency.map_or(0, |bound| {
        let length = u64::from(bound.period_seconds).max(1) * 1_000;
        at.saturating_sub(terms.valid_from) / length
    })
}

/// The longest that a grant may be valid, in milliseconds.
fn longest<S: StateRead>(step: &Step<'_, '_, S>) -> u64 {
    u64::from(step.block.parameters.max_consent_days) * DAY_MS
}

/// What can be said of terms without knowing who signed.
fn check_terms<S: StateRead>(step: &Step<'_, '_, S>, terms: &ConsentTerms) -> Result<(), Stop> {
    let lives = terms.valid_until > step.block.time;
    let length = terms.valid_until.saturating_sub(terms.valid_from);
    let valid = lives && length > 0 && length <= longest(step);
    ensure(valid, Reason::ConsentValidity, "valid_until_ms")?;
    members::entry(step.draft, &terms.grantee)?;
    let codes = catalogue::codes(step.draft)?;
    catalogue::check_purposes(&codes, &terms.purposes)?;
    catalogue::check_items(&codes, &terms.items)?;
    for source in &terms.sources {
        let known = SOURCE_NUMBERS.has(step.draft, source)?;
        ensure(known, Reason::SourceUnknown, source)?;
    }
    Ok(())
}

/// In whose name a signer speaks for a subject: the subject's own, or a witness bureau's.
pub(crate) fn speaker(signer: &Signer, subject: &Subject) -> Result<GrantSigner, Rejection> {
    match signer {
        Signer::Subject(own) if own == subject => Ok(GrantSigner::Subject),
        Signer::Subject(_) | Signer::Validator(_) => Err(Reason::ConsentSigner.into()),
        Signer::Member(_) => signer
            .member_of(&[KeyRole::Admin], &[MemberKind::Bureau])
            .map(|bureau| GrantSigner::Witness(bureau.org.clone())),
    }
}

/// The grant, if the signer may speak for its subject.
fn spoken_for<S: StateRead>(
    step: &Step<'_, '_, S>,
    call: &Call,
    id: &GrantId,
) -> Result<GrantRecord, Stop> {
    let record = found(step.draft, id)?;
    speaker(&call.signer, &record.terms.subject)?;
    Ok(record)
}

/// When a request lapses, if it can still be answered.
fn answerable<S: StateRead>(
    step: &Step<'_, '_, S>,
    record: &GrantRecord,
) -> Result<TimeMs, Rejection> {
    match record.state {
        ConsentState::Requested { lapses_at } if step.block.time < lapses_at => Ok(lapses_at),
        _ => Err(refuse(Reason::ConsentStateConflict, record.grant)),
    }
}

/// Whether a grant's time is not over, whether or not its deadline has fired.
fn check_in_time<S: StateRead>(
    step: &Step<'_, '_, S>,
    record: &GrantRecord,
) -> Result<(), Rejection> {
    let in_time = step.block.time < record.terms.valid_until;
    ensure(in_time, Reason::ConsentStateConflict, record.grant)
}

fn found<S: StateRead>(state: &S, id: &GrantId) -> Result<GrantRecord, Stop> {
    GRANTS
        .get(state, id)?
        .ok_or_else(|| refuse(Reason::ConsentNotFound, id).into())
}

/// A grant that the ledger itself refers to.
fn kept<S: StateRead>(state: &S, id: &GrantId) -> Result<GrantRecord, StateFault> {
    GRANTS
        .get(state, id)?
        .ok_or_else(|| StateFault(format!("grant {id} is referred to and not there")))
}

fn granted_mut(record: &mut GrantRecord) -> Result<&mut Granted, StateFault> {
    match &mut record.state {
        ConsentState::Active(it)
        | ConsentState::Paused(it)
        | ConsentState::Revoked(it)
        | ConsentState::Expired(it)
        | ConsentState::Exhausted(it) => Ok(it),
        ConsentState::Requested { .. } | ConsentState::Declined | ConsentState::Lapsed => {
            Err(StateFault(format!(
                "grant {} has uses and was never granted",
                record.grant
            )))
        }
    }
}

/// Writes a consent that is new.
fn open<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: GrantId,
    terms: &ConsentTerms,
    state: ConsentState,
) {
    let mut record = GrantRecord {
        grant: id,
        terms: terms.clone(),
        state: state.clone(),
        changed_at: step.block.height,
        history: 0,
    };
    let place = (step.block.height, call.index);
    GRANTS_BY_SUBJECT.put(step.draft, &(terms.subject, place), &id);
    change(step, &mut record, state);
}

/// Puts a consent into a state, with its history and event.
fn change<S: StateRead>(step: &mut Step<'_, '_, S>, record: &mut GrantRecord, state: ConsentState) {
    record.state = state;
    record.changed_at = step.block.height;
    note(step, record.grant.0, &mut record.history);
    GRANTS.put(step.draft, &record.grant, record);
    step.events
        .push(Event::ConsentChanged(wire::ConsentChanged {
            grant: record.grant.to_vec(),
            status: wire::ConsentStatus::from(&record.state).into(),
        }));
}

/// Adds this step to the history of a grant or an order.
pub(crate) fn note<S: StateRead>(step: &mut Step<'_, '_, S>, id: Digest, history: &mut u32) {
    let entry = HistoryRecord {
        height: step.block.height,
        tx: step.tx,
    };
    HISTORY.put(
        step.draft,
        &(xinqiao_ledger::ids::TxId(id), *history),
        &entry,
    );
    *history += 1;
}
