//! The report API for the bank's application: the one place where plain codes and plain reports are
//! spoken of. None of them goes into a log line or a span.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::ready};
use tonic::{Request, Response, Status};
use xinqiao_crypto::{KeyId, sm3};
use xinqiao_dispatch::{
    pseudonym::UserKey,
    query::{PartOutcome, Report, Section},
};
use xinqiao_ledger::{
    catalogue::{Catalogue, item::ItemSchema},
    consent::ConsentTerms,
    ids::{ItemCode, OrgId, TimeMs},
    item::PseudonymKey,
    text::Branch,
    wire::{self, report_service_server::ReportService},
};
use xinqiao_report::composite::{Version, compose};
use xinqiao_rpc::{Fault, Reason};

use crate::{
    ask::{self, Ask, GrantAsk},
    config::UserAccess,
    directory::Directory,
    fetching::Fetching,
    gateway::{Acting, HomeGateway, now_ms},
    ordering::{Ordered, Ordering},
    requests::Requests,
};

/// How long before the application loses patience the report is given as it is then.
pub(crate) const HEAD_START: Duration = Duration::from_millis(100);

const DAY_MS: u64 = 86_400_000;

/// The report service.
#[derive(Clone)]
pub(crate) struct Reports {
    pub(crate) agency: Arc<Agency>,
    pub(crate) requests: Requests,
}

/// What the service is made of.
pub(crate) struct Agency {
    pub(crate) org: OrgId,
    pub(crate) gateway: Arc<HomeGateway>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) fetching: Fetching,
    pub(crate) recipient: KeyId,
    pub(crate) pseudonym_key: PseudonymKey,
    pub(crate) user_key: UserKey,
    pub(crate) users: BTreeMap<String, UserAccess>,
    pub(crate) other_users: Option<UserAccess>,
    pub(crate) service: Acting,
}

impl Agency {
    /// A user, if the agent lets them ask.
    pub(crate) fn acting(&self, user: &str) -> Result<Acting, Fault> {
        let listed = self.users.get(user).or(self.other_users.as_ref());
        let access = listed
            .ok_or_else(|| Fault::new(Reason::UserUnknown).because("the agent has no such user"))?;
        Ok(Acting {
            user: self.user_key.user(&self.org, user),
            access: access.clone(),
        })
    }

    /// One query from its beginning to its end, of which nothing is kept.
    async fn query(
        &self,
        ask: Ask,
        patience: Option<Duration>,
    ) -> Result<wire::QueryReportResponse, Status> {
        let started = Instant::now();
        let patience = patience.map_or(xinqiao_rpc::MAX_DEADLINE, |given| {
            given.min(xinqiao_rpc::MAX_DEADLINE)
        });
        let acting = self.acting(&ask.user)?;
        let ordering = Ordering {
            agency: self,
            acting: &acting,
            ask: &ask,
            of_job: false,
        };
        let placement = ordering
            .place(None, |_: &Ordered| ready(Ok(())).boxed())
            .await?;
        let until = started + patience.saturating_sub(HEAD_START);
        ordering.gather(placement, until, None).await
    }

    async fn request_grant(&self, ask: GrantAsk) -> Result<wire::RequestGrantResponse, Status> {
        self.directory.current().await?;
        let now = now_ms();
        let days = |count: u32| u64::from(count) * DAY_MS;
        let mut terms = ConsentTerms {
            subject: self.pseudonym_key.subject(&ask.uscc),
            grantee: self.org.clone(),
            branch: Branch::default(),
            purposes: ask.purposes,
            items: ask.items,
            sources: Vec::new(),
            valid_from: now,
            valid_until: now + days(ask.valid_days),
            max_uses: ask.max_uses,
            frequency: None,
            data_life_days: ask.data_life_days,
            onward_sharing: false,
            document_digest: sm3(b""),
            text_digest: sm3(b""),
        };
        // The document to be signed is the text of these very terms.
        let text = authorisation(&terms);
        terms.text_digest = sm3(text.as_bytes());
        terms.document_digest = terms.text_digest;
        let action = wire::tx_body::Action::RequestConsent(wire::RequestConsent {
            terms: Some(wire::ConsentTerms::from(&terms)),
            lapses_at_ms: now + days(ask.lapses_after_days),
        });
        let id = self.gateway.consent(&self.service, action).await?;
        Ok(wire::RequestGrantResponse { grant: id.to_vec() })
    }
}

/// The authorisation in words, as it is put before the enterprise. Its digest stands in the request, so
/// these words are part of version 1 and do not change.
fn authorisation(terms: &ConsentTerms) -> String {
    let list = |codes: Vec<&str>| codes.join(", ");
    format!(
        "信用信息查询授权书 v1\n信息主体: {}\n被授权机构: {}\n查询目的: {}\n信息项: {}\n有效期: {} - {}\n\
         可用次数: {}\n保存天数: {}\n不得转交\n",
        terms.subject,
        terms.grantee,
        list(terms.purposes.iter().map(|code| code.as_str()).collect()),
        list(terms.items.iter().map(|code| code.as_str()).collect()),
        terms.valid_from,
        terms.valid_until,
        terms.max_uses,
        terms.data_life_days,
    )
}

