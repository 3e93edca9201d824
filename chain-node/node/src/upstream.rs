//! Getting blocks from one upstream, and everything about a block that can be judged without
//! executing it: its shape, its certificate, its signatures.
//!
//! An upstream is not trusted. What it says wrongly has a name ([`UpstreamFault`]); it is dropped
//! for it, and nothing of what it sent is applied.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle};
use tonic::Status;
use xinqiao_contracts::{Candidate, StateFault};
use xinqiao_crypto::VerifierCache;
use xinqiao_ledger::{
    block::{Block, Certificate, Certified, Header, Uncertified},
    ids::{ChainId, Height},
    malformed::Malformed,
    tx::Tx,
    validators::ValidatorSet,
    wire::{self, ledger_service_client::LedgerServiceClient},
};
use xinqiao_rpc::{
    ExpectedPeer, FaultView, Identity, Limits, Role as Process, RpcChannel, limited, tls,
};

use crate::{error::Error, shared::Shared};

/// Blocks that are checked ahead of the one that is executed.
const AHEAD: usize = 4;

/// Signatures of a block from which on they are shared between two threads.
const SHARE_FROM: usize = 32;

/// How long an upstream may take for a question.
const PATIENCE: Duration = Duration::from_secs(5);

/// A block with verified transactions, ready to be executed.
pub(crate) struct Checked {
    pub(crate) header: Header,
    /// The header, if the validators in force at its height were known when it came; they are not
    /// while the block that names them is still to be executed.
    pub(crate) certified: Option<Certified>,
    pub(crate) certificate: Certificate,
    pub(crate) candidates: Vec<Candidate>,
}

impl Checked {
    /// The header, certified by these validators, which are those in force at its height.
    pub(crate) fn certified(
        &self,
        validators: &ValidatorSet,
        known: &VerifierCache,
    ) -> Result<Certified, Uncertified> {
        match &self.certified {
            Some(certified) if certified.validator_set == validators.hash() => {
                Ok(certified.clone())
            }
            _ => self
                .certificate
                .check_known(self.header.clone(), validators, known),
        }
    }
}

/// A block on its way through the checks.
pub(crate) type Checking = JoinHandle<Result<Checked, UpstreamFault>>;

