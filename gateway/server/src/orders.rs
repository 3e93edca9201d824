//! Orders: placing, following, fetching, closing. Each handler is the same three lines: who is there,
//! what came of it, and the record when that was a refusal.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream::BoxStream};
use prost::Message;
use tonic::{Request, Response, Status, metadata::MetadataMap};
use xinqiao_decide::{Action as Ask, Permit};
use xinqiao_ledger::{
    action::Action,
    group::LetterAsk,
    ids::{OrderId, SourceId},
    malformed::Malformed,
    order::PartRef,
    tx::Tx,
    wire::{self, PartStatus, order_service_server::OrderService},
};
use xinqiao_rpc::{Fault, FaultView, Reason, ledger_fault};

use crate::{
    access::{Door, Gate, Refused, User},
    fault::{is_transient, passed_on},
    feed::{Feed, Following},
    node::Node,
    queue::Queue,
    refusals::Attempt,
    relay::{Relay, question},
};

/// How long a part is waited for beyond the order's deadline: the ledger notes a missed deadline in the
/// block after it.
const AFTER_DEADLINE: Duration = Duration::from_secs(2);

/// The longest that one call waits for a part.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// The pause before a relay that failed is tried again.
const RELAY_AGAIN: Duration = Duration::from_millis(50);

/// The order service.
#[derive(Clone)]
pub(crate) struct Orders {
    pub(crate) gate: Arc<Gate>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) node: Node,
    pub(crate) queue: Arc<Queue>,
}

/// What is known of a call while it is decided on, for the record of a refusal.
#[derive(Default)]
pub(crate) struct Trail {
    pub(crate) user: Option<User>,
    pub(crate) attempt: Attempt,
}

/// Parses the transaction of a request.
pub(crate) fn parse(wire: Option<&wire::Transaction>) -> Result<Tx, Refused> {
    let wire =
        wire.ok_or_else(|| Fault::field("transaction", Reason::FieldRequired, "must be given"))?;
    Tx::parse(&wire.encode_to_vec()).map_err(malformed)
}

pub(crate) fn malformed(fault: Malformed) -> Refused {
    ledger_fault::malformed(&fault).into()
}

/// The transaction does something that this method is not for.
pub(crate) fn other_action(expected: &str) -> Fault {
    Fault::field(
        "transaction.body.action",
        Reason::FieldFormat,
        format!("must be {expected}"),
    )
}

impl Orders {
    async fn place(
        &self,
        door: &Door,
        trail: &mut Trail,
        metadata: &MetadataMap,
        request: wire::OrderServicePlaceOrderRequest,
    ) -> Result<wire::OrderServicePlaceOrderResponse, Refused> {
        // What was asked for is read before the token, so that the record of a bad token has it.
        let tx = parse(request.transaction.as_ref());
        if let Ok(tx) = &tx
            && let Action::PlaceOrder(order) = tx.action()
        {
            trail.attempt = Attempt::at(order);
        }
        let user = trail.user.insert(self.gate.user(door, metadata).await?);
        let tx = tx?;
        let Action::PlaceOrder(order) = tx.action() else {
            return Err(other_action("place_order").into());
        };
        if order.user != user.id {
            let fault = Fault::new(Reason::RoleDenied)
                .because("the order names another user than the token");
            return Err(fault.into());
        }
        self.gate.own_signer(door, &tx).await?;
        let purpose = order.purpose.as_str();
        let permit = (self.gate).permit(user, Ask::PlaceOrder, Some(purpose), None)?;
        // That it has to come again is no refusal of the query: nothing was decided.
        let turn = self.queue.turn(&door.org, request.of_job).await;
        let _turn = turn.map_err(Fault::status)?;
        self.placed(&permit, &tx, request.transaction.unwrap_or_default())
            .await
    }

    async fn placed(
        &self,
        permit: &Permit,
        tx: &Tx,
        wire: wire::Transaction,
    ) -> Result<wire::OrderServicePlaceOrderResponse, Refused> {
        let receipt = self.gate.submit(tx, wire).await?;
        let order = OrderId::from(tx.meta().id);
        tracing::info!(institution = permit.org(), %order, "order placed");
        Ok(wire::OrderServicePlaceOrderResponse {
            order: order.to_vec(),
            receipt: Some(receipt),
        })
    }

