//! Signed transactions that an agent brings to its gateway: wrong in every way that they can be wrong at a
//! node, and in the ways that only a gateway can tell. What it refuses goes on record, and nothing else.

use std::time::{Duration, Instant};

use prost::Message;
use xinqiao_it::{
    Consortium, Kind, People,
    people::{BANK, HOME},
    raw,
    transactions::terms,
};
use xinqiao_ledger::wire::{self, state_service_client::StateServiceClient, tx_body::Action};
use xinqiao_rpc::{Role, RpcChannel, limited};

use crate::{
    Complaints, State, check,
    requests::query,
    said,
    submissions::{BadAction, Making, bad_transactions, malformed_terms, not_utf8},
};

/// How long the record may take that the bank opened what it has reported.
const SETTLED: Duration = Duration::from_secs(30);

/// A method of the gateway, an action that it takes, what becomes of that, and actions that it refuses.
type Method<'a> = (
    &'static str,
    &'a dyn Fn() -> Action,
    &'static str,
    Vec<BadAction>,
);

/// The bank's connection to its gateway.
struct Bank<'a> {
    people: People,
    gateway: RpcChannel,
    user: &'a str,
}

impl Bank<'_> {
    /// Sends a transaction by a method of the gateway and says what came of it.
    async fn send(&self, method: &str, transaction: wire::Transaction) -> String {
        // The three requests have the transaction as their field 1 and nothing else.
        let message = wire::SubmitConsentRequest {
            transaction: Some(transaction),
        };
        let token = self.people.token(self.user);
        let path = format!("/xinqiao.v1.{method}");
        match raw::call(&self.gateway, &path, message.encode_to_vec(), Some(&token)).await {
            Ok(_) => "it was taken".to_owned(),
            Err(status) => said(&status),
        }
    }
}

/// Tries all of them by each method that takes transactions.
pub(crate) async fn check_all(consortium: &Consortium, complaints: &mut Complaints) {
    let (people, running) = (consortium.people(), consortium.running());
    let node = people.connect((HOME, Role::Operator), (HOME, Kind::Node));
    let making = Making::of(&node, people.key(BANK, "agent")).await;
    let settled = an_order(consortium, &node).await;
    let bank = Bank {
        gateway: people.connect((BANK, Role::Agent), (HOME, Kind::Gateway)),
        people: people.clone(),
        user: &running.user,
    };

    let subject = people.subject(&running.enterprises[3]);
    let asked = terms(subject.clone(), BANK, &[&running.purpose], &["tax_payment"]);
    let order = wire::PlaceOrder {
        subject,
        // Nobody gave this consent: the order is refused by the ledger, with a record, and delivers nothing.
        grant: vec![9; 32],
        purpose: running.purpose.clone(),
        items: vec!["tax_payment".into()],
        user: people.user(&running.user),
        branch: String::new(),
        deadline_ms: 1_000,
        recipient: people
            .key(BANK, "encryption")
            .public()
            .id()
            .as_bytes()
            .to_vec(),
    };
    let request = |terms| {
        let lapses_at_ms = asked.valid_until_ms;
        Action::RequestConsent(wire::RequestConsent {
            terms: Some(terms),
            lapses_at_ms,
        })
    };
    let place = || Action::PlaceOrder(order.clone());
    let ask = || request(asked.clone());
    let cancel = || {
        Action::CancelOrder(wire::CancelOrder {
            order: settled.clone(),
        })
    };
    let methods: [Method<'_>; 3] = [
        (
            "OrderService/PlaceOrder",
            &place,
            "CONSENT_NOT_FOUND",
            bad_orders(&order, cancel()),
        ),
        (
            "ConsentService/SubmitConsent",
            &ask,
            "it was taken",
            bad_consents(&asked, place()),
        ),
        (
            "OrderService/SubmitOrderChange",
            &cancel,
            "ORDER_STATE_CONFLICT",
            bad_changes(place()),
        ),
    ];
    for (method, good, becomes, malformed) in methods {
        // Whoever sends the same bytes again gets the same answer.
        let taken = making.sign(good());
        for time in ["once", "again"] {
            let got = bank.send(method, taken.clone()).await;
            let what = format!("{method}: one that is in order, {time}");
            check(complaints, &what, becomes, &got);
        }

        let mut rows = bad_transactions(&making, good);
        if method == "ConsentService/SubmitConsent" {
            rows.push(not_utf8(&making, good()));
        }
        for (what, action, expected) in malformed {
            rows.push((what, making.sign(action), expected));
        }
        let other = making.sign_with(&people.key(BANK, "encryption"), good());
        rows.push((
            "a member's key that signs no orders",
            other,
            "SIGNER_UNKNOWN",
        ));
        let mut state = State::of(&people).await;
        for (what, transaction, expected) in rows {
            let got = bank.send(method, transaction).await;
            check(complaints, &format!("{method}: {what}"), expected, &got);
        }
        state.has_refusals_only(complaints, method).await;
    }
}

