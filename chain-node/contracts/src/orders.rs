//! Orders and their parts, one for each source.
//!
//! ```text
//! part: placed ─▶ accepted ─▶ delivered ─▶ confirmed | mismatched
//!       placed, accepted ─▶ rejected | expired | cancelled | consent-revoked
//! order: undisputed ─▶ disputed ─▶ settled
//! ```
//!
//! An order that may not be placed is no rejected transaction but a recorded attempt: the contract
//! applies, the access log has the reason. Consent and the institution's standing are checked when
//! the order is placed and again with each delivery; where they are gone by then, the part closes
//! as consent-revoked, and the holder, who reads that outcome, releases nothing.
//!
//! A source may have several data-holding nodes, each with a holder key of its own. Which of them works
//! is their own affair: the contract takes whoever delivers first, whoever had taken the part up, and
//! puts on record whose key it was.

use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    action::Delivery,
    ids::{ItemCode, OrderId, OrgId},
    member::{KeyRole, MemberKind},
    order::{MAX_PARTS, OrderPart, PartRef, PartRejection, PlaceOrder, SealScheme, Verdict},
    outcome::{Event, Reason},
    wire,
};

use crate::{
    access, catalogue, consent,
    deadline::Deadline,
    execute::{Call, Step},
    members, objections,
    record::{
        DeliveryRecord, DigestEntry, DigestRecord, DisputeState, GrantRecord, KeyOwner, KeyState,
        MemberState, OrderRecord, PartRecord, PartState, SourceRecord, SourceState, UseState,
        UserState,
    },
    rejection::{Rejection, Stop, ensure, refuse},
    signer::check_standing,
    sources,
    state::{StateFault, StateRead},
    table::{DIGESTS, KEYS, ORDERS, SOURCE_NUMBERS, USERS},
    wire::codes,
};

/// Sources looked at for one order at most, where the grant does not name them.
const MAX_HOLDERS: usize = 1_024;

/// An order that may be placed.
struct Placeable {
    grant: GrantRecord,
    parts: Vec<PartRecord>,
    missing: Vec<ItemCode>,
    seal_scheme: SealScheme,
}

/// Places an order, or records the attempt.
pub(crate) fn place<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    order: &PlaceOrder,
) -> Result<(), Stop> {
    let agent = call
        .signer
        .member_of(&[KeyRole::Agent], &[MemberKind::Institution])?;
    let placeable = match check_place(step, &agent.org, order) {
        Ok(placeable) => placeable,
        Err(Stop::Rejected(rejection)) => {
            access::record_refused_order(step, call, &agent.org, order, rejection)?;
            return Ok(());
        }
        Err(fault) => return Err(fault),
    };
    let access_index = access::record_order(step, call, &agent.org, order)?;
    let id = OrderId::from(call.tx);
    let deadline = step.block.time.saturating_add(order.deadline_ms.into());
    let record = OrderRecord {
        order: id,
        institution: agent.org.clone(),
        placed: order.clone(),
        parts: placeable.parts,
        missing_items: placeable.missing,
        placed_at: step.block.height,
        placed_at_time: step.block.time,
        deadline,
        seal_scheme: placeable.seal_scheme,
        reserved_use: UseState::Reserved,
        dispute: DisputeState::Undisputed,
        access_index,
        history: 0,
    };
    let parts = record.parts.len() as i64;
    access::count_parts(step.draft, &PartState::Placed, parts)?;
    consent::reserve(step, placeable.grant);
    Deadline::Order(id).set(step.draft, deadline);
    step.events.push(Event::OrderPlaced(wire::OrderPlaced {
        order: id.to_vec(),
        parts: record
            .parts
            .iter()
            .map(|part| (&part.part).into())
            .collect(),
        missing_items: codes(&record.missing_items),
        deadline_ms: deadline,
        seal_scheme: record.seal_scheme.to_wire(),
    }));
    write(step, record);
    Ok(())
}

fn check_place<S: StateRead>(
    step: &Step<'_, '_, S>,
    institution: &OrgId,
    order: &PlaceOrder,
) -> Result<Placeable, Stop> {
    match USERS.get(step.draft, &(order.user, institution.clone()))? {
        Some(UserState::Open(_)) => {}
        Some(UserState::Closed(_)) | None => {
            return Err(refuse(Reason::UserUnknown, order.user).into());
        }
    }
    let codes = catalogue::codes(step.draft)?;
    catalogue::check_purposes(&codes, std::slice::from_ref(&order.purpose))?;
    catalogue::check_items(&codes, &order.items)?;
    let grant = consent::check_order(step, institution, order)?;
    check_recipient(step, institution, order)?;
    let (parts, missing) = parts(step, order, &grant)?;
    ensure(!parts.is_empty(), Reason::NoSource, "")?;
    let seal_scheme = members::entry(step.draft, institution)?.seal_scheme;
    Ok(Placeable {
        grant,
        parts,
        missing,
        seal_scheme,
    })
}

