//! Upstreams that lie: dropped, never believed. And a quorum that lies: the follower halts.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use xinqiao_contracts::testing::secret;
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    block::{Block, Certificate},
    wire::{
        self,
        ledger_service_server::{LedgerService, LedgerServiceServer},
    },
};
use xinqiao_node::{Replica, SubmitFault, Upstream};
use xinqiao_rpc::{FaultView, Role, RunningServer, ServerBuilder, limited};

use crate::consortium::{Consortium, Running, assert_agree};

/// What it does to the blocks of an honest chain before it sends them.
pub(crate) type Lie = fn(Vec<wire::Block>) -> Vec<wire::Block>;

/// A node of `zj-bureau` that has an honest chain and does not tell it as it is.
#[derive(Clone)]
pub(crate) struct Liar {
    honest: Replica,
    lie: Lie,
    says_height: Option<u64>,
    chain: Option<Vec<u8>>,
    /// What it does to the snapshot that an honest node offers.
    pub(crate) offer: fn(&mut wire::Snapshot),
    /// What it sends for a chunk of a number.
    pub(crate) chunk: fn(u32, Vec<u8>) -> Result<Vec<u8>, Status>,
    /// Chunks that it was asked for.
    pub(crate) chunks: Arc<Mutex<Vec<u32>>>,
    /// How often it was asked for blocks.
    pub(crate) streams: Arc<Mutex<usize>>,
}

impl Liar {
    pub(crate) fn new(honest: &Running, lie: Lie) -> Self {
        Self {
            honest: honest.replica(),
            lie,
            says_height: None,
            chain: None,
            offer: |_| (),
            chunk: |_, chunk| Ok(chunk),
            chunks: Arc::default(),
            streams: Arc::default(),
        }
    }

    pub(crate) fn says_height(&mut self, height: u64) {
        self.says_height = Some(height);
    }

    pub(crate) async fn serve(
        self,
        consortium: &Consortium,
    ) -> (RunningServer, oneshot::Sender<()>) {
        self.serve_at(consortium, SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
    }

    pub(crate) async fn serve_at(
        self,
        consortium: &Consortium,
        address: SocketAddr,
    ) -> (RunningServer, oneshot::Sender<()>) {
        let identity = consortium.identity("zj-bureau", Role::Node);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = ServerBuilder::mutual_tls(&identity)
            .add_service(limited!(LedgerServiceServer::new(self)))
            .bind(address)
            .await
            .unwrap()
            .spawn(async move {
                let _ = stopped.await;
            });
        (server, stop)
    }
}

pub(crate) fn upstream(server: &RunningServer) -> Upstream {
    Upstream {
        org: "zj-bureau".into(),
        uri: format!("https://{}", server.local_addr()),
    }
}

#[tonic::async_trait]
impl LedgerService for Liar {
    async fn get_status(
        &self,
        _: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        let honest = self.honest.chain().to_vec();
        Ok(Response::new(wire::GetStatusResponse {
            chain_id: self.chain.clone().unwrap_or(honest),
            height: self.says_height.unwrap_or(self.honest.tip().height),
            ..Default::default()
        }))
    }

    type StreamBlocksStream =
        Pin<Box<dyn Stream<Item = Result<wire::StreamBlocksResponse, Status>> + Send>>;

