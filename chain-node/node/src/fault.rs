//! What a caller did wrong, as a gRPC status: the one place where the ledger's own terms become
//! answers. Gateways, holders and agents use it too, so that one fault reads alike everywhere.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use xinqiao_ledger::{
    ids::TxId,
    malformed::{Malformed, Problem},
    outcome::Reason as Rejection,
};
use xinqiao_rpc::{Fault, Reason, fault::DOMAIN};

use crate::mempool::Full;

/// When another try of a submission that found no room is worth it: some blocks later.
const MEMPOOL_RETRY: Duration = Duration::from_millis(250);

/// A field that is not what the contract says.
pub fn malformed(fault: Malformed) -> Status {
    malformed_fault(fault).status()
}

fn malformed_fault(fault: Malformed) -> Fault {
    let reason = match fault.problem {
        Problem::Required => Reason::FieldRequired,
        Problem::Length { .. } => Reason::FieldLength,
        Problem::TooLong { .. } => Reason::FieldTooLong,
        Problem::TooMany { .. } => Reason::TooManyItems,
        Problem::Range { .. } => Reason::FieldRange,
        Problem::Format(_) => Reason::FieldFormat,
        Problem::UnknownEnum(_) => Reason::EnumUnknown,
        Problem::NotAscending => Reason::DuplicateItem,
        Problem::NotCanonical => Reason::NotCanonical,
        Problem::Undecodable(_) => Reason::MessageMalformed,
    };
    Fault::field(fault.field, reason, fault.problem.to_string())
}

/// A reason for which the ledger refuses. `subject` is what was at fault, such as an item code; it
/// may be empty.
///
/// Reasons that only a contract has travel under their own code as well: `FAILED_PRECONDITION`,
/// with the code in `ErrorInfo.reason`.
pub fn rejected(reason: Rejection, subject: &str) -> Status {
    if let Some(known) = Reason::from_code(reason.code()) {
        let fault = Fault::new(known);
        return if subject.is_empty() {
            fault.status()
        } else {
            fault.because(subject).with("subject", subject).status()
        };
    }
    let mut message = format!("The ledger refuses this: {}.", reason.code());
    let mut facts = std::collections::HashMap::new();
    if !subject.is_empty() {
        message.push_str(&format!(" ({subject})"));
        facts.insert("subject".to_owned(), subject.to_owned());
    }
    let details = ErrorDetails::with_error_info(reason.code(), DOMAIN, facts);
    Status::with_error_details(Code::FailedPrecondition, message, details)
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
            SubmitFault::Refused { reason, .. } => rejected(reason, ""),
            SubmitFault::Replayed(id) => Fault::new(Reason::TxReplayed).with("tx_id", id).status(),
            SubmitFault::Full(full) => Fault::new(Reason::MempoolFull)
                .because(full.to_string())
                .retry_after(MEMPOOL_RETRY)
                .status(),
            SubmitFault::Halted(_) => Fault::new(Reason::NodeHalted).status(),
            SubmitFault::ReadOnly => Fault::new(Reason::ReadOnlyNode).status(),
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
    use xinqiao_rpc::FaultView;

    use super::*;

    #[test]
    fn every_reason_of_the_ledger_travels_under_its_code() {
        for reason in Rejection::ALL {
            let view = FaultView::from_status(&rejected(*reason, "tax_payment"));
            assert_eq!(view.reason_code.as_deref(), Some(reason.code()));
            assert_eq!(view.metadata["subject"], "tax_payment", "{reason:?}");
            assert_ne!(view.grpc_code, Code::Ok);
        }
    }

    #[test]
    fn every_problem_of_a_field_travels_under_its_code_and_names_the_field() {
        for problem in [
            Problem::Required,
            Problem::Length {
                expected: 32,
                got: 31,
            },
            Problem::TooLong { max: 1, got: 2 },
            Problem::TooMany { max: 1, got: 2 },
            Problem::Range {
                min: 1,
                max: 2,
                got: 3,
            },
            Problem::Format("a slug"),
            Problem::UnknownEnum(7),
            Problem::NotAscending,
            Problem::NotCanonical,
            Problem::Undecodable("eof".into()),
        ] {
            let code = problem.code();
            let view =
                FaultView::from_status(&malformed(Malformed::new("order.items[2]", problem)));
            assert_eq!(view.reason_code.as_deref(), Some(code));
            assert_eq!(view.grpc_code, Code::InvalidArgument, "{code}");
            assert_eq!(view.violations[0].0, "order.items[2]");
        }
    }

    #[test]
    fn a_full_mempool_says_when_to_come_again() {
        let view = FaultView::from_status(&SubmitFault::Full(Full::Txs(3)).into());
        assert_eq!(view.reason, Some(Reason::MempoolFull));
        assert_eq!(view.grpc_code, Code::ResourceExhausted);
        assert_eq!(view.retry_after, Some(MEMPOOL_RETRY));
    }
}