/// Whether the key that deliveries are to be sealed to is the institution's, for that, and valid.
fn check_recipient<S: StateRead>(
    step: &Step<'_, '_, S>,
    institution: &OrgId,
    order: &PlaceOrder,
) -> Result<(), Stop> {
    let own = KEYS.get(step.draft, &order.recipient)?.is_some_and(|key| {
        key.state == KeyState::Valid
            && key.owner
                == KeyOwner::Member {
                    org: institution.clone(),
                    role: KeyRole::Encryption,
                }
    });
    ensure(own, Reason::RecipientUnknown, order.recipient)?;
    Ok(())
}

/// One part for each source in service that the grant covers and that holds something of what is
/// asked, in ascending order of sources; and what none of them holds.
fn parts<S: StateRead>(
    step: &Step<'_, '_, S>,
    order: &PlaceOrder,
    grant: &GrantRecord,
) -> Result<(Vec<PartRecord>, Vec<ItemCode>), StateFault> {
    let mut parts = Vec::new();
    for (number, digest) in holders(step, order, grant)? {
        let source = sources::numbered(step.draft, number)?;
        let items: Vec<ItemCode> = digest
            .item_codes(&source)
            .into_iter()
            .filter(|item| order.items.binary_search(item).is_ok())
            .collect();
        if items.is_empty() || !in_service(step, &source)? {
            continue;
        }
        parts.push(PartRecord {
            part: OrderPart {
                source: source.source.source,
                items,
                registered_root: digest.root,
                digest_version: digest.version,
                as_of_day: digest.as_of_day,
                registered_at: digest.registered_at,
            },
            source_number: number,
            registered_tx_index: digest.tx_index,
            state: PartState::Placed,
        });
    }
    parts.sort_by(|left, right| left.part.source.cmp(&right.part.source));
    parts.truncate(MAX_PARTS);
    let missing = (order.items.iter())
        .filter(|item| !parts.iter().any(|part| part.part.items.contains(item)))
        .cloned()
        .collect();
    Ok((parts, missing))
}

/// The subject's digests at the sources that the grant covers.
fn holders<S: StateRead>(
    step: &Step<'_, '_, S>,
    order: &PlaceOrder,
    grant: &GrantRecord,
) -> Result<Vec<(u32, DigestRecord)>, StateFault> {
    let registered = |number, entry| match entry {
        DigestEntry::Registered(digest) => Some((number, digest)),
        DigestEntry::Withdrawn { .. } => None,
    };
    if grant.terms.sources.is_empty() {
        let all = DIGESTS.under(step.draft, &order.subject, MAX_HOLDERS)?;
        return Ok((all.into_iter())
            .filter_map(|(number, entry)| registered(number, entry))
            .collect());
    }
    let mut named = Vec::new();
    for source in &grant.terms.sources {
        let Some(number) = SOURCE_NUMBERS.get(step.draft, source)? else {
            continue;
        };
        if let Some(entry) = DIGESTS.get(step.draft, &(order.subject, number))? {
            named.extend(registered(number, entry));
        }
    }
    Ok(named)
}

/// Whether a source and the member that runs it can serve.
fn in_service<S: StateRead>(
    step: &Step<'_, '_, S>,
    source: &SourceRecord,
) -> Result<bool, StateFault> {
    if source.state != SourceState::Active {
        return Ok(false);
    }
    match members::entry(step.draft, &source.source.operator) {
        Ok(operator) => Ok(operator.state == MemberState::Active),
        Err(Stop::Rejected(_)) => Ok(false),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Takes up a part.
pub(crate) fn accept<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    part: &PartRef,
) -> Result<(), Stop> {
    let (mut order, _) = answerable(step, call, part)?;
    if order.parts[usize::from(part.part)].state != PartState::Placed {
        return Err(conflict(&order));
    }
    let accepted = PartState::Accepted { holder: call.key };
    set_part(step, &mut order, part.part.into(), accepted)?;
    finish(step, order)?;
    Ok(())
}

/// Records a delivery, unless consent or the institution's standing is gone.
pub(crate) fn deliver<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    delivery: &Delivery,
) -> Result<(), Stop> {
    let (mut order, source) = answerable(step, call, &delivery.part)?;
    if source.state != SourceState::Active {
        return Err(sources::conflict(&source.source.source));
    }
    let index = usize::from(delivery.part.part);
    check_content(&order.parts[index].part, delivery)?;
    let as_ordered = delivery.sealing.scheme() == order.seal_scheme;
    ensure(as_ordered, Reason::DeliveryMismatch, "seal_scheme")?;
    let institution = members::entry(step.draft, &order.institution)?;
    let allowed = match check_standing(&order.institution, &institution.state) {
        Ok(()) => consent::check_delivery(step, &order.placed.grant)?,
        Err(rejection) => Err(rejection.reason),
    };
    let state = match allowed {
        Ok(()) => PartState::Delivered(DeliveryRecord {
            ciphertext_digest: delivery.ciphertext_digest,
            ciphertext_length: delivery.ciphertext_length,
            items: delivery.items.clone(),
            sealing: delivery.sealing,
            tx: call.tx,
            holder: call.key,
            objections: objections::marks(
                step.draft,
                &order.placed.subject,
                order.parts[index].source_number,
                &delivery.items,
            )?,
        }),
        Err(reason) => PartState::ConsentRevoked(reason),
    };
    set_part(step, &mut order, index, state)?;
    finish(step, order)?;
    Ok(())
}

