//! The queries of the demo: some that succeed in whole or in part, some that are refused, and what
//! the observer recorded of them. Each has an expected outcome, and another one fails the demo.

use anyhow::{Context, Result, bail};
use xinqiao_client::Proof;
use xinqiao_crypto::{SecretKey, sm3};
use xinqiao_data_adapters::generate::{Generated, GeneratedEnterprise};
use xinqiao_ledger::{
    ids::{GrantId, ItemCode, OrgId, PurposeCode, SourceId},
    uscc::Uscc,
    wire::{self, report_service_client::ReportServiceClient, tx_body::Action},
};
use xinqiao_rpc::{FaultView, Limits, RpcChannel, limits::MAX_SEALED_MESSAGE_BYTES, tls};

use super::{BANK, BUREAUS, CLERK, Consortium, Process, REGULATOR, head};
use crate::{
    client::{Client, explain},
    commands::{audit, consent, order, query},
    keyfiles, render,
};

/// The purpose that consents are for.
pub const PURPOSE: &str = "loan_approval";

/// What a step of the demo shows.
struct Shown {
    title: String,
    outcome: String,
    parts: String,
    time: String,
    proofs: String,
}

/// The people of the demo.
struct Cast<'a> {
    consortium: &'a Consortium,
    bureau: Client,
    bureau_key: SecretKey,
    agent: ReportServiceClient<RpcChannel>,
    shown: Vec<Shown>,
}

/// A client of the bank's agent.
pub fn agent(consortium: &Consortium) -> Result<ReportServiceClient<RpcChannel>> {
    let channel = tls::plain_channel(&format!("http://{}", consortium.agent), &Limits::default())?;
    Ok(ReportServiceClient::new(channel).max_decoding_message_size(MAX_SEALED_MESSAGE_BYTES))
}

/// Runs them all.
pub async fn run(
    consortium: &Consortium,
    generated: &Generated,
    running: &mut [Process],
) -> Result<()> {
    let bureau = Client::open(&consortium.profile(BUREAUS[1].org))?;
    let mut cast = Cast {
        consortium,
        bureau_key: bureau.admin_key()?,
        bureau,
        agent: agent(consortium)?,
        shown: Vec::new(),
    };
    let mut broad: Vec<&GeneratedEnterprise> = generated.enterprises.iter().collect();
    // Those known to most sources come first: they show most.
    broad.sort_by_key(|one| std::cmp::Reverse(one.holdings.len()));
    let [first, paper, narrow, spent, gone, own, tampered, ..] = broad[..] else {
        bail!("too few enterprises were invented");
    };

    head("Consent and queries that succeed 授权与成功的查询");
    let grant = cast.grant(first, |_| {}).await?;
    println!(
        "  {} authorised {BANK} on paper; its bureau witnessed that as grant {}",
        first.name,
        render::short(grant.as_bytes())
    );
    let report = cast
        .expect_report("whole report 全部到达", first.uscc, &[], None, 10_000)
        .await?;
    let evidence_order = report.order.clone();
    println!(
        "{}\n{}",
        query::parts_table(&report),
        query::sections_table(&report, xinqiao_report::Lang::Both)
    );
    // An item may come from several sources: items are what is counted.
    let three: Vec<&str> = report
        .items
        .iter()
        .map(|item| item.item.as_str())
        .take(3)
        .collect();
    let chosen = cast
        .expect_report(
            "three items only 仅取三项",
            first.uscc,
            &three,
            None,
            10_000,
        )
        .await?;
    if chosen
        .sections
        .iter()
        .any(|section| !three.contains(&section.item.as_str()))
    {
        bail!("an item came that nobody asked for");
    }
    cast.own_key(own).await?;
    cast.objection(own).await?;

    head("Queries that succeed in part 部分成功的查询");
    cast.grant(paper, |_| {}).await?;
    cast.one_holder_down(paper, running).await?;
    cast.changed_record(tampered, generated).await?;

    head("Queries that are refused 被拒绝的查询");
    let never = broad.last().context("nobody was invented")?;
    cast.expect_refusal(
        "no consent 无授权",
        never.uscc,
        PURPOSE,
        &[],
        None,
        "CONSENT_NOT_FOUND",
    )
    .await?;
    cast.expect_refusal(
        "wrong purpose 目的不符",
        first.uscc,
        "post_loan",
        &[],
        Some(grant),
        "CONSENT_WRONG_PURPOSE",
    )
    .await?;
    let items: Vec<ItemCode> = vec![held(narrow)[0].parse()?];
    let narrow_grant = cast
        .grant(narrow, |terms| {
            terms.items = items.iter().map(ToString::to_string).collect()
        })
        .await?;
    let outside = held(narrow)
        .into_iter()
        .nth(1)
        .context("an enterprise has one item alone")?;
    cast.expect_refusal(
        "item out of scope 超出授权项",
        narrow.uscc,
        PURPOSE,
        &[&outside],
        Some(narrow_grant),
        "CONSENT_ITEM_OUT_OF_SCOPE",
    )
    .await?;
    let once = cast.grant(spent, |terms| terms.max_uses = 1).await?;
    cast.expect_report(
        "the one use there is 唯一一次",
        spent.uscc,
        &[],
        Some(once),
        10_000,
    )
    .await?;
    cast.expect_refusal(
        "exhausted 次数用尽",
        spent.uscc,
        PURPOSE,
        &[],
        Some(once),
        "CONSENT_EXHAUSTED",
    )
    .await?;
    let revoked = cast.grant(gone, |_| {}).await?;
    let action = Action::RevokeConsent(wire::RevokeConsent {
        grant: revoked.to_vec(),
    });
    cast.bureau.submit(action, &cast.bureau_key).await?;
    cast.expect_refusal(
        "revoked 已撤销",
        gone.uscc,
        PURPOSE,
        &[],
        Some(revoked),
        "CONSENT_REVOKED",
    )
    .await?;
    let stranger = stranger(generated)?;
    let unknown = cast
        .grant_of(stranger, &all_items(generated), |_| {})
        .await?;
    cast.expect_refusal(
        "enterprise nobody knows 查无主体",
        stranger,
        PURPOSE,
        &[],
        Some(unknown),
        "NO_SOURCE",
    )
    .await?;

    head("All queries 查询一览");
    let mut table = render::table(["query", "outcome", "parts", "time", "proofs"]);
    for shown in &cast.shown {
        table.add_row([
            &shown.title,
            &shown.outcome,
            &shown.parts,
            &shown.time,
            &shown.proofs,
        ]);
    }
    println!("{table}");
    cast.observer(&evidence_order).await
}

