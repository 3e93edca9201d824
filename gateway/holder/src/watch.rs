//! What the replica says: the parts that this node is to serve, and what becomes of them.
//!
//! Nothing else is listened to: no gateway and no other node can tell this node that a part exists,
//! or that a record is final.

use std::collections::BTreeMap;

use xinqiao_contracts::{
    query::{self, OpenOrderPlace},
    record::{OrderRecord, PartState},
};
use xinqiao_crypto::KeyId;
use xinqiao_dispatch::delivery::{PartOrder, Standing};
use xinqiao_ledger::{
    action::Action,
    ids::{Height, SourceId, Subject, TimeMs, TxId},
    malformed::Malformed,
    order::{PartRef, PlaceOrder, SealScheme},
    outcome::{Event, Outcome, Reason},
    wire::{self, PartStatus},
};
use xinqiao_node::{AppliedBlock, Replica};

use crate::{error::Error, proof::OnReplica};

/// Open orders read at a time when the node starts.
const PAGE: usize = 500;

/// Something in a block that concerns parts.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A part of one of our sources was placed, in a block of that time.
    Placed(PartOrder, TimeMs),
    /// A part was taken up: by the node of that holder key.
    TakenUp(PartRef, KeyId),
    /// A delivery was recorded, by whomever.
    Delivered(PartRef, OnReplica),
    /// A part was closed.
    Closed(PartRef, PartStatus),
    /// A delivery or refusal was rejected.
    Rejected(PartRef, TxId, Reason),
}

/// What one block says about parts, in order. `me` is this node's key, `ours` tells its sources.
pub(crate) fn notices(
    replica: &Replica,
    height: Height,
    me: &KeyId,
    ours: &dyn Fn(&SourceId) -> bool,
) -> Result<Option<Vec<Notice>>, Error> {
    let Some(block) = replica.applied(height)? else {
        return Ok(None);
    };
    let mut found = Vec::new();
    let AppliedBlock { txs, outcomes, .. } = &block;
    let mut outcomes = outcomes.iter();
    if let Some(Outcome::Applied(events)) = outcomes.next() {
        found.extend(events.iter().filter_map(changed));
    }
    for (tx, outcome) in txs.iter().zip(outcomes) {
        match (tx.action(), outcome) {
            (Action::PlaceOrder(placed), Outcome::Applied(events)) => {
                for event in events {
                    if let Event::OrderPlaced(order) = event {
                        let time = block.header.time;
                        let parts = placed_parts(placed, order, ours);
                        found.extend(parts.map(|part| Notice::Placed(part, time)));
                    }
                }
            }
            (Action::AcceptPart(part), Outcome::Applied(_)) => {
                found.push(Notice::TakenUp(*part, tx.meta().signer));
            }
            (Action::DeliverPart(delivery), Outcome::Applied(events)) => {
                let part = delivery.part;
                if let Some(proof) = OnReplica::of(replica, tx, me)? {
                    found.push(Notice::Delivered(part, proof));
                }
                found.extend(events.iter().filter_map(changed));
            }
            (Action::DeliverPart(delivery), Outcome::Rejected { reason, .. }) => {
                found.push(Notice::Rejected(delivery.part, tx.meta().id, *reason));
            }
            (Action::RejectPart { part, .. }, Outcome::Rejected { reason, .. }) => {
                found.push(Notice::Rejected(*part, tx.meta().id, *reason));
            }
            (_, Outcome::Applied(events)) => found.extend(events.iter().filter_map(changed)),
            (_, Outcome::Rejected { .. }) => {}
        }
    }
    Ok(Some(found))
}

/// A part that was closed. Deliveries come with their proof instead.
fn changed(event: &Event) -> Option<Notice> {
    let Event::PartChanged(changed) = event else {
        return None;
    };
    let part = PartRef::parse(&changed.order, changed.part).ok()?;
    match changed.status() {
        PartStatus::Unspecified
        | PartStatus::Placed
        | PartStatus::Accepted
        | PartStatus::Delivered => None,
        status => Some(Notice::Closed(part, status)),
    }
}

fn placed_parts(
    placed: &PlaceOrder,
    event: &wire::OrderPlaced,
    ours: &dyn Fn(&SourceId) -> bool,
) -> impl Iterator<Item = PartOrder> {
    event
        .parts
        .iter()
        .enumerate()
        .filter_map(|(index, part)| {
            match part_order(placed, event, index, part) {
                Ok(order) => Some(order),
                // The contract wrote it; were it not so, this node could not serve it.
                Err(fault) => {
                    tracing::error!(%fault, "an order's event cannot be read");
                    None
                }
            }
        })
        .filter(|order| ours(&order.source))
}

