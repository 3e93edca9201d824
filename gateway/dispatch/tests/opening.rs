//! Opening a delivery: the receipt that it takes, and every way in which one can be wrong.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use xinqiao_contracts::testing::{self, Consortium, order, secret, terms};
use xinqiao_crypto::{Digest, Seal, Sm2Sm4Gcm, merkle, sm3};
use xinqiao_dispatch::{
    envelope::{SealedItem, SealedReport, aad},
    opening::{NotRecorded, Recorded, open, recorded},
    query::{Decision, NotTheOrder, Placed},
};
use xinqiao_ledger::{
    block::{Certificate, Header, outcome_root, tx_root},
    ids::{HeaderHash, OrderId, TxId},
    item::{DigestedReport, SaltKey},
    order::{OrderPart, PartRef, Verdict},
    receipt::{self, Path, Proven},
    validators::Epochs,
    wire::{self, tx_body::Action},
};

/// Executes one transaction in a block of its own and gives its checked receipt: certified by the
/// testing validator, with paths as a node makes them.
fn proven(consortium: &mut Consortium, by: &str, action: Action) -> Proven {
    let tx = consortium.sign(by, action);
    let executed = consortium.block(vec![tx.clone()]);
    let validators = consortium.genesis.validator_set().unwrap();
    let header = Header {
        chain: consortium.chain,
        height: consortium.height,
        parent: HeaderHash(sm3(b"parent")),
        time: consortium.time,
        tx_count: 1,
        tx_root: tx_root(std::slice::from_ref(&tx)),
        outcome_root: outcome_root(&executed.encoded),
        state_commitment: consortium.commitment,
        history_root: sm3(b"history"),
        validator_set: validators.hash(),
        next_validators: validators.hash(),
        checkpoint: None,
        proposer: secret("validator").public().id(),
    };
    let signature = Certificate::sign(
        &header,
        &secret("validator"),
        &consortium.genesis.distinguishing_id,
        &mut rand::rng(),
    );
    let certificate = Certificate {
        height: header.height,
        round: 0,
        header: header.hash(),
        signatures: vec![signature],
    };
    let leaves = |encoded: &[Vec<u8>]| -> Vec<Digest> {
        encoded
            .iter()
            .map(|bytes| merkle::leaf_hash(bytes))
            .collect()
    };
    let receipt = wire::Receipt {
        header: header.encode(),
        certificate: Some((&certificate).into()),
        transaction: tx.encoded().to_vec(),
        transaction_path: Some((&Path::of(&leaves(&[tx.encoded().to_vec()]), 0).unwrap()).into()),
        outcome: executed.encoded[1].clone(),
        outcome_path: Some((&Path::of(&leaves(&executed.encoded), 1).unwrap()).into()),
    };
    receipt::check(&receipt, &Epochs::begin(validators), &consortium.chain).unwrap()
}

