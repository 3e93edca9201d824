//! Requests that are repeated: one id is one order and one answer, however often it is asked and whatever
//! happens to the agent in between.

use xinqiao_contracts::query as ledger;
use xinqiao_ledger::{
    ids::GrantId,
    wire::{self, tx_body::Action},
};
use xinqiao_rpc::Reason;

use crate::{
    access, ask,
    consortium::{Consortium, Plan, query},
    part_stands,
};

fn named(id: &str, items: &[&str]) -> wire::QueryReportRequest {
    wire::QueryReportRequest {
        request_id: id.into(),
        ..query(items)
    }
}

/// Uses spent and reserved.
fn uses(consortium: &Consortium, grant: &GrantId) -> (u32, u32) {
    let state = consortium.replica.state();
    let record = ledger::grant(&state, grant).unwrap().unwrap();
    let granted = record.granted().unwrap();
    (granted.spent, granted.reserved)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_the_same_order_and_answer_and_no_second_use() {
    let mut consortium = Consortium::start(Plan::default()).await;
    let grant = consortium.grant(&["court", "tax"], |_| ()).await;
    let before = access(&consortium).len();
    // At once, and one after the other.
    let (one, two, three) = tokio::join!(
        ask(&consortium, named("r-1", &[])),
        ask(&consortium, named("r-1", &[])),
        ask(&consortium, named("r-1", &[])),
    );
    let first = one.unwrap();
    assert_eq!(first.sections.len(), 2);
    for again in [two, three, ask(&consortium, named("r-1", &[])).await] {
        assert_eq!(again.unwrap(), first);
    }
    part_stands(&consortium, &first.order, 0, wire::PartStatus::Confirmed).await;
    part_stands(&consortium, &first.order, 1, wire::PartStatus::Confirmed).await;
    assert_eq!(uses(&consortium, &grant), (1, 0));
    assert_eq!(access(&consortium).len(), before + 1);

    // Other content under the same id, and the same content under another id.
    let other = ask(&consortium, named("r-1", &["tax"])).await.unwrap_err();
    assert_eq!(other.reason, Some(Reason::RequestIdReused));
    let another = ask(&consortium, named("r-2", &[])).await.unwrap();
    assert_ne!(another.order, first.order);
    assert_eq!(uses(&consortium, &grant), (2, 0));

    consortium.restart_agent().await;
    assert_eq!(ask(&consortium, named("r-1", &[])).await.unwrap(), first);
    let other = ask(&consortium, named("r-1", &["tax"])).await.unwrap_err();
    assert_eq!(other.reason, Some(Reason::RequestIdReused));
    assert_eq!(uses(&consortium, &grant), (2, 0));

    // The answer is kept for a while only; that it was given is known for longer.
    let answers = consortium.disk().join("agent/answers");
    for file in std::fs::read_dir(answers).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let gone = ask(&consortium, named("r-1", &[])).await.unwrap_err();
    assert_eq!(gone.reason, Some(Reason::AnswerGone));
    let order = gone.metadata.get("order").unwrap();
    let hexadecimal: String = first
        .order
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(*order, hexadecimal);
    assert_eq!(uses(&consortium, &grant), (2, 0));
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_on_record_is_an_answer_and_one_that_is_not_uses_up_no_id() {
    let consortium = Consortium::start(Plan::default()).await;
    let refused = ask(&consortium, named("r-1", &["tax"])).await.unwrap_err();
    assert_eq!(refused.reason, Some(Reason::ConsentNotFound));
    let logged = access(&consortium).len();
    let again = ask(&consortium, named("r-1", &["tax"])).await.unwrap_err();
    assert_eq!(
        (again.reason, &again.metadata),
        (refused.reason, &refused.metadata)
    );
    assert_eq!(
        access(&consortium).len(),
        logged,
        "the repetition is no attempt"
    );

    // The agent does not know the user for this purpose, so the gateway refuses, and nothing was ordered.
    let grant = consortium.grant(&["tax"], |_| ()).await;
    let mut denied = named("r-2", &["tax"]);
    denied.user = "lender".into();
    for _ in 0..2 {
        let view = ask(&consortium, denied.clone()).await.unwrap_err();
        assert_eq!(view.reason, Some(Reason::PurposeDenied));
    }
    let revoke = Action::RevokeConsent(wire::RevokeConsent {
        grant: grant.to_vec(),
    });
    consortium.applied("js-bureau/admin", revoke).await;
    let again = ask(&consortium, named("r-1", &["tax"])).await.unwrap_err();
    assert_eq!(
        again.reason,
        Some(Reason::ConsentNotFound),
        "as it was answered then"
    );
    consortium.stop().await;
}
