//! What an observer shows of orders, refusals and parts, as they happen.

use xinqiao_contracts::{
    record::AccessOutcome,
    testing::{
        activate_source, bind_subject_key, delivery, grant, open_user, order, register_digests,
        register_source, secret, terms,
    },
};
use xinqiao_ledger::{
    ids::TxId,
    outcome::Reason,
    wire::{self, PartStatus, tx_body::Action},
};
use xinqiao_observer::{AccessFilter, Error};

use crate::consortium::{Consortium, PATIENCE, Validator};

/// Everything that an order needs; gives the grant.
async fn set_to_work(consortium: &mut Consortium, validator: &Validator) -> TxId {
    let key = secret("subject-1");
    #[rustfmt::skip]
    let steps = [
        ("sh-bureau/admin", register_source("sh-tax", "sh-bureau", &["invoices", "tax"])),
        ("sh-bureau/admin", activate_source("sh-tax")),
        ("zj-bureau/admin", register_source("zj-power", "zj-bureau", &["power", "tax"])),
        ("zj-bureau/admin", activate_source("zj-power")),
        ("sh-bureau/holder", register_digests("sh-tax", &["invoices", "tax"], &[1, 2], 20_000)),
        ("zj-bureau/holder", register_digests("zj-power", &["power"], &[1], 20_000)),
        ("js-bank/admin", open_user(1)),
        ("sh-bureau/admin", bind_subject_key(1, key.public())),
    ];
    for (by, action) in steps {
        consortium.commit(validator, by, action).await;
    }
    // The blocks bear today's time.
    let now = validator.handle.replica.tip().time;
    let mut terms = terms();
    terms.valid_from_ms = now - 1;
    terms.valid_until_ms = now + 86_400_000;
    let granted = consortium
        .commit(validator, "subject-1", grant(terms))
        .await;
    granted.id()
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_and_orders_are_shown_as_they_happen() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let watching = consortium.observer(&validator).await;
    let mut feed = watching.handle.feed(0);
    let granted = set_to_work(&mut consortium, &validator).await;

    let placed = Action::PlaceOrder(order(&granted));
    let placed = consortium.commit(&validator, "js-bank/agent", placed).await;
    let first = tokio::time::timeout(PATIENCE, feed.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].order(), Some(placed.id().into()));
    assert_eq!(
        (first[0].institution.as_str(), first[0].refusal()),
        ("JS-BANK", "")
    );
    assert_eq!(first[0].purpose.zh, "项目 credit_review");
    assert_eq!(first[0].record.height, placed.height());

    // One refused by the contract, one by a gateway, with a purpose that nobody knows.
    let mut wrong = order(&granted);
    wrong.items = vec!["customs".into()];
    wrong.purpose = "post_loan".into();
    wrong.user = xinqiao_contracts::testing::user(2).to_vec();
    consortium
        .commit(&validator, "js-bank/agent", Action::PlaceOrder(wrong))
        .await;
    let refusal = Action::RecordRefusal(wire::RecordRefusal {
        institution: "js-bank".into(),
        purpose: "curiosity".into(),
        reason: "TOKEN_EXPIRED".into(),
        ..Default::default()
    });
    consortium
        .commit(&validator, "js-bureau/gateway", refusal)
        .await;
    let mut more = Vec::new();
    while more.len() < 2 {
        let next = tokio::time::timeout(PATIENCE, feed.next()).await.unwrap();
        more.extend(next.unwrap());
    }
    assert_eq!(more[0].refusal(), Reason::UserUnknown.code());
    assert_eq!(more[1].refusal(), "TOKEN_EXPIRED");
    assert!(
        matches!(&more[1].record.outcome, AccessOutcome::RefusedByGateway { gateway, .. } if gateway.as_str() == "js-bureau")
    );
    assert_eq!(more[1].purpose.en, "curiosity");
    assert_eq!((more[0].order(), more[1].order()), (None, None));

    // One part is delivered and found right, the other refused by its source.
    let deliver = Action::DeliverPart(delivery(&placed.id(), 0));
    consortium
        .commit(&validator, "sh-bureau/holder", deliver)
        .await;
    let reject = Action::RejectPart(wire::RejectPart {
        order: placed.id().to_vec(),
        part: 1,
        reason: wire::PartRejection::SourceUnavailable.into(),
    });
    consortium
        .commit(&validator, "zj-bureau/holder", reject)
        .await;
    let confirm = Action::ConfirmPart(wire::ConfirmPart {
        order: placed.id().to_vec(),
        part: 0,
        verdict: wire::Verdict::Confirmed.into(),
    });
    consortium
        .commit(&validator, "js-bank/agent", confirm)
        .await;
    watching.reaches(validator.height()).await;

    let trace = watching.handle.order(&placed.id().into()).unwrap().unwrap();
    let parts: Vec<_> = trace
        .parts
        .iter()
        .map(|part| {
            (
                part.source_name.as_str(),
                part.status,
                part.reason,
                part.delivered_bytes,
            )
        })
        .collect();
    assert_eq!(
        parts,
        [
            ("SH-TAX", PartStatus::Confirmed, "", Some(4_096)),
            ("ZJ-POWER", PartStatus::Rejected, "SOURCE_UNAVAILABLE", None),
        ]
    );
    assert_eq!(
        trace.parts[0].operator.as_ref().unwrap().as_str(),
        "sh-bureau"
    );
    let items: Vec<_> = trace.parts[0]
        .items
        .iter()
        .map(|item| item.zh.as_str())
        .collect();
    assert_eq!(items, ["项目 invoices", "项目 tax"]);
    let orders = watching.handle.orders(0, 10).unwrap();
    assert_eq!(orders.entries, [trace]);
    // The id of another transaction is no order's.
    assert_eq!(watching.handle.order(&granted.into()).unwrap(), None);

    let all = watching
        .handle
        .attempts(&AccessFilter::default(), 0, 10)
        .unwrap();
    let refusals: Vec<_> = all
        .entries
        .iter()
        .map(|attempt| attempt.refusal())
        .collect();
    assert_eq!(refusals, ["TOKEN_EXPIRED", "USER_UNKNOWN", ""]);
    let page = watching
        .handle
        .attempts(&AccessFilter::default(), 0, 2)
        .unwrap();
    assert_eq!(page.entries, all.entries[..2]);
    let page = watching
        .handle
        .attempts(&AccessFilter::default(), page.next_before_index, 2)
        .unwrap();
    assert_eq!(page.entries, all.entries[2..]);
    let refused = AccessFilter {
        refused_only: true,
        ..AccessFilter::default()
    };
    let refused = watching.handle.attempts(&refused, 0, 10).unwrap();
    assert_eq!(refused.entries, all.entries[..2]);

    let overview = watching.handle.overview().unwrap();
    assert_eq!((overview.summary.attempts, overview.summary.orders), (3, 1));
    assert_eq!((overview.sources, overview.registered), (2, 3));
    assert_eq!(overview.members, consortium.genesis.members.len());
    assert_eq!(
        (overview.chain, overview.halted),
        (consortium.genesis.chain_id(), None)
    );
    // It executed every block itself and came to what the validator certified.
    assert_eq!(overview.tip, validator.handle.replica.tip());

    // A feed from a place on gives what lies after it; one that waits learns of the end.
    let later = watching.handle.feed(2).next().await.unwrap();
    assert_eq!(later[0].refusal(), "TOKEN_EXPIRED");
    let waiting = tokio::spawn(async move { feed.next().await });
    watching.stop().await;
    let ended = tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(ended, Err(Error::Stopped)), "{ended:?}");
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_is_there_after_a_restart() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let granted = set_to_work(&mut consortium, &validator).await;
    let placed = Action::PlaceOrder(order(&granted));
    consortium.commit(&validator, "js-bank/agent", placed).await;
    let watching = consortium.observer(&validator).await;
    watching.reaches(validator.height()).await;
    let before = watching
        .handle
        .attempts(&AccessFilter::default(), 0, 10)
        .unwrap();
    let config = consortium.observer_config(&validator);
    watching.stop().await;
    // Nobody to follow any more: what it has seen does not depend on them.
    validator.stop().await;
    let watching = crate::consortium::Watching::start(config).await.unwrap();
    let after = watching
        .handle
        .attempts(&AccessFilter::default(), 0, 10)
        .unwrap();
    assert_eq!((after.entries.len(), after), (1, before));
    watching.stop().await;
}