const ITEMS: [(&str, &[u8]); 3] = [
    ("customs", br#"{"c":1}"#),
    ("invoices", br#"{"i":1}"#),
    ("tax", br#"{"t":1}"#),
];

/// A consortium whose source `sh-tax` has registered [`ITEMS`] of subject 1, and an order for two of
/// them.
struct Scene {
    consortium: Consortium,
    digested: DigestedReport,
    placed: Placed,
    order_tx: Proven,
}

fn scene() -> Scene {
    let mut consortium = Consortium::at_work();
    let subject = testing::subject(1);
    let items: BTreeMap<_, _> = ITEMS
        .iter()
        .map(|(code, bytes)| (code.parse().unwrap(), *bytes))
        .collect();
    let salts = SaltKey::from([5; 32]);
    let digested =
        DigestedReport::new(&salts, &subject, items.iter().map(|(c, b)| (c, *b))).unwrap();
    let codes = digested.codes().iter().map(ToString::to_string).collect();
    for (by, action) in [
        (
            "sh-bureau/admin",
            testing::register_source("sh-all", "sh-bureau", &["customs", "invoices", "tax"]),
        ),
        ("sh-bureau/admin", testing::activate_source("sh-all")),
        (
            "sh-bureau/holder",
            Action::RegisterDigests(wire::RegisterDigests {
                source: "sh-all".into(),
                items: codes,
                entries: vec![wire::DigestEntry {
                    subject: subject.to_vec(),
                    root: digested.root().as_bytes().to_vec(),
                    item_set: 0b111,
                    as_of_day: 20_000,
                }],
            }),
        ),
    ] {
        proven(&mut consortium, by, action);
    }
    let mut only_here = terms();
    only_here.sources = vec!["sh-all".into()];
    let grant = proven(&mut consortium, "subject-1", testing::grant(only_here)).id();
    let mut wanted = order(&grant);
    wanted.items = vec!["invoices".into(), "tax".into()];
    let order_tx = proven(&mut consortium, "js-bank/agent", Action::PlaceOrder(wanted));
    let decision = Decision::read(&order_tx, order_tx.id()).unwrap();
    let Decision::Placed(placed) = decision else {
        panic!("{decision:?}");
    };
    Scene {
        consortium,
        digested,
        placed,
        order_tx,
    }
}

impl Scene {
    fn part(&self) -> PartRef {
        PartRef {
            order: self.placed.order,
            part: 0,
        }
    }

    fn fixed(&self) -> &OrderPart {
        &self.placed.parts[0]
    }

    fn item(&self, code: &str) -> SealedItem {
        let parsed = code.parse().unwrap();
        let (salt, path) = self.digested.proof(&parsed).unwrap();
        let content = ITEMS.iter().find(|(name, _)| *name == code).unwrap().1;
        SealedItem {
            code: parsed,
            canonical: content.to_vec(),
            salt,
            path,
        }
    }

    fn report(&self) -> SealedReport {
        SealedReport {
            part: self.part(),
            items: vec![self.item("invoices"), self.item("tax")],
        }
    }

    fn seal(&self, report: &SealedReport, context: PartRef) -> Vec<u8> {
        let recipient = *secret("js-bank/encryption").public();
        let aad = aad(&self.consortium.chain, &context);
        Sm2Sm4Gcm
            .seal(&recipient, &aad, &report.encode(), &mut rand::rng())
            .unwrap()
    }

    /// Files the subject's objection to that item.
    fn object_to(&mut self, item: &str) -> TxId {
        let action = Action::FileObjection(wire::FileObjection {
            subject: testing::subject(1).to_vec(),
            source: "sh-all".into(),
            items: vec![item.into()],
            statement_digest: sm3(b"statement").as_bytes().to_vec(),
        });
        proven(&mut self.consortium, "subject-1", action).id()
    }

    /// Records that envelope as delivered, with the order's own items.
    fn deliver(&mut self, sealed: &[u8]) -> Proven {
        let delivery = wire::DeliverPart {
            order: self.placed.order.to_vec(),
            part: 0,
            ciphertext_digest: sm3(sealed).as_bytes().to_vec(),
            ciphertext_length: sealed.len() as u64,
            report_root: self.fixed().registered_root.as_bytes().to_vec(),
            items: self.fixed().items.iter().map(ToString::to_string).collect(),
            seal_scheme: wire::SealScheme::Sm2Sm4Gcm.into(),
            group_epoch: None,
        };
        let action = Action::DeliverPart(delivery);
        proven(&mut self.consortium, "sh-bureau/holder", action)
    }

    fn open(&self, recorded: &Recorded, sealed: &[u8]) -> Result<Vec<(String, String)>, Verdict> {
        let key = secret("js-bank/encryption");
        open(&key, &self.consortium.chain, self.fixed(), recorded, sealed)
            .map(|items| {
                let shown = |item: &xinqiao_dispatch::opening::VerifiedItem| {
                    (item.code().to_string(), item.json().to_owned())
                };
                items.iter().map(shown).collect()
            })
            .map_err(|broken| broken.verdict)
    }
}

#[test]
fn an_order_is_read_from_its_own_receipt_and_no_other() {
    let scene = scene();
    assert_eq!(scene.placed.parts.len(), 1);
    assert_eq!(scene.placed.order, OrderId::from(scene.order_tx.id()));
    let other = TxId(sm3(b"another"));
    assert_eq!(
        Decision::read(&scene.order_tx, other),
        Err(NotTheOrder::OtherTransaction)
    );
}

#[test]
fn a_refused_order_is_read_with_its_reason() {
    let mut consortium = Consortium::at_work();
    let never = TxId(sm3(b"never granted"));
    let refused = proven(
        &mut consortium,
        "js-bank/agent",
        Action::PlaceOrder(order(&never)),
    );
    let decision = Decision::read(&refused, refused.id()).unwrap();
    let Decision::Refused { reason, .. } = decision else {
        panic!("{decision:?}");
    };
    assert_eq!(reason, "CONSENT_NOT_FOUND");
}

#[test]
fn a_delivery_opens_to_the_items_that_were_asked_and_nothing_else() {
    let mut scene = scene();
    let sealed = scene.seal(&scene.report(), scene.part());
    let receipt = scene.deliver(&sealed);
    let recorded = recorded(&receipt, scene.part()).unwrap();
    let expected = [("invoices", r#"{"i":1}"#), ("tax", r#"{"t":1}"#)];
    let expected = expected.map(|(code, json)| (code.to_owned(), json.to_owned()));
    assert_eq!(scene.open(&recorded, &sealed), Ok(expected.to_vec()));
}

#[test]
fn an_item_that_was_objected_to_comes_with_the_mark_that_the_ledger_recorded() {
    let mut scene = scene();
    let objection = scene.object_to("tax");
    let sealed = scene.seal(&scene.report(), scene.part());
    let receipt = scene.deliver(&sealed);
    let filed_later = scene.object_to("invoices");
    assert_ne!(objection, filed_later);
    let recorded = recorded(&receipt, scene.part()).unwrap();
    let key = secret("js-bank/encryption");
    let chain = scene.consortium.chain;
    let items = open(&key, &chain, scene.fixed(), &recorded, &sealed).unwrap();
    let marks: Vec<(&str, Vec<&[u8]>)> = (items.iter())
        .map(|item| {
            let ids = item.objections().iter().map(|mark| &*mark.objection);
            (item.code().as_str(), ids.collect())
        })
        .collect();
    assert_eq!(
        marks,
        [("invoices", vec![]), ("tax", vec![&objection.to_vec()[..]])]
    );
}

#[test]
fn a_receipt_of_anything_else_opens_nothing() {
    let mut scene = scene();
    let sealed = scene.seal(&scene.report(), scene.part());
    let part = scene.part();
    assert_eq!(
        recorded(&scene.order_tx, part),
        Err(NotRecorded::OtherTransaction)
    );
    let receipt = scene.deliver(&sealed);
    let other = PartRef { part: 1, ..part };
    assert_eq!(
        recorded(&receipt, other),
        Err(NotRecorded::OtherTransaction)
    );
    // The same part once more: ordered, but refused by the ledger.
    let again = scene.deliver(&sealed);
    assert_eq!(recorded(&again, part), Err(NotRecorded::NotDelivered));
}

#[test]
fn a_delivery_after_the_consent_was_revoked_is_none() {
    let mut scene = scene();
    let grant = match scene.order_tx.tx().action() {
        xinqiao_ledger::action::Action::PlaceOrder(order) => order.grant,
        other => panic!("{other:?}"),
    };
    let revoke = Action::RevokeConsent(wire::RevokeConsent {
        grant: grant.to_vec(),
    });
    proven(&mut scene.consortium, "subject-1", revoke);
    let sealed = scene.seal(&scene.report(), scene.part());
    let receipt = scene.deliver(&sealed);
    assert_eq!(
        recorded(&receipt, scene.part()),
        Err(NotRecorded::NotDelivered)
    );
}

#[test]
fn every_way_in_which_a_delivery_is_wrong_has_its_verdict() {
    fn check(what: &str, verdict: Verdict, make: impl FnOnce(&Scene) -> (Vec<u8>, Vec<u8>)) {
        let mut scene = scene();
        let (recorded_envelope, sent) = make(&scene);
        let receipt = scene.deliver(&recorded_envelope);
        let recorded = recorded(&receipt, scene.part()).unwrap();
        assert_eq!(scene.open(&recorded, &sent), Err(verdict), "{what}");
    }
    let same = |sealed: Vec<u8>| (sealed.clone(), sealed);
    let with = |scene: &Scene, change: &dyn Fn(&mut SealedReport)| {
        let mut report = scene.report();
        change(&mut report);
        scene.seal(&report, scene.part())
    };
    use Verdict as V;
    check(
        "another envelope of the same report",
        V::CiphertextMismatch,
        |scene| {
            let seal = || scene.seal(&scene.report(), scene.part());
            (seal(), seal())
        },
    );
    check("a flipped bit", V::CiphertextMismatch, |scene| {
        let sealed = scene.seal(&scene.report(), scene.part());
        let mut sent = sealed.clone();
        sent[200] ^= 1;
        (sealed, sent)
    });
    check("cut short", V::CiphertextMismatch, |scene| {
        let sealed = scene.seal(&scene.report(), scene.part());
        let sent = sealed[..sealed.len() - 1].to_vec();
        (sealed, sent)
    });
    check("no envelope", V::SealBroken, |_| {
        same(b"not an envelope".to_vec())
    });
    check("sealed for another part", V::SealBroken, |scene| {
        let other = PartRef {
            part: 1,
            ..scene.part()
        };
        same(scene.seal(&scene.report(), other))
    });
    check("sealed to another key", V::SealBroken, |scene| {
        let stranger = *secret("zj-bank/encryption").public();
        let aad = aad(&scene.consortium.chain, &scene.part());
        let report = scene.report().encode();
        same(
            Sm2Sm4Gcm
                .seal(&stranger, &aad, &report, &mut rand::rng())
                .unwrap(),
        )
    });
    check("no report inside", V::SealBroken, |scene| {
        let recipient = *secret("js-bank/encryption").public();
        let aad = aad(&scene.consortium.chain, &scene.part());
        same(
            Sm2Sm4Gcm
                .seal(&recipient, &aad, b"\xff", &mut rand::rng())
                .unwrap(),
        )
    });
    check(
        "a report that answers another part",
        V::SealBroken,
        |scene| same(with(scene, &|report| report.part.part = 1)),
    );
    check("an item too few", V::ItemMismatch, |scene| {
        same(with(scene, &|report| drop(report.items.pop())))
    });
    check("an item that was not asked for", V::ItemMismatch, |scene| {
        let more = scene.item("customs");
        same(with(scene, &|report| report.items.insert(0, more.clone())))
    });
    check("other content", V::ItemMismatch, |scene| {
        same(with(scene, &|report| report.items[0].canonical[2] ^= 1))
    });
    check("another salt", V::ItemMismatch, |scene| {
        same(with(scene, &|report| report.items[0].salt = sm3(b"x")))
    });
    check("another's path", V::ItemMismatch, |scene| {
        same(with(scene, &|report| {
            report.items[0].path = report.items[1].path.clone();
        }))
    });
    check(
        "a code of another item over its content",
        V::ItemMismatch,
        |scene| {
            same(with(scene, &|report| {
                let (left, right) = report.items.split_at_mut(1);
                std::mem::swap(&mut left[0].canonical, &mut right[0].canonical);
            }))
        },
    );
}