/// Consent for the first of these enterprises to everything in the catalogue, so that it can be
/// asked for by hand.
pub async fn consent_for_first(consortium: &Consortium, known: &[String]) -> Result<()> {
    let bureau = Client::open(&consortium.profile(BUREAUS[1].org))?;
    let cast = Cast {
        consortium,
        bureau_key: bureau.admin_key()?,
        agent: agent(consortium)?,
        shown: Vec::new(),
        bureau,
    };
    let items: Vec<String> = cast
        .bureau
        .genesis
        .catalogue
        .items
        .iter()
        .map(|item| item.code.to_string())
        .collect();
    let uscc: Uscc = known.first().context("nobody is known")?.parse()?;
    cast.grant_of(uscc, &items, |terms| terms.max_uses = 1_000_000)
        .await?;
    Ok(())
}

/// Codes of the items that somebody holds about an enterprise, ascending.
fn held(of: &GeneratedEnterprise) -> Vec<String> {
    let mut items: Vec<String> = of
        .holdings
        .iter()
        .flat_map(|holding| holding.items.iter().map(ToString::to_string))
        .collect();
    items.sort();
    items.dedup();
    items
}

fn all_items(generated: &Generated) -> Vec<String> {
    let mut items: Vec<String> = generated
        .sources
        .iter()
        .flat_map(|source| source.items.iter().map(ToString::to_string))
        .collect();
    items.sort();
    items.dedup();
    items
}

/// A well-formed code that nobody was given.
fn stranger(generated: &Generated) -> Result<Uscc> {
    (0..100)
        .map(|number| {
            Uscc::from_base17(&format!("91310000MA1STRANG{}", number % 10))
                .or_else(|_| Uscc::from_base17(&format!("91310000MA1K0000{number:01}")))
        })
        .filter_map(Result::ok)
        .find(|uscc| generated.enterprises.iter().all(|one| one.uscc != *uscc))
        .context("no free code was found")
}

