//! Carrying out one query: the effects of the machine in `xinqiao_dispatch::query`, with the parts
//! fetched and opened side by side.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tonic::Status;
use tracing::Instrument;
use xinqiao_crypto::SecretKey;
use xinqiao_dispatch::{
    opening::{self, Recorded},
    query::{Effect, Input, Placed, Query, Report},
};
use xinqiao_ledger::{
    order::{MAX_SEALED, OrderPart, PartIndex, PartRef},
    wire::{self, PartStatus},
};
use xinqiao_rpc::{Fault, FaultView, Reason};

use crate::{
    gateway::{Acting, HomeGateway, passed_on, unproven},
    verdicts::Verdicts,
};

/// The order itself is followed only when its parts take longer than this: a part that is closed ends
/// its fetch at once, with its state.
const WATCH_AFTER: Duration = Duration::from_millis(250);

/// The pause before the order is followed again.
const WATCH_AGAIN: Duration = Duration::from_millis(200);

/// Inputs that wait to be taken; whoever has more waits.
const INBOX: usize = 128;

/// What fetching needs.
#[derive(Clone)]
pub(crate) struct Fetching {
    pub(crate) gateway: Arc<HomeGateway>,
    pub(crate) key: Arc<SecretKey>,
    pub(crate) verdicts: Verdicts,
}

impl Fetching {
    /// Fetches, opens and verifies what an order brings until every part is settled or the time is over.
    pub(crate) async fn run(
        &self,
        acting: &Acting,
        placed: Placed,
        placed_at: Instant,
        until: Instant,
    ) -> Report {
        // Dropping the set ends whatever is still under way, also when the application hangs up.
        let mut tasks = JoinSet::new();
        let mut fetches: HashMap<PartIndex, AbortHandle> = HashMap::new();
        let (inbox, mut inputs) = mpsc::channel(INBOX);
        tasks.spawn(
            watched(
                self.gateway.clone(),
                acting.clone(),
                placed.order,
                inbox.clone(),
            )
            .in_current_span(),
        );
        let (mut query, mut effects) = Query::begin(placed);
        loop {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Fetch { part, after_ms } => {
                        let fetch = Fetch {
                            gateway: self.gateway.clone(),
                            key: self.key.clone(),
                            acting: acting.clone(),
                            part: PartRef {
                                order: query.placed().order,
                                part,
                            },
                            fixed: query.placed().parts[usize::from(part)].clone(),
                            placed_at,
                            until,
                        };
                        let inbox = inbox.clone();
                        let fetching = async move {
                            tokio::time::sleep(Duration::from_millis(after_ms)).await;
                            // Nobody listens once the query is answered.
                            let _ = inbox.send(fetch.run().await).await;
                        };
                        fetches.insert(part, tasks.spawn(fetching.in_current_span()));
                    }
                    Effect::StopFetching { part } => {
                        if let Some(fetch) = fetches.remove(&part) {
                            fetch.abort();
                        }
                    }
                    Effect::Confirm { part, verdict } => {
                        self.verdicts.record(acting.clone(), part, verdict).await;
                    }
                    Effect::Answer => return query.into_report(),
                }
            }
            let input = tokio::select! {
                input = inputs.recv() => input.unwrap_or(Input::DeadlinePassed),
                () = tokio::time::sleep_until(until.into()) => Input::DeadlinePassed,
            };
            if let Input::Broken { part, broken, .. } = &input {
                tracing::error!(part, %broken, verdict = broken.verdict.code(), "a delivery is not what was registered");
            }
            effects = query.apply(input);
        }
    }
}

/// One fetch of one part.
struct Fetch {
    gateway: Arc<HomeGateway>,
    key: Arc<SecretKey>,
    acting: Acting,
    part: PartRef,
    fixed: OrderPart,
    placed_at: Instant,
    until: Instant,
}

