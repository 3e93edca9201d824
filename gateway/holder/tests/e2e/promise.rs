//! Promise 2, "record before release": no byte of a report leaves before the transaction that records
//! the delivery is final on the holder's own replica, whatever the gateway says and does.

use std::time::Duration;

use xinqiao_contracts::testing::secret;
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    block::{Block, Certificate, tx_root},
    ids::OrderId,
    order::PartRef,
    wire::{self, tx_body::Action},
};

use crate::{
    liar::{Liar, id_of, parse},
    world::{A_WHILE, ASKED, NOT_ASKED, PATIENCE, Running, World, until},
};

/// A world whose holder hears of the chain from the liar alone, with its digests registered.
pub(crate) async fn lied_to() -> (World, Liar, Running) {
    let world = World::new(3).await;
    let liar = Liar::start(&world).await;
    let holder = world.holder(liar.upstream()).await;
    world.sync(&holder).await;
    (world, liar, holder)
}

/// Nothing that the holder sent is of a report: neither in the clear nor sealed.
fn assert_nothing_left(world: &World, liar: &Liar) {
    let traffic = liar.traffic();
    let has = |bytes: &[u8]| traffic.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"sh-tax"), "the traffic that is searched is real");
    for marker in [ASKED, NOT_ASKED] {
        assert!(!has(marker.as_bytes()), "{marker}");
    }
    for file in std::fs::read_dir(world.path("spool")).unwrap() {
        let spooled = std::fs::read(file.unwrap().path()).unwrap();
        // Past the header, any run of the envelope.
        for run in spooled[37..].chunks_exact(24) {
            assert!(!has(run), "a piece of the envelope");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_not_on_the_ledger_is_not_served() {
    let (mut world, liar, holder) = lied_to().await;
    let grant = world.consent(1).await;
    let real = world.order(1, &grant).await;
    assert_eq!(world.relay(&holder, &real, 20_000).await.fault, None);
    let made_up = PartRef {
        order: OrderId(sm3(b"made up")),
        part: 0,
    };
    let beyond = PartRef { part: 1, ..real };
    // An order that the institution signed and nobody committed.
    let order = world.order_of(1, &grant);
    let signed = world.sign("js-bank/agent", Action::PlaceOrder(order));
    let uncommitted = PartRef {
        order: id_of(&signed).into(),
        part: 0,
    };
    for part in [made_up, beyond, uncommitted] {
        let answer = world.relay(&holder, &part, A_WHILE).await;
        assert_eq!(answer.refused(), "DELIVERY_NOT_FOUND");
    }
    assert_nothing_left(&world, &liar);
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_final_elsewhere_but_not_here_releases_nothing() {
    let (mut world, liar, holder) = lied_to().await;
    let grant = world.consent(1).await;
    let part = world.order(1, &grant).await;
    // Blocks stop right after the order, submissions pass: the record becomes final on the chain.
    liar.lie(|lies| lies.hold_above = world.honest().tip().height);
    until("the delivery is handed in", || {
        !liar.deliveries().is_empty()
    })
    .await;
    let recorded = id_of(&liar.deliveries()[0]);
    let honest = world.honest();
    honest.wait_final(&recorded, PATIENCE).await.unwrap();

    let before = world.relay(&holder, &part, A_WHILE).await;
    assert_eq!(before.refused(), "DELIVERY_NOT_FINAL");
    assert_nothing_left(&world, &liar);

    // It was that record alone that was missing.
    liar.lie(|lies| lies.hold_above = u64::MAX);
    let after = world.relay(&holder, &part, 20_000).await;
    assert_eq!(after.fault, None);
    world.open(&part, &after.bytes);
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_submission_is_no_record() {
    let (mut world, liar, holder) = lied_to().await;
    let grant = world.consent(1).await;
    liar.lie(|lies| lies.swallow = true);
    let part = world.order(1, &grant).await;
    // It is handed in again and again, and each time "committed", with a receipt.
    until("the delivery is handed in thrice", || {
        liar.deliveries().len() >= 3
    })
    .await;
    let answer = world.relay(&holder, &part, A_WHILE).await;
    assert_eq!(answer.refused(), "DELIVERY_NOT_FINAL");
    assert_nothing_left(&world, &liar);
    let handed_in = liar.deliveries();
    assert!(handed_in.iter().all(|tx| id_of(tx) == id_of(&handed_in[0])));

    // Not even a restart mistakes it for recorded.
    holder.stop().await;
    let holder = world.holder(liar.upstream()).await;
    let answer = world.relay(&holder, &part, A_WHILE).await;
    assert_eq!(answer.refused(), "DELIVERY_NOT_FINAL");

    // Once the gateway passes on what it is given, the report sealed before the restart is served.
    liar.lie(|lies| lies.swallow = false);
    let answer = world.relay(&holder, &part, 20_000).await;
    assert_eq!(answer.fault, None);
    world.open(&part, &answer.bytes);
    let xinqiao_ledger::action::Action::DeliverPart(delivery) =
        parse(&handed_in[0]).action().clone()
    else {
        panic!("a delivery")
    };
    assert_eq!(delivery.ciphertext_digest, sm3(&answer.bytes));
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_block_is_no_record() {
    let (mut world, liar, holder) = lied_to().await;
    let grant = world.consent(1).await;
    let part = world.order(1, &grant).await;
    liar.lie(|lies| {
        lies.hold_above = world.honest().tip().height;
        lies.swallow = true;
    });
    until("the delivery is handed in", || {
        !liar.deliveries().is_empty()
    })
    .await;
    let delivery = parse(&liar.deliveries()[0]);
    let height = world.honest().tip().height;
    holder.sees(&xinqiao_ledger::ids::TxId(part.order.0)).await;

    // The holder's own signed delivery, in a block that continues the chain, certified by somebody.
    let before = world.honest().reader().wire_block(height).unwrap().unwrap();
    let parent = Block::try_from(&before).unwrap();
    for (case, key) in [
        ("another key", "sh-bureau/admin"),
        ("a gateway", "js-bureau/gateway"),
    ] {
        let mut header = parent.header.clone();
        header.height += 1;
        header.parent = parent.header.hash();
        header.time += 1;
        header.tx_count = 1;
        header.tx_root = tx_root(std::slice::from_ref(&delivery));
        let signed =
            Certificate::sign(&header, &secret(key), &Default::default(), &mut rand::rng());
        let mut forged = Block {
            certificate: Certificate {
                height: header.height,
                round: 0,
                header: header.hash(),
                signatures: vec![signed],
            },
            header,
            txs: vec![delivery.clone()],
        };
        refuses(&world, &liar, &holder, &part, &forged, case).await;
        // The real validator's name over a signature that is not its own.
        forged.certificate.signatures[0].0 = *parent
            .certificate
            .signatures
            .first()
            .map(|(id, _)| id)
            .unwrap();
        refuses(&world, &liar, &holder, &part, &forged, case).await;
        // The real certificate of the block before.
        forged.certificate = parent.certificate.clone();
        refuses(&world, &liar, &holder, &part, &forged, case).await;
    }
    holder.stop().await;
}

async fn refuses(
    world: &World,
    liar: &Liar,
    holder: &Running,
    part: &PartRef,
    forged: &Block,
    case: &str,
) {
    let height = holder.handle.replica().tip().height;
    liar.lie(|lies| lies.forged = Some(wire::Block::from(forged)));
    let answer = world.relay(holder, part, A_WHILE).await;
    assert_eq!(answer.refused(), "DELIVERY_NOT_FINAL", "{case}");
    assert_nothing_left(world, liar);
    assert_eq!(holder.handle.replica().tip().height, height, "{case}");
    liar.lie(|lies| lies.forged = None);
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_revoked_before_the_record_releases_nothing() {
    let (mut world, liar, holder) = lied_to().await;
    let grant = world.consent(1).await;
    liar.lie(|lies| lies.swallow = true);
    let part = world.order(1, &grant).await;
    until("the delivery is handed in", || {
        !liar.deliveries().is_empty()
    })
    .await;
    let revoke = Action::RevokeConsent(wire::RevokeConsent {
        grant: grant.to_vec(),
    });
    world.commit("js-bureau/admin", revoke).await;
    // Only now does the record get through, and comes to nothing.
    liar.lie(|lies| lies.swallow = false);
    let recorded = id_of(&liar.deliveries()[0]);
    holder.sees(&recorded).await;
    let answer = world.relay(&holder, &part, 20_000).await;
    assert_eq!(answer.refused(), "DELIVERY_NOT_FOUND");
    let facts = answer.fault.unwrap().metadata;
    assert_eq!(facts["part_status"], "PART_STATUS_CONSENT_REVOKED");
    assert_eq!(facts["part_reason"], "CONSENT_REVOKED");
    until("the sealed report is deleted", || {
        std::fs::read_dir(world.path("spool")).unwrap().count() == 0
    })
    .await;
    holder.stop().await;
}
