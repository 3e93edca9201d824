//! No release without live consent: where a delivery was recorded, its order's grant was in force by
//! block time and had not been revoked, not even earlier in the same block.
//!
//! It is judged from what was signed and took effect, and not from what the contracts keep.

use std::collections::{BTreeMap, BTreeSet};

use xinqiao_ledger::{
    action::Action,
    ids::{GrantId, OrderId, TimeMs},
    order::PartRef,
    outcome::Outcome,
    tx::Tx,
};

use crate::{block::Tip, invariant::record_before_release::is_delivered};

/// Every grant, revocation, order and delivery that took effect.
#[derive(Debug, Default)]
pub struct LiveConsent {
    /// From when, and until when.
    grants: BTreeMap<GrantId, (TimeMs, TimeMs)>,
    revoked: BTreeSet<GrantId>,
    orders: BTreeMap<OrderId, GrantId>,
    /// Why the consent was not live where the part's delivery was recorded.
    delivered: BTreeMap<PartRef, Result<(), String>>,
}

impl LiveConsent {
    /// A transaction of an agreed block came to that.
    pub fn came_to(&mut self, tip: &Tip, tx: &Tx, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Applied(_)) {
            return;
        }
        let id = tx.meta().id;
        match tx.action() {
            Action::GrantConsent { terms, .. } => {
                let term = (terms.valid_from, terms.valid_until);
                self.grants.insert(GrantId::from(id), term);
            }
            Action::RevokeConsent(grant) => {
                self.revoked.insert(*grant);
            }
            Action::PlaceOrder(order) => {
                self.orders.insert(OrderId::from(id), order.grant);
            }
            Action::DeliverPart(delivery) if is_delivered(delivery.part, outcome) => {
                let live = self.live(delivery.part, tip.time);
                self.delivered.entry(delivery.part).or_insert(live);
            }
            _ => {}
        }
    }

    fn live(&self, part: PartRef, now: TimeMs) -> Result<(), String> {
        let name = format!("the delivery of part {} of order {}", part.part, part.order);
        let Some(grant) = self.orders.get(&part.order) else {
            return Err(format!("{name} has no order"));
        };
        if self.revoked.contains(grant) {
            return Err(format!(
                "{name} was recorded after grant {grant} was revoked"
            ));
        }
        match self.grants.get(grant) {
            Some((from, until)) if (*from..*until).contains(&now) => Ok(()),
            Some((from, until)) => Err(format!(
                "{name} was recorded at {now}, and grant {grant} is for {from} to {until}"
            )),
            None => Err(format!("{name} has no grant")),
        }
    }

    /// A holder let a part leave.
    pub fn released(&self, part: PartRef) -> Result<(), String> {
        // That it was recorded at all is for another invariant to say.
        self.delivered.get(&part).cloned().unwrap_or(Ok(()))
    }
}