    async fn change(
        &self,
        door: &Door,
        trail: &mut Trail,
        metadata: &MetadataMap,
        request: wire::SubmitOrderChangeRequest,
    ) -> Result<wire::SubmitOrderChangeResponse, Refused> {
        let tx = parse(request.transaction.as_ref());
        let user = trail.user.insert(self.gate.user(door, metadata).await?);
        let tx = tx?;
        let (order, ask) = match tx.action() {
            Action::ConfirmPart { part, .. } => (part.order, Ask::ConfirmDelivery),
            Action::CancelOrder(order) => (*order, Ask::CancelOrder),
            Action::DisputeOrder { order, .. } => (*order, Ask::ConfirmDelivery),
            _ => {
                let expected = "confirm_part, cancel_order or dispute_order";
                return Err(other_action(expected).into());
            }
        };
        self.gate.own_signer(door, &tx).await?;
        let state = self.existing(&order).await?;
        trail.attempt = attempt_of(&state);
        let permit = (self.gate).permit(user, ask, None, Some(&state.institution))?;
        let receipt = (self.gate)
            .submit(&tx, request.transaction.unwrap_or_default())
            .await?;
        tracing::info!(institution = permit.org(), %order, action = %permit.action(), "order changed");
        Ok(wire::SubmitOrderChangeResponse {
            receipt: Some(receipt),
        })
    }

