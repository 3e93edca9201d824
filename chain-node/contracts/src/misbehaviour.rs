//! Misbehaviour of validators: contradictions that anyone can check, kept on the ledger.
//!
//! A validator that signed two statements of which an honest one makes one at most is put on record
//! once a height, whoever reports it. It is removed by nobody for that: a key may have been stolen or
//! a node restored from a wrong copy, and who is thrown out for it is for a vote to say.

use xinqiao_ledger::{
    ids::Height,
    member::KeyRole,
    outcome::{Event, Reason},
    vote::Equivocation,
    wire,
};

use crate::{
    execute::{Call, Step},
    record::{MisbehaviourRecord, ValidatorKeyRecord},
    rejection::{Stop, ensure, refuse},
    signer::Signer,
    state::{StateFault, StateRead},
    table::{DISTINGUISHING_ID, MISBEHAVIOUR, MISBEHAVIOUR_BY_INDEX, VALIDATOR_KEYS},
};

/// Puts a contradiction on record.
pub(crate) fn report<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    evidence: &Equivocation,
) -> Result<(), Stop> {
    let reporter = match &call.signer {
        Signer::Validator(org) => org,
        other => &other.member(KeyRole::ALL)?.org,
    };
    let place = (evidence.validator, evidence.height);
    let known = MISBEHAVIOUR.has(step.draft, &place)?;
    ensure(!known, Reason::MisbehaviourKnown, evidence.validator)?;
    let unproven = || refuse(Reason::EquivocationUnproven, evidence.validator);
    // Nobody has been asked to sign anything about heights to come.
    let record = VALIDATOR_KEYS
        .get(step.draft, &evidence.validator)?
        .filter(|key| evidence.height <= step.block.height && is_in_force(key, evidence.height))
        .ok_or_else(unproven)?;
    let id = DISTINGUISHING_ID
        .get(step.draft, &())?
        .ok_or_else(|| StateFault("the state has no distinguishing id".into()))?;
    evidence
        .check_under(&step.block.chain, &record.key, |key, message, signature| {
            xinqiao_crypto::verify_once(key, &id, message, signature).is_ok()
        })
        .map_err(|_| unproven())?;

    let index = MISBEHAVIOUR_BY_INDEX.next(step.draft)?;
    let entry = MisbehaviourRecord {
        index,
        org: record.org.clone(),
        key: record.key,
        evidence: evidence.clone(),
        reporter: reporter.clone(),
        recorded_at: step.block.height,
        recorded_at_time: step.block.time,
        tx: call.tx,
    };
    MISBEHAVIOUR.put(step.draft, &place, &entry);
    MISBEHAVIOUR_BY_INDEX.put(step.draft, &index, &place);
    let recorded = wire::MisbehaviourRecorded {
        validator: evidence.validator.as_bytes().to_vec(),
        org: record.org.to_string(),
        height: evidence.height,
        reporter: reporter.to_string(),
    };
    step.events.push(Event::MisbehaviourRecorded(recorded));
    Ok(())
}

/// Whether a validator signed with that key at that height.
fn is_in_force(key: &ValidatorKeyRecord, height: Height) -> bool {
    key.from <= height && key.until.is_none_or(|until| height <= until)
}
