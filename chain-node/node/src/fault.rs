//! What a caller did wrong, as a gRPC status. What the ledger's own terms become is decided in
//! `xinqiao_rpc::ledger_fault`, for gateways, holders and agents too.

use std::time::Duration;

use tonic::Status;
use xinqiao_ledger::{ids::TxId, malformed::Malformed, outcome::Reason as Rejection};
use xinqiao_rpc::{Fault, Reason, ledger_fault};

use crate::mempool::Full;

/// When another try of a submission that found no room is worth it: some blocks later.
const MEMPOOL_RETRY: Duration = Duration::from_millis(250);

/// A field that is not what the contract says.
pub fn malformed(fault: Malformed) -> Status {
    ledger_fault::malformed(&fault).status()
}

/// Something that the operator has to see to. The caller learns no more than that; `error` is logged.
pub fn internal(error: &dyn std::error::Error) -> Status {
    tracing::error!(%error, "a call failed inside the node");
    Fault::new(Reason::Internal).status()
}

/// Why a node does not take a transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitFault {
    /// It is not well formed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The ledger would refuse it.
    #[error("{}", reason.code())]
    Refused {
        /// Why.
        reason: Rejection,
        /// Its id.
        id: TxId,
    },
    /// It was ordered before; nothing is lost.
    #[error("transaction {0} was ordered before")]
    Replayed(TxId),
    /// There is no room for it now.
    #[error(transparent)]
    Full(#[from] Full),
    /// The node refuses to go on.
    #[error("the node has halted: {0}")]
    Halted(String),
    /// The node only reads.
    #[error("this node only reads")]
    ReadOnly,
    /// The node would be a validator, and is none at present.
    #[error("this node is no validator at present")]
    NotInForce,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// The node that it was relayed to answered with a refusal.
    #[error("upstream: {0}")]
    Upstream(Box<Status>),
    /// No upstream can be reached.
    #[error("no upstream can be reached: {0}")]
    Unreachable(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] xinqiao_store::Error),
}

impl From<SubmitFault> for Status {
    fn from(fault: SubmitFault) -> Self {
        match fault {
            SubmitFault::Malformed(fault) => malformed(fault),
            SubmitFault::Refused { reason, .. } => ledger_fault::refused(reason, "").status(),
            SubmitFault::Replayed(id) => Fault::new(Reason::TxReplayed).with("tx_id", id).status(),
            SubmitFault::Full(full) => Fault::new(Reason::MempoolFull)
                .because(full.to_string())
                .retry_after(MEMPOOL_RETRY)
                .status(),
            SubmitFault::Halted(_) => Fault::new(Reason::NodeHalted).status(),
            SubmitFault::ReadOnly => Fault::new(Reason::ReadOnlyNode).status(),
            SubmitFault::NotInForce => Fault::new(Reason::UpstreamUnavailable)
                .because("this node is no validator at present: send it to one that is")
                .status(),
            SubmitFault::Stopping => Fault::new(Reason::UpstreamUnavailable)
                .because("the node is stopping")
                .status(),
            SubmitFault::Upstream(status) => *status,
            SubmitFault::Unreachable(_) => Fault::new(Reason::UpstreamUnavailable).status(),
            SubmitFault::Store(fault) => internal(&fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use xinqiao_rpc::FaultView;

    use super::*;

    #[test]
    fn a_full_mempool_says_when_to_come_again() {
        let view = FaultView::from_status(&SubmitFault::Full(Full::Txs(3)).into());
        assert_eq!(view.reason, Some(Reason::MempoolFull));
        assert_eq!(view.grpc_code, Code::ResourceExhausted);
        assert_eq!(view.retry_after, Some(MEMPOOL_RETRY));
    }
}
