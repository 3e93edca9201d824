//! Gathering the evidence of one order: every transaction that it rests on, each with its receipt
//! and its path to one certified header. Whether it proves anything is for the reader to check.

use std::collections::BTreeSet;

use tonic::Status;
use xinqiao_contracts::{StateFault, StateRead, query, record::HistoryRecord, table};
use xinqiao_crypto::{Digest, KeyId};
use xinqiao_ledger::{
    action::Action,
    evidence::MAX_RECEIPTS,
    ids::{Height, OrderId},
    member::MemberKey,
    tx::Tx,
    wire,
};
use xinqiao_rpc::{Fault, Reason};
use xinqiao_store::{Error as StoreError, Place, Reader};

use crate::{fault, replica::Replica};

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEvidence {
    #[error("there is no order of that id")]
    NoOrder,
    #[error("the order rests on more than {MAX_RECEIPTS} transactions")]
    TooMuch,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    State(#[from] StateFault),
}

impl From<NoEvidence> for Status {
    fn from(fault: NoEvidence) -> Self {
        match fault {
            NoEvidence::NoOrder => Fault::new(Reason::OrderNotFound).status(),
            NoEvidence::TooMuch => Fault::new(Reason::MessageTooLarge)
                .because(fault.to_string())
                .with("limit_receipts", MAX_RECEIPTS)
                .status(),
            NoEvidence::Store(fault) => fault::internal(&fault),
            NoEvidence::State(fault) => fault::internal(&fault),
        }
    }
}

/// The bundle of one order.
pub(crate) fn gather(
    replica: &Replica,
    order: &OrderId,
) -> Result<wire::EvidenceBundle, NoEvidence> {
    let reader = replica.reader();
    let view = replica.state();
    let tip = view.tip()?;
    let mut places = order_places(reader, &view, order)?;
    places.extend(key_places(reader, &view, &places)?);
    if places.len() > MAX_RECEIPTS {
        return Err(NoEvidence::TooMuch);
    }
    let head = reader
        .head(tip.height)?
        .ok_or_else(|| damaged(tip.height, "the tip's header is missing"))?;
    let receipts = places
        .into_iter()
        .map(|place| {
            let history_path = if place.height == tip.height {
                None
            } else {
                Some((&reader.history_path(place.height, tip.height)?).into())
            };
            Ok(wire::EvidenceReceipt {
                receipt: Some(reader.receipt_at(place)?),
                history_path,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(wire::EvidenceBundle {
        version: 1,
        chain_id: replica.chain().to_vec(),
        order: order.to_vec(),
        receipts,
        tip_header: head.encoded,
        tip_certificate: Some(head.certificate),
    })
}

/// What the order rests on: the consent and its changes, the registrations of the parts' roots, the
/// order and all that became of it.
fn order_places(
    reader: &Reader,
    state: &impl StateRead,
    id: &OrderId,
) -> Result<BTreeSet<Place>, NoEvidence> {
    let order = query::order(state, id)?.ok_or(NoEvidence::NoOrder)?;
    let mut history = query::grant_history(state, &order.placed.grant, MAX_RECEIPTS + 1)?;
    history.extend(query::order_history(state, id, MAX_RECEIPTS + 1)?);
    let mut places: BTreeSet<Place> = order
        .parts
        .iter()
        .map(|part| Place {
            height: part.part.registered_at,
            index: part.registered_tx_index,
        })
        .collect();
    for HistoryRecord { height, tx } in history {
        // Deadlines that fired have no transaction; the block's own outcome tells of them.
        if let Some(tx) = tx {
            let place = reader
                .place(&tx)?
                .ok_or_else(|| damaged(height, "a transaction of the history is missing"))?;
            places.insert(place);
        }
    }
    Ok(places)
}

/// The transactions that brought the signers' keys, as far as the genesis did not: without them a
/// reader could not check the signatures.
fn key_places(
    reader: &Reader,
    state: &impl StateRead,
    places: &BTreeSet<Place>,
) -> Result<BTreeSet<Place>, NoEvidence> {
    let mut found = BTreeSet::new();
    let mut known = BTreeSet::new();
    let mut unseen: Vec<Place> = places.iter().copied().collect();
    // Whoever brought a key has signed with one that may have been brought in turn.
    while let Some(place) = unseen.pop() {
        let signer = tx_at(reader, place)?.meta().signer;
        if !known.insert(signer) {
            continue;
        }
        let Some(record) = table::KEYS.get(state, &signer)? else {
            continue;
        };
        if record.valid_from == 0 {
            continue;
        }
        let block = reader
            .block(record.valid_from)?
            .ok_or_else(|| damaged(record.valid_from, "the block is missing"))?;
        for (index, tx) in (0..).zip(&block.txs) {
            let place = Place {
                height: record.valid_from,
                index,
            };
            if brings(tx.action(), &signer) && !places.contains(&place) && found.insert(place) {
                unseen.push(place);
            }
        }
    }
    Ok(found)
}

fn tx_at(reader: &Reader, place: Place) -> Result<Tx, StoreError> {
    let block = reader.block(place.height)?;
    block
        .and_then(|mut block| {
            let index = place.index as usize;
            (index < block.txs.len()).then(|| block.txs.swap_remove(index))
        })
        .ok_or_else(|| damaged(place.height, "a transaction is missing"))
}

/// Whether an action brings a key onto the ledger.
fn brings(action: &Action, id: &KeyId) -> bool {
    let wanted: Digest = id.digest();
    match action {
        Action::AdmitMember(member) => member.keys.iter().any(|key| key.id() == wanted),
        Action::AddKey(key) => MemberKey::id(key) == wanted,
        Action::BindSubjectKey { key, .. } => key.id() == *id,
        _ => false,
    }
}

fn damaged(height: Height, what: &str) -> StoreError {
    StoreError::Damaged {
        height,
        what: what.to_owned(),
    }
}
