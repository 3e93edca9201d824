//! Sealed parts for other gateways: what this gateway's own data-holding nodes have for institutions of
//! other regions.
//!
//! Only the gateway of the institution that ordered is served, and only parts of sources that stand
//! behind this gateway. Whether anything may leave at all is for the data-holding node, on its own
//! replica: this gateway is not trusted with that.

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use tonic::{Request, Response, Status};
use xinqiao_ledger::{
    group::LetterAsk,
    ids::{OrderId, OrgId, SourceId},
    order::PartRef,
    wire::{self, delivery_service_server::DeliveryService},
};
use xinqiao_rpc::{Fault, Reason, Role, ledger_fault};

use crate::{
    access::Gate,
    fault::passed_on,
    feed::Feed,
    node::Node,
    orders::{remaining, source_of},
    relay::{Relay, Way, question},
};

/// How long an order that another region has is waited for to appear here.
const CATCH_UP: Duration = Duration::from_secs(10);

/// The delivery service.
#[derive(Clone)]
pub(crate) struct Deliveries {
    pub(crate) gate: Arc<Gate>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) node: Node,
}

impl Deliveries {
    /// The order, once this region's node has it.
    async fn order(&self, order: OrderId, wait: Duration) -> Result<wire::OrderState, Status> {
        let mut following = self.feed.follow(order);
        let appears = async {
            loop {
                let found = self.node.order(&order).await;
                if let Some(state) = found.map_err(|status| passed_on("node", &status))? {
                    return Ok(state);
                }
                following.touched().await;
            }
        };
        tokio::time::timeout(wait.min(CATCH_UP), appears)
            .await
            .unwrap_or_else(|_| Err(Fault::new(Reason::OrderNotFound).status()))
    }

    /// The way to a source whose data-holding node stands behind this very gateway.
    fn own_way(&self, source: &SourceId) -> Result<Way<'_>, Status> {
        self.relay.own_holder(source).ok_or_else(|| {
            Fault::new(Reason::SourceUnknown)
                .because(format!("{source} is not served here"))
                .status()
        })
    }

    /// The asking gateway is the one that serves the institution.
    async fn addressee(&self, asking: &OrgId, institution: &str) -> Result<(), Status> {
        let snapshot = self
            .gate
            .directory
            .snapshot()
            .await
            .map_err(|status| passed_on("node", &status))?;
        let serves = institution
            .parse()
            .ok()
            .and_then(|org: OrgId| snapshot.gateway_of(&org))
            .is_some_and(|gateway| gateway.member.org == *asking);
        if serves {
            Ok(())
        } else {
            Err(Fault::new(Reason::DeliveryNotAddressee).status())
        }
    }
}

#[tonic::async_trait]
impl DeliveryService for Deliveries {
    type RelayPartStream = BoxStream<'static, Result<wire::RelayPartResponse, Status>>;

    async fn relay_part(
        &self,
        request: Request<wire::RelayPartRequest>,
    ) -> Result<Response<Self::RelayPartStream>, Status> {
        let asking = self.gate.process(&request, &[Role::Gateway]).await?;
        let request = request.into_inner();
        let part = PartRef::parse(&request.order, request.part)
            .map_err(|fault| ledger_fault::malformed(&fault).status())?;
        if request.wait_ms > 86_400_000 {
            let fault = Fault::field("wait_ms", Reason::FieldRange, "at most 86400000");
            return Err(fault.status());
        }
        let letter = LetterAsk::parse(request.letter.as_ref())
            .map_err(|fault| ledger_fault::malformed(&fault).status())?;
        let wait = Duration::from_millis(request.wait_ms.into());
        let state = self.order(part.order, wait).await?;
        self.addressee(&asking, &state.institution).await?;
        let way = self.own_way(&source_of(&state, part)?)?;
        let wait = wait.min(remaining(state.deadline_ms));
        let pieces = self.relay.pieces(&way, part, wait, letter.as_ref()).await?;
        tracing::debug!(%asking, order = %part.order, part = part.part, "relaying");
        Ok(Response::new(pieces))
    }

    async fn relay_group(
        &self,
        request: Request<wire::RelayGroupRequest>,
    ) -> Result<Response<wire::RelayGroupResponse>, Status> {
        let asking = self.gate.process(&request, &[Role::Gateway]).await?;
        let wire::RelayGroupRequest {
            order,
            part,
            holder_node,
            ask,
        } = request.into_inner();
        let (part, question) = question(&order, part, &holder_node, ask.as_ref())
            .map_err(|fault| ledger_fault::malformed(&fault).status())?;
        let state = self.order(part.order, CATCH_UP).await?;
        self.addressee(&asking, &state.institution).await?;
        let way = self.own_way(&source_of(&state, part)?)?;
        let answer = Some(self.relay.group(&way, part, question).await?);
        Ok(Response::new(wire::RelayGroupResponse { answer }))
    }
}