    async fn watch(
        &self,
        door: &Door,
        trail: &mut Trail,
        metadata: &MetadataMap,
        request: &wire::WatchOrderRequest,
    ) -> Result<BoxStream<'static, Result<wire::WatchOrderResponse, Status>>, Refused> {
        let user = trail.user.insert(self.gate.user(door, metadata).await?);
        let order = OrderId::parse("order", &request.order).map_err(malformed)?;
        // Following begins before the first look, so that nothing falls between the two.
        let following = self.feed.follow(order);
        let state = self.existing(&order).await?;
        trail.attempt = attempt_of(&state);
        let owner = Some(state.institution.as_str());
        let permit = self.gate.permit(user, Ask::ReadOrder, None, owner)?;
        Ok(states(&permit, self.node.clone(), following, order, state).boxed())
    }

    async fn fetch(
        &self,
        door: &Door,
        trail: &mut Trail,
        metadata: &MetadataMap,
        request: &wire::FetchPartRequest,
    ) -> Result<BoxStream<'static, Result<wire::FetchPartResponse, Status>>, Refused> {
        let user = trail.user.insert(self.gate.user(door, metadata).await?);
        let part = PartRef::parse(&request.order, request.part).map_err(malformed)?;
        let letter = LetterAsk::parse(request.letter.as_ref()).map_err(malformed)?;
        let following = self.feed.follow(part.order);
        let state = self.existing(&part.order).await?;
        trail.attempt = attempt_of(&state);
        let owner = Some(state.institution.as_str());
        let permit = self.gate.permit(user, Ask::FetchDelivery, None, owner)?;
        let pieces = self
            .delivery(&permit, following, part, letter, &state)
            .await?;
        Ok(pieces.boxed())
    }

    /// The pieces of a part, once its holder releases them; an error as soon as the part is closed
    /// without delivery, or its time is over.
    async fn delivery(
        &self,
        permit: &Permit,
        mut following: Following,
        part: PartRef,
        letter: Option<LetterAsk>,
        state: &wire::OrderState,
    ) -> Result<impl Stream<Item = Result<wire::FetchPartResponse, Status>> + Send + use<>, Refused>
    {
        let source = source_of(state, part)?;
        open(state, part)?;
        following.expires(state.deadline_ms);
        let way = self.relay.way(&source).await?;
        tracing::debug!(institution = permit.org(), order = %part.order, part = part.part, ?way, "fetching");
        let wait = remaining(state.deadline_ms);
        let until = tokio::time::Instant::now() + wait;
        let give_up = tokio::time::sleep_until(until);
        tokio::pin!(give_up);
        let relayed = async {
            loop {
                // Each try may take what is left.
                let left = until.saturating_duration_since(tokio::time::Instant::now());
                match self.relay.pieces(&way, part, left, letter.as_ref()).await {
                    // That a part is closed is said by our own node alone; the asked one may be ahead.
                    Err(status) if is_transient(&status) || says_closed(&status) => {
                        tokio::time::sleep(RELAY_AGAIN).await;
                    }
                    done => return done,
                }
            }
        };
        tokio::pin!(relayed);
        let pieces = loop {
            tokio::select! {
                pieces = &mut relayed => break pieces?,
                () = following.touched() => open(&self.existing(&part.order).await?, part)?,
                () = &mut give_up => {
                    let late = Fault::new(Reason::Deadline).because("the part was not delivered in time");
                    return Err(late.status().into());
                }
            }
        };
        Ok(pieces.map(|piece| {
            piece.map(|piece| wire::FetchPartResponse {
                chunk: piece.chunk,
                receipt: piece.receipt,
                holder: piece.holder,
                letter: piece.letter,
            })
        }))
    }

    async fn ask_a_group(
        &self,
        door: &Door,
        trail: &mut Trail,
        metadata: &MetadataMap,
        request: wire::AskGroupRequest,
    ) -> Result<wire::AskGroupResponse, Refused> {
        let user = trail.user.insert(self.gate.user(door, metadata).await?);
        let wire::AskGroupRequest {
            order,
            part,
            holder_node,
            ask,
        } = request;
        let (part, question) =
            question(&order, part, &holder_node, ask.as_ref()).map_err(malformed)?;
        let state = self.existing(&part.order).await?;
        trail.attempt = attempt_of(&state);
        let owner = Some(state.institution.as_str());
        let permit = self.gate.permit(user, Ask::FetchDelivery, None, owner)?;
        let source = source_of(&state, part)?;
        open(&state, part)?;
        let way = self.relay.way(&source).await?;
        tracing::debug!(institution = permit.org(), order = %part.order, part = part.part, ?way, "asking a delivery group");
        let answer = Some(self.relay.group(&way, part, question).await?);
        Ok(wire::AskGroupResponse { answer })
    }

    async fn existing(&self, order: &OrderId) -> Result<wire::OrderState, Refused> {
        let state = self
            .node
            .order(order)
            .await
            .map_err(|status| passed_on("node", &status))?;
        Ok(state.ok_or_else(|| Fault::new(Reason::OrderNotFound))?)
    }
}

/// How long a part of an order with that deadline may be waited for.
pub(crate) fn remaining(deadline_ms: u64) -> Duration {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let left = Duration::from_millis(deadline_ms).saturating_sub(now);
    (left + AFTER_DEADLINE).min(MAX_WAIT)
}

fn attempt_of(state: &wire::OrderState) -> Attempt {
    state
        .placed
        .as_ref()
        .and_then(|placed| xinqiao_ledger::order::PlaceOrder::try_from(placed).ok())
        .map(|order| Attempt::at(&order))
        .unwrap_or_default()
}

/// The source of one part.
pub(crate) fn source_of(state: &wire::OrderState, part: PartRef) -> Result<SourceId, Fault> {
    state
        .parts
        .get(usize::from(part.part))
        .and_then(|state| state.part.as_ref())
        .and_then(|part| part.source.parse().ok())
        .ok_or_else(|| Fault::new(Reason::PartNotFound))
}

/// The part may still be delivered, or was.
fn open(state: &wire::OrderState, part: PartRef) -> Result<(), Status> {
    let Some(part) = state.parts.get(usize::from(part.part)) else {
        return Err(Fault::new(Reason::PartNotFound).status());
    };
    if undeliverable(part.status()) {
        let fault = Fault::new(Reason::OrderStateConflict)
            .because(format!("the part is {}", part.status().as_str_name()))
            .with("part_status", part.status().as_str_name())
            .with("part_reason", &part.reason);
        return Err(fault.status());
    }
    Ok(())
}

