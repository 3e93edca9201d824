//! What of old blocks proofs still need: for nodes that prune.
//!
//! Kept is what proves things that are open or in force, whatever their age (who the members are and
//! with which keys, what was decided, registered digests, live grants, open orders), and everything
//! of orders placed since a given time. What ended before is proven by nodes that keep it all.

use std::collections::BTreeSet;

use xinqiao_ledger::ids::{Height, TimeMs, TxId};

use crate::{
    query::{grant_history, order_history},
    record::{ConsentState, DigestEntry, HistoryRecord, OrderRecord},
    state::{StateFault, StateRead},
    table::{
        CERTIFICATES, DIGESTS, GRANTS, KEYS, Key, MEMBERS, MISBEHAVIOUR, ORDERS, PROPOSALS, Table,
        VOTES,
    },
};

/// Entries that are read at a time.
const PAGE: usize = 1_000;

/// What is to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needed {
    /// Heights whose transactions are all to be kept.
    pub blocks: BTreeSet<Height>,
    /// Places of transactions: height, and index within the block.
    pub places: BTreeSet<(Height, u32)>,
    /// Transactions.
    pub txs: BTreeSet<TxId>,
}

impl Needed {
    /// Whether a transaction at a place is.
    pub fn has(&self, height: Height, index: u32, tx: &TxId) -> bool {
        self.blocks.contains(&height)
            || self.places.contains(&(height, index))
            || self.txs.contains(tx)
    }

    fn add_history(&mut self, history: Vec<HistoryRecord>) {
        self.txs.extend(history.iter().filter_map(|entry| entry.tx));
    }
}

/// What proofs need, by a state: everything of orders placed at or after `since`, and of what is open
/// or in force. It reads the whole state.
///
/// # Errors
/// When the store fails.
pub fn needed_for_proofs<S: StateRead>(state: &S, since: TimeMs) -> Result<Needed, StateFault> {
    let mut needed = Needed::default();
    for_each(state, &MEMBERS, |_, member| {
        needed.blocks.insert(member.admitted_at);
        Ok(())
    })?;
    for_each(state, &KEYS, |_, key| {
        needed.blocks.insert(key.valid_from);
        Ok(())
    })?;
    for_each(state, &CERTIFICATES, |_, certificate| {
        needed.blocks.insert(certificate.valid_from);
        Ok(())
    })?;
    for_each(state, &PROPOSALS, |id, _| {
        needed.txs.insert(id);
        Ok(())
    })?;
    for_each(state, &VOTES, |_, vote| {
        needed.txs.insert(vote.tx);
        Ok(())
    })?;
    for_each(state, &MISBEHAVIOUR, |_, record| {
        needed.txs.insert(record.tx);
        Ok(())
    })?;
    for_each(state, &DIGESTS, |_, entry| {
        if let DigestEntry::Registered(digest) = entry {
            needed
                .places
                .insert((digest.registered_at, digest.tx_index));
        }
        Ok(())
    })?;
    for_each(state, &GRANTS, |id, grant| {
        let lives = matches!(
            grant.state,
            ConsentState::Requested { .. } | ConsentState::Active(_) | ConsentState::Paused(_)
        );
        if lives {
            needed.add_history(grant_history(state, &id, usize::MAX)?);
        }
        Ok(())
    })?;
    for_each(state, &ORDERS, |_, order| {
        if order.is_open() || order.placed_at_time >= since {
            add_order(&mut needed, state, &order)?;
        }
        Ok(())
    })?;
    Ok(needed)
}

fn add_order<S: StateRead>(
    needed: &mut Needed,
    state: &S,
    order: &OrderRecord,
) -> Result<(), StateFault> {
    for part in &order.parts {
        let registered = (part.part.registered_at, part.registered_tx_index);
        needed.places.insert(registered);
    }
    needed.add_history(order_history(state, &order.order, usize::MAX)?);
    needed.add_history(grant_history(state, &order.placed.grant, usize::MAX)?);
    Ok(())
}

/// Every entry of a table, a page at a time.
fn for_each<S: StateRead, K: Key, V>(
    state: &S,
    table: &Table<K, V>,
    mut take: impl FnMut(K, V) -> Result<(), StateFault>,
) -> Result<(), StateFault>
where
    V: borsh::BorshSerialize + borsh::BorshDeserialize,
{
    let mut page = table.first(state, PAGE)?;
    loop {
        let is_last = page.len() < PAGE;
        let mut last = None;
        for (key, value) in page {
            last = Some(table.key(&key));
            take(key, value)?;
        }
        let (Some(last), false) = (last, is_last) else {
            return Ok(());
        };
        page = table.after_key(state, last, PAGE)?;
    }
}
