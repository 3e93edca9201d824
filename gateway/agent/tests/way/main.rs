//! The whole way of a query with the real node, gateways and agent over mutual TLS: what is answered,
//! what is refused, and what stands on the ledger afterwards.

#![allow(clippy::unwrap_used, reason = "tests")]

mod consortium;
mod door;
mod jobs;
mod requests;
mod source;
mod watching;

use std::time::{Duration, Instant};

use tonic::Request;
use xinqiao_contracts::{query as ledger, record::AccessRecord};
use xinqiao_ledger::{
    ids::{GrantId, ItemCode, OrderId, Subject},
    item::leaf,
    receipt::Path,
    wire::{self, PartStatus, tx_body::Action},
};
use xinqiao_rpc::{FaultView, Reason};

use crate::{
    consortium::{Consortium, Plan, SOURCES, enterprise, pseudonym_key, query, user},
    source::{Conduct, content},
};

fn subject() -> Subject {
    pseudonym_key().subject(&enterprise())
}

/// The access log, newest first.
fn access(consortium: &Consortium) -> Vec<AccessRecord> {
    access_of(consortium, 100)
}

/// So many entries of it.
fn access_of(consortium: &Consortium, count: usize) -> Vec<AccessRecord> {
    let filter = ledger::AccessFilter::default();
    ledger::access_entries(&consortium.replica.state(), &filter, 0, count)
        .unwrap()
        .entries
}

async fn ask(
    consortium: &Consortium,
    request: wire::QueryReportRequest,
) -> Result<wire::QueryReportResponse, FaultView> {
    let answer = consortium.agent.clone().query_report(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| FaultView::from_status(&status))
}

