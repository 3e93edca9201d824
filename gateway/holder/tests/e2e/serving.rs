//! Serving orders: seen on the own replica, recorded, released; refused where that is right.

use std::time::Duration;

use xinqiao_contracts::query;
use xinqiao_ledger::{
    item::leaf,
    outcome::{Event, Outcome},
    receipt,
    wire::{self, PartStatus, tx_body::Action},
};
use xinqiao_rpc::peer::Role;

use crate::world::{A_WHILE, ASKED, NOT_ASKED, PATIENCE, Running, World, ask, row, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_seen_recorded_and_only_then_released() {
    let mut world = World::new(3).await;
    let holder = world.registered().await;
    let grant = world.consent(1).await;
    let part = world.order(1, &grant).await;
    let answer = world.relay(&holder, &part, 20_000).await;
    assert_eq!(answer.fault, None);

    // The receipt proves the record of these very bytes, against the validators alone.
    let replica = holder.handle.replica();
    let wire = answer.receipt.unwrap();
    let proven = receipt::check(&wire, &replica.epochs(), &replica.chain()).unwrap();
    let xinqiao_ledger::action::Action::DeliverPart(recorded) = proven.tx().action() else {
        panic!("{:?}", proven.tx().action())
    };
    assert_eq!(recorded.part, part);
    assert_eq!(
        recorded.ciphertext_digest,
        xinqiao_crypto::sm3(&answer.bytes)
    );
    let Outcome::Applied(events) = proven.outcome() else {
        panic!("{:?}", proven.outcome())
    };
    assert!(matches!(&events[0], Event::PartChanged(it) if it.status() == PartStatus::Delivered));

    // The bank opens it; each item leads to the registered root; nothing of the third item is there.
    let report = world.open(&part, &answer.bytes);
    let codes: Vec<&str> = report.items.iter().map(|item| item.code.as_str()).collect();
    assert_eq!(codes, ["invoices", "tax"]);
    for item in &report.items {
        let leaf = leaf(&item.code, &item.salt, &item.canonical);
        assert!(item.path.leads(leaf, recorded.report_root));
    }
    let plain = report.encode();
    let text = String::from_utf8_lossy(&plain);
    assert!(text.contains(ASKED) && !text.contains(NOT_ASKED));

    // Asked for again it comes again; once confirmed, nothing of it stays.
    let again = world.relay(&holder, &part, A_WHILE).await;
    assert_eq!(again.bytes, answer.bytes);
    let confirm = Action::ConfirmPart(wire::ConfirmPart {
        order: part.order.to_vec(),
        part: 0,
        verdict: wire::Verdict::Confirmed.into(),
    });
    let confirmed = world.commit("js-bank/agent", confirm).await;
    holder.sees(&confirmed).await;
    until("the spool is empty", || {
        std::fs::read_dir(world.path("spool")).unwrap().count() == 0
    })
    .await;
    let gone = world.relay(&holder, &part, A_WHILE).await;
    assert_eq!(gone.refused(), "DELIVERY_NOT_FOUND");
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_orders_are_served_at_once() {
    let mut world = World::new(40).await;
    let holder = world.registered().await;
    let mut parts = Vec::new();
    for number in 0..40 {
        let grant = world.consent(number).await;
        let order = world.order_of(number, &grant);
        let tx = world.sign("js-bank/agent", Action::PlaceOrder(order));
        let id = world.honest().submit(tx).await.unwrap();
        parts.push(xinqiao_ledger::order::PartRef {
            order: id.into(),
            part: 0,
        });
    }
    let answers = parts.iter().map(|part| world.relay(&holder, part, 20_000));
    let answers = futures::future::join_all(answers).await;
    for (number, (part, answer)) in parts.iter().zip(answers).enumerate() {
        assert_eq!(answer.fault, None, "{number}");
        let report = world.open(part, &answer.bytes);
        let text = String::from_utf8(report.items[1].canonical.clone()).unwrap();
        assert!(text.contains(&format!("{ASKED}-{number}\"")), "{text}");
    }
    holder.stop().await;
}

/// What the record came to between registration and order, and how the part is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_longer_matches_is_refused_with_the_reason() {
    let mut world = World::new(4).await;
    let holder = world.registered().await;
    // Subject 1 changed, subject 2 is gone; subject 3 is as it was registered.
    world.write_data([row(0, 1), row(1, 2), row(3, 1)].concat());
    for (number, expected) in [
        (1, Some("DIGEST_MISMATCH")),
        (2, Some("RECORD_NOT_FOUND")),
        (3, None),
    ] {
        let grant = world.consent(number).await;
        let part = world.order(number, &grant).await;
        let answer = world.relay(&holder, &part, 20_000).await;
        match expected {
            None => assert_eq!(answer.fault, None, "subject {number}"),
            Some(code) => {
                assert_eq!(answer.refused(), "DELIVERY_NOT_FOUND");
                let facts = answer.fault.unwrap().metadata;
                assert_eq!(facts["part_status"], "PART_STATUS_REJECTED");
                assert_eq!(facts["part_reason"], code);
            }
        }
    }
    // The data cannot be read at all.
    std::fs::remove_file(world.path("data.csv")).unwrap();
    let grant = world.consent(0).await;
    let part = world.order(0, &grant).await;
    let answer = world.relay(&holder, &part, 20_000).await;
    assert_eq!(answer.refused(), "DELIVERY_NOT_FOUND");
    let facts = answer.fault.unwrap().metadata;
    assert_eq!(facts["part_reason"], "SOURCE_UNAVAILABLE");
    holder.stop().await;
}

/// A source that takes long to read: its data changed, and all of it is read anew for the next order.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_whose_source_takes_long_is_taken_up_on_the_ledger_first() {
    let mut world = World::new(2).await;
    let mut config = world.holder_config(world.upstream());
    config.limits.accept_after = Duration::from_millis(1);
    let holder = Running::start(config).await;
    world.sync(&holder).await;
    let grant = world.consent(1).await;
    world.write_data((0..100_000).map(|number| row(number, 1)).collect());
    let part = world.order(1, &grant).await;
    let answer = world.relay(&holder, &part, 60_000).await;
    assert_eq!(answer.fault, None);
    let replica = holder.handle.replica();
    let changes: Vec<PartStatus> = (1..=replica.tip().height)
        .filter_map(|height| replica.applied(height).unwrap())
        .flat_map(|block| block.outcomes)
        .flat_map(|outcome| match outcome {
            Outcome::Applied(events) => events,
            Outcome::Rejected { .. } => Vec::new(),
        })
        .filter_map(|event| match event {
            Event::PartChanged(change) => Some(change.status()),
            _ => None,
        })
        .collect();
    assert_eq!(changes, [PartStatus::Accepted, PartStatus::Delivered]);
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_comes_while_the_holder_is_down_is_served_when_it_is_back() {
    let mut world = World::new(3).await;
    let holder = world.registered().await;
    let grant = world.consent(1).await;
    holder.stop().await;
    let part = world.order(1, &grant).await;
    let holder = world.holder(world.upstream()).await;
    let answer = world.relay(&holder, &part, 20_000).await;
    assert_eq!(answer.fault, None);
    world.open(&part, &answer.bytes);
    // And what it recorded it serves after a restart, too.
    holder.stop().await;
    let holder = world.holder(world.upstream()).await;
    let again = world.relay(&holder, &part, 20_000).await;
    assert_eq!(again.bytes, answer.bytes);
    // Unless its spool was lost: then it says so, and at once.
    holder.stop().await;
    std::fs::remove_dir_all(world.path("spool")).unwrap();
    let holder = world.holder(world.upstream()).await;
    let lost = world.relay(&holder, &part, 20_000).await;
    assert_eq!(lost.refused(), "DELIVERY_NOT_FOUND");
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_gateways_of_live_members_may_ask() {
    let mut world = World::new(3).await;
    let holder = world.registered().await;
    let grant = world.consent(1).await;
    let part = world.order(1, &grant).await;
    let freeze = Action::FreezeMember(wire::FreezeMember {
        org: "zj-bureau".into(),
        reason: "test".into(),
    });
    let frozen = world.commit("pboc/admin", freeze).await;
    holder.sees(&frozen).await;
    for (who, identity, expected) in [
        (
            "an agent",
            world.identity("js-bank", Role::Agent),
            Some("CERTIFICATE_ORG_MISMATCH"),
        ),
        (
            "a node",
            world.identity("sh-bureau", Role::Node),
            Some("CERTIFICATE_ORG_MISMATCH"),
        ),
        (
            "an unknown certificate",
            world.stranger("js-bureau", Role::Gateway),
            Some("CERTIFICATE_UNKNOWN"),
        ),
        (
            "a frozen member",
            world.identity("zj-bureau", Role::Gateway),
            Some("MEMBER_FROZEN"),
        ),
        (
            "the own gateway",
            world.identity("sh-bureau", Role::Gateway),
            None,
        ),
    ] {
        let answer = world.ask(&holder, &identity, &part, 20_000).await;
        match expected {
            Some(code) => assert_eq!(answer.refused(), code, "{who}"),
            None => assert_eq!(answer.fault, None, "{who}"),
        }
    }
    let own = world.identity("sh-bureau", Role::Gateway);
    for (order, index, wait_ms, expected) in [
        (vec![], 0, 0, "FIELD_REQUIRED"),
        (vec![1; 31], 0, 0, "FIELD_LENGTH"),
        (vec![1; 32], 64, 0, "FIELD_RANGE"),
        (vec![1; 32], 0, 86_400_001, "FIELD_RANGE"),
        (vec![1; 32], 0, 0, "DELIVERY_NOT_FOUND"),
    ] {
        let request = wire::RelayPartRequest {
            order,
            part: index,
            wait_ms,
            letter: None,
        };
        assert_eq!(ask(&holder, &own, request).await.refused(), expected);
    }
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_past_its_deadline_is_closed_and_not_served() {
    let mut world = World::new(3).await;
    let holder = world.registered().await;
    let grant = world.consent(1).await;
    holder.stop().await;
    let mut order = world.order_of(1, &grant);
    order.deadline_ms = 100;
    let id = world
        .commit("js-bank/agent", Action::PlaceOrder(order))
        .await;
    let honest = world.honest();
    let expired = || {
        let order = query::order(&honest.state(), &id.into()).unwrap().unwrap();
        !order.is_open()
    };
    until("the deadline fires", expired).await;
    let holder = world.holder(world.upstream()).await;
    holder.sees(&id).await;
    let part = xinqiao_ledger::order::PartRef {
        order: id.into(),
        part: 0,
    };
    let answer = world.relay(&holder, &part, 5_000).await;
    assert_eq!(answer.refused(), "DELIVERY_NOT_FOUND");
    assert_eq!(
        answer.fault.unwrap().metadata["part_status"],
        "PART_STATUS_EXPIRED"
    );
    let replica = holder.handle.replica();
    assert!(replica.wait_final(&id, PATIENCE).await.is_ok());
    holder.stop().await;
}
