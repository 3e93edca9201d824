//! Transactions at nodes that were signed by the wrong one, over other bytes, for another chain, too early or too
//! late, twice, or in another encoding than the one there is.

use prost::Message;
use xinqiao_crypto::SecretKey;
use xinqiao_it::{
    Consortium, Kind,
    people::{BANK, BUREAUS, HOME},
    transactions::{grant, sign, sign_body, status, submit},
};
use xinqiao_ledger::{
    ids::ChainId,
    wire::{self, tx_body::Action},
};
use xinqiao_rpc::{Role, RpcChannel};

use crate::{Complaints, State, check, said};

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

/// What transactions are made with.
pub(crate) struct Making {
    pub(crate) chain: ChainId,
    /// An expiry that is in order.
    pub(crate) soon: u64,
    /// An expiry that is too far ahead.
    pub(crate) far: u64,
    /// A key that may sign what is made.
    pub(crate) signer: SecretKey,
}

impl Making {
    pub(crate) async fn of(node: &RpcChannel, signer: SecretKey) -> Self {
        let tip = status(node).await;
        Self {
            chain: ChainId::parse("chain_id", &tip.chain_id).unwrap(),
            soon: tip.height + tip.max_expiry_window / 2,
            far: tip.height + 10 * tip.max_expiry_window,
            signer,
        }
    }

    pub(crate) fn sign(&self, action: Action) -> wire::Transaction {
        self.sign_with(&self.signer, action)
    }

    pub(crate) fn sign_with(&self, key: &SecretKey, action: Action) -> wire::Transaction {
        sign(action, &self.chain, self.soon, key)
    }
}

/// A transaction, what is wrong with it, and what it is to be refused for.
pub(crate) type Row = (&'static str, wire::Transaction, &'static str);

/// Everything that can be wrong with the signature around an action that is in order, its chain, its expiry
/// and its encoding.
#[rustfmt::skip]
pub(crate) fn bad_transactions(making: &Making, good: &dyn Fn() -> Action) -> Vec<Row> {
    let Making { chain, soon, far, signer } = making;
    let other_chain = ChainId::parse("chain_id", &[9; 32]).unwrap();
    let stranger = SecretKey::generate(&mut rand::rng());
    let with = |change: &dyn Fn(&mut wire::Transaction)| {
        let mut transaction = making.sign(good());
        change(&mut transaction);
        transaction
    };
    let other_body = making.sign(good()).body;
    let mut borrowed = sign(good(), chain, *soon, &stranger);
    borrowed.signer = signer.public().id().as_bytes().to_vec();
    let mut rows = vec![
        ("an unknown signer", sign(good(), chain, *soon, &stranger), "SIGNER_UNKNOWN"),
        ("a flipped bit in the signature", with(&|tx| tx.signature[40] ^= 1), "SIGNATURE_INVALID"),
        ("a signature over other bytes", with(&|tx| tx.body.clone_from(&other_body)), "SIGNATURE_INVALID"),
        ("a stranger's signature under a member's name", borrowed, "SIGNATURE_INVALID"),
        ("a signature of zeros", with(&|tx| tx.signature = vec![0; 64]), "FIELD_FORMAT"),
        ("a signature of 63 bytes", with(&|tx| tx.signature.truncate(63)), "FIELD_LENGTH"),
        ("a signature of 65 bytes", with(&|tx| tx.signature.push(0)), "FIELD_LENGTH"),
        ("no signature", with(&|tx| tx.signature.clear()), "FIELD_REQUIRED"),
        ("no signer", with(&|tx| tx.signer.clear()), "FIELD_REQUIRED"),
        ("a signer of 31 bytes", with(&|tx| tx.signer.truncate(31)), "FIELD_LENGTH"),
        ("no body", with(&|tx| tx.body.clear()), "FIELD_REQUIRED"),
        ("half a body", with(&|tx| tx.body.truncate(tx.body.len() / 2)), "MESSAGE_MALFORMED"),
        ("another chain", sign(good(), &other_chain, *soon, signer), "CHAIN_ID_MISMATCH"),
        ("another chain and no member", sign(good(), &other_chain, *soon, &stranger), "CHAIN_ID_MISMATCH"),
        ("an expiry that has passed", sign(good(), chain, 1, signer), "TX_EXPIRED"),
        ("an expiry too far ahead", sign(good(), chain, *far, signer), "TX_EXPIRY_TOO_FAR"),
        ("an expiry at the end of time", sign(good(), chain, u64::MAX, signer), "TX_EXPIRY_TOO_FAR"),
        ("a body that is none", sign_body(vec![0xff; 40], chain, signer), "MESSAGE_MALFORMED"),
        ("no action", sign_body(without_action(chain, *soon), chain, signer), "FIELD_REQUIRED"),
        ("a body of 1 MiB", sign_body(vec![1; 1 << 20], chain, signer), "FIELD_TOO_LONG"),
    ];
    for (what, body) in not_canonical(&other_body) {
        rows.push((what, sign_body(body, chain, signer), "NOT_CANONICAL"));
    }
    rows
}

