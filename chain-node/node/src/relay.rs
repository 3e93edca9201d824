//! Handing transactions on to an upstream. The transaction is relayed byte for byte; who may send
//! what is decided by its signature, not by who relays it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tonic::{Code, Request};
use xinqiao_ledger::{
    ids::TxId,
    wire::{self, submission_service_client::SubmissionServiceClient},
};
use xinqiao_rpc::{FaultView, Reason, limited};

use crate::{fault::SubmitFault, upstream::Feed};

/// How many nodes a transaction may pass through: a ring of followers ends here.
const MAX_RELAYS: u32 = 4;

/// How long one upstream may take. Whatever became of it there, the next one is sent the same bytes, which
/// are ordered once.
const ANSWER: Duration = Duration::from_secs(3);

/// Header of a relayed call: how many nodes have relayed it.
pub(crate) const RELAYED: &str = "xinqiao-relayed";

/// The upstreams that take transactions.
pub(crate) struct Relay {
    upstreams: Vec<Feed>,
    /// The one that answered last.
    preferred: AtomicUsize,
}

impl Relay {
    pub(crate) fn new(upstreams: &[Feed]) -> Arc<Self> {
        Arc::new(Self {
            upstreams: upstreams.to_vec(),
            preferred: AtomicUsize::new(0),
        })
    }

    /// Sends it to the first upstream that answers.
    pub(crate) async fn submit(
        &self,
        id: TxId,
        transaction: wire::Transaction,
        relayed: u32,
    ) -> Result<(), SubmitFault> {
        if relayed >= MAX_RELAYS {
            return Err(SubmitFault::Unreachable(
                "the transaction was relayed too often: the followers follow each other".into(),
            ));
        }
        let first = self.preferred.load(Ordering::Relaxed);
        let mut unreachable = String::new();
        for offset in 0..self.upstreams.len() {
            let index = (first + offset) % self.upstreams.len();
            let Feed { uri, channel } = &self.upstreams[index];
            let mut request = Request::new(wire::SubmitTransactionRequest {
                transaction: Some(transaction.clone()),
                wait_ms: 0,
            });
            request.set_timeout(ANSWER);
            request.metadata_mut().insert(RELAYED, (relayed + 1).into());
            let mut client = limited!(SubmissionServiceClient::new(channel.clone()));
            let status = match client.submit_transaction(request).await {
                Ok(_) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(());
                }
                Err(status) => status,
            };
            let view = FaultView::from_status(&status);
            match view.reason {
                // An upstream before this one may have taken it, and its answer been lost.
                Some(Reason::TxReplayed) if offset > 0 => return Ok(()),
                Some(Reason::TxReplayed) => return Err(SubmitFault::Replayed(id)),
                Some(Reason::ReadOnlyNode | Reason::NodeHalted | Reason::Deadline) => {}
                _ if !matches!(status.code(), Code::Unavailable | Code::Unimplemented) => {
                    return Err(SubmitFault::Upstream(Box::new(status)));
                }
                _ => {}
            }
            tracing::warn!(upstream = %uri, fault = %view, "an upstream takes no transactions");
            unreachable = format!("{uri}: {view}");
        }
        Err(SubmitFault::Unreachable(unreachable))
    }
}