impl Fetch {
    async fn run(self) -> Input {
        let part = self.part.part;
        let (recorded, sealed) = match self.sealed().await {
            Ok(sealed) => sealed,
            Err(status) => return failed(part, &status),
        };
        let placed_at = self.placed_at;
        // Decryption and hashing of megabytes must not hold up the other calls.
        let opening = tokio::task::spawn_blocking(move || {
            let chain = &self.gateway.chain;
            opening::open(&*self.key, chain, &self.fixed, &recorded, &sealed)
        });
        let opened = opening.await;
        let elapsed_us = u64::try_from(placed_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        match opened {
            Ok(Ok(items)) => Input::Opened {
                part,
                items,
                elapsed_us,
            },
            Ok(Err(broken)) => Input::Broken {
                part,
                broken,
                elapsed_us,
            },
            Err(error) => {
                tracing::error!(%error, "opening ended unexpectedly");
                Input::FetchFailed {
                    part,
                    reason: Reason::Internal.code().to_owned(),
                }
            }
        }
    }

    /// The envelope, and the proof that its delivery is on the ledger.
    async fn sealed(&self) -> Result<(Recorded, Vec<u8>), Status> {
        let message = wire::FetchPartRequest {
            order: self.part.order.to_vec(),
            part: u32::from(self.part.part),
        };
        let left = self.until.saturating_duration_since(Instant::now());
        let request = self.gateway.request(&self.acting, message, left)?;
        let answer = self.gateway.orders().fetch_part(request).await;
        let mut pieces = answer.map_err(|status| passed_on(&status))?.into_inner();
        let mut sealed = Vec::new();
        let mut receipt = None;
        while let Some(piece) = pieces
            .message()
            .await
            .map_err(|status| passed_on(&status))?
        {
            if (sealed.len() + piece.chunk.len()) as u64 > MAX_SEALED {
                return Err(Fault::new(Reason::MessageTooLarge)
                    .with("limit_bytes", MAX_SEALED)
                    .status());
            }
            sealed.extend_from_slice(&piece.chunk);
            receipt = piece.receipt.or(receipt);
        }
        let proven = self.gateway.proven(&self.acting, receipt.as_ref()).await?;
        let recorded =
            opening::recorded(&proven, self.part).map_err(|error| unproven(&error.to_string()))?;
        Ok((recorded, sealed))
    }
}

/// A fetch that failed. When it did because the part is closed, the answer says how.
fn failed(part: PartIndex, status: &Status) -> Input {
    let view = FaultView::from_status(status);
    let closed = view
        .metadata
        .get("part_status")
        .and_then(|name| PartStatus::from_str_name(name));
    match closed {
        Some(status) => Input::Seen {
            part,
            status,
            reason: view
                .metadata
                .get("part_reason")
                .cloned()
                .unwrap_or_default(),
        },
        None => Input::FetchFailed {
            part,
            reason: view
                .reason_code
                .unwrap_or_else(|| Reason::UpstreamUnavailable.code().to_owned()),
        },
    }
}

/// Follows the order and reports its parts' states, until all are closed or delivered.
async fn watched(
    gateway: Arc<HomeGateway>,
    acting: Acting,
    order: xinqiao_ledger::ids::OrderId,
    inbox: mpsc::Sender<Input>,
) {
    tokio::time::sleep(WATCH_AFTER).await;
    loop {
        let ended = async {
            let message = wire::WatchOrderRequest {
                order: order.to_vec(),
            };
            let request = gateway.request(&acting, message, xinqiao_rpc::MAX_DEADLINE)?;
            let mut states = gateway.orders().watch_order(request).await?.into_inner();
            while let Some(answer) = states.message().await? {
                let parts = answer.order.map(|order| order.parts).unwrap_or_default();
                for (index, state) in parts.into_iter().enumerate() {
                    let Ok(part) = PartIndex::try_from(index) else {
                        break;
                    };
                    let status = state.status();
                    let seen = Input::Seen {
                        part,
                        status,
                        reason: state.reason,
                    };
                    if inbox.send(seen).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Ok::<(), Status>(())
        };
        match ended.await {
            Ok(()) => return,
            Err(status) => {
                tracing::debug!(code = ?status.code(), "the order cannot be followed; trying again");
                tokio::time::sleep(WATCH_AGAIN).await;
            }
        }
    }
}
