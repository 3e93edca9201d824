//! `AuditService`: the access log, orders, the summary, and evidence.

use prost::Message;
use tonic::{Request, Response, Status};
use xinqiao_contracts::query::{self, AccessFilter};
use xinqiao_ledger::{
    ids::{OrderId, OrgId, Subject},
    wire::{self, audit_service_server::AuditService},
};

use super::{ask, failed, off_loop, page_size};
use crate::{evidence, fault, replica::Replica};

/// Where a page of orders ends early: an order can have many parts, and one message is bounded.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// The service.
#[derive(Clone)]
pub(crate) struct Audit {
    pub(crate) replica: Replica,
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_access(
        &self,
        request: Request<wire::ListAccessRequest>,
    ) -> Result<Response<wire::ListAccessResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let institution = match wanted.institution.as_str() {
                "" => None,
                org => Some(OrgId::parse("institution", org).map_err(fault::malformed)?),
            };
            let filter = AccessFilter {
                institution,
                subject: Subject::parse_optional("subject", &wanted.subject)
                    .map_err(fault::malformed)?,
                refused_only: wanted.refused_only,
            };
            let size = page_size(wanted.page_size)?;
            let page =
                query::access_entries(state, &filter, wanted.before_index, size).map_err(failed)?;
            Ok(wire::ListAccessResponse {
                entries: page.entries.iter().map(Into::into).collect(),
                total: query::access_count(state).map_err(failed)?,
                next_before_index: page.next_before_index,
            })
        });
        answer.await.map(Response::new)
    }

    async fn list_orders(
        &self,
        request: Request<wire::ListOrdersRequest>,
    ) -> Result<Response<wire::ListOrdersResponse>, Status> {
        let answer = ask(&self.replica, request, |wanted, state| {
            let size = page_size(wanted.page_size)?;
            let page = query::orders_page(state, wanted.before_index, size).map_err(failed)?;
            let mut bytes = 0;
            let mut orders = Vec::new();
            let mut next_before_index = page.next_before_index;
            let mut last = None;
            for record in &page.entries {
                let order = wire::OrderState::from(record);
                bytes += order.encoded_len();
                if let Some(last) = last
                    && bytes > MAX_PAGE_BYTES
                {
                    next_before_index = last;
                    break;
                }
                last = Some(record.access_index);
                orders.push(order);
            }
            Ok(wire::ListOrdersResponse {
                orders,
                next_before_index,
            })
        });
        answer.await.map(Response::new)
    }

    async fn get_summary(
        &self,
        request: Request<wire::GetSummaryRequest>,
    ) -> Result<Response<wire::GetSummaryResponse>, Status> {
        let answer = ask(&self.replica, request, |_, state| {
            Ok((&query::summary(state).map_err(failed)?).into())
        });
        answer.await.map(Response::new)
    }

    async fn get_evidence(
        &self,
        request: Request<wire::GetEvidenceRequest>,
    ) -> Result<Response<wire::GetEvidenceResponse>, Status> {
        self.replica.shared.caller(&request)?;
        let order = OrderId::parse("order", &request.get_ref().order).map_err(fault::malformed)?;
        let answer = off_loop(&self.replica, move |replica| {
            let bundle = evidence::gather(replica, &order)?;
            Ok(wire::GetEvidenceResponse {
                bundle: Some(bundle),
            })
        });
        answer.await.map(Response::new)
    }
}
