//! Report digests: registered, superseded, withdrawn, in batches of which all or nothing counts.
//!
//! A batch costs one read and one write an entry: the source is read and written once, items are
//! translated from the batch's positions to the source's by a table of 64 bits.

use xinqiao_ledger::{
    action::DigestBatch,
    ids::{ItemCode, SourceId, Subject},
    member::KeyRole,
    outcome::{Event, Reason},
    wire,
};

use crate::{
    execute::{Call, Step},
    record::{DigestEntry, DigestRecord, SourceRecord, SourceState},
    rejection::{Rejection, Stop, refuse},
    sources,
    state::StateRead,
    table::{DIGESTS, SOURCES},
};

/// Registers or supersedes digests.
pub(crate) fn register<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    batch: &DigestBatch,
) -> Result<(), Stop> {
    let mut source = owned(step, call, &batch.source)?;
    if source.state != SourceState::Active {
        return Err(sources::conflict(&batch.source));
    }
    let places = places(&source, &batch.items)?;
    let number = source.number;
    let keys = batch.entries.iter().map(|entry| (entry.subject, number));
    let known = DIGESTS.get_many(step.draft, keys)?;
    let mut change = wire::DigestsChanged {
        source: batch.source.to_string(),
        ..Default::default()
    };
    for (entry, known) in batch.entries.iter().zip(known) {
        let before = match known {
            Some(DigestEntry::Registered(before)) => {
                if entry.as_of_day < before.as_of_day {
                    return Err(refuse(Reason::DigestOlder, entry.subject).into());
                }
                change.superseded += 1;
                before.version
            }
            Some(DigestEntry::Withdrawn { version, .. }) => {
                change.registered += 1;
                version
            }
            None => {
                change.registered += 1;
                0
            }
        };
        let record = DigestRecord {
            root: entry.root,
            items: translate(entry.item_set, &places),
            as_of_day: entry.as_of_day,
            version: before.saturating_add(1),
            registered_at: step.block.height,
            tx_index: call.index,
        };
        let key = (entry.subject, number);
        DIGESTS.put(step.draft, &key, &DigestEntry::Registered(record));
    }
    source.subjects = source.subjects.saturating_add(u64::from(change.registered));
    SOURCES.put(step.draft, &number, &source);
    step.events.push(Event::DigestsChanged(change));
    Ok(())
}

/// Withdraws digests. A suspended source may, too.
pub(crate) fn withdraw<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &SourceId,
    subjects: &[Subject],
) -> Result<(), Stop> {
    let mut source = owned(step, call, id)?;
    match source.state {
        SourceState::Active | SourceState::Suspended(_) => {}
        SourceState::Registered | SourceState::Retired => return Err(sources::conflict(id)),
    }
    let number = source.number;
    let keys = subjects.iter().map(|subject| (*subject, number));
    let known = DIGESTS.get_many(step.draft, keys)?;
    for (subject, known) in subjects.iter().zip(known) {
        let Some(DigestEntry::Registered(DigestRecord { version, .. })) = known else {
            return Err(refuse(Reason::DigestNotFound, subject).into());
        };
        let withdrawn = DigestEntry::Withdrawn {
            version,
            at: step.block.height,
        };
        DIGESTS.put(step.draft, &(*subject, number), &withdrawn);
    }
    let withdrawn = subjects.len() as u32;
    source.subjects = source.subjects.saturating_sub(u64::from(withdrawn));
    SOURCES.put(step.draft, &number, &source);
    let change = wire::DigestsChanged {
        source: id.to_string(),
        withdrawn,
        ..Default::default()
    };
    step.events.push(Event::DigestsChanged(change));
    Ok(())
}

/// The source, if the signer's holder key speaks for it.
fn owned<S: StateRead>(
    step: &Step<'_, '_, S>,
    call: &Call,
    id: &SourceId,
) -> Result<SourceRecord, Stop> {
    let holder = call.signer.member(&[KeyRole::Holder])?;
    let source = sources::named(step.draft, id)?;
    sources::check_operator(holder, &source)?;
    Ok(source)
}

/// For each item of a batch, its place among those that the source declared. Declared items are in
/// the catalogue, which drops none.
fn places(source: &SourceRecord, items: &[ItemCode]) -> Result<Vec<u32>, Rejection> {
    let declared = &source.source.items;
    items
        .iter()
        .map(|item| match declared.binary_search(item) {
            Ok(place) => Ok(place as u32),
            Err(_) => Err(refuse(Reason::ItemNotDeclared, item)),
        })
        .collect()
}

/// A set of the batch's items as a set of the source's.
fn translate(set: u64, places: &[u32]) -> u64 {
    (places.iter().enumerate())
        .filter(|(index, _)| set >> index & 1 == 1)
        .fold(0, |all, (_, place)| all | 1 << place)
}