/// What an upstream did wrong, or why it cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamFault {
    #[error("it is of chain {0}")]
    OtherChain(ChainId),
    #[error("it sent something that is no block: {0}")]
    Malformed(#[from] Malformed),
    #[error("it sent a block of another chain")]
    BlockOfOtherChain,
    #[error("it sent block {height} with a certificate that certifies nothing: {fault}")]
    Uncertified { height: Height, fault: Uncertified },
    #[error("it sent block {got} where {expected} was next")]
    OutOfOrder { expected: Height, got: Height },
    #[error("it ended the stream")]
    Ended,
    #[error("it does not send the blocks that it says it has")]
    Silent,
    #[error("it stands still while {0} goes on")]
    Behind(String),
    #[error("{0}")]
    Unreachable(Box<FaultView>),
    /// Not its fault: ours.
    #[error(transparent)]
    Store(#[from] StateFault),
    #[error("the check was lost: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl UpstreamFault {
    /// Whether it lies, or is of another chain; otherwise it is merely not there.
    pub(crate) fn is_lie(&self) -> bool {
        matches!(
            self,
            Self::OtherChain(_)
                | Self::Malformed(_)
                | Self::BlockOfOtherChain
                | Self::Uncertified { .. }
                | Self::OutOfOrder { .. }
        )
    }
}

impl From<Status> for UpstreamFault {
    fn from(status: Status) -> Self {
        Self::Unreachable(Box::new(FaultView::from_status(&status)))
    }
}

/// An upstream with a channel to it.
#[derive(Clone)]
pub(crate) struct Feed {
    pub(crate) uri: String,
    pub(crate) channel: RpcChannel,
}

/// Where an upstream stands.
pub(crate) struct Standing {
    pub(crate) height: Height,
    /// The lowest height from which on it has all blocks.
    pub(crate) first_block: Height,
}

impl Feed {
    /// A way to an organisation's node.
    pub(crate) fn new(
        org: &str,
        uri: &str,
        identity: &Identity,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let expected = ExpectedPeer::org(org).with_role(Process::Node);
        let channel = tls::channel_to(uri, identity, expected, limits);
        let uri = uri.to_owned();
        match channel {
            Ok(channel) => Ok(Self { uri, channel }),
            Err(source) => Err(Error::Upstream { uri, source }),
        }
    }

    /// The height at which the upstream stands.
    pub(crate) async fn height(&self, chain: ChainId) -> Result<Height, UpstreamFault> {
        Ok(self.standing(chain, PATIENCE).await?.height)
    }

    /// Where the upstream stands, if it says so in time.
    pub(crate) async fn standing(
        &self,
        chain: ChainId,
        patience: Duration,
    ) -> Result<Standing, UpstreamFault> {
        let channel = self.channel.clone().with_default_deadline(patience);
        let mut client = limited!(LedgerServiceClient::new(channel));
        let status = client
            .get_status(wire::GetStatusRequest {})
            .await?
            .into_inner();
        let found = ChainId::parse("chain_id", &status.chain_id)?;
        if found == chain {
            Ok(Standing {
                height: status.height,
                first_block: status.first_block,
            })
        } else {
            Err(UpstreamFault::OtherChain(found))
        }
    }

    /// Streams blocks from a height on into a channel, checking several at once, until something is
    /// wrong or nobody listens any more.
    pub(crate) async fn run(
        self,
        shared: Arc<Shared>,
        from: Height,
        out: mpsc::Sender<Checking>,
    ) -> UpstreamFault {
        match self.stream(shared, from, out).await {
            Ok(()) => UpstreamFault::Ended,
            Err(fault) => fault,
        }
    }

    async fn stream(
        self,
        shared: Arc<Shared>,
        from: Height,
        out: mpsc::Sender<Checking>,
    ) -> Result<(), UpstreamFault> {
        self.height(shared.chain).await?;
        let mut client = limited!(LedgerServiceClient::new(self.channel));
        let mut blocks = client
            .stream_blocks(wire::StreamBlocksRequest { from_height: from })
            .await?
            .into_inner();
        while let Some(message) = blocks.message().await? {
            let Some(block) = message.block else { continue };
            let shared = Arc::clone(&shared);
            let checking = tokio::task::spawn_blocking(move || check(&shared, &block));
            if out.send(checking).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A channel for blocks under check.
pub(crate) fn channel() -> (mpsc::Sender<Checking>, mpsc::Receiver<Checking>) {
    mpsc::channel(AHEAD)
}

fn check(shared: &Shared, block: &wire::Block) -> Result<Checked, UpstreamFault> {
    let Block {
        header,
        txs,
        certificate,
    } = Block::try_from(block)?;
    if header.chain != shared.chain {
        return Err(UpstreamFault::BlockOfOtherChain);
    }
    let height = header.height;
    let _span = tracing::debug_span!("block.check", height, txs = txs.len()).entered();
    let validators = shared.epochs.borrow().at(height).clone();
    let certified = if header.validator_set == validators.hash() {
        let cache = shared.verifier.cache();
        let certified = certificate.check_known(header.clone(), &validators, cache);
        Some(certified.map_err(|fault| UpstreamFault::Uncertified { height, fault })?)
    } else {
        None
    };
    let mut candidates: Vec<Candidate> = txs.into_iter().map(Candidate::Unverified).collect();
    verify_ahead(shared, &mut candidates)?;
    Ok(Checked {
        header,
        certified,
        certificate,
        candidates,
    })
}

/// Verifies those that are not verified yet, half of them on another thread when there are many.
pub(crate) fn verify_ahead(
    shared: &Shared,
    candidates: &mut [Candidate],
) -> Result<(), StateFault> {
    let all = |open: &mut [(&mut Candidate, Tx)]| -> Result<(), StateFault> {
        let view = shared.reader.view();
        for (candidate, tx) in open {
            **candidate = shared.verifier.ahead(&view, tx.clone())?;
        }
        Ok(())
    };
    let mut open: Vec<(&mut Candidate, Tx)> = (candidates.iter_mut())
        .filter_map(|candidate| match candidate {
            Candidate::Verified(_) => None,
            Candidate::Unverified(tx) => {
                let tx = tx.clone();
                Some((candidate, tx))
            }
        })
        .collect();
    if open.len() < SHARE_FROM {
        return all(&mut open);
    }
    let middle = open.len() / 2;
    let (first, rest) = open.split_at_mut(middle);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| all(rest));
        all(first)?;
        match other.join() {
            Ok(verified) => verified,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