/// Waits until the order's part stands there.
async fn part_stands(consortium: &Consortium, order: &[u8], part: usize, status: PartStatus) {
    let order = OrderId::parse("order", order).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let found = {
            let state = consortium.replica.state();
            let record = ledger::order(&state, &order).unwrap().unwrap();
            PartStatus::from(&record.parts[part].state)
        };
        if found == status {
            return;
        }
        assert!(
            Instant::now() < until,
            "part {part} is {found:?}, not {status:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_across_two_regions_brings_verified_sections_and_leaves_its_record() {
    let consortium = Consortium::start(Plan::default()).await;
    let grant = consortium
        .grant(&["court", "customs", "invoices", "tax"], |_| ())
        .await;
    let report = ask(&consortium, query(&[])).await.unwrap();

    let sections: Vec<(&str, &str)> = report
        .sections
        .iter()
        .map(|section| (section.item.as_str(), section.source.as_str()))
        .collect();
    let expected = [
        ("court", "js-court"),
        ("invoices", "sh-tax"),
        ("tax", "sh-tax"),
    ];
    assert_eq!(sections, expected);
    for section in &report.sections {
        assert_eq!(
            section.json.as_bytes(),
            content(&section.source, &section.item)
        );
        let proof = section.proof.as_ref().unwrap();
        let digest = |bytes: &[u8]| xinqiao_crypto::Digest::try_from(bytes).unwrap();
        let code: ItemCode = section.item.parse().unwrap();
        let leaf = leaf(&code, &digest(&proof.salt), section.json.as_bytes());
        let path = Path::try_from(proof.path.as_ref().unwrap()).unwrap();
        assert!(path.leads(leaf, digest(&proof.root)));
    }
    assert_eq!(report.missing_items, ["customs"]);
    assert_eq!(report.grant, grant.to_vec());
    for (part, (source, ..)) in report.parts.iter().zip(SOURCES) {
        assert_eq!(
            (part.source.as_str(), part.status()),
            (source, PartStatus::Confirmed)
        );
        assert!(part.elapsed_us > 0);
    }
    for part in 0..2 {
        part_stands(&consortium, &report.order, part, PartStatus::Confirmed).await;
    }
    let log = access(&consortium);
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].user, Some(user("clerk")));
    assert_eq!(log[0].outcome.refusal(), "");
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_items_asked_are_three_items_given_and_nothing_of_the_others() {
    let consortium = Consortium::start(Plan::default()).await;
    consortium
        .grant(&["court", "invoices", "tax"], |_| ())
        .await;
    let report = ask(&consortium, query(&["tax"])).await.unwrap();
    let items: Vec<&str> = report
        .sections
        .iter()
        .map(|section| &*section.item)
        .collect();
    assert_eq!(items, ["tax"]);
    assert_eq!(report.parts.len(), 1);
    assert_eq!(
        report.sections[0]
            .proof
            .as_ref()
            .unwrap()
            .path
            .as_ref()
            .unwrap()
            .size,
        2
    );
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_query_is_told_why_and_stands_in_the_access_log() {
    let consortium = Consortium::start(Plan::default()).await;
    let mut refused = 0;
    let mut check = async |what: &str, request: wire::QueryReportRequest, reason: Reason| {
        let view = ask(&consortium, request).await.unwrap_err();
        assert_eq!(view.reason, Some(reason), "{what}: {view:?}");
        refused += 1;
        let log = access(&consortium);
        assert_eq!(log.len(), refused, "{what} left no record");
        assert_eq!(log[0].outcome.refusal(), reason.code(), "{what}");
        assert_eq!(log[0].institution.as_str(), "js-bank", "{what}");
        assert_eq!(log[0].subject, Some(subject()), "{what}");
    };
    check("no consent", query(&["tax"]), Reason::ConsentNotFound).await;
    let grant = consortium.grant(&["court", "tax"], |_| ()).await;
    let with = |change: &dyn Fn(&mut wire::QueryReportRequest)| {
        let mut request = query(&["tax"]);
        change(&mut request);
        request
    };
    check(
        "an item that is not covered",
        with(&|r| r.items = vec!["invoices".into()]),
        Reason::ConsentItemOutOfScope,
    )
    .await;
    check(
        "a purpose that the consent does not name",
        with(&|r| r.purpose = "audit".into()),
        Reason::ConsentWrongPurpose,
    )
    .await;
    check(
        "a user who is not open on the ledger",
        with(&|r| r.user = "stranger".into()),
        Reason::UserUnknown,
    )
    .await;
    check(
        "a user whose role does not place orders: refused by the gateway",
        with(&|r| r.user = "auditor".into()),
        Reason::RoleDenied,
    )
    .await;
    check(
        "a user who is not approved for the purpose: refused by the gateway",
        with(&|r| r.user = "lender".into()),
        Reason::PurposeDenied,
    )
    .await;
    let revoke = Action::RevokeConsent(wire::RevokeConsent {
        grant: grant.to_vec(),
    });
    consortium.applied("js-bureau/admin", revoke).await;
    check("a revoked consent", query(&["tax"]), Reason::ConsentRevoked).await;
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_was_recorded_or_registered_is_not_shown_and_the_ledger_says_so() {
    for (conduct, reason) in [
        (Conduct::OtherEnvelope, "CIPHERTEXT_MISMATCH"),
        (Conduct::OtherContext, "SEAL_BROKEN"),
        (Conduct::FalseItem, "ITEM_MISMATCH"),
    ] {
        let consortium = Consortium::start(Plan {
            conduct: [("sh-tax", conduct)].into(),
            ..Plan::default()
        })
        .await;
        consortium.grant(&["court", "tax"], |_| ()).await;
        let report = ask(&consortium, query(&[])).await.unwrap();
        let items: Vec<&str> = report
            .sections
            .iter()
            .map(|section| &*section.item)
            .collect();
        assert_eq!(items, ["court"], "{conduct:?}");
        assert_eq!(
            report.parts[1].status(),
            PartStatus::Mismatched,
            "{conduct:?}"
        );
        assert_eq!(report.parts[1].reason, reason);
        part_stands(&consortium, &report.order, 1, PartStatus::Mismatched).await;
        consortium.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_costs_its_own_part_alone() {
    for (conduct, status, reason) in [
        (Conduct::Silent, PartStatus::Expired, ""),
        (Conduct::Rejects, PartStatus::Rejected, "SOURCE_UNAVAILABLE"),
        // A receipt that proves nothing is no delivery: nothing is opened.
        (
            Conduct::OtherReceipt,
            PartStatus::Delivered,
            "RECEIPT_INVALID",
        ),
    ] {
        let consortium = Consortium::start(Plan {
            conduct: [("js-court", conduct)].into(),
            ..Plan::default()
        })
        .await;
        consortium.grant(&["court", "tax"], |_| ()).await;
        let mut request = query(&[]);
        request.deadline_ms = 1_000;
        let started = Instant::now();
        let report = ask(&consortium, request).await.unwrap();
        let took = started.elapsed();
        let items: Vec<&str> = report
            .sections
            .iter()
            .map(|section| &*section.item)
            .collect();
        assert_eq!(items, ["tax"], "{conduct:?}");
        assert_eq!(
            report.parts[0].status(),
            status,
            "{conduct:?} {:?}",
            report.parts
        );
        assert_eq!(report.parts[0].reason, reason, "{conduct:?}");
        assert_eq!(
            report.parts[1].status(),
            PartStatus::Confirmed,
            "{conduct:?}"
        );
        assert!(took < Duration::from_secs(4), "{conduct:?} took {took:?}");
        consortium.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_less_patient_gets_what_there_is() {
    let consortium = Consortium::start(Plan {
        conduct: [("js-court", Conduct::Silent)].into(),
        ..Plan::default()
    })
    .await;
    consortium.grant(&["court", "tax"], |_| ()).await;
    let mut request = Request::new(query(&[]));
    request.set_timeout(Duration::from_millis(1_500));
    let report = consortium
        .agent
        .clone()
        .query_report(request)
        .await
        .unwrap();
    let report = report.into_inner();
    assert_eq!(report.sections.len(), 1);
    assert_eq!(report.parts[0].status(), PartStatus::Placed);
    assert_eq!(report.parts[0].reason, "DEADLINE");
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_grant_and_the_newest_live_one_are_used_as_asked() {
    let consortium = Consortium::start(Plan::default()).await;
    let first = consortium.grant(&["court", "tax"], |_| ()).await;
    let second = consortium.grant(&["tax"], |_| ()).await;
    let used = async |request: wire::QueryReportRequest| {
        let report = ask(&consortium, request).await.unwrap();
        GrantId::parse("grant", &report.grant).unwrap()
    };
    assert_eq!(used(query(&["tax"])).await, second);
    assert_eq!(used(query(&["court"])).await, first);
    let mut named = query(&["tax"]);
    named.grant = first.to_vec();
    assert_eq!(used(named).await, first);
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_report_and_no_plain_code_is_on_the_node_s_disk() {
    let consortium = Consortium::start(Plan::default()).await;
    consortium.grant(&["court", "tax"], |_| ()).await;
    let report = ask(&consortium, query(&[])).await.unwrap();
    assert_eq!(report.sections.len(), 2);
    part_stands(&consortium, &report.order, 1, PartStatus::Confirmed).await;
    let disk = consortium.stop().await;
    let code = enterprise();
    let mut bytes = 0;
    for file in std::fs::read_dir(disk.path().join("ledger")).unwrap() {
        let path = file.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        bytes += content.len();
        for marker in ["PLAIN-REPORT-CONTENT", code.expose()] {
            let found = content
                .windows(marker.len())
                .any(|window| window == marker.as_bytes());
            assert!(!found, "{marker} in {}", path.display());
        }
    }
    assert!(bytes > 10_000, "nothing was searched");
}