fn part_order(
    placed: &PlaceOrder,
    event: &wire::OrderPlaced,
    index: usize,
    part: &wire::OrderPart,
) -> Result<PartOrder, Malformed> {
    Ok(PartOrder {
        part: PartRef::parse(&event.order, u32::try_from(index).unwrap_or(u32::MAX))?,
        subject: placed.subject,
        source: SourceId::parse("source", &part.source)?,
        items: part
            .items
            .iter()
            .map(|code| xinqiao_ledger::ids::ItemCode::parse("items", code))
            .collect::<Result<_, _>>()?,
        // Read as any 32 bytes are.
        registered_root: Subject::parse("registered_root", &part.registered_root)?.0,
        recipient: placed.recipient,
        seal_scheme: SealScheme::parse("seal_scheme", event.seal_scheme)?,
        deadline: event.deadline_ms,
    })
}

/// A part as the replica's state has it now.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) order: PartOrder,
    pub(crate) standing: Standing,
    /// The reason code of a part that is closed, where there is one.
    pub(crate) reason: &'static str,
    /// The transaction that recorded its delivery.
    pub(crate) delivery: Option<TxId>,
    /// The key of the node that delivered it, or took it up.
    pub(crate) holder: Option<KeyId>,
    /// When the order was placed, in block time.
    pub(crate) placed_at: TimeMs,
}

/// A part by its name, whichever source is to serve it.
pub(crate) fn known(replica: &Replica, part: &PartRef, me: &KeyId) -> Result<Option<Known>, Error> {
    let order = query::order(&replica.state(), &part.order)?;
    Ok(order.and_then(|order| known_part(&order, part.part, me)))
}

/// All open parts of our sources.
pub(crate) fn open_parts(
    replica: &Replica,
    me: &KeyId,
    ours: &dyn Fn(&SourceId) -> bool,
) -> Result<BTreeMap<PartRef, Known>, Error> {
    let state = replica.state();
    let mut found = BTreeMap::new();
    let mut place: Option<OpenOrderPlace> = None;
    loop {
        let (orders, next) = query::open_orders(&state, place, PAGE)?;
        for order in &orders {
            let indices = 0..u8::try_from(order.parts.len()).unwrap_or(u8::MAX);
            found.extend(
                indices
                    .filter_map(|index| known_part(order, index, me))
                    .filter(|known| known.standing == Standing::Open && ours(&known.order.source))
                    .map(|known| (known.order.part, known)),
            );
        }
        match next {
            Some(next) => place = Some(next),
            None => return Ok(found),
        }
    }
}

fn known_part(order: &OrderRecord, index: u8, me: &KeyId) -> Option<Known> {
    let record = order.part(index)?;
    let mut reason = "";
    let mut delivery = None;
    let standing = match &record.state {
        PartState::Placed | PartState::Accepted { .. } => Standing::Open,
        PartState::Delivered(it) => {
            delivery = Some(it.tx);
            Standing::Delivered {
                digest: it.ciphertext_digest,
                is_own: it.holder == *me,
            }
        }
        PartState::Confirmed { .. } => Standing::Closed(PartStatus::Confirmed),
        PartState::Mismatched { verdict, .. } => {
            reason = verdict.code();
            Standing::Closed(PartStatus::Mismatched)
        }
        PartState::Rejected(why) => {
            reason = why.code();
            Standing::Closed(PartStatus::Rejected)
        }
        PartState::Expired => Standing::Closed(PartStatus::Expired),
        PartState::Cancelled => Standing::Closed(PartStatus::Cancelled),
        PartState::ConsentRevoked(why) => {
            reason = why.code();
            Standing::Closed(PartStatus::ConsentRevoked)
        }
    };
    Some(Known {
        order: PartOrder {
            part: PartRef {
                order: order.order,
                part: index,
            },
            subject: order.placed.subject,
            source: record.part.source.clone(),
            items: record.part.items.clone(),
            registered_root: record.part.registered_root,
            recipient: order.placed.recipient,
            seal_scheme: order.seal_scheme,
            deadline: order.deadline,
        },
        standing,
        reason,
        delivery,
        holder: record.state.holder().copied(),
        placed_at: order.placed_at_time,
    })
}

/// Whether a part that a block places can still be served, as far as this machine's clock can tell.
/// A replica that catches up passes by many orders that are long over.
pub(crate) fn is_stale(order: &PartOrder, now: TimeMs) -> bool {
    /// Clocks differ; block time is the proposer's.
    const SLACK_MS: TimeMs = 60_000;
    order.deadline.saturating_add(SLACK_MS) < now
}
