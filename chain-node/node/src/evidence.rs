//! Gathering the evidence of one order: every transaction that it rests on, and every block that
//! recorded a deadline of it, each with its receipt and its path to one certified header. Whether it proves anything is for the reader to check.

use std::collections::BTreeSet;

use tonic::Status;
use xinqiao_contracts::{StateFault, StateRead, query, record::HistoryRecord, table};
use xinqiao_crypto::{Digest, KeyId};
use xinqiao_ledger::{
    action::Action,
    block::Header,
    evidence::{MAX_HANDOVERS, MAX_RECEIPTS},
    governance::Change,
    ids::{Height, OrderId, TxId},
    member::MemberKey,
    outcome::{Event, Outcome},
    wire,
};
use xinqiao_rpc::{Fault, Reason};
use xinqiao_store::{Error as StoreError, Place, Reader};

use crate::{fault, replica::Replica, service};

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
            NoEvidence::Store(fault) => service::damaged(fault),
            NoEvidence::State(fault) => fault::internal(&fault),
        }
    }
}

/// What an order rests on.
struct Basis {
    /// Transactions.
    places: BTreeSet<Place>,
    /// Blocks whose deadlines changed something of it.
    blocks: BTreeSet<Height>,
    /// The key that its deliveries are sealed to.
    recipient: KeyId,
}

/// The bundle of one order.
pub(crate) fn gather(
    replica: &Replica,
    order: &OrderId,
) -> Result<wire::EvidenceBundle, NoEvidence> {
    let reader = replica.reader();
    let view = replica.state();
    let tip = view.tip()?;
    let mut basis = basis(reader, &view, order)?;
    let (places, blocks) = key_places(reader, &view, &basis)?;
    basis.places.extend(places);
    basis.blocks.extend(blocks);
    if basis.places.len() + basis.blocks.len() > MAX_RECEIPTS {
        return Err(NoEvidence::TooMuch);
    }
    let head = reader
        .head(tip.height)?
        .ok_or_else(|| damaged(tip.height, "the tip's header is missing"))?;
    let history_path = |height| {
        if height == tip.height {
            return Ok(None);
        }
        let path = reader.history_path(height, tip.height)?;
        Ok::<_, StoreError>(Some((&path).into()))
    };
    let receipts = basis
        .places
        .into_iter()
        .map(|place| {
            Ok(wire::EvidenceReceipt {
                receipt: Some(reader.receipt_at(place)?),
                history_path: history_path(place.height)?,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    let blocks = basis
        .blocks
        .into_iter()
        .map(|height| {
            Ok(wire::EvidenceBlock {
                receipt: Some(reader.block_receipt(height)?),
                history_path: history_path(height)?,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    let id = &replica.genesis().distinguishing_id;
    let mut handovers = reader.handovers(id, 0, MAX_HANDOVERS)?;
    // The tip's own handover is the next height's business.
    handovers
        .retain(|one| Header::parse(&one.header).is_ok_and(|it| it.height < head.header.height));
    Ok(wire::EvidenceBundle {
        version: 1,
        chain_id: replica.chain().to_vec(),
        order: order.to_vec(),
        receipts,
        tip_header: head.encoded,
        tip_certificate: Some(head.certificate),
        blocks,
        handovers,
    })
}

/// What the order rests on: the consent and its changes, the registrations of the parts' roots, the
/// order and all that became of it.
fn basis(reader: &Reader, state: &impl StateRead, id: &OrderId) -> Result<Basis, NoEvidence> {
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
    let mut blocks = BTreeSet::new();
    for HistoryRecord { height, tx } in history {
        match tx {
            Some(tx) => {
                places.insert(place_of(reader, &tx, height)?);
            }
            // A deadline that fired: the block's own outcome tells of it.
            None => drop(blocks.insert(height)),
        }
    }
    Ok(Basis {
        places,
        blocks,
        recipient: order.placed.recipient,
    })
}

/// The transactions that brought the keys which signed, and the key that is sealed to, as far as the
/// genesis did not: without them a reader could not check the signatures, nor whose key that is. For the
/// keys of members that a vote admitted, these are the proposals, and the blocks that carried them out.
fn key_places(
    reader: &Reader,
    state: &impl StateRead,
    basis: &Basis,
) -> Result<(BTreeSet<Place>, BTreeSet<Height>), NoEvidence> {
    let mut found = BTreeSet::new();
    let mut blocks = BTreeSet::new();
    let mut known = BTreeSet::new();
    let mut unseen = vec![basis.recipient];
    for place in &basis.places {
        unseen.push(reader.tx_at(*place)?.meta().signer);
    }
    // Whoever brought a key has signed with one that may have been brought in turn.
    while let Some(key) = unseen.pop() {
        if !known.insert(key) {
            continue;
        }
        let Some(record) = table::KEYS.get(state, &key)? else {
            continue;
        };
        if record.valid_from == 0 {
            continue;
        }
        for (place, tx) in reader.kept_txs(record.valid_from)? {
            if brings(tx.action(), &key) && found.insert(place) {
                unseen.push(tx.meta().signer);
            }
        }
        for id in carried_out(reader, record.valid_from)? {
            let place = place_of(reader, &id, record.valid_from)?;
            let tx = reader.tx_at(place)?;
            if proposes(tx.action(), &key) {
                blocks.insert(record.valid_from);
                if found.insert(place) {
                    unseen.push(tx.meta().signer);
                }
            }
        }
    }
    Ok((found, blocks))
}

/// The proposals that a block carried out.
fn carried_out(reader: &Reader, height: Height) -> Result<Vec<TxId>, StoreError> {
    let Outcome::Applied(events) = reader.own_outcome(height)? else {
        return Ok(Vec::new());
    };
    let enacted = events.iter().filter_map(|event| match event {
        Event::ProposalChanged(it) if it.status() == wire::ProposalStatus::Enacted => {
            TxId::parse("proposal", &it.proposal).ok()
        }
        _ => None,
    });
    Ok(enacted.collect())
}

/// Whether an action proposes to admit a member with that key.
fn proposes(action: &Action, id: &KeyId) -> bool {
    let Action::Propose(proposal) = action else {
        return false;
    };
    let wanted: Digest = id.digest();
    proposal.changes.iter().any(|change| match change {
        Change::AdmitMember(member) => member.keys.iter().any(|key| key.id() == wanted),
        _ => false,
    })
}

/// The place of a transaction that the state says is at or below a height.
fn place_of(reader: &Reader, tx: &TxId, height: Height) -> Result<Place, StoreError> {
    if let Some(place) = reader.place(tx)? {
        return Ok(place);
    }
    let first = reader.first_block()?;
    Err(if height < first {
        StoreError::Pruned { height, first }
    } else {
        damaged(height, "a transaction that the state names is missing")
    })
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
