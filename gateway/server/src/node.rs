//! The region's node, as this gateway asks it. Typed calls and nothing else: what the answers mean is
//! decided elsewhere, and nothing is remembered here.

use std::time::Duration;

use tonic::{Request, Status};
use xinqiao_ledger::{
    ids::{Height, OrderId, OrgId, Subject, TxId},
    wire::{
        self, ledger_service_client::LedgerServiceClient, state_service_client::StateServiceClient,
        submission_service_client::SubmissionServiceClient,
    },
};
use xinqiao_rpc::{
    ExpectedPeer, Fault, FaultView, Identity, Limits, Reason, Role, RpcChannel, limited, tls,
};

use crate::config::Endpoint;

/// How long an ordinary question may take.
const ASK: Duration = Duration::from_secs(5);

/// How long a transaction is waited for to be committed.
pub(crate) const COMMIT_WAIT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct Node {
    channel: RpcChannel,
}

fn ask<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ASK);
    request
}

impl Node {
    pub(crate) fn new(
        endpoint: &Endpoint,
        identity: &Identity,
        limits: &Limits,
    ) -> Result<Self, tls::Error> {
        let expected = ExpectedPeer::org(endpoint.org.as_str()).with_role(Role::Node);
        Ok(Self {
            channel: tls::channel_to(&endpoint.uri, identity, expected, limits)?,
        })
    }

    fn ledger(&self) -> LedgerServiceClient<RpcChannel> {
        limited!(LedgerServiceClient::new(self.channel.clone()))
    }

    fn state(&self) -> StateServiceClient<RpcChannel> {
        limited!(StateServiceClient::new(self.channel.clone()))
    }

    pub(crate) async fn status(&self) -> Result<wire::GetStatusResponse, Status> {
        let request = ask(wire::GetStatusRequest {});
        Ok(self.ledger().get_status(request).await?.into_inner())
    }

    /// Blocks from a height on, without end.
    pub(crate) async fn blocks(
        &self,
        from_height: u64,
    ) -> Result<tonic::Streaming<wire::StreamBlocksResponse>, Status> {
        let request = ask(wire::StreamBlocksRequest { from_height });
        Ok(self.ledger().stream_blocks(request).await?.into_inner())
    }

    /// Submits a transaction and waits for its receipt.
    pub(crate) async fn submit(
        &self,
        transaction: wire::Transaction,
        id: TxId,
    ) -> Result<wire::Receipt, Status> {
        let mut request = Request::new(wire::SubmitTransactionRequest {
            transaction: Some(transaction),
            wait_ms: u32::try_from(COMMIT_WAIT.as_millis()).expect("ten seconds"),
        });
        request.set_timeout(COMMIT_WAIT + ASK);
        let mut client = limited!(SubmissionServiceClient::new(self.channel.clone()));
        let answer = client.submit_transaction(request).await?.into_inner();
        answer.receipt.ok_or_else(|| not_committed_yet(&id))
    }

    /// The receipt of a transaction that was handed in before, waited for if it is not committed yet; none if
    /// there is no such transaction.
    pub(crate) async fn receipt(
        &self,
        id: &TxId,
        wait: Duration,
    ) -> Result<Option<wire::Receipt>, Status> {
        let mut request = Request::new(wire::GetReceiptRequest {
            tx_id: id.to_vec(),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        });
        request.set_timeout(wait + ASK);
        let answer = present(self.ledger().get_receipt(request).await)?;
        Ok(answer.and_then(|answer| answer.receipt))
    }

    pub(crate) async fn order(&self, order: &OrderId) -> Result<Option<wire::OrderState>, Status> {
        let request = ask(wire::GetOrderRequest {
            order: order.to_vec(),
        });
        let answer = present(self.state().get_order(request).await)?;
        Ok(answer.and_then(|answer| answer.order))
    }

    /// Changes of validators above a height.
    pub(crate) async fn handovers(&self, after: Height) -> Result<Vec<wire::Handover>, Status> {
        let request = ask(wire::GetHandoversRequest {
            after_height: after,
        });
        Ok(self
            .ledger()
            .get_handovers(request)
            .await?
            .into_inner()
            .handovers)
    }

    pub(crate) async fn grants(
        &self,
        subject: &Subject,
        grantee: &OrgId,
    ) -> Result<Vec<wire::GrantState>, Status> {
        let request = ask(wire::ListGrantsRequest {
            subject: subject.to_vec(),
            grantee: grantee.to_string(),
        });
        Ok(self.state().list_grants(request).await?.into_inner().grants)
    }

    /// Digests that changed above a height, and who consents. At most 1,000 subjects.
    pub(crate) async fn digests(
        &self,
        subjects: impl Iterator<Item = &Subject>,
        grantee: &OrgId,
        after: Height,
    ) -> Result<wire::ListDigestsResponse, Status> {
        let request = ask(wire::ListDigestsRequest {
            subjects: subjects.map(|subject| subject.to_vec()).collect(),
            grantee: grantee.to_string(),
            after_height: after,
        });
        Ok(self.state().list_digests(request).await?.into_inner())
    }

    pub(crate) async fn members(&self) -> Result<Vec<wire::MemberState>, Status> {
        let request = ask(wire::ListMembersRequest {});
        Ok(self
            .state()
            .list_members(request)
            .await?
            .into_inner()
            .members)
    }

    pub(crate) async fn sources(&self) -> Result<Vec<wire::SourceState>, Status> {
        let request = ask(wire::ListSourcesRequest {});
        Ok(self
            .state()
            .list_sources(request)
            .await?
            .into_inner()
            .sources)
    }

    pub(crate) async fn catalogue(&self) -> Result<wire::Catalogue, Status> {
        let request = ask(wire::GetCatalogueRequest {});
        let answer = self.state().get_catalogue(request).await?.into_inner();
        answer.catalogue.ok_or_else(|| {
            Fault::new(Reason::Internal)
                .because("no catalogue")
                .status()
        })
    }
}

/// A transaction that the node has and no block yet.
pub(crate) fn not_committed_yet(id: &TxId) -> Status {
    Fault::new(Reason::Deadline)
        .because("the transaction was taken and is not committed yet")
        .with("tx_id", id)
        .status()
}

/// "There is none" is an answer, not a failure.
fn present<T>(answer: Result<tonic::Response<T>, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) => match FaultView::from_status(&status).reason {
            Some(Reason::OrderNotFound | Reason::TxNotFound) => Ok(None),
            _ => Err(status),
        },
    }
}
