//! Consents and the directory: what an institution's agent needs before it can order.

use std::sync::Arc;

use tonic::{Request, Response, Status, metadata::MetadataMap};
use xinqiao_decide::{Action as Ask, Permit};
use xinqiao_ledger::{
    action::Action,
    ids::{GrantId, OrgId, Subject},
    wire::{
        self, consent_service_server::ConsentService, directory_service_server::DirectoryService,
    },
};

use crate::{
    access::{Door, Gate, Refused},
    fault::passed_on,
    feed::Feed,
    node::Node,
    orders::{Trail, handled, malformed, other_action, parse},
};

/// The consent service.
#[derive(Clone)]
pub(crate) struct Consents {
    pub(crate) gate: Arc<Gate>,
    pub(crate) node: Node,
}

impl Consents {
    async fn submitted(
        &self,
        door: &Door,
        trail: &mut Trail,
        metadata: &MetadataMap,
        request: wire::SubmitConsentRequest,
    ) -> Result<wire::SubmitConsentResponse, Refused> {
        let tx = parse(request.transaction.as_ref());
        let user = trail.user.insert(self.gate.user(door, metadata).await?);
        let tx = tx?;
        self.gate.own_chain(&tx)?;
        // A subject's own key signs grants; whose that is, the contract knows. So the signer is looked
        // at only where it must be the institution's own.
        let (grant, ask, terms) = match tx.action() {
            Action::RequestConsent { terms, .. } => {
                self.gate.own_signer(door, &tx).await?;
                (
                    GrantId::from(tx.meta().id),
                    Ask::RegisterConsent,
                    Some(terms),
                )
            }
            Action::GrantConsent { request, terms } => (
                request.unwrap_or(GrantId::from(tx.meta().id)),
                Ask::RegisterConsent,
                Some(terms),
            ),
            Action::DeclineConsent(grant)
            | Action::PauseConsent(grant)
            | Action::ResumeConsent(grant)
            | Action::RevokeConsent(grant) => (*grant, Ask::EndConsent, None),
            _ => return Err(other_action("a consent action").into()),
        };
        trail.attempt.grant = Some(grant);
        trail.attempt.subject = terms.map(|terms| terms.subject);
        // Whoever brings a subject's revocation need not be the grantee; a grant goes to the caller.
        let owner = terms.map(|terms| terms.grantee.as_str());
        let permit = self.gate.permit(user, ask, None, owner)?;
        let receipt = self
            .gate
            .submit(&tx, request.transaction.unwrap_or_default())
            .await?;
        tracing::info!(institution = permit.org(), %grant, action = %permit.action(), "consent");
        Ok(wire::SubmitConsentResponse {
            grant: grant.to_vec(),
            receipt: Some(receipt),
        })
    }

    async fn listed(
        &self,
        door: &Door,
        trail: &mut Trail,
        metadata: &MetadataMap,
        request: &wire::ListConsentsRequest,
    ) -> Result<wire::ListConsentsResponse, Refused> {
        let user = trail.user.insert(self.gate.user(door, metadata).await?);
        let subject = Subject::parse("subject", &request.subject).map_err(malformed)?;
        trail.attempt.subject = Some(subject);
        let permit = self.gate.permit(user, Ask::ReadConsent, None, None)?;
        Ok(wire::ListConsentsResponse {
            grants: self.grants(&permit, &door.org, &subject).await?,
        })
    }

    /// Only grants to the caller's own institution.
    async fn grants(
        &self,
        _permit: &Permit,
        grantee: &OrgId,
        subject: &Subject,
    ) -> Result<Vec<wire::GrantState>, Refused> {
        self.node
            .grants(subject, grantee)
            .await
            .map_err(|status| passed_on("node", &status).into())
    }
}

#[tonic::async_trait]
impl ConsentService for Consents {
    async fn submit_consent(
        &self,
        request: Request<wire::SubmitConsentRequest>,
    ) -> Result<Response<wire::SubmitConsentResponse>, Status> {
        handled!(self, request, submitted,)
    }

    async fn list_consents(
        &self,
        request: Request<wire::ListConsentsRequest>,
    ) -> Result<Response<wire::ListConsentsResponse>, Status> {
        handled!(self, request, listed, &)
    }
}

/// The directory service.
#[derive(Clone)]
pub(crate) struct Directories {
    pub(crate) gate: Arc<Gate>,
    pub(crate) feed: Arc<Feed>,
}

impl Directories {
    async fn directory(
        &self,
        door: &Door,
        trail: &mut Trail,
        metadata: &MetadataMap,
        request: &wire::GetDirectoryRequest,
    ) -> Result<wire::GetDirectoryResponse, Refused> {
        let user = trail.user.insert(self.gate.user(door, metadata).await?);
        let _permit = self.gate.permit(user, Ask::ReadCatalogue, None, None)?;
        let snapshot = self
            .gate
            .directory
            .snapshot()
            .await
            .map_err(|status| passed_on("node", &status))?;
        let handovers = self.gate.node.handovers(request.handovers_after_height);
        let handovers = (handovers.await).map_err(|status| passed_on("node", &status))?;
        Ok(wire::GetDirectoryResponse {
            handovers,
            chain_id: self.gate.chain.to_vec(),
            height: self.feed.tip().height,
            max_expiry_window: snapshot.max_expiry_window,
            catalogue: Some(snapshot.catalogue.clone()),
            sources: snapshot.sources.values().cloned().collect(),
        })
    }
}

#[tonic::async_trait]
impl DirectoryService for Directories {
    async fn get_directory(
        &self,
        request: Request<wire::GetDirectoryRequest>,
    ) -> Result<Response<wire::GetDirectoryResponse>, Status> {
        handled!(self, request, directory, &)
    }
}
