//! `SubmissionService`: taking transactions. An observer does not even have it.

use std::time::Duration;

use futures::future::join_all;
use tonic::{Request, Response, Status};
use xinqiao_ledger::{
    ids::TxId,
    malformed::{Malformed, Problem, list},
    tx::Tx,
    wire::{self, submission_result, submission_service_server::SubmissionService},
};
use xinqiao_rpc::{Fault, FaultView, Reason, Role};

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

impl Submission {
    /// The receipt of a transaction that is not taken because it was before: whoever hands in the same
    /// bytes again gets the same answer. If it was not, the fault; an expiry that has passed is one only
    /// once this node has all blocks up to it, so that it says that the transaction never was ordered.
    async fn ordered_before(
        &self,
        transaction: wire::Transaction,
        fault: SubmitFault,
        wait_ms: u32,
    ) -> Result<(TxId, wire::Receipt), Status> {
        let status = Status::from(fault);
        let view = FaultView::from_status(&status);
        let meta = match Tx::from_wire(transaction) {
            Ok(tx) if !view.is_transient() => *tx.meta(),
            _ => return Err(status),
        };
        let mut left_ms = 0;
        match view.reason {
            // It is in a block, which may have to come here first.
            Some(Reason::TxReplayed) => left_ms = wait_ms,
            Some(Reason::TxExpired) => {
                let mut tips = self.replica.watch();
                let there = tips.wait_for(|tip| tip.height >= meta.expires_at);
                let patience = Duration::from_millis(wait_ms.into());
                if !matches!(tokio::time::timeout(patience, there).await, Ok(Ok(_))) {
                    return Err(Fault::new(Reason::Deadline)
                        .because("whether the transaction was ordered is not known here yet")
                        .with("tx_id", meta.id)
                        .status());
                }
            }
            _ => {}
        }
        match receipt_within(&self.replica, meta.id, left_ms).await? {
            Some(receipt) => Ok((meta.id, receipt)),
            None => Err(status),
        }
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
        if wait_ms == 0 {
            let id = self.replica.submit_after(transaction, relayed).await?;
            return Ok(Response::new(wire::SubmitTransactionResponse {
                tx_id: id.to_vec(),
                receipt: None,
            }));
        }
        let handed_in = self.replica.submit_after(transaction.clone(), relayed);
        let (id, receipt) = match handed_in.await {
            Ok(id) => (id, receipt_within(&self.replica, id, wait_ms).await?),
            Err(fault) => {
                let (id, receipt) = self.ordered_before(transaction, fault, wait_ms).await?;
                (id, Some(receipt))
            }
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
