//! Transactions that were signed by the wrong one, over other bytes, for another chain, too early or too
//! late, twice, or in another encoding than the one there is.

use prost::Message;
use xinqiao_crypto::SecretKey;
use xinqiao_it::{
    Consortium, Kind,
    people::{BANK, BUREAUS, HOME},
    raw::reason,
    transactions::{grant, sign, sign_body, status, submit},
};
use xinqiao_ledger::{
    ids::ChainId,
    wire::{self, tx_body::Action},
};
use xinqiao_rpc::Role;

use crate::{Complaints, State, check};

/// A body with a field after the known ones, one given twice, and two in the wrong order.
fn not_canonical(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    // The version is the first field: key 0x08, value 1.
    assert_eq!(&body[..2], &[0x08, 0x01]);
    let unknown = [body, &[0x98, 0x3f, 0x01]].concat();
    let twice = [&body[..2], body].concat();
    let reordered = [&body[2..], &body[..2]].concat();
    let long_number = [&[0x08, 0x81, 0x00], &body[2..]].concat();
    vec![
        ("an unknown field", unknown),
        ("a field given twice", twice),
        ("fields in another order", reordered),
        ("a number in more bytes than it needs", long_number),
    ]
}

/// Submits each of them to the validator and through a follower.
pub(crate) async fn check_all(consortium: &Consortium, complaints: &mut Complaints) {
    let people = consortium.people();
    let node = people.connect((BUREAUS[0], Role::Operator), (BUREAUS[0], Kind::Node));
    let tip = status(&node).await;
    let chain = ChainId::parse("chain_id", &tip.chain_id).unwrap();
    let other_chain = ChainId::parse("chain_id", &[9; 32]).unwrap();
    let admin = people.key(HOME, "admin");
    let stranger = SecretKey::generate(&mut rand::rng());
    let subject = people.subject(&consortium.running().enterprises[2]);
    let good = || {
        grant(
            subject.clone(),
            BANK,
            &[&consortium.running().purpose],
            &["tax_payment"],
        )
    };
    let soon = tip.height + tip.max_expiry_window / 2;

    // One that is taken, so that the same one can be sent again.
    let taken = sign(good(), &chain, soon, &admin);
    let first = submit(&node, taken.clone(), 20_000).await.unwrap();
    assert!(
        first.receipt.is_some(),
        "a good transaction was not committed"
    );

    let mut flipped = sign(good(), &chain, soon, &admin);
    flipped.signature[40] ^= 1;
    let mut other_bytes = sign(good(), &chain, soon, &admin);
    other_bytes.body = sign(good(), &chain, soon, &admin).body;
    let mut borrowed = sign(good(), &chain, soon, &stranger);
    borrowed.signer = admin.public().id().as_bytes().to_vec();
    let mut zero = sign(good(), &chain, soon, &admin);
    zero.signature = vec![0; 64];
    let mut short = sign(good(), &chain, soon, &admin);
    short.signature.truncate(63);
    let mut no_signer = sign(good(), &chain, soon, &admin);
    no_signer.signer.clear();

    let mut rows = vec![
        (
            "an unknown signer",
            sign(good(), &chain, soon, &stranger),
            "SIGNER_UNKNOWN",
        ),
        (
            "a flipped bit in the signature",
            flipped,
            "SIGNATURE_INVALID",
        ),
        (
            "a signature over other bytes",
            other_bytes,
            "SIGNATURE_INVALID",
        ),
        (
            "a stranger's signature under a member's name",
            borrowed,
            "SIGNATURE_INVALID",
        ),
        ("a signature of zeros", zero, "FIELD_FORMAT"),
        ("a signature of 63 bytes", short, "FIELD_LENGTH"),
        ("no signer", no_signer, "FIELD_REQUIRED"),
        (
            "another chain",
            sign(good(), &other_chain, soon, &admin),
            "CHAIN_ID_MISMATCH",
        ),
        (
            "a transaction that was committed before",
            taken,
            "TX_REPLAYED",
        ),
        (
            "an expiry that has passed",
            sign(good(), &chain, 1, &admin),
            "TX_EXPIRED",
        ),
        (
            "an expiry too far ahead",
            sign(
                good(),
                &chain,
                tip.height + 10 * tip.max_expiry_window,
                &admin,
            ),
            "TX_EXPIRY_TOO_FAR",
        ),
        (
            "an expiry at the end of time",
            sign(good(), &chain, u64::MAX, &admin),
            "TX_EXPIRY_TOO_FAR",
        ),
        (
            "another chain and no member",
            sign(good(), &other_chain, soon, &stranger),
            "CHAIN_ID_MISMATCH",
        ),
        (
            "a body that is none",
            sign_body(vec![0xff; 40], &chain, &admin),
            "MESSAGE_MALFORMED",
        ),
        (
            "no action",
            sign_body(without_action(&chain, soon), &chain, &admin),
            "FIELD_REQUIRED",
        ),
        (
            "a body of 1 MiB",
            sign_body(vec![1; 1 << 20], &chain, &admin),
            "FIELD_TOO_LONG",
        ),
    ];
    let body = sign(good(), &chain, soon, &admin).body;
    for (what, body) in not_canonical(&body) {
        rows.push((what, sign_body(body, &chain, &admin), "NOT_CANONICAL"));
    }
    for (what, action, expected) in malformed(good()) {
        rows.push((what, sign(action, &chain, soon, &admin), expected));
    }

    let mut state = State::of(&people).await;
    let follower = people.connect((BUREAUS[2], Role::Operator), (BUREAUS[2], Kind::Node));
    for (way, channel) in [
        ("at the validator", &node),
        ("through a follower", &follower),
    ] {
        for (what, transaction, expected) in &rows {
            let got = match submit(channel, transaction.clone(), 3_000).await {
                Ok(_) => "it was taken".to_owned(),
                Err(status) => reason(&status),
            };
            check(complaints, &format!("{what} {way}"), expected, &got);
        }
        state
            .is_unchanged(complaints, &format!("bad transactions {way}"))
            .await;
    }
}

