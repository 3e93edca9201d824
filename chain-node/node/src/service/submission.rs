//! `SubmissionService`: taking transactions. An observer does not even have it.

use tonic::{Request, Response, Status};
use xinqiao_ledger::{
    malformed::{Malformed, Problem},
    wire::{self, submission_service_server::SubmissionService},
};
use xinqiao_rpc::{Fault, Reason, Role};

use super::{MAX_WAIT_MS, ledger::receipt_within, within};
use crate::{fault, relay::RELAYED, replica::Replica};

/// The service.
#[derive(Clone)]
pub(crate) struct Submission {
    pub(crate) replica: Replica,
}

#[tonic::async_trait]
impl SubmissionService for Submission {
    async fn submit_transaction(
        &self,
        request: Request<wire::SubmitTransactionRequest>,
    ) -> Result<Response<wire::SubmitTransactionResponse>, Status> {
        let caller = self.replica.shared.caller(&request)?;
        if caller.peer.role == Role::Observer {
            return Err(Fault::new(Reason::RoleDenied)
                .because("an observer's certificate sends no transactions")
                .status());
        }
        let relayed = request
            .metadata()
            .get(RELAYED)
            .and_then(|count| count.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        let wire::SubmitTransactionRequest {
            transaction,
            wait_ms,
        } = request.into_inner();
        within("wait_ms", wait_ms.into(), 0, MAX_WAIT_MS.into())?;
        let transaction = transaction
            .ok_or_else(|| fault::malformed(Malformed::new("transaction", Problem::Required)))?;
        let id = self.replica.submit_after(transaction, relayed).await?;
        let receipt = if wait_ms > 0 {
            receipt_within(&self.replica, id, wait_ms).await?
        } else {
            None
        };
        Ok(Response::new(wire::SubmitTransactionResponse {
            tx_id: id.to_vec(),
            receipt,
        }))
    }
}
