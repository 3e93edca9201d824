//! A gateway that lies: it stands between the holder and the chain, and serves both as it likes.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use futures::{Stream, stream};
use prost::Message;
use tokio::sync::{oneshot, watch};
use tonic::{Request, Response, Status};
use xinqiao_ledger::{
    ids::{Height, TxId},
    tx::Tx,
    wire::{
        self,
        ledger_service_server::{LedgerService, LedgerServiceServer},
        submission_service_server::{SubmissionService, SubmissionServiceServer},
    },
};
use xinqiao_node::{Replica, Upstream};
use xinqiao_rpc::{RunningServer, ServerBuilder, limited, peer::Role};

use crate::world::{World, local};

/// What it does with what it is given.
#[derive(Clone)]
pub(crate) struct Lies {
    /// Blocks above this height it keeps to itself.
    pub(crate) hold_above: Height,
    /// Submissions it says it has committed, and throws away.
    pub(crate) swallow: bool,
    /// A block of its own making that it sends where the next one would be.
    pub(crate) forged: Option<wire::Block>,
}

impl Default for Lies {
    fn default() -> Self {
        Self {
            hold_above: Height::MAX,
            swallow: false,
            forged: None,
        }
    }
}

/// The gateway, as tests see it.
pub(crate) struct Liar {
    lies: watch::Sender<Lies>,
    seen: Arc<Mutex<Vec<wire::Transaction>>>,
    server: RunningServer,
    _stop: oneshot::Sender<()>,
}

#[derive(Clone)]
struct Service {
    honest: Replica,
    lies: watch::Receiver<Lies>,
    seen: Arc<Mutex<Vec<wire::Transaction>>>,
}

impl Liar {
    pub(crate) async fn start(world: &World) -> Self {
        let (lies, told) = watch::channel(Lies::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let service = Service {
            honest: world.honest(),
            lies: told,
            seen: Arc::clone(&seen),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = ServerBuilder::mutual_tls(&world.identity("sh-bureau", Role::Node))
            .add_service(limited!(LedgerServiceServer::new(service.clone())))
            .add_service(limited!(SubmissionServiceServer::new(service)))
            .bind(local())
            .await
            .unwrap()
            .spawn(async move {
                let _ = stopped.await;
            });
        Self {
            lies,
            seen,
            server,
            _stop: stop,
        }
    }

    pub(crate) fn upstream(&self) -> Upstream {
        Upstream {
            org: "sh-bureau".into(),
            uri: format!("https://{}", self.server.local_addr()),
        }
    }

    pub(crate) fn lie(&self, change: impl FnOnce(&mut Lies)) {
        self.lies.send_modify(change);
    }

    /// The record of a delivery that was handed in here, once there is one.
    pub(crate) fn deliveries(&self) -> Vec<wire::Transaction> {
        let seen = self.seen.lock().unwrap();
        let is_delivery = |tx: &&wire::Transaction| {
            matches!(
                parse(tx).action(),
                xinqiao_ledger::action::Action::DeliverPart(_)
            )
        };
        seen.iter().filter(is_delivery).cloned().collect()
    }

    /// All bytes that the holder has sent here.
    pub(crate) fn traffic(&self) -> Vec<u8> {
        let seen = self.seen.lock().unwrap();
        seen.iter().flat_map(Message::encode_to_vec).collect()
    }
}

pub(crate) fn parse(tx: &wire::Transaction) -> Tx {
    Tx::parse(&tx.encode_to_vec()).unwrap()
}

pub(crate) fn id_of(tx: &wire::Transaction) -> TxId {
    parse(tx).meta().id
}

#[tonic::async_trait]
impl SubmissionService for Service {
    async fn submit_transactions(
        &self,
        _: Request<wire::SubmitTransactionsRequest>,
    ) -> Result<Response<wire::SubmitTransactionsResponse>, Status> {
        Err(Status::unimplemented("a holder hands in one at a time"))
    }

    async fn submit_transaction(
        &self,
        request: Request<wire::SubmitTransactionRequest>,
    ) -> Result<Response<wire::SubmitTransactionResponse>, Status> {
        let tx = request.into_inner().transaction.unwrap();
        let id = id_of(&tx);
        self.seen.lock().unwrap().push(tx.clone());
        if !self.lies.borrow().swallow {
            self.honest.submit(tx).await?;
            return Ok(Response::new(wire::SubmitTransactionResponse {
                tx_id: id.to_vec(),
                receipt: None,
            }));
        }
        // It even shows a receipt: the last block's, with this transaction put into it.
        let tip = self.honest.tip().height;
        let block = self.honest.reader().wire_block(tip).unwrap().unwrap();
        Ok(Response::new(wire::SubmitTransactionResponse {
            tx_id: id.to_vec(),
            receipt: Some(wire::Receipt {
                header: block.header,
                certificate: block.certificate,
                transaction: tx.encode_to_vec(),
                transaction_path: Some(wire::MerklePath::default()),
                outcome: Vec::new(),
                outcome_path: Some(wire::MerklePath::default()),
            }),
        }))
    }
}

#[tonic::async_trait]
impl LedgerService for Service {
    async fn get_status(
        &self,
        _: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        Ok(Response::new(wire::GetStatusResponse {
            chain_id: self.honest.chain().to_vec(),
            height: self.honest.tip().height.min(self.lies.borrow().hold_above),
            ..Default::default()
        }))
    }

    type StreamBlocksStream =
        Pin<Box<dyn Stream<Item = Result<wire::StreamBlocksResponse, Status>> + Send>>;

    async fn stream_blocks(
        &self,
        request: Request<wire::StreamBlocksRequest>,
    ) -> Result<Response<Self::StreamBlocksStream>, Status> {
        let next = request.get_ref().from_height;
        let state = (self.clone(), self.honest.watch(), next);
        let blocks = stream::unfold(state, |(mut service, mut tips, next)| async move {
            loop {
                let tip = tips.borrow_and_update().height;
                let lies = service.lies.borrow_and_update().clone();
                let block = match lies.forged {
                    Some(forged) if next > lies.hold_above => Some(forged),
                    _ if next <= tip.min(lies.hold_above) => {
                        service.honest.reader().wire_block(next).unwrap()
                    }
                    _ => None,
                };
                if let Some(block) = block {
                    let message = wire::StreamBlocksResponse { block: Some(block) };
                    return Some((Ok(message), (service, tips, next + 1)));
                }
                tokio::select! {
                    changed = tips.changed() => changed.ok()?,
                    changed = service.lies.changed() => changed.ok()?,
                }
            }
        });
        Ok(Response::new(Box::pin(blocks)))
    }

    async fn get_block(
        &self,
        _: Request<wire::GetBlockRequest>,
    ) -> Result<Response<wire::GetBlockResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_receipt(
        &self,
        _: Request<wire::GetReceiptRequest>,
    ) -> Result<Response<wire::GetReceiptResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_snapshot(
        &self,
        _: Request<wire::GetSnapshotRequest>,
    ) -> Result<Response<wire::GetSnapshotResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_snapshot_chunk(
        &self,
        _: Request<wire::GetSnapshotChunkRequest>,
    ) -> Result<Response<wire::GetSnapshotChunkResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_handovers(
        &self,
        _: Request<wire::GetHandoversRequest>,
    ) -> Result<Response<wire::GetHandoversResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_history_proof(
        &self,
        _: Request<wire::GetHistoryProofRequest>,
    ) -> Result<Response<wire::GetHistoryProofResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
