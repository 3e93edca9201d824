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

use futures::{Stream, StreamExt};
use tonic::{Request, Status};
use xinqiao_ledger::{
    ids::{OrgId, SourceId},
    order::{MAX_SEALED, PartRef},
    wire::{self, delivery_service_client::DeliveryServiceClient},
};
use xinqiao_rpc::{ExpectedPeer, Fault, Identity, Limits, Reason, Role, RpcChannel, limited, tls};

use crate::{config::Endpoint, directory::LedgerDirectory, fault::passed_on};

/// The most bytes of one piece.
const MAX_CHUNK: usize = 1 << 20;

/// How much longer a call may take than what it waits for.
const MARGIN: Duration = Duration::from_secs(2);

/// The most channels that are kept: more than a consortium has gateways and holders.
const MAX_CHANNELS: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) own: OrgId,
    pub(crate) identity: Identity,
    pub(crate) limits: Limits,
    pub(crate) holders: BTreeMap<SourceId, Endpoint>,
    pub(crate) directory: Arc<LedgerDirectory>,
    pub(crate) channels: Mutex<HashMap<(String, OrgId, Role), RpcChannel>>,
}

/// Who is to be asked for a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    uri: String,
    org: OrgId,
    role: Role,
}

impl Relay {
    /// The way to a source's deliveries.
    pub(crate) async fn way(&self, source: &SourceId) -> Result<Way, Status> {
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
        Ok(Way {
            uri: gateway.member.gateway_endpoint.to_string(),
            org: gateway.member.org.clone(),
            role: Role::Gateway,
        })
    }

    /// The way to a source whose data-holding node stands behind this gateway.
    pub(crate) fn own_holder(&self, source: &SourceId) -> Option<Way> {
        let holder = self.holders.get(source)?;
        Some(Way {
            uri: holder.uri.clone(),
            org: holder.org.clone(),
            role: Role::Holder,
        })
    }

    /// Asks for a part, waiting for its delivery up to `wait`, and gives its pieces.
    pub(crate) async fn pieces(
        &self,
        way: &Way,
        part: PartRef,
        wait: Duration,
    ) -> Result<impl Stream<Item = Result<wire::RelayPartResponse, Status>> + Send + use<>, Status>
    {
        let channel = self.channel(way)?;
        let mut request = Request::new(wire::RelayPartRequest {
            order: part.order.to_vec(),
            part: u32::from(part.part),
            wait_ms: u32::try_from(wait.as_millis())
                .unwrap_or(u32::MAX)
                .min(86_400_000),
        });
        request.set_timeout(wait + MARGIN);
        let whom = way.uri.clone();
        let answer = limited!(DeliveryServiceClient::new(channel))
            .relay_part(request)
            .await
            .map_err(|status| passed_on(&whom, &status))?;
        Ok(measured(answer.into_inner(), whom))
    }

    fn channel(&self, way: &Way) -> Result<RpcChannel, Status> {
        let key = (way.uri.clone(), way.org.clone(), way.role);
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&key) {
            return Ok(channel.clone());
        }
        let expected = ExpectedPeer::org(way.org.as_str()).with_role(way.role);
        let channel =
            tls::channel_to(&way.uri, &self.identity, expected, &self.limits).map_err(|error| {
                tracing::error!(%error, uri = way.uri, "no channel can be made");
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

/// The pieces as they come, each and all together within their limits.
fn measured(
    pieces: tonic::Streaming<wire::RelayPartResponse>,
    whom: String,
) -> impl Stream<Item = Result<wire::RelayPartResponse, Status>> + Send {
    let mut total = 0_u64;
    pieces.map(move |piece| {
        let piece = piece.map_err(|status| passed_on(&whom, &status))?;
        total += piece.chunk.len() as u64;
        if piece.chunk.len() > MAX_CHUNK || total > MAX_SEALED {
            tracing::error!(whom, total, "more is sent than a sealed report may have");
            return Err(Fault::new(Reason::MessageTooLarge)
                .with("limit_bytes", MAX_SEALED)
                .status());
        }
        Ok(piece)
    })
}
