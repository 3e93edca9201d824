//! The gateway's way in, called directly with the bank's own certificate: in which order it checks, what
//! it answers, and that every refusal of an authentic caller stands on the ledger.

use std::time::{Duration, Instant};

use prost::Message;
use tonic::{Request, Status, metadata::MetadataValue};
use xinqiao_gateway::{Quotas, Rate};
use xinqiao_identity::{TokenIssuer, TokenKey, TokenRequest};
use xinqiao_ledger::{
    ids::{GrantId, UserId},
    wire::{
        self, PartStatus, delivery_service_client::DeliveryServiceClient,
        order_service_client::OrderServiceClient, tx_body::Action,
    },
};
use xinqiao_rpc::{FaultView, Identity, Reason, RpcChannel, tls};

use crate::{
    access,
    consortium::{Consortium, Plan, enterprise, now_ms, pseudonym_key, secret, user},
    source::Conduct,
};

/// Someone who calls the home gateway.
struct Caller {
    orders: OrderServiceClient<RpcChannel>,
    tokens: TokenIssuer,
}

impl Caller {
    fn bank(consortium: &Consortium) -> Self {
        Self::new(
            consortium,
            "js-bank",
            &consortium.bank,
            &consortium.token_pem,
        )
    }

    fn new(
        consortium: &Consortium,
        org: &str,
        identity: &Identity,
        token_pem: &secrecy::SecretString,
    ) -> Self {
        let channel = tls::channel(&consortium.home_gateway, identity, Some("js-bureau")).unwrap();
        let key = TokenKey::from_pem(token_pem).unwrap();
        Self {
            orders: OrderServiceClient::new(channel),
            tokens: TokenIssuer::new(key, org, identity.own().fingerprint_sha256),
        }
    }

    fn token(&self, change: impl FnOnce(&mut TokenRequest)) -> String {
        let mut request = TokenRequest {
            audience: "js-bureau".into(),
            user_pseudonym: user("clerk").to_string(),
            roles: ["bank.querier".to_owned()].into(),
            purposes: ["loan".to_owned()].into(),
            lifetime_seconds: 60,
        };
        change(&mut request);
        self.tokens.issue(&request, now_ms() / 1_000).unwrap()
    }

    fn request<T>(&self, message: T, token: Option<&str>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = token {
            let header = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
            request.metadata_mut().insert("authorization", header);
        }
        request
    }

    async fn place(
        &self,
        tx: wire::Transaction,
        token: Option<&str>,
    ) -> Result<Vec<u8>, FaultView> {
        let message = wire::OrderServicePlaceOrderRequest {
            transaction: Some(tx),
            of_job: false,
        };
        let answer = self
            .orders
            .clone()
            .place_order(self.request(message, token))
            .await;
        answer
            .map(|answer| answer.into_inner().order)
            .map_err(|status| FaultView::from_status(&status))
    }
}

fn order(grant: &GrantId) -> wire::PlaceOrder {
    wire::PlaceOrder {
        subject: pseudonym_key().subject(&enterprise()).to_vec(),
        grant: grant.to_vec(),
        purpose: "loan".into(),
        items: vec!["court".into(), "tax".into()],
        user: user("clerk").to_vec(),
        branch: String::new(),
        deadline_ms: 1_000,
        recipient: secret("js-bank/encryption")
            .public()
            .id()
            .as_bytes()
            .to_vec(),
    }
}

fn refusals(consortium: &Consortium) -> Vec<(String, Option<UserId>)> {
    access(consortium)
        .iter()
        .filter(|entry| !entry.outcome.refusal().is_empty())
        .map(|entry| (entry.outcome.refusal().to_owned(), entry.user))
        .collect()
}