    async fn stream_blocks(
        &self,
        request: Request<wire::StreamBlocksRequest>,
    ) -> Result<Response<Self::StreamBlocksStream>, Status> {
        *self.streams.lock().unwrap() += 1;
        let from = request.get_ref().from_height;
        let honest = (1..=self.honest.tip().height)
            .map(|height| self.honest.reader().wire_block(height).unwrap().unwrap())
            .collect();
        // The same lie in the same place, from wherever it is asked.
        let told = (self.lie)(honest)
            .into_iter()
            .skip(usize::try_from(from - 1).unwrap())
            .map(|block| Ok(wire::StreamBlocksResponse { block: Some(block) }));
        // It never ends, so that only what it says is a reason to leave.
        Ok(Response::new(Box::pin(
            stream::iter(told).chain(stream::pending()),
        )))
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

    async fn get_handovers(
        &self,
        _: Request<wire::GetHandoversRequest>,
    ) -> Result<Response<wire::GetHandoversResponse>, Status> {
        Ok(Response::new(wire::GetHandoversResponse::default()))
    }

    async fn get_snapshot(
        &self,
        _: Request<wire::GetSnapshotRequest>,
    ) -> Result<Response<wire::GetSnapshotResponse>, Status> {
        let offer = self.honest.reader().snapshot().unwrap();
        let mut snapshot = wire::Snapshot::from(&offer.ok_or(Status::not_found(""))?);
        (self.offer)(&mut snapshot);
        Ok(Response::new(wire::GetSnapshotResponse {
            snapshot: Some(snapshot),
        }))
    }

    async fn get_snapshot_chunk(
        &self,
        request: Request<wire::GetSnapshotChunkRequest>,
    ) -> Result<Response<wire::GetSnapshotChunkResponse>, Status> {
        let wire::GetSnapshotChunkRequest { height, index } = request.into_inner();
        self.chunks.lock().unwrap().push(index);
        let reader = self.honest.reader();
        let chunk = reader.snapshot_chunk(height, index as usize).unwrap();
        let chunk = (self.chunk)(index, chunk.ok_or(Status::not_found(""))?)?;
        Ok(Response::new(wire::GetSnapshotChunkResponse { chunk }))
    }

    async fn get_history_proof(
        &self,
        _: Request<wire::GetHistoryProofRequest>,
    ) -> Result<Response<wire::GetHistoryProofResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Certifies a changed header with some key.
fn certify(block: &mut wire::Block, by: &str, change: impl FnOnce(&mut Block)) {
    let mut parsed = Block::try_from(&*block).unwrap();
    change(&mut parsed);
    let signature = Certificate::sign(
        &parsed.header,
        &secret(by),
        &Default::default(),
        &mut rand::rng(),
    );
    parsed.certificate = Certificate {
        height: parsed.header.height,
        round: 0,
        header: parsed.header.hash(),
        signatures: vec![signature],
    };
    *block = wire::Block::from(&parsed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_upstream_is_dropped_and_nothing_of_it_applied() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    for number in 0..5 {
        let (_, tx) = consortium.any(number);
        validator.commit(tx).await;
    }
    // What it says, and how many blocks of it are true and may be applied.
    let lies: [(&str, Lie, u64); 10] = [
        (
            "a certificate signed by somebody else",
            |mut blocks| {
                certify(&mut blocks[2], "js-bureau/admin", |_| {});
                blocks
            },
            2,
        ),
        (
            "a changed header under the old certificate",
            |mut blocks| {
                let honest = blocks[2].certificate.clone();
                certify(&mut blocks[2], "validator", |block| block.header.time += 1);
                blocks[2].certificate = honest;
                blocks
            },
            2,
        ),
        (
            "no certificate",
            |mut blocks| {
                blocks[2].certificate = None;
                blocks
            },
            2,
        ),
        (
            "a certificate without signatures",
            |mut blocks| {
                blocks[2].certificate.as_mut().unwrap().signatures.clear();
                blocks
            },
            2,
        ),
        (
            "a certificate padded with a second signature",
            |mut blocks| {
                let signatures = &mut blocks[2].certificate.as_mut().unwrap().signatures;
                let mut padding = signatures[0].clone();
                padding.validator = vec![0xff; 32];
                signatures.push(padding);
                blocks
            },
            2,
        ),
        (
            "a block with a transaction taken out",
            |mut blocks| {
                blocks[2].transactions.clear();
                blocks
            },
            2,
        ),
        (
            "a block with another block's transactions",
            |mut blocks| {
                blocks[2].transactions = blocks[3].transactions.clone();
                blocks
            },
            2,
        ),
        (
            "a gap",
            |mut blocks| {
                blocks.remove(2);
                blocks
            },
            2,
        ),
        (
            "falling heights",
            |mut blocks| {
                blocks[2] = blocks[0].clone();
                blocks
            },
            2,
        ),
        (
            "rubbish",
            |mut blocks| {
                blocks[2].header.push(0);
                blocks
            },
            2,
        ),
    ];
    for (number, (name, lie, true_blocks)) in lies.into_iter().enumerate() {
        let (server, stop) = Liar::new(&validator, lie).serve(&consortium).await;
        let mut config = consortium.config(
            &format!("follower-{number}"),
            xinqiao_node::Role::Follower,
            "js-bureau",
            Role::Node,
        );
        config.upstreams = vec![upstream(&server)];
        let follower = Running::start(config).await.unwrap();
        follower.reaches(true_blocks).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(follower.replica().tip().height, true_blocks, "{name}");
        assert_eq!(follower.replica().halted(), None, "{name}");
        follower.stop().await;

        // With an honest one beside it, the same follower gets everything.
        let mut config = consortium.config(
            &format!("follower-{number}"),
            xinqiao_node::Role::Follower,
            "js-bureau",
            Role::Node,
        );
        config.upstreams = vec![upstream(&server), validator.upstream("sh-bureau")];
        let follower = Running::start(config).await.unwrap();
        follower.reaches(5).await;
        assert_agree(&validator.replica(), &follower.replica());
        follower.stop().await;
        stop.send(()).unwrap();
        server.stopped().await.unwrap();
    }
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_of_another_chain_or_one_that_stands_still_is_left() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let (_, tx) = consortium.any(1);
    validator.commit(tx).await;
    let silent: Lie = |_| Vec::new();
    let mut of_other_chain = Liar::new(&validator, silent);
    of_other_chain.chain = Some(vec![9; 32]);
    for (number, liar) in [of_other_chain, Liar::new(&validator, silent)]
        .into_iter()
        .enumerate()
    {
        let (server, stop) = liar.serve(&consortium).await;
        let mut config = consortium.config(
            &format!("follower-{number}"),
            xinqiao_node::Role::Follower,
            "js-bureau",
            Role::Node,
        );
        config.upstreams = vec![upstream(&server), validator.upstream("sh-bureau")];
        let follower = Running::start(config).await.unwrap();
        follower.reaches(1).await;
        follower.stop().await;
        stop.send(()).unwrap();
        server.stopped().await.unwrap();
    }
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_halts_when_a_certified_block_differs_and_stays_halted() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    for number in 0..4 {
        let (_, tx) = consortium.any(number);
        validator.commit(tx).await;
    }
    let lies: [(&str, Lie); 5] = [
        ("state commitment", |mut blocks| {
            certify(&mut blocks[2], "validator", |block| {
                block.header.state_commitment = sm3(b"other");
            });
            blocks
        }),
        ("outcome root", |mut blocks| {
            certify(&mut blocks[2], "validator", |block| {
                block.header.outcome_root = sm3(b"other");
            });
            blocks
        }),
        ("history root", |mut blocks| {
            certify(&mut blocks[2], "validator", |block| {
                block.header.history_root = sm3(b"other");
            });
            blocks
        }),
        ("does not follow", |mut blocks| {
            certify(&mut blocks[2], "validator", |block| {
                block.header.parent.0 = sm3(b"other");
            });
            blocks
        }),
        ("impossible time", |mut blocks| {
            certify(&mut blocks[2], "validator", |block| block.header.time = 5);
            blocks
        }),
    ];
    for (number, (expected, lie)) in lies.into_iter().enumerate() {
        let (server, stop) = Liar::new(&validator, lie).serve(&consortium).await;
        let config = || {
            let mut config = consortium.config(
                &format!("follower-{number}"),
                xinqiao_node::Role::Follower,
                "js-bureau",
                Role::Node,
            );
            // An honest upstream does not help: two certified histories are nobody's to choose.
            config.upstreams = vec![upstream(&server), validator.upstream("sh-bureau")];
            config
        };
        let follower = Running::start(config()).await.unwrap();
        let reason = follower.halts().await;
        assert!(
            reason.contains(expected) && reason.contains("block 3"),
            "{expected}: {reason}"
        );
        assert_halted(&consortium, &follower, &reason).await;
        follower.stop().await;

        let follower = Running::start(config()).await.unwrap();
        assert_eq!(follower.replica().halted().as_ref(), Some(&reason));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_halted(&consortium, &follower, &reason).await;
        follower.stop().await;
        stop.send(()).unwrap();
        server.stopped().await.unwrap();
    }
    validator.stop().await;
}

/// It serves what it has up to the last good block, says why, and takes nothing.
async fn assert_halted(consortium: &Consortium, follower: &Running, reason: &str) {
    let channel = consortium.channel(follower, "js-bureau", Role::Gateway);
    let mut ledger = limited!(wire::ledger_service_client::LedgerServiceClient::new(
        channel.clone()
    ));
    let status = ledger
        .get_status(wire::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((status.height, status.halted.as_str()), (2, reason));
    ledger
        .get_block(wire::GetBlockRequest { height: 2 })
        .await
        .unwrap();
    let unfit = HealthClient::new(channel.clone())
        .check(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(unfit.status(), ServingStatus::NotServing);
    let beyond = ledger
        .get_block(wire::GetBlockRequest { height: 3 })
        .await
        .unwrap_err();
    assert_eq!(
        FaultView::from_status(&beyond).reason_code.as_deref(),
        Some("BLOCK_NOT_FOUND")
    );
    let transaction = Arc::new(consortium.people.clone());
    let mut people = (*transaction).clone();
    let tx = crate::consortium::as_wire(
        &people.sign("js-bank/admin", xinqiao_contracts::testing::open_user(99)),
    );
    let refused = follower.replica().submit(tx.clone()).await;
    assert!(matches!(refused, Err(SubmitFault::Halted(_))));
    let fault = crate::services::submit(channel, tx).await.unwrap_err();
    assert_eq!(fault.reason_code.as_deref(), Some("NODE_HALTED"));
}
