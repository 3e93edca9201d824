//! `StateService`: the contracts' state at the tip.

use prost::Message;
use tonic::{Request, Response, Status};
use xinqiao_contracts::{engine, parameters, query, validators};
use xinqiao_crypto::{Digest, KeyId};
use xinqiao_ledger::{
    ids::{Fingerprint, GrantId, OrderId, OrgId, SourceId, Subject, TxId},
    malformed::{Malformed, Problem, list},
    wire::{self, get_member_request::By, state_service_server::StateService},
};
use xinqiao_rpc::{Fault, Reason};

use super::{ask, damaged, failed, page_size};
use crate::{fault, replica::Replica};

/// Where a page of proposals ends early: one can be as large as a transaction, and a message is bounded.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// Proposals that are read at a time, for the same reason.
const CHUNK: usize = 8;

/// Subjects whose digests one call asks for.
const MAX_SUBJECTS: usize = 1_000;

/// The service.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) replica: Replica,
}

fn unknown(reason: Reason) -> impl FnOnce() -> Status {
    move || Fault::new(reason).status()
}

#[tonic::async_trait]
impl StateService for State {
    async fn get_member(
        &self,
        request: Request<wire::GetMemberRequest>,
    ) -> Result<Response<wire::GetMemberResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let found = match &wanted.by {
                None => return Err(fault::malformed(Malformed::new("by", Problem::Required))),
                Some(By::Org(org)) => {
                    let org = OrgId::parse("org", org).map_err(fault::malformed)?;
                    query::member(state, &org)
                }
                Some(By::Certificate(print)) => {
                    let print =
                        Fingerprint::parse("certificate", print).map_err(fault::malformed)?;
                    query::member_by_certificate(state, &print)
                }
                Some(By::KeyId(id)) => {
                    // A key id is a digest of 32 bytes like every other id.
                    let TxId(id) = TxId::parse("key_id", id).map_err(fault::malformed)?;
                    query::member_by_key(state, &KeyId::from(Digest::from(*id.as_bytes())))
                }
            };
            let member = found
                .map_err(failed)?
                .ok_or_else(unknown(Reason::MemberUnknown))?;
            Ok(wire::GetMemberResponse {
                member: Some((&member).into()),
            })
        });
        answer.await.map(Response::new)
    }

    async fn list_members(
        &self,
        request: Request<wire::ListMembersRequest>,
    ) -> Result<Response<wire::ListMembersResponse>, Status> {
        let answer = ask(&self.replica, request, |_, state| {
            let members = query::members(state).map_err(failed)?;
            Ok(wire::ListMembersResponse {
                members: members.iter().map(Into::into).collect(),
            })
        });
        answer.await.map(Response::new)
    }

    async fn list_sources(
        &self,
        request: Request<wire::ListSourcesRequest>,
    ) -> Result<Response<wire::ListSourcesResponse>, Status> {
        let answer = ask(&self.replica, request, |_, state| {
            let sources = query::sources(state).map_err(failed)?;
            Ok(wire::ListSourcesResponse {
                sources: sources.iter().map(Into::into).collect(),
            })
        });
        answer.await.map(Response::new)
    }

    async fn get_catalogue(
        &self,
        request: Request<wire::GetCatalogueRequest>,
    ) -> Result<Response<wire::GetCatalogueResponse>, Status> {
        let answer = ask(&self.replica, request, |_, state| {
            let catalogue = query::catalogue(state).map_err(failed)?;
            Ok(wire::GetCatalogueResponse {
                catalogue: Some((&catalogue).into()),
            })
        });
        answer.await.map(Response::new)
    }

    async fn get_digest(
        &self,
        request: Request<wire::GetDigestRequest>,
    ) -> Result<Response<wire::GetDigestResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let subject = Subject::parse("subject", &wanted.subject).map_err(fault::malformed)?;
            let source = SourceId::parse("source", &wanted.source).map_err(fault::malformed)?;
            if query::source(state, &source).map_err(failed)?.is_none() {
                return Err(unknown(Reason::SourceUnknown)());
            }
            let digest = query::digest(state, &subject, &source)
                .map_err(failed)?
                .ok_or_else(unknown(Reason::DigestNotFound))?;
            Ok((&digest).into())
        });
        answer.await.map(Response::new)
    }

    async fn list_digests(
        &self,
        request: Request<wire::ListDigestsRequest>,
    ) -> Result<Response<wire::ListDigestsResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let subjects = list(
                "subjects",
                &wanted.subjects,
                1,
                MAX_SUBJECTS,
                |at, bytes| Subject::parse(at, bytes),
            )
            .map_err(fault::malformed)?;
            let grantee = OrgId::parse("grantee", &wanted.grantee).map_err(fault::malformed)?;
            let tip = state.tip().map_err(damaged)?;
            let mut answer = wire::ListDigestsResponse {
                subjects: Vec::with_capacity(subjects.len()),
                height: tip.height,
            };
            for subject in &subjects {
                let after = wanted.after_height;
                let watched = query::watched(state, subject, &grantee, after, tip.time);
                answer.subjects.push((&watched.map_err(failed)?).into());
            }
            Ok(answer)
        });
        answer.await.map(Response::new)
    }

    async fn get_grant(
        &self,
        request: Request<wire::GetGrantRequest>,
    ) -> Result<Response<wire::GetGrantResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let id = GrantId::parse("grant", &wanted.grant).map_err(fault::malformed)?;
            let grant = query::grant(state, &id)
                .map_err(failed)?
                .ok_or_else(unknown(Reason::ConsentNotFound))?;
            Ok(wire::GetGrantResponse {
                grant: Some((&grant).into()),
            })
        });
        answer.await.map(Response::new)
    }

    async fn list_grants(
        &self,
        request: Request<wire::ListGrantsRequest>,
    ) -> Result<Response<wire::ListGrantsResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let subject = Subject::parse("subject", &wanted.subject).map_err(fault::malformed)?;
            let grantee = match wanted.grantee.as_str() {
                "" => None,
                org => Some(OrgId::parse("grantee", org).map_err(fault::malformed)?),
            };
            let grants = query::grants_of(state, &subject).map_err(failed)?;
            Ok(wire::ListGrantsResponse {
                grants: grants
                    .iter()
                    .filter(|grant| {
                        grantee
                            .as_ref()
                            .is_none_or(|org| *org == grant.terms.grantee)
                    })
                    .map(Into::into)
                    .collect(),
            })
        });
        answer.await.map(Response::new)
    }

    async fn get_order(
        &self,
        request: Request<wire::GetOrderRequest>,
    ) -> Result<Response<wire::GetOrderResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let id = OrderId::parse("order", &wanted.order).map_err(fault::malformed)?;
            let order = query::order(state, &id)
                .map_err(failed)?
                .ok_or_else(unknown(Reason::OrderNotFound))?;
            Ok(wire::GetOrderResponse {
                order: Some((&order).into()),
            })
        });
        answer.await.map(Response::new)
    }

    async fn list_validators(
        &self,
        request: Request<wire::ListValidatorsRequest>,
    ) -> Result<Response<wire::ListValidatorsResponse>, Status> {
        let answer = ask(&self.replica, request, |_, state| {
            Ok(wire::ListValidatorsResponse {
                engine: engine(state).map_err(failed)?.to_wire(),
                validators: (validators(state).map_err(failed)?.iter())
                    .map(Into::into)
                    .collect(),
            })
        });
        answer.await.map(Response::new)
    }

    async fn list_proposals(
        &self,
        request: Request<wire::ListProposalsRequest>,
    ) -> Result<Response<wire::ListProposalsResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let size = page_size(wanted.page_size)?;
            let mut bytes = 0;
            let mut answer = wire::ListProposalsResponse {
                proposals: Vec::new(),
                next_before_index: wanted.before_index,
            };
            while answer.proposals.len() < size {
                let chunk = CHUNK.min(size - answer.proposals.len());
                let page = query::proposals(state, answer.next_before_index, chunk);
                let page = page.map_err(failed)?;
                for view in &page.entries {
                    let proposal = wire::ProposalState::from(view);
                    bytes += proposal.encoded_len();
                    if !answer.proposals.is_empty() && bytes > MAX_PAGE_BYTES {
                        return Ok(answer);
                    }
                    answer.next_before_index = proposal.index;
                    answer.proposals.push(proposal);
                }
                answer.next_before_index = page.next_before_index;
                if page.next_before_index == 0 {
                    break;
                }
            }
            Ok(answer)
        });
        answer.await.map(Response::new)
    }

    async fn get_proposal(
        &self,
        request: Request<wire::GetProposalRequest>,
    ) -> Result<Response<wire::GetProposalResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let id = TxId::parse("proposal", &wanted.proposal).map_err(fault::malformed)?;
            let proposal = query::proposal(state, &id)
                .map_err(failed)?
                .ok_or_else(unknown(Reason::ProposalNotFound))?;
            Ok(wire::GetProposalResponse {
                proposal: Some((&proposal).into()),
            })
        });
        answer.await.map(Response::new)
    }

    async fn get_parameters(
        &self,
        request: Request<wire::GetParametersRequest>,
    ) -> Result<Response<wire::GetParametersResponse>, Status> {
        let answer = ask(&self.replica, request, |_, state| {
            let parameters = parameters(state).map_err(failed)?;
            Ok(wire::GetParametersResponse {
                parameters: Some((&parameters).into()),
            })
        });
        answer.await.map(Response::new)
    }

    async fn list_misbehaviour(
        &self,
        request: Request<wire::ListMisbehaviourRequest>,
    ) -> Result<Response<wire::ListMisbehaviourResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let size = page_size(wanted.page_size)?;
            let page = query::misbehaviour(state, wanted.before_index, size).map_err(failed)?;
            Ok(wire::ListMisbehaviourResponse {
                entries: page.entries.iter().map(Into::into).collect(),
                next_before_index: page.next_before_index,
            })
        });
        answer.await.map(Response::new)
    }

    async fn list_objections(
        &self,
        request: Request<wire::ListObjectionsRequest>,
    ) -> Result<Response<wire::ListObjectionsResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let filter = query::ObjectionFilter {
                subject: Subject::parse_optional("subject", &wanted.subject)
                    .map_err(fault::malformed)?,
                source: match wanted.source.as_str() {
                    "" => None,
                    source => Some(SourceId::parse("source", source).map_err(fault::malformed)?),
                },
                standing: wanted.standing,
            };
            let size = page_size(wanted.page_size)?;
            let page =
                query::objections(state, &filter, wanted.before_index, size).map_err(failed)?;
            Ok(wire::ListObjectionsResponse {
                entries: page.entries.iter().map(Into::into).collect(),
                next_before_index: page.next_before_index,
            })
        });
        answer.await.map(Response::new)
    }
}