/// Terms whose first text, the name of the institution, is no UTF-8.
pub(crate) fn not_utf8(making: &Making, action: Action) -> Row {
    let mut body = making.sign(action).body;
    let name = BANK.as_bytes();
    let at = body
        .windows(name.len())
        .position(|window| window == name)
        .expect("the action names the bank");
    body[at] = 0xff;
    let transaction = sign_body(body, &making.chain, &making.signer);
    ("a name that is not UTF-8", transaction, "UTF8")
}

/// Submits each of them to two validators.
pub(crate) async fn check_all(consortium: &Consortium, complaints: &mut Complaints) {
    let people = consortium.people();
    let node = people.connect((BUREAUS[0], Role::Operator), (BUREAUS[0], Kind::Node));
    let making = Making::of(&node, people.key(HOME, "admin")).await;
    let subject = people.subject(&consortium.running().enterprises[2]);
    let good = || {
        let purpose = consortium.running().purpose.as_str();
        grant(subject.clone(), BANK, &[purpose], &["tax_payment"])
    };

    // One that is taken: the same bytes again are no mistake, and change nothing.
    let taken = making.sign(good());
    let first = submit(&node, taken.clone(), 20_000).await.unwrap();
    assert!(
        first.receipt.is_some(),
        "a good transaction was not committed"
    );
    let mut rows = bad_transactions(&making, &good);
    rows.push(not_utf8(&making, good()));
    for (what, action, expected) in malformed(good()) {
        rows.push((what, making.sign(action), expected));
    }

    let mut state = State::of(&people).await;
    let another = people.connect((BUREAUS[2], Role::Operator), (BUREAUS[2], Kind::Node));
    for (way, channel) in [("at a validator", &node), ("at another", &another)] {
        let again = submit(channel, taken.clone(), 3_000).await.unwrap();
        assert_eq!(
            again.receipt.map(|it| it.header),
            first.receipt.clone().map(|it| it.header),
            "{way}"
        );
        let unawaited = submit(channel, taken.clone(), 0).await.unwrap_err();
        check(
            complaints,
            &format!("the same bytes again, unawaited, {way}"),
            "TX_REPLAYED",
            &said(&unawaited),
        );
        for (what, transaction, expected) in &rows {
            let got = match submit(channel, transaction.clone(), 3_000).await {
                Ok(_) => "it was taken".to_owned(),
                Err(status) => said(&status),
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

/// An action, what is wrong with it, and what it is to be refused for.
pub(crate) type BadAction = (&'static str, Action, &'static str);

/// Terms of consent whose fields are not what the contract says, within the action that has them.
#[rustfmt::skip]
pub(crate) fn malformed_terms(good: &wire::ConsentTerms, within: fn(wire::ConsentTerms) -> Action) -> Vec<BadAction> {
    let with = |change: fn(&mut wire::ConsentTerms)| {
        let mut terms = good.clone();
        change(&mut terms);
        within(terms)
    };
    vec![
        ("a subject of 31 bytes", with(|terms| terms.subject.truncate(31)), "FIELD_LENGTH"),
        ("a plain code for a subject", with(|terms| terms.subject = b"91320594MA1MC4RX7R".to_vec()), "FIELD_LENGTH"),
        ("a long grantee", with(|terms| terms.grantee = "b".repeat(33)), "FIELD_TOO_LONG"),
        ("a malformed grantee", with(|terms| terms.grantee = "My Bank".into()), "FIELD_FORMAT"),
        ("a long branch", with(|terms| terms.branch = "b".repeat(65)), "FIELD_TOO_LONG"),
        ("17 purposes", with(|terms| terms.purposes = (0..17).map(|i| format!("p{i:02}")).collect()), "TOO_MANY_ITEMS"),
        ("65 items", with(|terms| terms.items = (0..65).map(|i| format!("i{i:02}")).collect()), "TOO_MANY_ITEMS"),
        ("items in no order", with(|terms| terms.items = vec!["b".into(), "a".into()]), "DUPLICATE_ITEM"),
        ("no use", with(|terms| terms.max_uses = 0), "FIELD_RANGE"),
        ("a validity that ends before it begins", with(|terms| terms.valid_until_ms = terms.valid_from_ms), "FIELD_RANGE"),
        ("a document's digest of 33 bytes", with(|terms| terms.document_digest.push(0)), "FIELD_LENGTH"),
    ]
}

/// Actions whose fields are not what the contract says.
#[rustfmt::skip]
fn malformed(good: Action) -> Vec<BadAction> {
    let Action::GrantConsent(granted) = good else {
        panic!("the good action is a grant");
    };
    let terms = granted.terms.unwrap();
    let key = |bytes: usize, role: i32| {
        let key = wire::MemberKey { public_key: vec![2; bytes], role };
        Action::AddKey(wire::AddKey { key: Some(key) })
    };
    let reject = |reason: i32| {
        Action::RejectPart(wire::RejectPart { order: vec![1; 32], part: 0, reason })
    };
    let admit = |change: fn(&mut wire::Member)| {
        let public = SecretKey::generate(&mut rand::rng()).public().to_sec1().to_vec();
        let mut member = wire::Member {
            org: "new-bureau".into(),
            kind: wire::MemberKind::Bureau.into(),
            name: "A new bureau".into(),
            region: "34".into(),
            keys: vec![wire::MemberKey { public_key: public, role: wire::KeyRole::Admin.into() }],
            ..Default::default()
        };
        change(&mut member);
        Action::AdmitMember(wire::AdmitMember { member: Some(member) })
    };
    let deliver = |change: fn(&mut wire::DeliverPart)| {
        let mut part = wire::DeliverPart {
            order: vec![1; 32],
            part: 0,
            ciphertext_digest: vec![2; 32],
            ciphertext_length: 1_000,
            report_root: vec![3; 32],
            items: vec!["tax_payment".into()],
            seal_scheme: wire::SealScheme::Sm2Sm4Gcm.into(),
            group_epoch: None,
        };
        change(&mut part);
        Action::DeliverPart(part)
    };
    let mut bad = vec![
        ("no terms", Action::GrantConsent(wire::GrantConsent::default()), "FIELD_REQUIRED"),
        ("an unknown part rejection", reject(99), "ENUM_UNKNOWN"),
        ("a part rejection that is not said", reject(0), "FIELD_REQUIRED"),
        ("an unknown key role", key(33, 99), "ENUM_UNKNOWN"),
        ("a key of 32 bytes", key(32, 1), "FIELD_LENGTH"),
        ("an unknown kind of member", admit(|member| member.kind = 99), "ENUM_UNKNOWN"),
        ("a member's name of a kilobyte", admit(|member| member.name = "n".repeat(1_024)), "FIELD_TOO_LONG"),
        ("a delivery of a group in no epoch", deliver(|part| part.seal_scheme = 2), "FIELD_REQUIRED"),
        ("a delivery in an envelope with an epoch", deliver(|part| part.group_epoch = Some(wire::GroupEpoch::default())), "FIELD_FORMAT"),
        ("a delivery under an unknown seal", deliver(|part| part.seal_scheme = 99), "ENUM_UNKNOWN"),
        ("a delivery's digest of 31 bytes", deliver(|part| part.ciphertext_digest.truncate(31)), "FIELD_LENGTH"),
    ];
    bad.extend(malformed_terms(&terms, |terms| {
        Action::GrantConsent(wire::GrantConsent { request: Vec::new(), terms: Some(terms) })
    }));
    bad
}
