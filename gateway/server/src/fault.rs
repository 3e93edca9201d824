//! What other processes answered, as this gateway passes it on.

use tonic::{Code, Status};
use xinqiao_rpc::{Fault, FaultView, Reason};

/// The status of a call to another process, as our own caller gets it: its code, text and details when
/// it has our details; otherwise that a process could not be reached, and the rest goes to the log.
pub(crate) fn passed_on(whom: &str, status: &Status) -> Status {
    let view = FaultView::from_status(status);
    if let Some(status) = view.relayed(status) {
        return status;
    }
    tracing::warn!(whom, code = ?status.code(), message = %view.message, "a call to another process failed");
    match view.reason {
        Some(Reason::Deadline) => Fault::new(Reason::Deadline).status(),
        _ if status.code() == Code::Internal => Fault::new(Reason::Internal).status(),
        _ => Fault::new(Reason::UpstreamUnavailable).status(),
    }
}

/// Whether the same call may succeed shortly without being changed.
pub(crate) fn is_transient(status: &Status) -> bool {
    FaultView::from_status(status).is_transient()
}
