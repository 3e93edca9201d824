//! The access log: one entry for every attempt to query, the refused ones too, and its counters.
//!
//! Counters are state, so that a summary costs what it shows and not what ever happened.

use xinqiao_ledger::{
    action::Refusal,
    ids::{OrderId, OrgId},
    member::KeyRole,
    order::PlaceOrder,
    outcome::{Event, Reason},
    wire,
};

use crate::{
    execute::{Call, Step},
    members,
    record::{AccessOutcome, AccessRecord, PartState},
    rejection::{Rejection, Stop, ensure},
    state::{Overlay, StateFault, StateRead},
    table::{
        ACCESS, ACCESS_BY_INSTITUTION, ACCESS_BY_SUBJECT, ACCESS_COUNT, COUNTERS, Name,
        ORDERS_BY_INDEX, Padded,
    },
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Orders placed.
    Orders = 0,
    /// Refusals by reason code.
    Refusals = 1,
    /// Attempts by institution.
    Institutions = 2,
    /// Parts by state.
    Parts = 3,
}

/// Records an attempt that a gateway refused. The gateway must be the institution's own, or that
/// of its home bureau: nobody else can have been asked.
pub(crate) fn record_refusal<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    refusal: &Refusal,
) -> Result<(), Stop> {
    let gateway = call.signer.member(&[KeyRole::Gateway])?;
    let institution = members::entry(step.draft, &refusal.institution)?;
    let serves =
        institution.home.as_ref() == Some(&gateway.org) || refusal.institution == gateway.org;
    ensure(serves, Reason::RoleDenied, &refusal.institution)?;
    let outcome = AccessOutcome::RefusedByGateway {
        gateway: gateway.org.clone(),
        reason: refusal.reason.clone(),
    };
    let record = AccessRecord {
        index: 0,
        height: step.block.height,
        time: step.block.time,
        institution: refusal.institution.clone(),
        user: refusal.user,
        subject: refusal.subject,
        purpose: refusal.purpose.clone(),
        items: refusal.items.clone(),
        grant: refusal.grant,
        outcome,
        tx: call.tx,
    };
    write(step.draft, record)?;
    refused(step, refusal.reason.to_string(), String::new());
    Ok(())
}

/// Records an order that the contract refuses.
pub(crate) fn record_refused_order<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    institution: &OrgId,
    order: &PlaceOrder,
    rejection: Rejection,
) -> Result<(), StateFault> {
    let outcome = AccessOutcome::Refused(rejection.reason);
    let record = of_order(step, call, institution, order, outcome);
    write(step.draft, record)?;
    refused(step, rejection.reason.code().to_owned(), rejection.subject);
    Ok(())
}

/// Records an order that was placed; gives the entry's index.
pub(crate) fn record_order<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    institution: &OrgId,
    order: &PlaceOrder,
) -> Result<u64, StateFault> {
    let record = of_order(step, call, institution, order, AccessOutcome::Placed);
    let index = write(step.draft, record)?;
    ORDERS_BY_INDEX.put(step.draft, &index, &OrderId::from(call.tx));
    Ok(index)
}

fn of_order<S: StateRead>(
    step: &Step<'_, '_, S>,
    call: &Call,
    institution: &OrgId,
    order: &PlaceOrder,
    outcome: AccessOutcome,
) -> AccessRecord {
    AccessRecord {
        index: 0,
        height: step.block.height,
        time: step.block.time,
        institution: institution.clone(),
        user: Some(order.user),
        subject: Some(order.subject),
        purpose: (&order.purpose).into(),
        items: order.items.clone(),
        grant: Some(order.grant),
        outcome,
        tx: call.tx,
    }
}

/// Appends an entry under the next index.
fn write<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    mut record: AccessRecord,
) -> Result<u64, StateFault> {
    let index = ACCESS_COUNT.get(draft, &())?.unwrap_or(0);
    record.index = index;
    ACCESS_COUNT.put(draft, &(), &(index + 1));
    let institution = Padded::from(&record.institution);
    ACCESS_BY_INSTITUTION.put(draft, &(institution, index), &());
    if let Some(subject) = record.subject {
        ACCESS_BY_SUBJECT.put(draft, &(subject, index), &());
    }
    count(draft, Counter::Institutions, record.institution.as_str(), 1)?;
    match record.outcome.refusal() {
        "" => count(draft, Counter::Orders, "", 1)?,
        code => count(draft, Counter::Refusals, code, 1)?,
    }
    ACCESS.put(draft, &index, &record);
    Ok(index)
}

/// Counts parts that came into a state, and those that left one.
pub(crate) fn count_parts<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    state: &PartState,
    by: i64,
) -> Result<(), StateFault> {
    count(draft, Counter::Parts, part_name(state), by)
}

/// The name under which parts of a state are counted: that of the wire's enumeration.
fn part_name(state: &PartState) -> &'static str {
    wire::PartStatus::from(state)
        .as_str_name()
        .trim_start_matches("PART_STATUS_")
}

fn count<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    counter: Counter,
    name: &str,
    by: i64,
) -> Result<(), StateFault> {
    let key = (counter as u8, Name(name.to_owned()));
    let before = COUNTERS.get(draft, &key)?.unwrap_or(0);
    COUNTERS.put(draft, &key, &before.saturating_add_signed(by));
    Ok(())
}

fn refused<S: StateRead>(step: &mut Step<'_, '_, S>, reason: String, subject: String) {
    let refused = wire::AttemptRefused { reason, subject };
    step.events.push(Event::AttemptRefused(refused));
}
