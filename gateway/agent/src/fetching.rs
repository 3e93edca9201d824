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
use xinqiao_crypto::{KeyId, SecretKey};
use xinqiao_dispatch::{
    opening::{self, Broken, Recorded},
    query::{Effect, Input, Placed, Query, Report},
};
use xinqiao_ledger::{
    order::{MAX_SEALED, OrderPart, PartIndex, PartRef, Sealing, Verdict},
    wire::{self, PartStatus},
};
use xinqiao_mls::{body, letter::Letter, sealing::Opener};
use xinqiao_rpc::{Fault, FaultView, Reason};

use crate::{
    gateway::{Acting, HomeGateway, passed_on, unproven},
    groups::{Groups, Holder, misnamed},
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
    pub(crate) groups: Arc<Groups>,
    pub(crate) verdicts: Verdicts,
}

impl Fetching {
    /// Fetches, opens and verifies what an order brings until every part is settled or the time is over.
    /// Verdicts go to `held` if it is given, and otherwise to the ledger at once: a part is not delivered again
    /// once it is confirmed, so whoever keeps the report records them after that.
    pub(crate) async fn run(
        &self,
        acting: &Acting,
        placed: Placed,
        placed_at: Instant,
        until: Instant,
        mut held: Option<&mut Vec<(PartRef, Verdict)>>,
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
                            groups: self.groups.clone(),
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
                    Effect::Confirm { part, verdict } => match &mut held {
                        Some(held) => held.push((part, verdict)),
                        None => self.verdicts.record(acting.clone(), part, verdict).await,
                    },
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
    groups: Arc<Groups>,
    acting: Acting,
    part: PartRef,
    fixed: OrderPart,
    placed_at: Instant,
    until: Instant,
}

impl Fetch {
    async fn run(self) -> Input {
        let part = self.part.part;
        let (fetched, letter) = match self.fetched().await {
            Ok(fetched) => fetched,
            Err(status) => return failed(part, &status),
        };
        let placed_at = self.placed_at;
        // Decryption and hashing of megabytes must not hold up the other calls.
        let opening = tokio::task::spawn_blocking(move || {
            let Fetched {
                recorded, sealed, ..
            } = &fetched;
            let key = match &letter {
                None => Opener::Envelope(&self.key),
                Some(letter) => {
                    fits(recorded, sealed, letter)?;
                    Opener::Group(&letter.key)
                }
            };
            let chain = &self.gateway.chain;
            opening::open(&key, chain, &self.fixed, recorded, sealed)
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

    /// The sealed part, and its letter where it is the body of a delivery group.
    async fn fetched(&self) -> Result<(Fetched, Option<Letter>), Status> {
        let mut fetched = self.sealed().await?;
        let source = &self.fixed.source;
        let letter = match fetched.recorded.delivery().sealing {
            Sealing::Envelope => {
                self.groups.delivered(source, None);
                None
            }
            Sealing::Group(_) => {
                let holder = Holder::named(fetched.holder.as_ref(), fetched.signer)
                    .map_err(|fault| misnamed(&fault))?;
                self.groups.delivered(source, Some(&holder));
                let came = fetched.letter.take();
                let letter =
                    (self.groups).letter(&self.acting, &holder, self.part, came, self.until);
                Some(letter.await?)
            }
        };
        Ok((fetched, letter))
    }

    /// The sealed part, and the proof that its delivery is on the ledger.
    async fn sealed(&self) -> Result<Fetched, Status> {
        let message = wire::FetchPartRequest {
            order: self.part.order.to_vec(),
            part: u32::from(self.part.part),
            letter: self.groups.along(&self.fixed.source, self.part).await,
        };
        let left = self.until.saturating_duration_since(Instant::now());
        let request = self.gateway.request(&self.acting, message, left)?;
        let answer = self.gateway.orders().fetch_part(request).await;
        let mut pieces = answer.map_err(|status| passed_on(&status))?.into_inner();
        let mut sealed = Vec::new();
        let mut receipt = None;
        let mut holder = None;
        let mut letter = None;
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
            holder = piece.holder.or(holder);
            letter = piece.letter.or(letter);
        }
        let proven = self.gateway.proven(&self.acting, receipt.as_ref()).await?;
        let recorded =
            opening::recorded(&proven, self.part).map_err(|error| unproven(&error.to_string()))?;
        Ok(Fetched {
            recorded,
            sealed,
            holder,
            letter,
            signer: proven.tx().meta().signer,
        })
    }
}

/// A part as it came.
struct Fetched {
    recorded: Recorded,
    sealed: Vec<u8>,
    /// Who delivered it, as the gateway says.
    holder: Option<wire::HolderNode>,
    /// What that node's delivery group answered along with it.
    letter: Option<wire::GroupAnswer>,
    /// The key that recorded it, as the ledger says.
    signer: KeyId,
}

/// Whether body, letter and record are of one another. The letter is the node's own word, and the record is
/// its own, too: where they differ, the node contradicts itself.
fn fits(recorded: &Recorded, sealed: &[u8], letter: &Letter) -> Result<(), Broken> {
    let delivery = recorded.delivery();
    let broken = |why: &str| Broken {
        verdict: Verdict::SealBroken,
        why: why.to_owned(),
    };
    if letter.body != delivery.ciphertext_digest {
        return Err(broken("the letter is for another body than was recorded"));
    }
    // Bytes that are not what was recorded are found out where they are opened.
    if body::mark(sealed).is_ok_and(|mark| delivery.sealing != Sealing::Group(mark)) {
        return Err(broken("the body is of another epoch than was recorded"));
    }
    Ok(())
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
