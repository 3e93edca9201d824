//! The report API for the bank's application: the one place where plain codes and plain reports are
//! spoken of. None of them goes into a log line or a span.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tonic::{Request, Response, Status};
use xinqiao_crypto::{KeyId, sm3};
use xinqiao_dispatch::{
    choice::{GrantView, NO_GRANT, Wanted, choose},
    pseudonym::UserKey,
    query::{Decision, PartOutcome, Report, Section},
};
use xinqiao_ledger::{
    catalogue::{Catalogue, item::ItemSchema},
    consent::ConsentTerms,
    ids::{ItemCode, OrgId, TimeMs},
    item::PseudonymKey,
    order::PlaceOrder,
    text::Branch,
    wire::{self, report_service_server::ReportService},
};
use xinqiao_report::composite::{Version, compose, excerpt};
use xinqiao_rpc::{Fault, FaultView, Reason, ledger_fault};

use crate::{
    ask::{self, Ask, GrantAsk},
    config::UserAccess,
    directory::Directory,
    fetching::Fetching,
    gateway::{Acting, HomeGateway, now_ms, unproven},
};

/// How long a query goes on after the sources' deadline: the ledger notes a missed one in the block after.
const AFTER_DEADLINE: Duration = Duration::from_secs(2);

/// How long before the application loses patience the report is given as it is then.
const HEAD_START: Duration = Duration::from_millis(100);

const DAY_MS: u64 = 86_400_000;

/// The report service.
#[derive(Clone)]
pub(crate) struct Reports(pub(crate) Arc<Agency>);

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
    fn acting(&self, user: &str) -> Result<Acting, Fault> {
        let listed = self.users.get(user).or(self.other_users.as_ref());
        let access = listed
            .ok_or_else(|| Fault::new(Reason::UserUnknown).because("the agent has no such user"))?;
        Ok(Acting {
            user: self.user_key.user(&self.org, user),
            access: access.clone(),
        })
    }

    async fn query(
        &self,
        ask: Ask,
        patience: Option<Duration>,
    ) -> Result<wire::QueryReportResponse, Status> {
        let started = Instant::now();
        let asked_at = now_ms();
        let acting = self.acting(&ask.user)?;
        let subject = self.pseudonym_key.subject(&ask.uscc);
        let (directory, grants) = tokio::try_join!(
            self.directory.current(),
            self.gateway.grants(&acting, &subject)
        )?;
        let grants: Vec<GrantView> = grants
            .iter()
            .filter_map(|grant| GrantView::try_from(grant).ok())
            .collect();
        let wanted = Wanted {
            grant: ask.grant,
            branch: &ask.branch,
            purpose: &ask.purpose,
            items: &ask.items,
            now: asked_at,
        };
        let catalogue = &directory.catalogue;
        let codes: Vec<ItemCode> = catalogue.codes().cloned().collect();
        let choice = choose(&grants, &wanted, &codes);
        let order = PlaceOrder {
            subject,
            grant: choice.grant,
            purpose: ask.purpose,
            items: choice.items,
            user: acting.user,
            branch: ask.branch,
            deadline_ms: ask.deadline_ms,
            recipient: self.recipient,
        };
        let (sent, proven) = (self.gateway)
            .place(&acting, wire::PlaceOrder::from(&order))
            .await
            .map_err(|status| without_grant(&order, status))?;
        let placed_at = Instant::now();
        let decision =
            Decision::read(&proven, sent).map_err(|error| unproven(&error.to_string()))?;
        let placed = match decision {
            Decision::Placed(placed) => placed,
            Decision::Refused { reason, subject } => {
                let fault = ledger_fault::coded(&reason, &subject).with("tx_id", sent);
                return Err(without_grant(&order, fault.status()));
            }
        };
        let deadline = Duration::from_millis(ask.deadline_ms.into()) + AFTER_DEADLINE;
        let patience = patience.map_or(xinqiao_rpc::MAX_DEADLINE, |given| {
            given.min(xinqiao_rpc::MAX_DEADLINE)
        });
        let until = (placed_at + deadline).min(started + patience.saturating_sub(HEAD_START));
        let (missing, height) = (placed.missing.clone(), placed.height);
        let report = self.fetching.run(&acting, placed, placed_at, until).await;
        let answer = answer(
            report,
            &missing,
            catalogue,
            &Names::of(&directory.wire),
            asked_at,
        );
        Ok(wire::QueryReportResponse {
            order: sent.to_vec(),
            grant: order.grant.to_vec(),
            placed_at_height: height,
            elapsed_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            institution: self.org.to_string(),
            catalogue: ask
                .with_catalogue
                .then(|| excerpt(catalogue, &answer.items)),
            ..answer
        })
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

/// An order that names no grant, since there is none, is refused for an id that would only puzzle people.
fn without_grant(order: &PlaceOrder, status: Status) -> Status {
    let view = FaultView::from_status(&status);
    if order.grant != NO_GRANT || view.reason != Some(Reason::ConsentNotFound) {
        return status;
    }
    let fault = Fault::new(Reason::ConsentNotFound).because("none was given to this institution");
    match view.metadata.get("tx_id") {
        Some(tx) => fault.with("tx_id", tx).status(),
        None => fault.status(),
    }
}

/// What sources are called, for people. Nothing depends on it.
struct Names<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Names<'a> {
    fn of(directory: &'a wire::GetDirectoryResponse) -> Self {
        let sources = (directory.sources.iter()).filter_map(|state| state.source.as_ref());
        Self(
            sources
                .map(|source| (&*source.source, &*source.name))
                .collect(),
        )
    }

    fn source(&self, id: &str) -> String {
        (*self.0.get(id).unwrap_or(&"")).to_owned()
    }
}

/// The report as the application gets it. `now` is in milliseconds since 1970-01-01.
fn answer(
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
        self.0.query(ask, patience).await.map(Response::new)
    }

    async fn list_catalogue(
        &self,
        _request: Request<wire::ListCatalogueRequest>,
    ) -> Result<Response<wire::ListCatalogueResponse>, Status> {
        let directory = self.0.directory.current().await?;
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
            .0
            .pseudonym_key
            .subject(&ask::uscc(&request.get_ref().uscc)?);
        let grants = self.0.gateway.grants(&self.0.service, &subject).await?;
        Ok(Response::new(wire::ReportServiceListGrantsResponse {
            grants,
        }))
    }

    async fn request_grant(
        &self,
        request: Request<wire::RequestGrantRequest>,
    ) -> Result<Response<wire::RequestGrantResponse>, Status> {
        let ask = GrantAsk::parse(request.get_ref())?;
        self.0.request_grant(ask).await.map(Response::new)
    }
}