/// An order that is over: every part of it is confirmed.
async fn an_order(consortium: &Consortium, node: &RpcChannel) -> Vec<u8> {
    let running = consortium.running();
    let query = query(&running.enterprises[0], &running.purpose);
    let path = "/xinqiao.v1.ReportService/QueryReport";
    let agent = consortium.people().agent();
    let answers = raw::call(&agent, path, query.encode_to_vec(), None)
        .await
        .unwrap();
    let report = wire::QueryReportResponse::decode(&answers[0][..]).unwrap();
    let confirmed = |status: wire::PartStatus| status == wire::PartStatus::Confirmed;
    assert!(
        report.parts.iter().all(|part| confirmed(part.status())),
        "{:?}",
        report.parts
    );
    let order = wire::GetOrderRequest {
        order: report.order.clone(),
    };
    let mut state = limited!(StateServiceClient::new(node.clone()));
    let begun = Instant::now();
    loop {
        let answer = state.get_order(order.clone()).await.unwrap().into_inner();
        let parts = answer.order.unwrap().parts;
        if parts.iter().all(|part| confirmed(part.status())) {
            return report.order;
        }
        assert!(begun.elapsed() < SETTLED, "{parts:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Orders whose fields are not what the contract says, and what is no order.
#[rustfmt::skip]
fn bad_orders(good: &wire::PlaceOrder, other: Action) -> Vec<BadAction> {
    let with = |change: fn(&mut wire::PlaceOrder)| {
        let mut order = good.clone();
        change(&mut order);
        Action::PlaceOrder(order)
    };
    vec![
        ("another action", other, "FIELD_FORMAT"),
        ("another user than the token's", with(|order| order.user = vec![8; 32]), "ROLE_DENIED"),
        ("a purpose that the token does not have", with(|order| order.purpose = "curiosity".into()), "PURPOSE_DENIED"),
        ("a subject of 31 bytes", with(|order| order.subject.truncate(31)), "FIELD_LENGTH"),
        ("a plain code for a subject", with(|order| order.subject = b"91320594MA1MC4RX7R".to_vec()), "FIELD_LENGTH"),
        ("no grant", with(|order| order.grant.clear()), "FIELD_REQUIRED"),
        ("a grant of 33 bytes", with(|order| order.grant.push(0)), "FIELD_LENGTH"),
        ("a long purpose", with(|order| order.purpose = "p".repeat(33)), "FIELD_TOO_LONG"),
        ("a malformed purpose", with(|order| order.purpose = "A loan".into()), "FIELD_FORMAT"),
        ("no items", with(|order| order.items.clear()), "FIELD_REQUIRED"),
        ("65 items", with(|order| order.items = (0..65).map(|i| format!("i{i:02}")).collect()), "TOO_MANY_ITEMS"),
        ("items in no order", with(|order| order.items = vec!["b".into(), "a".into()]), "DUPLICATE_ITEM"),
        ("an item twice", with(|order| order.items = vec!["a".into(); 2]), "DUPLICATE_ITEM"),
        ("a long item", with(|order| order.items = vec!["i".repeat(33)]), "FIELD_TOO_LONG"),
        ("a user of 31 bytes", with(|order| order.user.truncate(31)), "FIELD_LENGTH"),
        ("a long branch", with(|order| order.branch = "b".repeat(65)), "FIELD_TOO_LONG"),
        ("a short deadline", with(|order| order.deadline_ms = 99), "FIELD_RANGE"),
        ("a long deadline", with(|order| order.deadline_ms = 86_400_001), "FIELD_RANGE"),
        ("a recipient of 31 bytes", with(|order| order.recipient.truncate(31)), "FIELD_LENGTH"),
    ]
}

/// Requests for consent whose fields are not what the contract says, and what is none.
fn bad_consents(good: &wire::ConsentTerms, other: Action) -> Vec<BadAction> {
    let mut bad = malformed_terms(good, |terms| {
        let lapses_at_ms = terms.valid_until_ms;
        Action::RequestConsent(wire::RequestConsent {
            terms: Some(terms),
            lapses_at_ms,
        })
    });
    bad.push(("another action", other, "FIELD_FORMAT"));
    bad.push((
        "no terms",
        Action::RequestConsent(wire::RequestConsent::default()),
        "FIELD_REQUIRED",
    ));
    bad
}

/// Changes to orders whose fields are not what the contract says, and what is none.
#[rustfmt::skip]
fn bad_changes(other: Action) -> Vec<BadAction> {
    let confirm = |order: usize, part: u32, verdict: i32| {
        Action::ConfirmPart(wire::ConfirmPart { order: vec![1; order], part, verdict })
    };
    let dispute = |statement: usize| {
        Action::DisputeOrder(wire::DisputeOrder { order: vec![1; 32], statement_digest: vec![2; statement] })
    };
    vec![
        ("another action", other, "FIELD_FORMAT"),
        ("an unknown order", confirm(32, 0, 1), "ORDER_NOT_FOUND"),
        ("an order's id of 31 bytes", confirm(31, 0, 1), "FIELD_LENGTH"),
        ("an order's id of 33 bytes", confirm(33, 0, 1), "FIELD_LENGTH"),
        ("a part that no order has", confirm(32, 64, 1), "FIELD_RANGE"),
        ("an unknown verdict", confirm(32, 0, 99), "ENUM_UNKNOWN"),
        ("a verdict that is not said", confirm(32, 0, 0), "FIELD_REQUIRED"),
        ("a statement's digest of 31 bytes", dispute(31), "FIELD_LENGTH"),
    ]
}