/// Whether a delivery is what the order fixed: its root, and nothing but items of the part.
fn check_content(part: &OrderPart, delivery: &Delivery) -> Result<(), Rejection> {
    let root = delivery.report_root == part.registered_root;
    ensure(root, Reason::DeliveryMismatch, "report_root")?;
    ensure(
        !delivery.items.is_empty(),
        Reason::DeliveryMismatch,
        "items",
    )?;
    match (delivery.items.iter()).find(|item| part.items.binary_search(item).is_err()) {
        Some(item) => Err(refuse(Reason::DeliveryMismatch, item)),
        None => Ok(()),
    }
}

/// Refuses a part.
pub(crate) fn reject<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    part: &PartRef,
    reason: PartRejection,
) -> Result<(), Stop> {
    let (mut order, _) = answerable(step, call, part)?;
    let state = PartState::Rejected(reason);
    set_part(step, &mut order, part.part.into(), state)?;
    finish(step, order)?;
    Ok(())
}

/// Closes a part after the institution opened it.
pub(crate) fn confirm<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    part: &PartRef,
    verdict: Verdict,
) -> Result<(), Stop> {
    let mut order = owned(step, call, &part.order, &[KeyRole::Agent])?;
    let index = usize::from(part.part);
    let record = (order.parts.get(index)).ok_or_else(|| part_not_found(part))?;
    let PartState::Delivered(delivery) = record.state.clone() else {
        return Err(conflict(&order));
    };
    let verdict_tx = call.tx;
    let state = match verdict {
        Verdict::Confirmed => PartState::Confirmed {
            delivery,
            verdict_tx,
        },
        Verdict::CiphertextMismatch | Verdict::SealBroken | Verdict::ItemMismatch => {
            PartState::Mismatched {
                delivery,
                verdict,
                verdict_tx,
            }
        }
    };
    set_part(step, &mut order, index, state)?;
    // The part was closed before and its use is spent: a verdict changes neither.
    write(step, order);
    Ok(())
}

/// Withdraws an order of which nothing was delivered.
pub(crate) fn cancel<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &OrderId,
) -> Result<(), Stop> {
    let mut order = owned(step, call, id, &[KeyRole::Agent])?;
    let delivered = order.reserved_use == UseState::Spent;
    if delivered || !order.is_open() || step.block.time >= order.deadline {
        return Err(conflict(&order));
    }
    close_open(step, &mut order, &PartState::Cancelled)?;
    finish(step, order)?;
    Ok(())
}

/// An order's deadline: its open parts expire.
pub(crate) fn expire<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    id: OrderId,
) -> Result<(), StateFault> {
    let mut order = ORDERS
        .get(step.draft, &id)?
        .ok_or_else(|| StateFault(format!("order {id} has a deadline and is not there")))?;
    close_open(step, &mut order, &PartState::Expired)?;
    finish(step, order)
}

/// Disputes an order.
pub(crate) fn dispute<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &OrderId,
    statement: &Digest,
) -> Result<(), Stop> {
    let mut order = owned(step, call, id, &[KeyRole::Admin, KeyRole::Agent])?;
    order.dispute = match order.dispute {
        DisputeState::Undisputed => DisputeState::Disputed {
            statement: *statement,
        },
        DisputeState::Disputed { .. } | DisputeState::Settled { .. } => {
            return Err(conflict(&order));
        }
    };
    dispute_changed(step, order, false);
    Ok(())
}

