//! The replica's proof that a delivery is recorded, as the delivery machine takes it.

use xinqiao_crypto::KeyId;
use xinqiao_dispatch::delivery::FinalDelivery;
use xinqiao_ledger::{
    action::{Action, Delivery},
    ids::TxId,
    outcome::Outcome,
    tx::Tx,
};
use xinqiao_node::{Final, Replica};
use xinqiao_store::Error as StoreError;

/// A delivery in a block that this node's own replica has checked, executed and put on disk.
///
/// The one implementation of [`FinalDelivery`]: the [`Final`] in it is made by the replica alone, and
/// the delivery is that of the transaction whose id the replica vouches for.
#[derive(Debug)]
pub(crate) struct OnReplica {
    proof: Final,
    delivery: Delivery,
    is_own: bool,
}

impl OnReplica {
    /// The proof for a transaction, if it is a delivery and final on the replica. `me` is this node's key.
    pub(crate) fn of(replica: &Replica, tx: &Tx, me: &KeyId) -> Result<Option<Self>, StoreError> {
        let Action::DeliverPart(delivery) = tx.action() else {
            return Ok(None);
        };
        Ok(replica.is_final(&tx.meta().id)?.map(|proof| Self {
            proof,
            delivery: delivery.clone(),
            is_own: tx.meta().signer == *me,
        }))
    }

    /// The proof for a transaction that the replica's state names.
    pub(crate) fn find(
        replica: &Replica,
        id: &TxId,
        me: &KeyId,
    ) -> Result<Option<Self>, StoreError> {
        let Some(proof) = replica.is_final(id)? else {
            return Ok(None);
        };
        let Some(block) = replica.applied(proof.height())? else {
            return Ok(None);
        };
        match block.txs.iter().find(|tx| tx.meta().id == *id) {
            Some(tx) => Self::of(replica, tx, me),
            None => Ok(None),
        }
    }
}

impl FinalDelivery for OnReplica {
    fn id(&self) -> TxId {
        self.proof.id()
    }

    fn is_own(&self) -> bool {
        self.is_own
    }

    fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    fn outcome(&self) -> &Outcome {
        self.proof.outcome()
    }
}