/// What sources are called, for people. Nothing depends on it.
pub(crate) struct Names<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Names<'a> {
    pub(crate) fn of(directory: &'a wire::GetDirectoryResponse) -> Self {
        let sources = (directory.sources.iter()).filter_map(|state| state.source.as_ref());
        Self(
            sources
                .map(|source| (&*source.source, &*source.name))
                .collect(),
        )
    }

    pub(crate) fn source(&self, id: &str) -> String {
        (*self.0.get(id).unwrap_or(&"")).to_owned()
    }
}

/// The report as the application gets it. `now` is in milliseconds since 1970-01-01.
pub(crate) fn answer(
    report: Report,
    missing: &[ItemCode],
    catalogue: &Catalogue,
    names: &Names<'_>,
    now: TimeMs,
) -> wire::QueryReportResponse {
    let Report { sections, parts } = report;
    let versions: Vec<Version<'_>> = (sections.iter())
        .map(|section| Version {
            item: section.item.code(),
            part: section.part,
            as_of_day: parts[section.part].fixed.as_of_day,
            json: section.item.json(),
        })
        .collect();
    let asked: Vec<&[ItemCode]> = parts.iter().map(|part| &*part.fixed.items).collect();
    let today = u32::try_from(now / DAY_MS).unwrap_or(u32::MAX);
    let composite = compose(catalogue, &versions, &asked, missing, today);
    let section = |section: &Section| {
        let fixed = &parts[section.part].fixed;
        let schema = catalogue.item(section.item.code());
        let name = |name: fn(&ItemSchema) -> &str| schema.map(name).unwrap_or_default().to_owned();
        wire::ReportSection {
            item: section.item.code().to_string(),
            name_zh: name(|schema| &schema.name_zh),
            name_en: name(|schema| &schema.name_en),
            source: fixed.source.to_string(),
            source_name: names.source(fixed.source.as_str()),
            as_of_day: fixed.as_of_day,
            json: section.item.json().to_owned(),
            proof: Some(wire::ItemProof {
                salt: section.item.salt().as_bytes().to_vec(),
                path: Some(wire::MerklePath::from(section.item.path())),
                root: fixed.registered_root.as_bytes().to_vec(),
                registered_at_height: fixed.registered_at,
            }),
            objections: section.item.objections().to_vec(),
            ..wire::ReportSection::default()
        }
    };
    let sections = (sections.iter().zip(composite.marks))
        .map(|(verified, mark)| {
            let mut section = section(verified);
            mark.put(&mut section);
            section
        })
        .collect();
    let outcome = |(index, part): (usize, &PartOutcome)| wire::PartOutcome {
        part: u32::try_from(index).unwrap_or(u32::MAX),
        source: part.fixed.source.to_string(),
        source_name: names.source(part.fixed.source.as_str()),
        items: part.fixed.items.iter().map(ToString::to_string).collect(),
        status: part.status.into(),
        reason: part.reason.clone(),
        elapsed_us: part.elapsed_us,
    };
    wire::QueryReportResponse {
        sections,
        parts: parts.iter().enumerate().map(outcome).collect(),
        missing_items: missing.iter().map(ToString::to_string).collect(),
        items: (composite.items.into_iter())
            .map(|item| item.into_wire(catalogue))
            .collect(),
        catalogue_version: catalogue.version,
        asked_at_ms: now,
        ..wire::QueryReportResponse::default()
    }
}

#[tonic::async_trait]
impl ReportService for Reports {
    async fn query_report(
        &self,
        request: Request<wire::QueryReportRequest>,
    ) -> Result<Response<wire::QueryReportResponse>, Status> {
        let patience = ask::patience(request.metadata());
        let ask = Ask::parse(request.get_ref())?;
        let answer = match &ask.request_id {
            None => self.agency.query(ask, patience).await?,
            Some(id) => {
                let id = id.clone();
                let content = wire::QueryReportRequest {
                    request_id: String::new(),
                    ..request.into_inner()
                };
                self.requests.answer(&id, &content, ask, patience).await?
            }
        };
        Ok(Response::new(answer))
    }

    async fn list_catalogue(
        &self,
        _request: Request<wire::ListCatalogueRequest>,
    ) -> Result<Response<wire::ListCatalogueResponse>, Status> {
        let directory = self.agency.directory.current().await?;
        Ok(Response::new(wire::ListCatalogueResponse {
            catalogue: directory.wire.catalogue.clone(),
            sources: directory.wire.sources.clone(),
        }))
    }

    async fn list_grants(
        &self,
        request: Request<wire::ReportServiceListGrantsRequest>,
    ) -> Result<Response<wire::ReportServiceListGrantsResponse>, Status> {
        let subject = self
            .agency
            .pseudonym_key
            .subject(&ask::uscc(&request.get_ref().uscc)?);
        let grants = self
            .agency
            .gateway
            .grants(&self.agency.service, &subject)
            .await?;
        Ok(Response::new(wire::ReportServiceListGrantsResponse {
            grants,
        }))
    }

    async fn request_grant(
        &self,
        request: Request<wire::RequestGrantRequest>,
    ) -> Result<Response<wire::RequestGrantResponse>, Status> {
        let ask = GrantAsk::parse(request.get_ref())?;
        self.agency.request_grant(ask).await.map(Response::new)
    }
}
