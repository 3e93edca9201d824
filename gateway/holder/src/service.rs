//! DeliveryService: gateways fetch sealed reports here.
//!
//! A call can only wait, and look at the shelf. Nothing that a gateway says or sends makes a report
//! releasable; that is between the desk and the replica.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, stream};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Request, Response, Status};
use xinqiao_contracts::{query, record::MemberState};
use xinqiao_crypto::Digest;
use xinqiao_dispatch::delivery::Standing;
use xinqiao_ledger::{ids::Fingerprint, order::PartRef, wire};
use xinqiao_node::fault;
use xinqiao_proto::v1::{RelayPartRequest, RelayPartResponse, delivery_service_server};
use xinqiao_rpc::{Fault, PeerIdentity, Reason, peer::Role};

use crate::{
    desk::{Counter, Shop},
    shelf::Released,
    watch,
};

/// Most bytes of one piece.
const CHUNK: usize = 1 << 20;

/// Longest wait that may be asked for, in milliseconds.
const MAX_WAIT_MS: u32 = 86_400_000;

/// When it is worth asking again for a part that was not final in time.
const RETRY: Duration = Duration::from_millis(100);

/// The service of one node.
pub(crate) struct Delivery {
    shop: Arc<Shop>,
    counter: Counter,
    calls: Arc<Semaphore>,
}

impl Delivery {
    pub(crate) fn new(shop: Arc<Shop>, counter: Counter) -> Self {
        let calls = Arc::new(Semaphore::new(shop.limits.waiting_calls));
        Self {
            shop,
            counter,
            calls,
        }
    }

    /// Lets in gateways of members in good standing, by a certificate that the replica has for them.
    fn admit(&self, peer: &PeerIdentity) -> Result<(), Fault> {
        if peer.role != Role::Gateway {
            return Err(Fault::new(Reason::CertificateOrgMismatch)
                .because("sealed reports are fetched by gateways"));
        }
        let print = Fingerprint(Digest::from(peer.fingerprint_sha256));
        let member = query::member_by_certificate(&self.shop.replica.state(), &print)
            .map_err(|error| internal(&error))?
            .ok_or_else(|| Fault::new(Reason::CertificateUnknown))?;
        if member.member.org.as_str() != peer.org {
            return Err(Fault::new(Reason::CertificateOrgMismatch));
        }
        match member.state {
            MemberState::Active => Ok(()),
            MemberState::Frozen(_) => Err(Fault::new(Reason::MemberFrozen)),
            MemberState::Expelled(_) => Err(Fault::new(Reason::MemberExpelled)),
        }
    }

    /// Waits for a part to be on the shelf.
    async fn await_part(&self, part: PartRef, until: Instant) -> Result<Arc<Released>, Fault> {
        let place = self.shop.shelf.wait_for(part);
        loop {
            // Registered before looking, so that what comes in between is not missed.
            let woken = place.notify.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if let Some(released) = self.shop.shelf.get(&part) {
                return Ok(released);
            }
            let standing = self.standing(&part)?;
            match &standing {
                Found::Elsewhere => return Err(not_found("another node serves this source")),
                Found::Ours(Standing::Closed(status), reason) => {
                    return Err(not_found("the part is closed")
                        .with("part_status", status.as_str_name())
                        .with("part_reason", reason));
                }
                Found::Ours(Standing::Delivered(_), _) => {
                    if !self.counter.want(part).await {
                        return Err(not_found("the report is not kept here any more"));
                    }
                }
                Found::Ours(Standing::Open, _) | Found::NotYet => {}
            }
            if timeout_at(until, woken).await.is_err() {
                return match self.shop.shelf.get(&part) {
                    Some(released) => Ok(released),
                    None if matches!(standing, Found::NotYet) => {
                        Err(Fault::new(Reason::DeliveryNotFound)
                            .because("this node's ledger has no such order"))
                    }
                    None => Err(Fault::new(Reason::DeliveryNotFinal).retry_after(RETRY)),
                };
            }
        }
    }

    fn standing(&self, part: &PartRef) -> Result<Found, Fault> {
        let known = watch::known(&self.shop.replica, part).map_err(|error| internal(&error))?;
        Ok(match known {
            None => Found::NotYet,
            Some(known) if !self.shop.holdings.contains_key(&known.order.source) => {
                Found::Elsewhere
            }
            Some(known) => Found::Ours(known.standing, known.reason),
        })
    }
}

/// What the replica says of a part that somebody asks for.
enum Found {
    /// Nothing; the order may be in a block that has not come here.
    NotYet,
    /// It is none of our sources'.
    Elsewhere,
    /// It is ours, with the reason code where it is closed for one.
    Ours(Standing, &'static str),
}

fn not_found(because: &str) -> Fault {
    Fault::new(Reason::DeliveryNotFound).because(because)
}

fn internal(error: &dyn std::error::Error) -> Fault {
    tracing::error!(%error, "the replica cannot be read");
    Fault::new(Reason::Internal)
}

type Pieces = Pin<Box<dyn Stream<Item = Result<RelayPartResponse, Status>> + Send>>;

#[tonic::async_trait]
impl delivery_service_server::DeliveryService for Delivery {
    type RelayPartStream = Pieces;

    async fn relay_part(
        &self,
        request: Request<RelayPartRequest>,
    ) -> Result<Response<Self::RelayPartStream>, Status> {
        let peer = PeerIdentity::of_request(&request).map_err(|status| *status)?;
        self.admit(&peer)?;
        let asked = request.into_inner();
        let part = PartRef::parse(&asked.order, asked.part).map_err(fault::malformed)?;
        if asked.wait_ms > MAX_WAIT_MS {
            return Err(Fault::field(
                "wait_ms",
                Reason::FieldRange,
                format!("at most {MAX_WAIT_MS}, is {}", asked.wait_ms),
            )
            .status());
        }
        let Ok(_place) = self.calls.try_acquire() else {
            return Err(Fault::new(Reason::QuotaExceeded)
                .because("too many calls wait for parts")
                .retry_after(RETRY)
                .status());
        };
        let until = Instant::now() + Duration::from_millis(u64::from(asked.wait_ms));
        let released = self.await_part(part, until).await?;
        tracing::info!(order = %part.order, part = part.part, gateway = %peer, "a sealed report leaves");
        Ok(Response::new(pieces(released)))
    }
}

/// The envelope in pieces; the last one carries the receipt.
fn pieces(released: Arc<Released>) -> Pieces {
    let last = released.ciphertext.len().div_ceil(CHUNK).saturating_sub(1);
    Box::pin(stream::iter((0..=last).map(move |index| {
        let start = index * CHUNK;
        let end = (start + CHUNK).min(released.ciphertext.len());
        Ok(RelayPartResponse {
            chunk: released.ciphertext.slice(start..end),
            receipt: (index == last).then(|| wire::Receipt::clone(&released.receipt)),
        })
    })))
}