impl Cast<'_> {
    async fn grant(
        &self,
        of: &GeneratedEnterprise,
        tweak: impl FnOnce(&mut wire::ConsentTerms),
    ) -> Result<GrantId> {
        self.grant_of(of.uscc, &held(of), tweak).await
    }

    async fn grant_of(
        &self,
        uscc: Uscc,
        items: &[String],
        tweak: impl FnOnce(&mut wire::ConsentTerms),
    ) -> Result<GrantId> {
        let action = self.grant_action(uscc, items, tweak)?;
        Ok(self
            .bureau
            .submit(action, &self.bureau_key)
            .await?
            .id()
            .into())
    }

    fn grant_action(
        &self,
        uscc: Uscc,
        items: &[String],
        tweak: impl FnOnce(&mut wire::ConsentTerms),
    ) -> Result<Action> {
        let items = items
            .iter()
            .map(|code| Ok(code.parse()?))
            .collect::<Result<Vec<ItemCode>>>()?;
        let grantee: OrgId = BANK.parse()?;
        let purpose: PurposeCode = PURPOSE.parse()?;
        let subject = self.bureau.subject(uscc.expose())?;
        let mut terms = consent::terms(
            &subject,
            &grantee,
            &[purpose],
            &items,
            "授权书 letter of authorisation".as_bytes(),
        );
        tweak(&mut terms);
        Ok(Action::GrantConsent(wire::GrantConsent {
            request: vec![],
            terms: Some(terms),
        }))
    }

    async fn ask(
        &mut self,
        uscc: Uscc,
        purpose: &str,
        items: &[&str],
        grant: Option<GrantId>,
        deadline_ms: u32,
    ) -> Result<wire::QueryReportResponse, tonic::Status> {
        let mut items: Vec<String> = items.iter().map(ToString::to_string).collect();
        items.sort();
        self.agent
            .query_report(wire::QueryReportRequest {
                uscc: uscc.expose().to_owned(),
                items,
                purpose: purpose.to_owned(),
                grant: grant.map(|grant| grant.to_vec()).unwrap_or_default(),
                user: CLERK.to_owned(),
                deadline_ms,
                branch: String::new(),
                with_catalogue: true,
                request_id: String::new(),
            })
            .await
            .map(tonic::Response::into_inner)
    }

    async fn expect_report(
        &mut self,
        title: &str,
        uscc: Uscc,
        items: &[&str],
        grant: Option<GrantId>,
        deadline_ms: u32,
    ) -> Result<wire::QueryReportResponse> {
        let report = self
            .ask(uscc, PURPOSE, items, grant, deadline_ms)
            .await
            .map_err(explain)
            .with_context(|| format!("the query \"{title}\" was to succeed"))?;
        let proofs = self.check(&report).await?;
        let came = |part: &&wire::PartOutcome| {
            matches!(
                part.status(),
                wire::PartStatus::Delivered | wire::PartStatus::Confirmed
            )
        };
        let whole = report.parts.iter().filter(came).count();
        let missing: Vec<String> = report
            .parts
            .iter()
            .filter(|part| !came(part))
            .map(|part| {
                format!(
                    "{}: {} {}",
                    part.source,
                    render::part_status(part.status),
                    part.reason
                )
            })
            .collect();
        let mut parts = format!("{whole} of {}", report.parts.len());
        if !missing.is_empty() {
            parts = format!("{parts}\n{}", missing.join("\n"));
        }
        self.shown.push(Shown {
            title: title.into(),
            outcome: if missing.is_empty() {
                "✓ whole".into()
            } else {
                "◐ in part".into()
            },
            parts,
            time: render::micros(report.elapsed_us),
            proofs: format!("✓ {proofs} items lead to registered roots"),
        });
        println!(
            "  {} {title}: {} sections, {}",
            console::style("✓").green(),
            report.sections.len(),
            render::micros(report.elapsed_us)
        );
        Ok(report)
    }

    async fn expect_refusal(
        &mut self,
        title: &str,
        uscc: Uscc,
        purpose: &str,
        items: &[&str],
        grant: Option<GrantId>,
        expected: &str,
    ) -> Result<()> {
        let begun = std::time::Instant::now();
        let Err(status) = self.ask(uscc, purpose, items, grant, 10_000).await else {
            bail!("the query \"{title}\" was to be refused, and was answered");
        };
        let view = FaultView::from_status(&status);
        let code = view.reason_code.clone().unwrap_or_default();
        if code != expected {
            bail!("the query \"{title}\" was to be refused with {expected}; it was with {view}");
        }
        println!(
            "  {} {title}: {code} — {}",
            console::style("✗").red(),
            view.message
        );
        let elapsed = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shown.push(Shown {
            title: title.into(),
            outcome: format!("✗ {code}"),
            parts: "–".into(),
            time: render::micros(elapsed),
            proofs: "recorded".into(),
        });
        Ok(())
    }

    /// Checks every section once more, without the agent: leaf, path, and the root that the bureau's
    /// node has on the ledger.
    async fn check(&self, report: &wire::QueryReportResponse) -> Result<usize> {
        let order = self
            .bureau
            .state()
            .get_order(wire::GetOrderRequest {
                order: report.order.clone(),
            })
            .await
            .map_err(explain)?
            .into_inner()
            .order
            .context("the order is not on the ledger")?;
        for section in &report.sections {
            let proof = section
                .proof
                .as_ref()
                .context("a section came without its proof")?;
            let proof = Proof::read(proof)?;
            proof.check(&section.item, &section.json)?;
            let source: SourceId = section.source.parse()?;
            let registered = order
                .parts
                .iter()
                .filter_map(|part| part.part.as_ref())
                .find(|part| part.source == source.as_str())
                .map(|part| part.registered_root.clone());
            if registered.as_deref() != Some(proof.root.as_bytes().as_slice()) {
                bail!(
                    "{} of {} does not lead to its registered root",
                    section.item,
                    section.source
                );
            }
        }
        Ok(report.sections.len())
    }

    /// An enterprise with a key of its own grants and revokes by itself.
    async fn own_key(&mut self, of: &GeneratedEnterprise) -> Result<()> {
        let path = self.consortium.dir.join("enterprise/keys/own.pem");
        let key = keyfiles::new_sm2(&path, &mut rand::rng())?;
        let bind = Action::BindSubjectKey(wire::BindSubjectKey {
            subject: self.bureau.subject(of.uscc.expose())?.to_vec(),
            public_key: key.public().to_sec1().to_vec(),
        });
        self.bureau.submit(bind, &self.bureau_key).await?;
        let action = self.grant_action(of.uscc, &held(of), |_| {})?;
        let grant: GrantId = self.bureau.submit(action, &key).await?.id().into();
        println!(
            "  {} signed its consent with its own key: grant {}",
            of.name,
            render::short(grant.as_bytes())
        );
        self.expect_report(
            "consent by the enterprise's own key 企业自签",
            of.uscc,
            &[],
            Some(grant),
            10_000,
        )
        .await?;
        Ok(())
    }

    /// An enterprise objects to an item of its own: what is delivered from then on carries the mark.
    async fn objection(&mut self, of: &GeneratedEnterprise) -> Result<()> {
        let holding =
            (of.holdings.first()).context("an enterprise that nobody knows was chosen")?;
        let item = (holding.items.first()).context("a source that holds nothing was chosen")?;
        let action = Action::FileObjection(wire::FileObjection {
            subject: self.bureau.subject(of.uscc.expose())?.to_vec(),
            source: holding.source.to_string(),
            items: vec![item.to_string()],
            statement_digest: sm3("异议申请书 statement of objection".as_bytes())
                .as_bytes()
                .to_vec(),
        });
        let filed = self.bureau.submit(action, &self.bureau_key).await?.id();
        println!(
            "  {} objects to {item} of {}: objection {}",
            of.name,
            holding.source,
            render::short(filed.as_bytes())
        );
        let report = self
            .expect_report(
                "an item is objected to 异议标注",
                of.uscc,
                &[],
                None,
                10_000,
            )
            .await?;
        let marked: Vec<(&str, &str)> = (report.sections.iter())
            .filter(|section| !section.objections.is_empty())
            .map(|section| (section.item.as_str(), section.source.as_str()))
            .collect();
        if marked != [(*item, holding.source)] {
            bail!("the mark of the objection is on {marked:?}");
        }
        Ok(())
    }

    /// One data-holding node is killed: only its parts are missing.
    async fn one_holder_down(
        &mut self,
        of: &GeneratedEnterprise,
        running: &mut [Process],
    ) -> Result<()> {
        let lost = of
            .holdings
            .last()
            .context("an enterprise that nobody knows was chosen")?
            .region;
        let org = BUREAUS
            .iter()
            .find(|bureau| bureau.place == lost.code())
            .context("no bureau in that region")?
            .org;
        let name = format!("{org}/holder");
        let holder = running
            .iter_mut()
            .find(|process| process.name == name)
            .context("no such holder")?;
        holder.kill().await?;
        println!("  killed {name}");
        let report = self
            .expect_report(
                "one source is down 一处数据源停机",
                of.uscc,
                &[],
                None,
                1_500,
            )
            .await?;
        holder.restart().await?;
        println!("  restarted {name}");
        if report
            .parts
            .iter()
            .all(|part| part.status() == wire::PartStatus::Confirmed)
        {
            bail!("a part arrived from a data-holding node that was not running");
        }
        Ok(())
    }

    /// A record is changed after its digest was registered: its source refuses to deliver it.
    async fn changed_record(
        &mut self,
        of: &GeneratedEnterprise,
        generated: &Generated,
    ) -> Result<()> {
        let holding = of
            .holdings
            .first()
            .context("an enterprise that nobody knows was chosen")?;
        let source = generated
            .sources
            .iter()
            .find(|source| source.name == holding.source)
            .context("the source is not among those generated")?;
        let file = source.mapping.with_extension("csv");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let changed: Vec<String> = text
            .lines()
            .map(|line| {
                if line.contains(of.uscc.expose()) {
                    alter(line)
                } else {
                    line.to_owned()
                }
            })
            .collect();
        std::fs::write(&file, changed.join("\n") + "\n")?;
        println!(
            "  changed a record of {} at {} behind the ledger's back",
            of.name, source.name
        );
        self.grant(of, |_| {}).await?;
        let report = self
            .expect_report("a record was changed 记录被改动", of.uscc, &[], None, 5_000)
            .await?;
        let refused = report
            .parts
            .iter()
            .any(|part| part.status() == wire::PartStatus::Rejected);
        if !refused {
            bail!("a changed record was delivered");
        }
        Ok(())
    }

    /// What the regulator's observer has of all this, and one order's evidence, checked offline.
    async fn observer(&self, evidence_order: &[u8]) -> Result<()> {
        head("What the regulator's observer recorded 监管观察节点所见");
        let inspector = Client::open(&self.consortium.profile(REGULATOR))?;
        let page = inspector
            .audit()
            .list_access(wire::ListAccessRequest {
                page_size: 50,
                ..Default::default()
            })
            .await
            .map_err(explain)?
            .into_inner();
        println!("{}", audit::access_table(&page.entries));
        let orders = inspector
            .audit()
            .list_orders(wire::ListOrdersRequest {
                before_index: 0,
                page_size: 50,
            })
            .await
            .map_err(explain)?
            .into_inner();
        println!("{}", order::table(&orders.orders));
        let summary = inspector
            .audit()
            .get_summary(wire::GetSummaryRequest {})
            .await
            .map_err(explain)?;
        println!("{}", audit::summary_table(summary.get_ref()));
        same_state(self.consortium).await?;

        head("Evidence of the first order, verified offline 首笔订单的证据");
        let file = self.consortium.dir.join("evidence.xqe");
        let order = xinqiao_ledger::ids::OrderId::parse("order", evidence_order)?;
        crate::commands::proof::export(&inspector, &order, &file).await?;
        crate::commands::proof::verify(&file, &self.consortium.genesis(), false)
    }
}

