//! Objections (异议) to what a source registered of a subject: 征信业管理条例, article 25.
//!
//! ```text
//! filed ──resolve──▶ corrected | upheld          marked: from the block that files it
//!   │ └───────────▶ unresolved ──▶ (as filed)            until it is corrected, upheld or withdrawn
//!   └──withdraw──▶ withdrawn
//! ```
//!
//! Every delivery of an item carries the marks that stand when it is recorded, in the outcome of the delivering
//! transaction: whoever reads the report has the proof of them, and no holder can leave one out. What was not
//! resolved in 20 days of block time is overdue, and stays to be resolved. What could not be established may still
//! be corrected or found right later.

use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    ids::{ItemCode, ObjectionId, Subject},
    member::KeyRole,
    objection::{FileObjection, Finding, Mark, RESOLVE_WITHIN_MS},
    outcome::{Event, Reason},
    wire,
};

use crate::{
    consent,
    deadline::Deadline,
    execute::{Call, Step},
    record::{DigestEntry, ObjectionRecord, ObjectionState},
    rejection::{Stop, ensure, refuse},
    sources,
    state::{StateFault, StateRead},
    table::{DIGESTS, MARKED, OBJECTIONS, OBJECTIONS_BY_INDEX},
};

/// Objections that may stand against one subject's data at one source: each delivery carries them all.
pub(crate) const MAX_STANDING: usize = 16;

/// Files an objection. What is missing can be objected to as well, so the source needs to declare the items and to
/// hold something of the subject, not these very items.
pub(crate) fn file<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    filed: &FileObjection,
) -> Result<(), Stop> {
    let filed_by = consent::speaker(&call.signer, &filed.subject)?;
    let source = sources::named(step.draft, &filed.source)?;
    let declared = &source.source.items;
    if let Some(item) = (filed.items.iter()).find(|item| declared.binary_search(item).is_err()) {
        return Err(refuse(Reason::ItemNotDeclared, item).into());
    }
    let place = (filed.subject, source.number);
    let Some(DigestEntry::Registered(digest)) = DIGESTS.get(step.draft, &place)? else {
        return Err(refuse(Reason::DigestNotFound, filed.subject).into());
    };
    let standing = MARKED.under(step.draft, &place, MAX_STANDING)?.len();
    ensure(
        standing < MAX_STANDING,
        Reason::TooManyObjections,
        MAX_STANDING,
    )?;
    let id = ObjectionId::from(call.tx);
    let now = step.block.time;
    let record = ObjectionRecord {
        index: OBJECTIONS_BY_INDEX.next(step.draft)?,
        objection: id,
        filed: filed.clone(),
        filed_by,
        source_number: source.number,
        registered_root: digest.root,
        filed_at: step.block.height,
        filed_at_time: now,
        due: now.saturating_add(RESOLVE_WITHIN_MS),
        overdue: false,
        state: ObjectionState::Filed,
        changed_at: step.block.height,
    };
    OBJECTIONS_BY_INDEX.put(step.draft, &record.index, &id);
    MARKED.put(step.draft, &(place, id), &());
    Deadline::Objection(id).set(step.draft, record.due);
    change(step, record);
    Ok(())
}

/// Says what came of looking into an objection.
pub(crate) fn resolve<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &ObjectionId,
    finding: Finding,
    answer: Digest,
) -> Result<(), Stop> {
    let operator = call.signer.member(&[KeyRole::Admin])?;
    let mut record = found(step.draft, id)?;
    let source = sources::numbered(step.draft, record.source_number)?;
    sources::check_operator(operator, &source)?;
    check_standing(&record)?;
    if finding == Finding::Corrected {
        let corrected = match DIGESTS.get(step.draft, &record.place())? {
            Some(DigestEntry::Registered(digest)) => digest.root != record.registered_root,
            Some(DigestEntry::Withdrawn { .. }) | None => true,
        };
        ensure(corrected, Reason::ObjectionNotCorrected, id)?;
    }
    Deadline::Objection(*id).clear(step.draft, record.due);
    record.state = ObjectionState::Resolved { finding, answer };
    change(step, record);
    Ok(())
}

/// Takes an objection back.
pub(crate) fn withdraw<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &ObjectionId,
) -> Result<(), Stop> {
    let mut record = found(step.draft, id)?;
    consent::speaker(&call.signer, &record.filed.subject)?;
    check_standing(&record)?;
    Deadline::Objection(*id).clear(step.draft, record.due);
    record.state = ObjectionState::Withdrawn;
    change(step, record);
    Ok(())
}

/// An objection's deadline: it is overdue.
pub(crate) fn lapse<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    id: ObjectionId,
) -> Result<(), StateFault> {
    let mut record = kept(step.draft, &id)?;
    record.overdue = true;
    change(step, record);
    Ok(())
}

/// The marks that stand against these items, by item and then by id.
pub(crate) fn marks<S: StateRead>(
    state: &S,
    subject: &Subject,
    source_number: u32,
    items: &[ItemCode],
) -> Result<Vec<Mark>, StateFault> {
    let mut marks = Vec::new();
    for (id, ()) in MARKED.under(state, &(*subject, source_number), MAX_STANDING)? {
        let record = kept(state, &id)?;
        let touched = (record.filed.items.iter()).filter(|item| items.binary_search(item).is_ok());
        marks.extend(touched.map(|item| Mark {
            item: item.clone(),
            objection: id,
            filed_at: record.filed_at_time,
            unresolved: record.state != ObjectionState::Filed,
        }));
    }
    marks.sort();
    Ok(marks)
}

fn check_standing(record: &ObjectionRecord) -> Result<(), Stop> {
    let standing = record.state.is_standing();
    ensure(standing, Reason::ObjectionStateConflict, record.objection)?;
    Ok(())
}

fn found<S: StateRead>(state: &S, id: &ObjectionId) -> Result<ObjectionRecord, Stop> {
    OBJECTIONS
        .get(state, id)?
        .ok_or_else(|| refuse(Reason::ObjectionNotFound, id).into())
}

/// An objection that the ledger itself refers to.
pub(crate) fn kept<S: StateRead>(
    state: &S,
    id: &ObjectionId,
) -> Result<ObjectionRecord, StateFault> {
    OBJECTIONS
        .get(state, id)?
        .ok_or_else(|| StateFault(format!("objection {id} is referred to and not there")))
}

/// Writes an objection, with its mark and event.
fn change<S: StateRead>(step: &mut Step<'_, '_, S>, mut record: ObjectionRecord) {
    record.changed_at = step.block.height;
    if !record.state.is_standing() {
        MARKED.delete(step.draft, &(record.place(), record.objection));
    }
    OBJECTIONS.put(step.draft, &record.objection, &record);
    step.events
        .push(Event::ObjectionChanged(wire::ObjectionChanged {
            objection: record.objection.to_vec(),
            status: wire::ObjectionStatus::from(&record.state).into(),
            source: record.filed.source.to_string(),
            overdue: record.overdue,
        }));
}
