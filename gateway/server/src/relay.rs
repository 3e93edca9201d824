//! Finding the way to a sealed part and passing its pieces through.
//!
//! The part's source has an operator; either its data-holding node stands behind this very gateway, or
//! the way leads to the operator's own gateway. Pieces are passed on as they come: a gateway never has
//! a whole envelope, and never a plain byte.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{Stream, StreamExt, stream::BoxStream};
use prost::Message;
use tonic::{Request, Status};
use xinqiao_ledger::{
    group::{GroupAsk, LetterAsk, MAX_ANSWER, MAX_ANSWER_ALONG, NodeName},
    ids::{OrgId, SourceId},
    malformed::{Malformed, required},
    order::{MAX_SEALED, PartRef},
    wire::{self, delivery_service_client::DeliveryServiceClient},
};
use xinqiao_rpc::{ExpectedPeer, Fault, Identity, Limits, Reason, Role, RpcChannel, limited, tls};

use crate::{config::Endpoint, directory::LedgerDirectory, fault::passed_on, holders::Holders};

/// The pieces of a sealed report, as they come.
pub(crate) type Pieces = BoxStream<'static, Result<wire::RelayPartResponse, Status>>;

/// The most bytes of one piece.
const MAX_CHUNK: usize = 1 << 20;

/// How much longer a call may take than what it waits for.
const MARGIN: Duration = Duration::from_secs(2);

/// How long a question to a delivery group may take.
const GROUP: Duration = Duration::from_secs(5);
/// The longest pause between two pieces of one report.
const BETWEEN_PIECES: Duration = Duration::from_secs(10);

/// The most channels that are kept: more than a consortium has gateways and holders.
const MAX_CHANNELS: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) own: OrgId,
    pub(crate) identity: Identity,
    pub(crate) limits: Limits,
    pub(crate) holders: BTreeMap<SourceId, Holders>,
    pub(crate) directory: Arc<LedgerDirectory>,
    pub(crate) channels: Mutex<HashMap<(String, OrgId, Role), RpcChannel>>,
}

/// Who is to be asked for a part.
#[derive(Debug)]
pub(crate) enum Way<'a> {
    /// The source's data-holding nodes, behind this gateway.
    Own(&'a Holders),
    /// Another gateway.
    Gateway(Endpoint),
}

impl Relay {
    /// The way to a source's deliveries.
    pub(crate) async fn way(&self, source: &SourceId) -> Result<Way<'_>, Status> {
        if let Some(way) = self.own_holder(source) {
            return Ok(way);
        }
        let snapshot = self
            .directory
            .snapshot()
            .await
            .map_err(|status| passed_on("node", &status))?;
        let no_way = |what: &str| {
            tracing::error!(%source, what, "there is no way to the source");
            Fault::new(Reason::UpstreamUnavailable)
                .because(format!("{source}: {what}"))
                .status()
        };
        let operator = snapshot
            .sources
            .get(source)
            .and_then(|state| state.source.as_ref())
            .and_then(|source| source.operator.parse::<OrgId>().ok())
            .ok_or_else(|| Fault::new(Reason::SourceUnknown).status())?;
        let gateway = snapshot
            .gateway_of(&operator)
            .filter(|known| !known.member.gateway_endpoint.is_empty())
            .ok_or_else(|| no_way("its operator has no gateway"))?;
        if gateway.member.org == self.own {
            return Err(no_way("its data-holding node is not configured here"));
        }
        Ok(Way::Gateway(Endpoint {
            uri: gateway.member.gateway_endpoint.to_string(),
            org: gateway.member.org.clone(),
        }))
    }

    /// The way to a source whose data-holding nodes stand behind this gateway.
    pub(crate) fn own_holder(&self, source: &SourceId) -> Option<Way<'_>> {
        self.holders.get(source).map(Way::Own)
    }

    /// Asks for a part, and for its letter if that is wanted too, waiting for its delivery up to `wait`, and gives its
    /// pieces.
    pub(crate) async fn pieces(
        &self,
        way: &Way<'_>,
        part: PartRef,
        wait: Duration,
        letter: Option<&LetterAsk>,
    ) -> Result<Pieces, Status> {
        let ask = |endpoint, role| self.pieces_of(endpoint, role, part, wait, letter);
        match way {
            Way::Gateway(gateway) => ask(gateway.clone(), Role::Gateway).await,
            Way::Own(holders) => (holders.ask(&part, |holder| ask(holder, Role::Holder))).await,
        }
    }

    async fn pieces_of(
        &self,
        endpoint: Endpoint,
        role: Role,
        part: PartRef,
        wait: Duration,
        letter: Option<&LetterAsk>,
    ) -> Result<Pieces, Status> {
        let channel = self.channel(&endpoint, role)?;
        let mut request = Request::new(wire::RelayPartRequest {
            order: part.order.to_vec(),
            part: u32::from(part.part),
            wait_ms: u32::try_from(wait.as_millis())
                .unwrap_or(u32::MAX)
                .min(86_400_000),
            letter: letter.map(Into::into),
        });
        request.set_timeout(wait + MARGIN);
        let whom = endpoint.uri;
        let answer = limited!(DeliveryServiceClient::new(channel))
            .relay_part(request)
            .await
            .map_err(|status| passed_on(&whom, &status))?;
        Ok(measured(answer.into_inner(), whom).boxed())
    }

    /// Puts a question to the delivery group of the data-holding node that it names.
    pub(crate) async fn group(
        &self,
        way: &Way<'_>,
        part: PartRef,
        question: wire::RelayGroupRequest,
    ) -> Result<wire::GroupAnswer, Status> {
        let ask = |endpoint, role| self.group_of(endpoint, role, question.clone());
        match way {
            Way::Gateway(gateway) => ask(gateway.clone(), Role::Gateway).await,
            Way::Own(holders) => (holders.ask(&part, |holder| ask(holder, Role::Holder))).await,
        }
    }

    async fn group_of(
        &self,
        endpoint: Endpoint,
        role: Role,
        question: wire::RelayGroupRequest,
    ) -> Result<wire::GroupAnswer, Status> {
        let channel = self.channel(&endpoint, role)?;
        let mut request = Request::new(question);
        request.set_timeout(GROUP);
        let whom = endpoint.uri;
        let answer = limited!(DeliveryServiceClient::new(channel))
            .relay_group(request)
            .await
            .map_err(|status| passed_on(&whom, &status))?
            .into_inner()
            .answer
            .unwrap_or_default();
        if answer.encoded_len() > MAX_ANSWER {
            tracing::error!(whom, "a delivery group's answer is too large");
            return Err(Fault::new(Reason::MessageTooLarge)
                .with("limit_bytes", MAX_ANSWER)
                .status());
        }
        Ok(answer)
    }

    fn channel(&self, to: &Endpoint, role: Role) -> Result<RpcChannel, Status> {
        let key = (to.uri.clone(), to.org.clone(), role);
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&key) {
            return Ok(channel.clone());
        }
        let expected = ExpectedPeer::org(to.org.as_str()).with_role(role);
        let channel =
            tls::channel_to(&to.uri, &self.identity, expected, &self.limits).map_err(|error| {
                tracing::error!(%error, uri = to.uri, "no channel can be made");
                Fault::new(Reason::UpstreamUnavailable).status()
            })?;
        if channels.len() >= MAX_CHANNELS {
            // Members change their addresses rarely; starting anew is simpler than choosing.
            channels.clear();
        }
        channels.insert(key, channel.clone());
        Ok(channel)
    }
}

