//! Signing transactions and handing them in, again and again, until the replica shows their end.
//!
//! What an upstream answers is never taken for an end: it may be wrong, or lie. An answer only says
//! how soon to hand in again.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use xinqiao_contracts::{StateFault, parameters};
use xinqiao_crypto::SecretKey;
use xinqiao_ledger::{
    action::Delivery,
    ids::{Height, TxId},
    order::{PartRef, PartRejection},
    tx::{Tx, id_of},
    wire::{self, tx_body::Action},
};
use xinqiao_node::{Replica, SubmitFault};

/// First pause after a submission was not taken; it doubles up to the resubmission time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A signed transaction.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) tx: wire::Transaction,
    pub(crate) id: TxId,
    /// Last height at which it may be ordered.
    pub(crate) expires_at: Height,
}

/// Signs for the widest window that the chain allows by now: what was not ordered when it has passed
/// never will be, and is signed anew.
///
/// # Errors
/// When the replica's store fails.
pub(crate) fn sign(
    replica: &Replica,
    key: &SecretKey,
    action: Action,
) -> Result<Signed, StateFault> {
    let genesis = replica.genesis();
    let chain = replica.chain();
    let window = parameters(&replica.state())?.max_expiry_window;
    let expires_at = replica.tip().height + window;
    let tx = Tx::sign(
        action,
        &chain,
        expires_at,
        key,
        &genesis.distinguishing_id,
        &mut rand::rng(),
    );
    let id = id_of(&chain, &key.public().id(), &tx.body);
    Ok(Signed { tx, id, expires_at })
}

/// Hands a transaction in until the replica has it or it cannot be ordered any more.
pub(crate) async fn hand_in(replica: Replica, signed: Arc<Signed>, again_after: Duration) {
    let mut pause = FIRST_PAUSE;
    loop {
        match replica.submit(signed.tx.clone()).await {
            Ok(_) => sleep(again_after).await,
            Err(SubmitFault::Replayed(_)) => return,
            Err(fault) => {
                tracing::warn!(tx = %signed.id, %fault, "a transaction was not taken; trying again");
                sleep(pause).await;
                pause = (pause * 2).min(again_after);
            }
        }
        if replica.tip().height > signed.expires_at
            || matches!(replica.is_final(&signed.id), Ok(Some(_)))
        {
            return;
        }
    }
}

/// Says that a part is being worked on.
pub(crate) fn accept(part: &PartRef) -> Action {
    Action::AcceptPart(wire::AcceptPart {
        order: part.order.to_vec(),
        part: u32::from(part.part),
    })
}

/// The record of a delivery.
pub(crate) fn deliver(delivery: &Delivery) -> Action {
    Action::DeliverPart(delivery.into())
}

/// The refusal of a part.
pub(crate) fn reject(part: &PartRef, reason: PartRejection) -> Action {
    Action::RejectPart(wire::RejectPart {
        order: part.order.to_vec(),
        part: u32::from(part.part),
        reason: reason.to_wire(),
    })
}
