//! DeliveryService: gateways fetch sealed reports here.
//!
//! A call can only wait, and look at the shelf. Nothing that a gateway says or sends makes a report
//! releasable; that is between the desk and the replica.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, stream};
use prost::Message as _;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Request, Response, Status};
use xinqiao_contracts::{query, record::MemberState};
use xinqiao_crypto::{Digest, KeyId};
use xinqiao_dispatch::delivery::Standing;
use xinqiao_ledger::{
    group::{GroupAsk, LetterAsk, MAX_ANSWER_ALONG, NodeName},
    ids::{Fingerprint, OrgId},
    malformed::required,
    order::PartRef,
    wire,
};
use xinqiao_mls::Ask;
use xinqiao_node::fault;
use xinqiao_proto::v1::{
    RelayGroupRequest, RelayGroupResponse, RelayPartRequest, RelayPartResponse,
    delivery_service_server,
};
use xinqiao_rpc::{Fault, PeerIdentity, Reason, peer::Role};

use crate::{
    desk::{Counter, Shop},
    shelf::Released,
    watch::{self, Known},
};

/// Most bytes of one piece.
const CHUNK: usize = 1 << 20;

/// Longest wait that may be asked for, in milliseconds.
const MAX_WAIT_MS: u32 = 86_400_000;

/// How long a question to a group waits for its part, which whoever asks has fetched already.
const LETTER: Duration = Duration::from_secs(2);
/// In an answer's details: the key of the node that delivered what is not here.
const DELIVERED_BY: &str = "delivered_by";

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
                Found::Another(holder) => {
                    return Err(not_found("another node of the source delivered it")
                        .with(DELIVERED_BY, holder));
                }
                Found::Ours(Standing::Delivered { .. }, _) => {
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
        let known = watch::known(&self.shop.replica, part, &self.shop.me);
        let known = known.map_err(|error| internal(&error))?;
        Ok(match known {
            None => Found::NotYet,
            Some(known) if !self.shop.holdings.contains_key(&known.order.source) => {
                Found::Elsewhere
            }
            Some(Known {
                standing: Standing::Delivered { is_own: false, .. },
                holder: Some(holder),
                ..
            }) => Found::Another(holder),
            Some(known) => Found::Ours(known.standing, known.reason),
        })
    }
}

impl Delivery {
    /// This node, as delivery groups know it.
    fn holder(&self) -> wire::HolderNode {
        let member = self.shop.groups.member();
        wire::HolderNode {
            org: member.org.to_string(),
            node: member.node.to_string(),
            public_key: self.shop.groups.key().public().to_sec1().to_vec(),
        }
    }

    /// The institution that placed the order, on this node's own replica.
    fn institution(&self, part: &PartRef) -> Result<OrgId, Fault> {
        match query::order(&self.shop.replica.state(), &part.order) {
            Ok(Some(order)) => Ok(order.institution),
            Ok(None) => Err(not_found("this node's ledger has no such order")),
            Err(error) => Err(internal(&error)),
        }
    }
}

impl Delivery {
    /// The group's answer along with a part. Where there is none the agent asks for it by itself, and is told why.
    async fn along(
        &self,
        part: PartRef,
        letter: LetterAsk,
        released: &Released,
    ) -> Option<wire::GroupAnswer> {
        let key = released.key.clone()?;
        if letter.holder != self.shop.groups.member().node {
            return None;
        }
        let institution = self.institution(&part).ok()?;
        let ask = Ask::of(letter.ask, institution.clone(), part);
        let answer = self.shop.groups.answer(&institution, ask, key).await;
        let answer = answer
            .inspect_err(
                |error| tracing::debug!(%institution, %error, "no answer goes along with a part"),
            )
            .ok()?
            .into_wire();
        (answer.encoded_len() <= MAX_ANSWER_ALONG).then_some(answer)
    }
}

