//! `SubmissionService`: taking transactions. An observer does not even have it.

use futures::future::join_all;
use tonic::{Request, Response, Status};
use xinqiao_ledger::{
    ids::TxId,
    malformed::{Malformed, Problem, list},
    wire::{self, submission_result, submission_service_server::SubmissionService},
};
use xinqiao_rpc::{Fault, Reason, Role};

use super::{MAX_WAIT_MS, ledger::receipt_within, within};
use crate::{
    fault::{self, SubmitFault},
    relay::RELAYED,
    replica::Replica,
};

/// Transactions that one call may hand in.
const MAX_AT_ONCE: usize = 256;

/// The service.
#[derive(Clone)]
pub(crate) struct Submission {
    pub(crate) replica: Replica,
}

impl Submission {
    /// Lets a caller in that may hand in transactions; says how many nodes have relayed its call.
    fn admit<T>(&self, request: &Request<T>) -> Result<u32, Status> {
        let caller = self.replica.shared.caller(request)?;
        if caller.peer.role == Role::Observer {
            return Err(Fault::new(Reason::RoleDenied)
                .because("an observer's certificate sends no transactions")
                .status());
        }
        let relayed = request.metadata().get(RELAYED);
        Ok(relayed
            .and_then(|count| count.to_str().ok()?.parse().ok())
            .unwrap_or(0))
    }
}

#[tonic::async_trait]
impl SubmissionService for Submission {
    async fn submit_transaction(
        &self,
        request: Request<wire::SubmitTransactionRequest>,
    ) -> Result<Response<wire::SubmitTransactionResponse>, Status> {
        let relayed = self.admit(&request)?;
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

    async fn submit_transactions(
        &self,
        request: Request<wire::SubmitTransactionsRequest>,
    ) -> Result<Response<wire::SubmitTransactionsResponse>, Status> {
        let relayed = self.admit(&request)?;
        let transactions = request.into_inner().transactions;
        list("transactions", &transactions, 1, MAX_AT_ONCE, |_, _| Ok(()))
            .map_err(fault::malformed)?;
        let submitted = transactions
            .into_iter()
            .map(|transaction| self.replica.submit_after(transaction, relayed));
        let results = join_all(submitted).await;
        Ok(Response::new(wire::SubmitTransactionsResponse {
            results: results.into_iter().map(result).collect(),
        }))
    }
}

/// What came of one of several: what a call for it alone would have been answered.
fn result(submitted: Result<TxId, SubmitFault>) -> wire::SubmissionResult {
    let result = match submitted {
        Ok(id) => submission_result::Result::TxId(id.to_vec()),
        Err(fault) => {
            let status = Status::from(fault);
            submission_result::Result::Refused(wire::SubmissionRefusal {
                code: i32::from(status.code()).unsigned_abs(),
                message: status.message().to_owned(),
                details: status.details().to_vec(),
            })
        }
    };
    wire::SubmissionResult {
        result: Some(result),
    }
}
