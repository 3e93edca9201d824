//! `LedgerService`: status, blocks, receipts and history proofs.

use std::{pin::Pin, time::Duration};

use futures::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use xinqiao_contracts::parameters;
use xinqiao_ledger::{
    checkpoint::MAX_CHUNKS,
    ids::{Height, TxId},
    wire::{self, ledger_service_server::LedgerService},
};
use xinqiao_rpc::{Fault, PeerIdentity, Reason};
use xinqiao_store::Tip;

use super::{MAX_WAIT_MS, damaged, failed, off_loop, within};
use crate::{
    fault,
    replica::{Replica, WaitError, Way},
    shared::stopped,
};

/// The service.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) replica: Replica,
}

#[tonic::async_trait]
impl LedgerService for Ledger {
    async fn get_status(
        &self,
        request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        self.replica.shared.caller(&request)?;
        let tip = self.replica.tip();
        let parameters = parameters(&self.replica.state()).map_err(failed)?;
        let (role, txs, bytes) = match &self.replica.way {
            Way::Own(intake) => {
                let load = intake.mempool().load();
                (wire::NodeRole::Validator, load.txs, load.bytes)
            }
            Way::Relayed(_) => (wire::NodeRole::Follower, 0, 0),
            Way::Closed => (wire::NodeRole::Observer, 0, 0),
        };
        Ok(Response::new(wire::GetStatusResponse {
            chain_id: self.replica.chain().to_vec(),
            role: role.into(),
            height: tip.height,
            header_hash: tip.hash.to_vec(),
            state_commitment: tip.commitment.as_bytes().to_vec(),
            time_ms: tip.time,
            mempool_transactions: u32::try_from(txs).unwrap_or(u32::MAX),
            mempool_bytes: bytes as u64,
            halted: self.replica.halted().unwrap_or_default(),
            max_expiry_window: parameters.max_expiry_window,
            first_block: self.replica.reader().first_block().map_err(damaged)?,
        }))
    }

    async fn get_block(
        &self,
        request: Request<wire::GetBlockRequest>,
    ) -> Result<Response<wire::GetBlockResponse>, Status> {
        self.replica.shared.caller(&request)?;
        let height = request.get_ref().height;
        within("height", height, 1, u64::MAX)?;
        let answer = off_loop(&self.replica, move |replica| {
            let reader = replica.reader();
            let block = reader.wire_block(height).map_err(damaged)?;
            let outcomes = reader.encoded_outcomes(height).map_err(damaged)?;
            match (block, outcomes) {
                (Some(block), Some(outcomes)) => Ok(wire::GetBlockResponse {
                    block: Some(block),
                    outcomes,
                }),
                _ => Err(no_block(height)),
            }
        });
        answer.await.map(Response::new)
    }

    type StreamBlocksStream =
        Pin<Box<dyn Stream<Item = Result<wire::StreamBlocksResponse, Status>> + Send>>;

    async fn stream_blocks(
        &self,
        request: Request<wire::StreamBlocksRequest>,
    ) -> Result<Response<Self::StreamBlocksStream>, Status> {
        let caller = self.replica.shared.caller(&request)?;
        let from = request.get_ref().from_height;
        within("from_height", from, 1, u64::MAX)?;
        let following = Following {
            replica: self.replica.clone(),
            peer: caller.peer,
            tips: self.replica.watch(),
            stop: self.replica.shared.stop.clone(),
            next: from,
        };
        let blocks = stream::try_unfold(following, |mut following| async move {
            let block = following.next().await?;
            Ok(block.map(|block| (wire::StreamBlocksResponse { block: Some(block) }, following)))
        });
        Ok(Response::new(Box::pin(blocks)))
    }

    async fn get_receipt(
        &self,
        request: Request<wire::GetReceiptRequest>,
    ) -> Result<Response<wire::GetReceiptResponse>, Status> {
        self.replica.shared.caller(&request)?;
        let wire::GetReceiptRequest { tx_id, wait_ms } = request.into_inner();
        let id = TxId::parse("tx_id", &tx_id).map_err(fault::malformed)?;
        within("wait_ms", wait_ms.into(), 0, MAX_WAIT_MS.into())?;
        let receipt = receipt_within(&self.replica, id, wait_ms).await?;
        let receipt =
            receipt.ok_or_else(|| Fault::new(Reason::TxNotFound).with("tx_id", id).status())?;
        Ok(Response::new(wire::GetReceiptResponse {
            receipt: Some(receipt),
        }))
    }

    async fn get_handovers(
        &self,
        request: Request<wire::GetHandoversRequest>,
    ) -> Result<Response<wire::GetHandoversResponse>, Status> {
        self.replica.shared.caller(&request)?;
        let after = request.get_ref().after_height;
        let answer = off_loop(&self.replica, move |replica| {
            let id = &replica.genesis().distinguishing_id;
            let handovers = replica.reader().handovers(id, after, HANDOVERS);
            let handovers = handovers.map_err(damaged)?;
            Ok(wire::GetHandoversResponse { handovers })
        });
        answer.await.map(Response::new)
    }

