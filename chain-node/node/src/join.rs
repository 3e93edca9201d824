//! Beginning far behind: with a whole state that validators certified, instead of with every block.
//!
//! Nobody who is asked is trusted. The validators since the genesis are followed by their handovers,
//! an offer counts under their certificates, and a chunk by the leaf hash that they lead to. Who
//! offers or sends something else is named and asked no more. What an interruption leaves is gone on
//! with. If nobody can help, the node goes on block by block.

use std::{path::Path, sync::Arc, time::Duration};

use futures::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use tokio::time::{Instant, timeout_at};
use xinqiao_ledger::{
    checkpoint::{NotCertified, Offer, Snapshot},
    evidence::MAX_HANDOVERS,
    genesis::Genesis,
    ids::Height,
    malformed::Malformed,
    validators::{Epochs, Handover, NotHandedOver},
    wire::{self, ledger_service_client::LedgerServiceClient},
};
use xinqiao_rpc::limited;
use xinqiao_store::{Installing, NotTaken, Tip};

use crate::{
    error::Error,
    upstream::{Feed, UpstreamFault},
};

/// How long the first may take to say where it stands, and how long the others after that. Where all
/// begin together nobody answers yet, and a start must not wait for it.
const ASK: (Duration, Duration) = (Duration::from_millis(750), Duration::from_millis(250));

/// How long somebody may take for an offer, which it may have to digest a state for, or a chunk.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often all are asked for an offer: a transfer that broke off goes on, or a newer one begins.
const ROUNDS: usize = 5;

/// Chunks under way.
const AHEAD: usize = 4;

/// What somebody did wrong, or why it cannot help.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Upstream(#[from] UpstreamFault),
    #[error("its answer is malformed: {0}")]
    Malformed(#[from] Malformed),
    #[error("its validators do not follow from the genesis: {0}")]
    NotHandedOver(#[from] NotHandedOver),
    #[error("it tells of more changes of validators than there can be")]
    TooManyHandovers,
    #[error("it offers a snapshot that does not hold: {0}")]
    NotCertified(#[from] NotCertified),
    #[error("chunk {0}: it is not the one that validators certified")]
    Chunk(usize),
}

impl Fault {
    fn is_lie(&self) -> bool {
        match self {
            Self::Upstream(fault) => fault.is_lie(),
            _ => true,
        }
    }
}

impl From<tonic::Status> for Fault {
    fn from(status: tonic::Status) -> Self {
        Self::Upstream(status.into())
    }
}

/// A certified snapshot, and who has it.
struct Found {
    snapshot: Snapshot,
    epochs: Epochs,
    handovers: Vec<Handover>,
    holders: Vec<Feed>,
}

/// What a node that may begin with a snapshot knows.
pub(crate) struct Joiner<'a> {
    pub(crate) data_dir: &'a Path,
    pub(crate) genesis: &'a Arc<Genesis>,
    /// So many blocks behind it does.
    pub(crate) after: Height,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) tip: Tip,
}