fn without_action(chain: &ChainId, expires_at: u64) -> Vec<u8> {
    wire::TxBody {
        version: 1,
        chain_id: chain.to_vec(),
        nonce: vec![5; 16],
        expires_at_height: expires_at,
        action: None,
    }
    .encode_to_vec()
}

/// Actions whose fields are not what the contract says.
#[rustfmt::skip]
fn malformed(good: Action) -> Vec<(&'static str, Action, &'static str)> {
    let Action::GrantConsent(granted) = good else {
        panic!("the good action is a grant");
    };
    let terms = granted.terms.unwrap();
    let with = |change: fn(&mut wire::ConsentTerms)| {
        let mut terms = terms.clone();
        change(&mut terms);
        Action::GrantConsent(wire::GrantConsent { request: Vec::new(), terms: Some(terms) })
    };
    let key = |bytes: usize, role: i32| {
        let key = wire::MemberKey { public_key: vec![2; bytes], role };
        Action::AddKey(wire::AddKey { key: Some(key) })
    };
    let reject = |reason: i32| {
        Action::RejectPart(wire::RejectPart { order: vec![1; 32], part: 0, reason })
    };
    vec![
        ("no terms", Action::GrantConsent(wire::GrantConsent::default()), "FIELD_REQUIRED"),
        ("a subject of 31 bytes", with(|terms| terms.subject.truncate(31)), "FIELD_LENGTH"),
        ("a plain code for a subject", with(|terms| terms.subject = b"91320594MA1MC4RX7R".to_vec()), "FIELD_LENGTH"),
        ("a long grantee", with(|terms| terms.grantee = "b".repeat(33)), "FIELD_TOO_LONG"),
        ("a malformed grantee", with(|terms| terms.grantee = "My Bank".into()), "FIELD_FORMAT"),
        ("65 items", with(|terms| terms.items = (0..65).map(|i| format!("i{i:02}")).collect()), "TOO_MANY_ITEMS"),
        ("items in no order", with(|terms| terms.items = vec!["b".into(), "a".into()]), "DUPLICATE_ITEM"),
        ("no use", with(|terms| terms.max_uses = 0), "FIELD_RANGE"),
        ("an unknown part rejection", reject(99), "ENUM_UNKNOWN"),
        ("a part rejection that is not said", reject(0), "FIELD_REQUIRED"),
        ("an unknown key role", key(33, 99), "ENUM_UNKNOWN"),
        ("a key of 32 bytes", key(32, 1), "FIELD_LENGTH"),
    ]
}
