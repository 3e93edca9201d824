//! Deadlines: what happens because time has passed, not because somebody signed.
//!
//! They fire at the beginning of the first block whose time has reached them, oldest first, a
//! bounded number a block. Contracts never rely on it: whether a grant lives is judged by block
//! time, whether or not its deadline has fired.

use std::ops::RangeInclusive;

use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    ids::{GrantId, ObjectionId, OrderId, TimeMs, TxId},
    outcome::Event,
};

use crate::{
    consent,
    execute::{BlockContext, Step},
    governance, objections, orders,
    state::{Overlay, StateFault, StateRead},
    table::{DEADLINES, FIRED_TO},
};

/// How far block time goes before the place from which deadlines are looked for is moved up. A store
/// is slow to walk over what was deleted, and every block looks: so none walks over more than one
/// second's deadlines and those since the block before. A write in every block would be waste.
const MOVE_UP_MS: TimeMs = 1_000;

/// Something that happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// A request for consent lapses.
    Request(GrantId),
    /// A grant expires.
    Grant(GrantId),
    /// An order's open parts expire.
    Order(OrderId),
    /// The vote on a proposal ends.
    Proposal(TxId),
    /// An objection is overdue.
    Objection(ObjectionId),
}

impl Deadline {
    fn key(self, at: TimeMs) -> (u64, (u8, Digest)) {
        let (kind, id) = match self {
            Self::Request(id) => (1, id.0),
            Self::Grant(id) => (2, id.0),
            Self::Order(id) => (3, id.0),
            Self::Proposal(id) => (4, id.0),
            Self::Objection(id) => (5, id.0),
        };
        (at, (kind, id))
    }

    pub(crate) fn of(kind: u8, id: Digest) -> Result<Self, StateFault> {
        match kind {
            1 => Ok(Self::Request(GrantId(id))),
            2 => Ok(Self::Grant(GrantId(id))),
            3 => Ok(Self::Order(OrderId(id))),
            4 => Ok(Self::Proposal(TxId(id))),
            5 => Ok(Self::Objection(ObjectionId(id))),
            _ => Err(StateFault(format!("deadline of unknown kind {kind}"))),
        }
    }

    /// Sets it.
    pub(crate) fn set<S: StateRead>(self, draft: &mut Overlay<'_, S>, at: TimeMs) {
        DEADLINES.put(draft, &self.key(at), &());
    }

    /// Clears it: what it waited for has happened otherwise.
    pub(crate) fn clear<S: StateRead>(self, draft: &mut Overlay<'_, S>, at: TimeMs) {
        DEADLINES.delete(draft, &self.key(at));
    }
}

/// Fires what is due, up to the limit of a block.
pub(crate) fn fire<S: StateRead>(
    draft: &mut Overlay<'_, S>,
    block: &BlockContext,
) -> Result<Vec<Event>, StateFault> {
    let limit = block.parameters.max_deadlines_per_block as usize;
    // Deadlines are always set for times to come, so none is before this.
    let from = fired_to(draft)?;
    let due = DEADLINES.between(draft, &from, &block.time, limit)?;
    let fired = match due.last() {
        Some(((at, _), ())) if due.len() == limit => *at,
        _ => block.time,
    };
    if fired >= from.saturating_add(MOVE_UP_MS) {
        FIRED_TO.put(draft, &(), &fired);
    }
    let mut step = Step {
        draft,
        block,
        tx: None,
        events: Vec::new(),
    };
    for (key, ()) in due {
        let (_, (kind, id)) = key;
        DEADLINES.delete(step.draft, &key);
        match Deadline::of(kind, id)? {
            Deadline::Request(grant) => consent::lapse(&mut step, grant)?,
            Deadline::Grant(grant) => consent::expire(&mut step, grant)?,
            Deadline::Order(order) => orders::expire(&mut step, order)?,
            Deadline::Proposal(proposal) => governance::expire(&mut step, proposal)?,
            Deadline::Objection(objection) => objections::lapse(&mut step, objection)?,
        }
    }
    Ok(step.events)
}

/// When the earliest of the deadlines fires that wait within these times: an idle chain makes a block
/// for it. Looks at no others, for a store is slow to walk over what was cleared.
///
/// # Errors
/// When the store fails.
pub fn next_deadline<S: StateRead>(
    state: &S,
    within: RangeInclusive<TimeMs>,
) -> Result<Option<TimeMs>, StateFault> {
    let from = fired_to(state)?.max(*within.start());
    let first = DEADLINES.between(state, &from, within.end(), 1)?;
    Ok(first.first().map(|((at, _), ())| *at))
}

/// A time before which no deadline waits.
pub(crate) fn fired_to<S: StateRead>(state: &S) -> Result<TimeMs, StateFault> {
    Ok(FIRED_TO.get(state, &())?.unwrap_or(0))
}