    async fn get_snapshot(
        &self,
        request: Request<wire::GetSnapshotRequest>,
    ) -> Result<Response<wire::GetSnapshotResponse>, Status> {
        self.replica.shared.caller(&request)?;
        let offer = off_loop(&self.replica, |replica| {
            let offer = replica.reader().snapshot().map_err(damaged)?;
            offer.ok_or_else(|| Fault::new(Reason::SnapshotNotFound).status())
        });
        Ok(Response::new(wire::GetSnapshotResponse {
            snapshot: Some((&offer.await?).into()),
        }))
    }

    async fn get_snapshot_chunk(
        &self,
        request: Request<wire::GetSnapshotChunkRequest>,
    ) -> Result<Response<wire::GetSnapshotChunkResponse>, Status> {
        self.replica.shared.caller(&request)?;
        let wire::GetSnapshotChunkRequest { height, index } = request.into_inner();
        within("height", height, 1, u64::MAX)?;
        within("index", index.into(), 0, MAX_CHUNKS as u64 - 1)?;
        let answer = off_loop(&self.replica, move |replica| {
            let chunk = (replica.reader())
                .snapshot_chunk(height, index as usize)
                .map_err(damaged)?;
            let missing = || {
                let fault = Fault::new(Reason::SnapshotNotFound);
                fault.with("height", height).with("index", index).status()
            };
            let chunk = chunk.ok_or_else(missing)?;
            Ok(wire::GetSnapshotChunkResponse { chunk })
        });
        answer.await.map(Response::new)
    }

    async fn get_history_proof(
        &self,
        request: Request<wire::GetHistoryProofRequest>,
    ) -> Result<Response<wire::GetHistoryProofResponse>, Status> {
        self.replica.shared.caller(&request)?;
        let wire::GetHistoryProofRequest { height, tip_height } = request.into_inner();
        within("height", height, 1, u64::MAX - 1)?;
        within("tip_height", tip_height, height + 1, u64::MAX)?;
        let answer = off_loop(&self.replica, move |replica| {
            let reader = replica.reader();
            let head = |height| {
                reader
                    .head(height)
                    .map_err(damaged)?
                    .ok_or_else(|| no_block(height))
            };
            let (earlier, tip) = (head(height)?, head(tip_height)?);
            let inclusion = reader.history_path(height, tip_height).map_err(damaged)?;
            let consistency = reader
                .history_consistency(height, tip_height)
                .map_err(damaged)?;
            Ok(wire::GetHistoryProofResponse {
                header: earlier.encoded,
                tip_header: tip.encoded,
                tip_certificate: Some(tip.certificate),
                inclusion: Some((&inclusion).into()),
                consistency: consistency
                    .iter()
                    .map(|digest| digest.as_bytes().to_vec())
                    .collect(),
            })
        });
        answer.await.map(Response::new)
    }
}

/// Changes of validators that one answer holds at most.
const HANDOVERS: usize = 100;

/// The receipt of a transaction, if it is final within the time.
pub(super) async fn receipt_within(
    replica: &Replica,
    id: TxId,
    wait_ms: u32,
) -> Result<Option<wire::Receipt>, Status> {
    if wait_ms > 0 {
        let patience = Duration::from_millis(wait_ms.into());
        match replica.wait_final(&id, patience).await {
            Ok(_) | Err(WaitError::Timeout(_)) => {}
            Err(WaitError::Halted(_)) => return Err(Fault::new(Reason::NodeHalted).status()),
            Err(WaitError::Stopping) => {
                return Err(Fault::new(Reason::UpstreamUnavailable)
                    .because("the node is stopping")
                    .status());
            }
            Err(WaitError::Store(fault)) => return Err(damaged(fault)),
        }
    }
    off_loop(replica, move |replica| {
        replica.receipt(&id).map_err(damaged)
    })
    .await
}

fn no_block(height: Height) -> Status {
    Fault::new(Reason::BlockNotFound)
        .with("height", height)
        .status()
}

/// A peer that follows this node.
struct Following {
    replica: Replica,
    peer: PeerIdentity,
    tips: watch::Receiver<Tip>,
    stop: watch::Receiver<bool>,
    next: Height,
}

impl Following {
    /// The next block, as soon as there is one; none when the node stops. The peer's standing is
    /// looked at for every block: an expelled member gets no more.
    async fn next(&mut self) -> Result<Option<wire::Block>, Status> {
        let next = self.next;
        tokio::select! {
            () = stopped(&mut self.stop) => return Ok(None),
            there = self.tips.wait_for(|tip| tip.height >= next) => if there.is_err() {
                return Ok(None);
            }
        }
        let peer = self.peer.clone();
        let block = off_loop(&self.replica, move |replica| {
            replica.shared.check(&peer)?;
            let block = replica.reader().wire_block(next).map_err(damaged)?;
            block.ok_or_else(|| no_block(next))
        });
        let block = block.await?;
        self.next += 1;
        Ok(Some(block))
    }
}