/// A transaction, its token, and what is expected of them.
struct Attempt {
    what: &'static str,
    tx: wire::Transaction,
    token: Option<String>,
    reason: Reason,
    user_is_proved: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_an_authentic_caller_has_its_own_answer_and_its_own_record() {
    let consortium = Consortium::start(Plan::default()).await;
    let grant = consortium.grant(&["court", "tax"], |_| ()).await;
    let bank = Caller::bank(&consortium);
    let good = || consortium.sign("js-bank/agent", Action::PlaceOrder(order(&grant)));
    let token = || Some(bank.token(|_| ()));
    let used = token();
    let placed = good();
    let order_id = bank.place(placed.clone(), used.as_deref()).await.unwrap();
    let again = bank
        .place(placed.clone(), token().as_deref())
        .await
        .unwrap();
    assert_eq!(order_id, again, "the same bytes get the same answer");
    let mut other_chain = good();
    let mut body = wire::TxBody::decode(other_chain.body.as_slice()).unwrap();
    body.chain_id[0] ^= 1;
    other_chain.body = body.encode_to_vec();
    let mut unknown_field = good();
    unknown_field
        .body
        .extend_from_slice(&[0xfa, 0x07, 0x01, 0x00]);
    let mut other_bytes = good();
    let mut body = wire::TxBody::decode(other_bytes.body.as_slice()).unwrap();
    body.nonce[0] ^= 1;
    other_bytes.body = body.encode_to_vec();
    let mut other_user = order(&grant);
    other_user.user = user("auditor").to_vec();
    let mut no_items = order(&grant);
    no_items.items.clear();
    let attempt = |what, tx, token, reason, user_is_proved| Attempt {
        what,
        tx,
        token,
        reason,
        user_is_proved,
    };
    let attempts = [
        attempt("no token", good(), None, Reason::TokenMissing, false),
        attempt(
            "no JWT",
            good(),
            Some("x.y".into()),
            Reason::TokenInvalid,
            false,
        ),
        attempt(
            "a token used before",
            good(),
            used,
            Reason::TokenInvalid,
            false,
        ),
        attempt(
            "another gateway's token",
            good(),
            Some(bank.token(|t| t.audience = "sh-bureau".into())),
            Reason::TokenAudience,
            false,
        ),
        attempt(
            "a role that does not place orders",
            good(),
            Some(bank.token(|t| t.roles = ["bank.auditor".to_owned()].into())),
            Reason::RoleDenied,
            true,
        ),
        attempt(
            "a purpose that the user is not approved for",
            good(),
            Some(bank.token(|t| t.purposes = ["audit".to_owned()].into())),
            Reason::PurposeDenied,
            true,
        ),
        attempt(
            "an unknown field",
            unknown_field,
            token(),
            Reason::NotCanonical,
            true,
        ),
        attempt(
            "no items",
            consortium.sign("js-bank/agent", Action::PlaceOrder(no_items)),
            token(),
            Reason::FieldRequired,
            true,
        ),
        attempt(
            "another action",
            consortium.sign(
                "js-bank/agent",
                Action::CancelOrder(wire::CancelOrder { order: vec![1; 32] }),
            ),
            token(),
            Reason::FieldFormat,
            true,
        ),
        attempt(
            "another chain",
            other_chain,
            token(),
            Reason::ChainIdMismatch,
            true,
        ),
        attempt(
            "another institution's key",
            consortium.sign("zz-bank/agent", Action::PlaceOrder(order(&grant))),
            token(),
            Reason::SignerUnknown,
            true,
        ),
        attempt(
            "another user than the token's",
            consortium.sign("js-bank/agent", Action::PlaceOrder(other_user)),
            token(),
            Reason::RoleDenied,
            true,
        ),
        attempt(
            "a signature over other bytes",
            other_bytes,
            token(),
            Reason::SignatureInvalid,
            true,
        ),
    ];
    let refused = attempts.len();
    for (index, attempt) in attempts.into_iter().enumerate() {
        let what = attempt.what;
        let refused = bank.place(attempt.tx, attempt.token.as_deref()).await;
        let view = refused.unwrap_err();
        assert_eq!(view.reason, Some(attempt.reason), "{what}: {view:?}");
        let log = refusals(&consortium);
        assert_eq!(log.len(), index + 1, "{what} left no record");
        let proved = attempt.user_is_proved.then(|| user("clerk"));
        assert_eq!(log[0], (attempt.reason.code().to_owned(), proved), "{what}");
    }
    // Who lost the answer asks again with the same bytes: that is the same order, and no attempt of its own.
    let again = bank.place(placed, token().as_deref()).await;
    assert_eq!(again.unwrap(), order_id);
    assert_eq!(refusals(&consortium).len(), refused);
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_ledger_does_not_know_is_nobody_and_leaves_no_record() {
    let consortium = Consortium::start(Plan::default()).await;
    let grant = consortium.grant(&["tax"], |_| ()).await;
    let stranger = Caller::new(
        &consortium,
        "js-bank",
        &consortium.unregistered,
        &consortium.token_pem,
    );
    let tx = consortium.sign("js-bank/agent", Action::PlaceOrder(order(&grant)));
    let token = stranger.token(|_| ());
    let view = stranger.place(tx, Some(&token)).await.unwrap_err();
    assert_eq!(view.reason, Some(Reason::CertificateUnknown), "{view:?}");
    assert!(access(&consortium).is_empty());
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_quota_one_record_a_second_stands_for_all_refusals_of_a_kind() {
    let quotas = Quotas {
        institution: Rate::new(1, 3),
        user: Rate::new(1, 3),
    };
    let consortium = Consortium::start(Plan {
        quotas: Some(quotas),
        ..Plan::default()
    })
    .await;
    let grant = consortium.grant(&["tax"], |_| ()).await;
    let bank = Caller::bank(&consortium);
    let tx = || consortium.sign("js-bank/agent", Action::PlaceOrder(order(&grant)));
    let started = Instant::now();
    const CALLS: usize = 40;
    for _ in 0..CALLS {
        let view = bank.place(tx(), None).await.unwrap_err();
        assert_eq!(view.reason, Some(Reason::TokenMissing));
    }
    // Three within the quota, each second's refill of one, and one a second for all the others.
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap() + 1;
    let records = refusals(&consortium).len();
    assert!(
        (4..=3 + 2 * seconds).contains(&records),
        "{records} in {seconds} s"
    );
    assert!(records < CALLS);
    let token = bank.token(|_| ());
    let view = bank.place(tx(), Some(&token)).await.unwrap_err();
    assert_eq!(view.reason, Some(Reason::QuotaExceeded), "{view:?}");
    assert!(view.retry_after.is_some());
    assert_eq!(refusals(&consortium)[0].0, "QUOTA_EXCEEDED");
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_its_institution_s_own_and_a_part_goes_to_its_home_gateway_alone() {
    let consortium = Consortium::start(Plan {
        conduct: [("js-court", Conduct::Silent)].into(),
        ..Plan::default()
    })
    .await;
    let grant = consortium.grant(&["court", "tax"], |_| ()).await;
    let bank = Caller::bank(&consortium);
    let mut long = order(&grant);
    long.deadline_ms = 60_000;
    let tx = consortium.sign("js-bank/agent", Action::PlaceOrder(long));
    let token = bank.token(|_| ());
    let order = bank.place(tx, Some(&token)).await.unwrap();

    let other = Caller::new(
        &consortium,
        "zz-bank",
        &consortium.other_bank,
        &consortium.other_token_pem,
    );
    let reason = |status: Status| FaultView::from_status(&status).reason;
    let watch = wire::WatchOrderRequest {
        order: order.clone(),
    };
    let token = other.token(|_| ());
    let refused = other
        .orders
        .clone()
        .watch_order(other.request(watch, Some(&token)))
        .await;
    assert_eq!(reason(refused.unwrap_err()), Some(Reason::OwnerDenied));
    let fetch = wire::FetchPartRequest {
        order: order.clone(),
        part: 1,
        letter: None,
    };
    let token = other.token(|_| ());
    let refused = other
        .orders
        .clone()
        .fetch_part(other.request(fetch, Some(&token)))
        .await;
    assert_eq!(reason(refused.unwrap_err()), Some(Reason::OwnerDenied));
    assert_eq!(access(&consortium)[0].institution.as_str(), "zz-bank");

    let relay = async |uri: &str, identity: &Identity, order: &[u8], part: u32| {
        let channel = tls::channel(uri, identity, None).unwrap();
        let request = wire::RelayPartRequest {
            order: order.to_vec(),
            part,
            wait_ms: 300,
            letter: None,
        };
        let answer = DeliveryServiceClient::new(channel)
            .relay_part(request)
            .await;
        answer.map(|_| ()).map_err(reason)
    };
    let (home, away) = (&consortium.home_gateway, &consortium.other_gateway);
    let js = &consortium.gateway_identities["js-bureau"];
    let sh = &consortium.gateway_identities["sh-bureau"];
    assert_eq!(relay(away, js, &order, 1).await, Ok(()), "the home gateway");
    for (what, uri, identity, order, part, expected) in [
        (
            "not the home",
            home,
            sh,
            &order,
            0,
            Reason::DeliveryNotAddressee,
        ),
        (
            "not served there",
            away,
            js,
            &order,
            0,
            Reason::SourceUnknown,
        ),
        ("no such part", away, js, &order, 2, Reason::PartNotFound),
        (
            "no such order",
            away,
            js,
            &vec![7; 32],
            0,
            Reason::OrderNotFound,
        ),
        (
            "no gateway",
            away,
            &consortium.bank,
            &order,
            1,
            Reason::CertificateOrgMismatch,
        ),
        ("no part index", away, js, &order, 64, Reason::FieldRange),
    ] {
        assert_eq!(
            relay(uri, identity, order, part).await,
            Err(Some(expected)),
            "{what}"
        );
    }
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_followed_shows_each_change_and_ends_when_nothing_is_left() {
    let consortium = Consortium::start(Plan {
        conduct: [("js-court", Conduct::Silent)].into(),
        ..Plan::default()
    })
    .await;
    let grant = consortium.grant(&["court", "tax"], |_| ()).await;
    let bank = Caller::bank(&consortium);
    let tx = consortium.sign("js-bank/agent", Action::PlaceOrder(order(&grant)));
    let token = bank.token(|_| ());
    let order = bank.place(tx, Some(&token)).await.unwrap();
    let message = wire::WatchOrderRequest {
        order: order.clone(),
    };
    let token = bank.token(|_| ());
    let mut orders = bank.orders.clone();
    let watching = orders
        .watch_order(bank.request(message, Some(&token)))
        .await;
    let mut states = watching.unwrap().into_inner();
    let mut next = async || {
        let answer = tokio::time::timeout(Duration::from_secs(10), states.message());
        let answer = answer.await.unwrap().unwrap()?;
        let parts = answer.order.unwrap().parts;
        Some((parts[0].status(), parts[1].status()))
    };
    use PartStatus as S;
    assert_eq!(next().await, Some((S::Placed, S::Placed)));
    let accept = Action::AcceptPart(wire::AcceptPart {
        order: order.clone(),
        part: 1,
    });
    consortium.applied("sh-bureau/holder", accept).await;
    assert_eq!(next().await, Some((S::Placed, S::Accepted)));
    // Nobody fetches: the deadline passes without any transaction.
    assert_eq!(next().await, Some((S::Expired, S::Expired)));
    assert_eq!(next().await, None);
    consortium.stop().await;
}