/// Settles a dispute.
pub(crate) fn settle<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    call: &Call,
    id: &OrderId,
    settlement: &Digest,
) -> Result<(), Stop> {
    call.signer.member_of(
        &[KeyRole::Admin],
        &[MemberKind::Regulator, MemberKind::Mediation],
    )?;
    let mut order = found(step.draft, id)?;
    order.dispute = match order.dispute {
        DisputeState::Disputed { statement } => DisputeState::Settled {
            statement,
            settlement: *settlement,
        },
        DisputeState::Undisputed | DisputeState::Settled { .. } => return Err(conflict(&order)),
    };
    dispute_changed(step, order, true);
    Ok(())
}

fn dispute_changed<S: StateRead>(step: &mut Step<'_, '_, S>, order: OrderRecord, settled: bool) {
    let id = order.order;
    write(step, order);
    step.events
        .push(Event::DisputeChanged(wire::DisputeChanged {
            order: id.to_vec(),
            settled,
        }));
}

fn found<S: StateRead>(state: &S, id: &OrderId) -> Result<OrderRecord, Stop> {
    ORDERS
        .get(state, id)?
        .ok_or_else(|| refuse(Reason::OrderNotFound, id).into())
}

/// The order, if the signer's institution placed it.
fn owned<S: StateRead>(
    step: &Step<'_, '_, S>,
    call: &Call,
    id: &OrderId,
    roles: &[KeyRole],
) -> Result<OrderRecord, Stop> {
    let institution = call.signer.member_of(roles, &[MemberKind::Institution])?;
    let order = found(step.draft, id)?;
    ensure(
        order.institution == institution.org,
        Reason::OrderNotOwned,
        id,
    )?;
    Ok(order)
}

/// The order and the part's source, if the signer holds that source and may still answer.
fn answerable<S: StateRead>(
    step: &Step<'_, '_, S>,
    call: &Call,
    part: &PartRef,
) -> Result<(OrderRecord, SourceRecord), Stop> {
    let holder = call.signer.member(&[KeyRole::Holder])?;
    let order = found(step.draft, &part.order)?;
    let record = order.part(part.part).ok_or_else(|| part_not_found(part))?;
    let source = sources::numbered(step.draft, record.source_number)?;
    sources::check_operator(holder, &source)?;
    // By block time: a deadline that could not fire yet has passed all the same.
    if !record.state.is_open() || step.block.time >= order.deadline {
        return Err(conflict(&order));
    }
    Ok((order, source))
}

fn conflict(order: &OrderRecord) -> Stop {
    refuse(Reason::OrderStateConflict, order.order).into()
}

fn part_not_found(part: &PartRef) -> Rejection {
    refuse(Reason::PartNotFound, part.part)
}

/// Puts all open parts into a state.
fn close_open<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    order: &mut OrderRecord,
    state: &PartState,
) -> Result<(), StateFault> {
    for index in 0..order.parts.len() {
        if order.parts[index].state.is_open() {
            set_part(step, order, index, state.clone())?;
        }
    }
    Ok(())
}

/// Puts a part into a state, with its counters and event.
fn set_part<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    order: &mut OrderRecord,
    index: usize,
    state: PartState,
) -> Result<(), StateFault> {
    let part = &mut order.parts[index];
    access::count_parts(step.draft, &part.state, -1)?;
    access::count_parts(step.draft, &state, 1)?;
    part.state = state;
    step.events.push(Event::PartChanged(wire::PartChanged {
        order: order.order.to_vec(),
        part: index as u32,
        status: wire::PartStatus::from(&part.state).into(),
        reason: part.state.reason().to_owned(),
        objections: match &part.state {
            PartState::Delivered(delivery) => delivery.objections.iter().map(Into::into).collect(),
            _ => Vec::new(),
        },
    }));
    Ok(())
}

/// Writes an order, with its history.
fn write<S: StateRead>(step: &mut Step<'_, '_, S>, mut order: OrderRecord) {
    consent::note(step, order.order.0, &mut order.history);
    ORDERS.put(step.draft, &order.order, &order);
}

/// Writes an order some of whose open parts changed: what becomes of the reserved use and of the
/// deadline follows from where the parts stand.
fn finish<S: StateRead>(
    step: &mut Step<'_, '_, S>,
    mut order: OrderRecord,
) -> Result<(), StateFault> {
    let open = order.is_open();
    let delivered = order
        .parts
        .iter()
        .any(|part| part.state.delivery().is_some());
    if order.reserved_use == UseState::Reserved {
        if delivered {
            order.reserved_use = UseState::Spent;
            consent::spend(step, &order.placed.grant)?;
        } else if !open {
            order.reserved_use = UseState::GivenBack;
            consent::give_back(step, &order.placed.grant, order.placed_at_time)?;
        }
    }
    if !open {
        Deadline::Order(order.order).clear(step.draft, order.deadline);
    }
    write(step, order);
    Ok(())
}