/// A question to a delivery group in its form and within its limits; whether it is to be believed is for the
/// data-holding node.
pub(crate) fn question(
    order: &[u8],
    part: u32,
    holder_node: &str,
    ask: Option<&wire::GroupAsk>,
) -> Result<(PartRef, wire::RelayGroupRequest), Malformed> {
    let part = PartRef::parse(order, part)?;
    let node = NodeName::parse("holder_node", holder_node)?;
    let ask = GroupAsk::try_from(required("ask", ask)?).map_err(|fault| fault.within("ask"))?;
    let question = wire::RelayGroupRequest {
        order: part.order.to_vec(),
        part: u32::from(part.part),
        holder_node: node.to_string(),
        ask: Some((&ask).into()),
    };
    Ok((part, question))
}

/// The pieces as they come, each and all together within their limits.
fn measured(
    pieces: tonic::Streaming<wire::RelayPartResponse>,
    whom: String,
) -> impl Stream<Item = Result<wire::RelayPartResponse, Status>> + Send {
    futures::stream::unfold(Some((pieces, 0_u64)), move |going_on| {
        let whom = whom.clone();
        async move {
            let (mut pieces, mut total) = going_on?;
            // What has begun to come is all there: whoever stops in the middle hangs.
            let piece = match tokio::time::timeout(BETWEEN_PIECES, pieces.message()).await {
                Ok(Ok(None)) => return None,
                Ok(Ok(Some(piece))) => Ok(piece),
                Ok(Err(status)) => Err(passed_on(&whom, &status)),
                Err(_) => Err(Fault::new(Reason::Deadline)
                    .because("the rest of the report did not come in time")
                    .status()),
            };
            let piece = piece.and_then(|piece| {
                total += piece.chunk.len() as u64;
                let letter = piece.letter.as_ref().map_or(0, Message::encoded_len);
                if piece.chunk.len() > MAX_CHUNK || total > MAX_SEALED || letter > MAX_ANSWER_ALONG
                {
                    tracing::error!(
                        whom,
                        total,
                        letter,
                        "more is sent than a sealed report may have"
                    );
                    return Err(Fault::new(Reason::MessageTooLarge)
                        .with("limit_bytes", MAX_SEALED)
                        .status());
                }
                Ok(piece)
            });
            // After a failure there is nothing more.
            let then = piece.is_ok().then_some((pieces, total));
            Some((piece, then))
        }
    })
}