/// Changes the last digit or character of a CSV line.
fn alter(line: &str) -> String {
    let mut characters: Vec<char> = line.chars().collect();
    if let Some(at) = characters.iter().rposition(char::is_ascii_digit) {
        characters[at] = if characters[at] == '9' { '1' } else { '9' };
    } else if let Some(last) = characters.last_mut() {
        *last = if *last == '甲' { '乙' } else { '甲' };
    }
    characters.into_iter().collect()
}

/// Shows that all nodes and the observer have the same state.
pub async fn same_state(consortium: &Consortium) -> Result<()> {
    let mut table = render::table(["node", "height", "header", "state commitment"]);
    let people: Vec<&str> = BUREAUS
        .iter()
        .map(|bureau| bureau.org)
        .chain([REGULATOR])
        .collect();
    let mut statuses = Vec::new();
    for _ in 0..100 {
        statuses.clear();
        for org in &people {
            statuses.push(Client::open(&consortium.profile(org))?.status().await?);
        }
        if statuses
            .windows(2)
            .all(|pair| pair[0].height == pair[1].height)
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for (org, status) in people.iter().zip(&statuses) {
        table.add_row([
            (*org).to_owned(),
            status.height.to_string(),
            render::short(&status.header_hash),
            render::short(&status.state_commitment),
        ]);
    }
    println!("{table}");
    if statuses
        .windows(2)
        .any(|pair| pair[0].state_commitment != pair[1].state_commitment)
    {
        bail!("the nodes do not agree");
    }
    Ok(())
}