impl Joiner<'_> {
    /// Lets a snapshot take the store's place, if somebody has one. The store must be closed.
    pub(crate) async fn run(&self) -> Result<(), Error> {
        let mut feeds = self.feeds.clone();
        for _ in 0..ROUNDS {
            let Some(found) = self.find(&mut feeds).await else {
                break;
            };
            let height = found.snapshot.header().height;
            tracing::info!(
                height,
                chunks = found.snapshot.chunks(),
                holders = found.holders.len(),
                own_height = self.tip.height,
                "this node begins with a snapshot"
            );
            if self.install(found, &mut feeds).await?.is_some() {
                tracing::info!(height, "the snapshot is installed");
                return Ok(());
            }
        }
        tracing::info!("no snapshot is to be had: this node catches up block by block");
        Ok(())
    }

    /// Whether blocks would take too long, or nobody has those that are needed.
    pub(crate) async fn is_far_behind(&self) -> bool {
        let chain = self.genesis.chain_id();
        let asked = self.feeds.iter();
        let mut asked: FuturesUnordered<_> =
            asked.map(|feed| feed.standing(chain, ASK.0)).collect();
        let (mut standings, mut until) = (Vec::new(), Instant::now() + ASK.0);
        // The whole of it is bounded here: a connection that never comes up has a longer limit.
        while let Ok(Some(answer)) = timeout_at(until, asked.next()).await {
            if let Ok(standing) = answer {
                standings.push(standing);
                until = until.min(Instant::now() + ASK.1);
            }
        }
        let next = self.tip.height + 1;
        let far = |height: Height| height >= self.tip.height.saturating_add(self.after);
        let nobody = !standings.is_empty() && standings.iter().all(|it| it.first_block > next);
        nobody || standings.iter().any(|it| far(it.height))
    }

    /// The highest certified snapshot above the own tip, with all who have it. Who lies is left.
    async fn find(&self, feeds: &mut Vec<Feed>) -> Option<Found> {
        let asked = feeds.drain(..).map(|feed| async move {
            let offer = self.offer(&feed).await;
            (feed, offer)
        });
        let mut best: Option<Found> = None;
        for (feed, offer) in join_all(asked).await {
            let (snapshot, epochs, handovers) = match offer {
                Ok(offered) => offered,
                Err(fault) => {
                    report(&feed, &fault);
                    continue;
                }
            };
            feeds.push(feed.clone());
            let height = snapshot.header().height;
            match &mut best {
                _ if height <= self.tip.height => {}
                Some(found) if found.snapshot.checkpoint() == snapshot.checkpoint() => {
                    found.holders.push(feed);
                }
                Some(found) if found.snapshot.header().height >= height => {}
                _ => {
                    let holders = vec![feed];
                    best = Some(Found {
                        snapshot,
                        epochs,
                        handovers,
                        holders,
                    });
                }
            }
        }
        best
    }

    /// What somebody offers, checked.
    async fn offer(&self, feed: &Feed) -> Result<(Snapshot, Epochs, Vec<Handover>), Fault> {
        let channel = feed.channel.clone().with_default_deadline(PATIENCE);
        let mut client = limited!(LedgerServiceClient::new(channel));
        let answer = client
            .get_snapshot(wire::GetSnapshotRequest {})
            .await?
            .into_inner();
        let offer = Offer::try_from(&answer.snapshot.unwrap_or_default())?;
        let id = &self.genesis.distinguishing_id;
        let mut epochs = Epochs::begin(self.genesis.validator_set()?);
        let mut handovers = Vec::new();
        loop {
            let after_height = epochs.last_from() - 1;
            let request = wire::GetHandoversRequest { after_height };
            let more = client.get_handovers(request).await?.into_inner().handovers;
            if more.is_empty() {
                break;
            }
            for one in more {
                let handover = Handover::parse(&one, id.clone())?;
                epochs.hand_over(handover.clone())?;
                handovers.push(handover);
            }
            if handovers.len() > MAX_HANDOVERS {
                return Err(Fault::TooManyHandovers);
            }
        }
        let snapshot = offer.certified(&self.genesis.chain_id(), &epochs)?;
        Ok((snapshot, epochs, handovers))
    }

    /// Fetches the chunks, from one holder after the other.
    async fn install(&self, found: Found, feeds: &mut Vec<Feed>) -> Result<Option<Tip>, Error> {
        let Found {
            snapshot,
            epochs,
            handovers,
            holders,
        } = found;
        let height = snapshot.header().height;
        let (data_dir, chunks) = (self.data_dir.to_owned(), snapshot.chunks());
        let begin = move || Installing::begin(&data_dir, snapshot);
        let mut installing = tokio::task::spawn_blocking(begin).await??;
        for holder in holders {
            let Some(next) = installing.next() else { break };
            if next > 0 {
                tracing::info!(next, chunks, upstream = %holder.uri, "the transfer goes on");
            }
            let mut arriving = stream::iter(next..chunks)
                .map(|index| chunk(&holder, height, index))
                .buffered(AHEAD);
            while let Some(index) = installing.next() {
                let taken = match arriving.next().await {
                    Some(Ok(chunk)) => {
                        let put = move || (installing.put(&chunk), installing);
                        let (taken, back) = tokio::task::spawn_blocking(put).await?;
                        installing = back;
                        taken.map_err(|fault| match fault {
                            NotTaken::Store(fault) => Err(Error::from(fault)),
                            NotTaken::Other | NotTaken::Malformed(_) => Ok(Fault::Chunk(index)),
                        })
                    }
                    Some(Err(fault)) => Err(Ok(fault)),
                    None => break,
                };
                match taken {
                    Ok(()) if index % 64 == 63 => {
                        tracing::info!(
                            chunk = index + 1,
                            of = chunks,
                            "the snapshot is on its way"
                        );
                    }
                    Ok(()) => {}
                    Err(Err(fault)) => return Err(fault),
                    Err(Ok(fault)) => {
                        report(&holder, &fault);
                        // Who has moved on to a newer one may offer that.
                        if fault.is_lie() {
                            feeds.retain(|feed| feed.uri != holder.uri);
                        }
                        break;
                    }
                }
            }
        }
        if installing.next().is_some() {
            return Ok(None);
        }
        let finish = move || installing.finish(&epochs, &handovers);
        Ok(Some(tokio::task::spawn_blocking(finish).await??))
    }
}

async fn chunk(feed: &Feed, height: Height, index: usize) -> Result<Vec<u8>, Fault> {
    let channel = feed.channel.clone().with_default_deadline(PATIENCE);
    let mut client = limited!(LedgerServiceClient::new(channel));
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let request = wire::GetSnapshotChunkRequest { height, index };
    Ok(client.get_snapshot_chunk(request).await?.into_inner().chunk)
}

fn report(feed: &Feed, fault: &Fault) {
    if fault.is_lie() {
        tracing::warn!(upstream = %feed.uri, %fault, "it is asked for no snapshot any more: it does not tell the truth");
    } else {
        tracing::info!(upstream = %feed.uri, %fault, "no snapshot comes from there");
    }
}