/// What the replica says of a part that somebody asks for.
enum Found {
    /// Nothing; the order may be in a block that has not come here.
    NotYet,
    /// It is none of our sources'.
    Elsewhere,
    /// It is one of our sources', and another node delivered it: the one of that key.
    Another(KeyId),
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
        let letter = LetterAsk::parse(asked.letter.as_ref()).map_err(fault::malformed)?;
        let Ok(_place) = self.calls.try_acquire() else {
            return Err(Fault::new(Reason::QuotaExceeded)
                .because("too many calls wait for parts")
                .retry_after(RETRY)
                .status());
        };
        let until = Instant::now() + Duration::from_millis(u64::from(asked.wait_ms));
        let released = self.await_part(part, until).await?;
        let letter = match letter {
            Some(letter) => self.along(part, letter, &released).await,
            None => None,
        };
        tracing::info!(order = %part.order, part = part.part, gateway = %peer, "a sealed report leaves");
        Ok(Response::new(pieces(released, self.holder(), letter)))
    }

    async fn relay_group(
        &self,
        request: Request<RelayGroupRequest>,
    ) -> Result<Response<RelayGroupResponse>, Status> {
        let peer = PeerIdentity::of_request(&request).map_err(|status| *status)?;
        self.admit(&peer)?;
        let asked = request.into_inner();
        let part = PartRef::parse(&asked.order, asked.part).map_err(fault::malformed)?;
        let node = NodeName::parse("holder_node", &asked.holder_node).map_err(fault::malformed)?;
        let ask = required("ask", asked.ask.as_ref())
            .and_then(|ask| GroupAsk::try_from(ask).map_err(|fault| fault.within("ask")))
            .map_err(fault::malformed)?;
        let Ok(_place) = self.calls.try_acquire() else {
            return Err(Fault::new(Reason::QuotaExceeded)
                .because("too many calls wait for parts")
                .retry_after(RETRY)
                .status());
        };
        let institution = self.institution(&part)?;
        if node != self.shop.groups.member().node {
            return Err(not_found("another node serves this source").status());
        }
        let released = self.await_part(part, Instant::now() + LETTER).await?;
        let Some(key) = released.key.clone() else {
            return Err(not_found("the report is sealed in an envelope, not for a group").status());
        };
        let ask = Ask::of(ask, institution.clone(), part);
        let answer = self.shop.groups.answer(&institution, ask, key).await;
        let answer = answer.map_err(|error| refused(&institution, &error))?;
        tracing::debug!(order = %part.order, part = part.part, gateway = %peer, "a delivery group answers");
        Ok(Response::new(RelayGroupResponse {
            answer: Some(answer.into_wire()),
        }))
    }
}

/// Why a group gives no answer.
fn refused(institution: &OrgId, error: &xinqiao_mls::Error) -> Fault {
    use xinqiao_mls::Error as E;
    let reason = match error {
        E::Disk(_) | E::Reopen | E::Library(_) => {
            tracing::error!(%institution, %error, "a delivery group cannot answer");
            return Fault::new(Reason::Internal);
        }
        E::Binding(_) => Reason::GroupBindingRefused,
        E::StaleBinding { than } => {
            return Fault::new(Reason::GroupBindingStale)
                .because(error.to_string())
                .with("later_than_ms", than);
        }
        E::Full(_) => Reason::GroupFull,
        E::Limit(_) | E::Refused { .. } => Reason::GroupMessageRefused,
    };
    tracing::warn!(%institution, %error, "a question to a delivery group is refused");
    Fault::new(reason).because(error.to_string())
}

/// The envelope in pieces; the last one carries the receipt, and the group's answer if there is one.
fn pieces(
    released: Arc<Released>,
    holder: wire::HolderNode,
    letter: Option<wire::GroupAnswer>,
) -> Pieces {
    let last = released.ciphertext.len().div_ceil(CHUNK).saturating_sub(1);
    Box::pin(stream::iter((0..=last).map(move |index| {
        let start = index * CHUNK;
        let end = (start + CHUNK).min(released.ciphertext.len());
        Ok(RelayPartResponse {
            chunk: released.ciphertext.slice(start..end),
            receipt: (index == last).then(|| wire::Receipt::clone(&released.receipt)),
            holder: (index == last).then(|| holder.clone()),
            letter: letter.as_ref().filter(|_| index == last).cloned(),
        })
    })))
}