/// Whether whoever was asked says that the part is closed.
fn says_closed(status: &Status) -> bool {
    FaultView::from_status(status)
        .metadata
        .contains_key("part_status")
}

fn undeliverable(status: PartStatus) -> bool {
    matches!(
        status,
        PartStatus::Rejected
            | PartStatus::Expired
            | PartStatus::Cancelled
            | PartStatus::ConsentRevoked
    )
}

/// Whether nothing is left to wait for.
fn settled(state: &wire::OrderState) -> bool {
    state.parts.iter().all(|part| {
        !matches!(
            part.status(),
            PartStatus::Unspecified | PartStatus::Placed | PartStatus::Accepted
        )
    })
}

/// The order as it stands now and with every change, until every part is closed or delivered.
fn states(
    _permit: &Permit,
    node: Node,
    following: Following,
    order: OrderId,
    first: wire::OrderState,
) -> impl Stream<Item = Result<wire::WatchOrderResponse, Status>> + Send + use<> {
    enum Next {
        Send(wire::OrderState),
        Wait(wire::OrderState),
        End,
    }
    following.expires(first.deadline_ms);
    futures::stream::unfold(
        (node, following, Next::Send(first)),
        move |(node, mut following, next)| async move {
            let mut last = match next {
                Next::End => return None,
                Next::Send(state) => {
                    let then = if settled(&state) {
                        Next::End
                    } else {
                        Next::Wait(state.clone())
                    };
                    let answer = wire::WatchOrderResponse { order: Some(state) };
                    return Some((Ok(answer), (node, following, then)));
                }
                Next::Wait(last) => last,
            };
            loop {
                following.touched().await;
                match node.order(&order).await {
                    Ok(Some(state)) if state != last => last = state,
                    Ok(_) => continue,
                    Err(status) => {
                        let failed = Err(passed_on("node", &status));
                        return Some((failed, (node, following, Next::End)));
                    }
                }
                let then = if settled(&last) {
                    Next::End
                } else {
                    Next::Wait(last.clone())
                };
                let answer = wire::WatchOrderResponse { order: Some(last) };
                return Some((Ok(answer), (node, following, then)));
            }
        },
    )
}

/// One handler: the door, the decision, and the record of a refusal.
macro_rules! handled {
    ($self:ident, $request:ident, $decide:ident, $($by:tt)?) => {{
        let door = $self.gate.door(&$request).await?;
        let (metadata, _, message) = $request.into_parts();
        let mut trail = Trail::default();
        match $self.$decide(&door, &mut trail, &metadata, $($by)? message).await {
            Ok(answer) => Ok(Response::new(answer)),
            Err(refused) => {
                let Trail { user, attempt } = trail;
                Err($self.gate.refuse(&door, user.as_ref(), attempt, refused).await)
            }
        }
    }};
}
pub(crate) use handled;

#[tonic::async_trait]
impl OrderService for Orders {
    type WatchOrderStream = BoxStream<'static, Result<wire::WatchOrderResponse, Status>>;
    type FetchPartStream = BoxStream<'static, Result<wire::FetchPartResponse, Status>>;

    async fn place_order(
        &self,
        request: Request<wire::OrderServicePlaceOrderRequest>,
    ) -> Result<Response<wire::OrderServicePlaceOrderResponse>, Status> {
        handled!(self, request, place,)
    }

    async fn watch_order(
        &self,
        request: Request<wire::WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        handled!(self, request, watch, &)
    }

    async fn fetch_part(
        &self,
        request: Request<wire::FetchPartRequest>,
    ) -> Result<Response<Self::FetchPartStream>, Status> {
        handled!(self, request, fetch, &)
    }

    async fn ask_group(
        &self,
        request: Request<wire::AskGroupRequest>,
    ) -> Result<Response<wire::AskGroupResponse>, Status> {
        handled!(self, request, ask_a_group,)
    }

    async fn submit_order_change(
        &self,
        request: Request<wire::SubmitOrderChangeRequest>,
    ) -> Result<Response<wire::SubmitOrderChangeResponse>, Status> {
        handled!(self, request, change,)
    }
}
