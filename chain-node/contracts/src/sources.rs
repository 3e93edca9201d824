//! Data sources: registered → active ⇄ suspended → retired. The operator and a regulator suspend
//! independently of each other: a source is in service when neither does.

use xinqiao_ledger::{
    ids::SourceId,
    member::{KeyRole, MemberKind},
    outcome::{Event, Reason},
    source::DataSource,
    wire,
};

use crate::{
    catalogue,
    execute::{Call, Step},
    record::{SourceRecord, SourceState, SuspendedBy},
    rejection::{Stop, ensure, refuse},
    signer::MemberSigner,
    state::{StateFault, StateRead},
    table::{SOURCE_COUNT, SOURCE_NUMBERS, SOURCES},
};

const ADMIN: &[KeyRole] = &[KeyRole::Admin];

/// Registers a source.
pub(crate) fn register<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    source: &DataSource,
) -> Result<(), Stop> {
    let operator = call
        .signer
        .member_of(ADMIN, &[MemberKind::Bureau, MemberKind::SourceUnit])?;
    let own = source.operator == operator.org;
    ensure(own, Reason::SourceNotOwned, &source.operator)?;
    let exists = SOURCE_NUMBERS.has(step.draft, &source.source)?;
    ensure(!exists, Reason::SourceExists, &source.source)?;
    catalogue::check_items(&catalogue::codes(step.draft)?, &source.items)?;
    let number = SOURCE_COUNT.get(step.draft, &())?.unwrap_or(0);
    let record = SourceRecord {
        source: source.clone(),
        number,
        state: SourceState::Registered,
        subjects: 0,
    };
    SOURCE_NUMBERS.put(step.draft, &source.source, &number);
    SOURCE_COUNT.put(step.draft, &(), &(number + 1));
    write(step, &record);
    Ok(())
}

/// Puts a source into service, or lifts the signer's own suspension: the operator's is its own to
/// lift, and a regulator's any regulator's.
pub(crate) fn activate<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    source: &SourceId,
) -> Result<(), Stop> {
    let signer = call.signer.member(ADMIN)?;
    let mut record = named(step.draft, source)?;
    record.state = match (record.state.clone(), is_regulator(signer)) {
        (SourceState::Suspended(SuspendedBy::Regulator(_)), true) => SourceState::Active,
        (SourceState::Suspended(SuspendedBy::Both(_)), true) => {
            SourceState::Suspended(SuspendedBy::Operator)
        }
        (state, _) => {
            check_operator(signer, &record)?;
            match state {
                SourceState::Registered | SourceState::Suspended(SuspendedBy::Operator) => {
                    SourceState::Active
                }
                SourceState::Suspended(SuspendedBy::Both(regulator)) => {
                    SourceState::Suspended(SuspendedBy::Regulator(regulator))
                }
                SourceState::Suspended(SuspendedBy::Regulator(_)) => {
                    return Err(refuse(Reason::SourceSuspendedByRegulator, source).into());
                }
                SourceState::Active | SourceState::Retired => return Err(conflict(source)),
            }
        }
    };
    write(step, &record);
    Ok(())
}

/// Takes a source out of service for a while. A regulator may, too, also where the operator has
/// done so before: else whoever expects it would step aside and come back.
pub(crate) fn suspend<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    source: &SourceId,
) -> Result<(), Stop> {
    let signer = call.signer.member(ADMIN)?;
    let mut record = named(step.draft, source)?;
    let regulator = is_regulator(signer);
    if !regulator {
        check_operator(signer, &record)?;
    }
    let by = match (record.state, regulator) {
        (SourceState::Active, false) => SuspendedBy::Operator,
        (SourceState::Active, true) => SuspendedBy::Regulator(signer.org.clone()),
        (SourceState::Suspended(SuspendedBy::Operator), true) => {
            SuspendedBy::Both(signer.org.clone())
        }
        (SourceState::Suspended(SuspendedBy::Regulator(org)), false) => SuspendedBy::Both(org),
        (SourceState::Registered | SourceState::Suspended(_) | SourceState::Retired, _) => {
            return Err(conflict(source));
        }
    };
    record.state = SourceState::Suspended(by);
    write(step, &record);
    Ok(())
}

/// Takes a source out of service for good.
pub(crate) fn retire<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    source: &SourceId,
) -> Result<(), Stop> {
    let signer = call.signer.member(ADMIN)?;
    let mut record = named(step.draft, source)?;
    check_operator(signer, &record)?;
    record.state = match record.state {
        SourceState::Registered | SourceState::Active | SourceState::Suspended(_) => {
            SourceState::Retired
        }
        SourceState::Retired => return Err(conflict(source)),
    };
    write(step, &record);
    Ok(())
}

/// The source of that id, or a rejection.
pub(crate) fn named<S: StateRead>(state: &S, id: &SourceId) -> Result<SourceRecord, Stop> {
    let number = SOURCE_NUMBERS
        .get(state, id)?
        .ok_or_else(|| refuse(Reason::SourceUnknown, id))?;
    Ok(numbered(state, number)?)
}

/// The source of that number, which the ledger itself has kept.
pub(crate) fn numbered<S: StateRead>(state: &S, number: u32) -> Result<SourceRecord, StateFault> {
    SOURCES
        .get(state, &number)?
        .ok_or_else(|| StateFault(format!("there is no source of number {number}")))
}

/// Whether the signer's organisation runs the source.
pub(crate) fn check_operator(signer: &MemberSigner, record: &SourceRecord) -> Result<(), Stop> {
    let own = record.source.operator == signer.org;
    ensure(own, Reason::SourceNotOwned, &record.source.source)?;
    Ok(())
}

fn is_regulator(signer: &MemberSigner) -> bool {
    signer.kind == MemberKind::Regulator
}

/// The source is not in the state that this needs.
pub(crate) fn conflict(source: &SourceId) -> Stop {
    refuse(Reason::SourceStateConflict, source).into()
}

fn write<S: StateRead>(step: &mut Step<'_, '_, S>, record: &SourceRecord) {
    SOURCES.put(step.draft, &record.number, record);
    step.events.push(Event::SourceChanged(wire::SourceChanged {
        source: record.source.source.to_string(),
        status: wire::SourceStatus::from(&record.state).into(),
    }));
}
