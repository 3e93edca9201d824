//! Bad input gets its own clear error and changes nothing.

use xinqiao_contracts::{
    query,
    testing::{open_user, user},
};
use xinqiao_crypto::Digest;
use xinqiao_ledger::{genesis::Parameters, ids::ChainId, wire};
use xinqiao_node::MempoolLimits;
use xinqiao_rpc::Role;

use crate::{
    consortium::{Consortium, PATIENCE, Running, as_wire},
    services::submit,
};

#[tokio::test(flavor = "multi_thread")]
async fn bad_transactions_are_refused_by_name_and_change_nothing() {
    let mut consortium = Consortium::with(Parameters {
        max_expiry_window: 5,
        ..Parameters::default()
    });
    let validator = consortium.validator().await;
    let follower = consortium.follower(&[&validator]).await;
    let (_, first) = consortium.any(1);
    let (_, second) = consortium.any(2);
    let signature = first.signature.clone();
    for tx in [first, second] {
        follower.commit(tx).await;
    }
    let before = validator.replica().tip();

    let people = &mut consortium.people;
    let other_chain = ChainId(Digest::from([7; 32]));
    let wrong_chain = people.sign_for(&other_chain, "js-bank/admin", open_user(3), 5);
    let stranger = people.sign_until("nobody/admin", open_user(3), 5);
    let expired = people.sign_until("js-bank/admin", open_user(3), 2);
    let too_far = people.sign_until("js-bank/admin", open_user(3), 8);
    let last_moment = people.sign_until("js-bank/admin", open_user(3), 3);
    let mut other_bytes = as_wire(&people.sign_until("js-bank/admin", open_user(3), 5));
    other_bytes.signature = signature;
    let mut long_signature = as_wire(&last_moment);
    long_signature.signature.push(0);
    let mut padded_body = as_wire(&last_moment);
    // Field 9, which nobody knows.
    padded_body.body.extend([0x48, 0x01]);
    let mut no_signer = as_wire(&last_moment);
    no_signer.signer.clear();
    let mut huge = as_wire(&last_moment);
    huge.body = vec![0; 1_048_001];

    let cases: [(wire::Transaction, &str); 9] = [
        (as_wire(&wrong_chain), "CHAIN_ID_MISMATCH"),
        (as_wire(&stranger), "SIGNER_UNKNOWN"),
        (as_wire(&expired), "TX_EXPIRED"),
        (as_wire(&too_far), "TX_EXPIRY_TOO_FAR"),
        (other_bytes, "SIGNATURE_INVALID"),
        (long_signature, "FIELD_LENGTH"),
        (padded_body, "NOT_CANONICAL"),
        (no_signer, "FIELD_REQUIRED"),
        (huge, "FIELD_TOO_LONG"),
    ];
    for node in [&validator, &follower] {
        for (tx, code) in &cases {
            let channel = consortium.channel(node, "js-bureau", Role::Gateway);
            let fault = submit(channel, tx.clone()).await.unwrap_err();
            assert_eq!(fault.reason_code.as_deref(), Some(*code));
            assert!(!fault.message.is_empty());
        }
    }
    assert_eq!(validator.replica().tip(), before);
    assert_eq!(follower.replica().tip(), before);
    // The same bytes, in their last possible block, are taken.
    follower.commit(as_wire(&last_moment)).await;
    follower.stop().await;
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_again_get_the_same_receipt_for_as_long_as_there_is_a_ledger() {
    let mut consortium = Consortium::with(Parameters {
        max_expiry_window: 5,
        ..Parameters::default()
    });
    let validator = consortium.validator().await;
    let follower = consortium.follower(&[&validator]).await;
    let people = &mut consortium.people;
    let placed = as_wire(&people.sign_until("js-bank/admin", open_user(1), 3));
    let never = as_wire(&people.sign_until("js-bank/admin", open_user(2), 3));
    let mut receipts = Vec::new();
    // The last times its expiry has passed, and its id is forgotten.
    for number in 11..=16 {
        for node in [&validator, &follower] {
            let channel = || consortium.channel(node, "js-bureau", Role::Gateway);
            let both = tokio::join!(
                submit(channel(), placed.clone()),
                submit(channel(), placed.clone())
            );
            receipts.extend([both.0.unwrap().receipt, both.1.unwrap().receipt]);
        }
        let soon = validator.replica().tip().height + 3;
        let other = (consortium.people).sign_until("js-bank/admin", open_user(number), soon);
        follower.commit(as_wire(&other)).await;
    }
    assert!(receipts[0].is_some());
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    let users = |node: &Running| {
        let (bank, replica) = ("js-bank".parse().unwrap(), node.replica());
        let is_open = |number| query::user_is_open(&replica.state(), &bank, &user(number)).unwrap();
        [1, 2].map(is_open)
    };
    for node in [&validator, &follower] {
        let channel = || consortium.channel(node, "js-bureau", Role::Gateway);
        let fault = submit(channel(), never.clone()).await.unwrap_err();
        assert_eq!(fault.reason_code.as_deref(), Some("TX_EXPIRED"));
        assert_eq!(
            users(node),
            [true, false],
            "what never was ordered has no effect"
        );
    }
    follower.stop().await;
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mempool_pushes_back_and_loses_nothing_that_it_took() {
    let mut consortium = Consortium::new();
    let validator = consortium
        .validator_with(MempoolLimits {
            signer_txs: 2,
            ..MempoolLimits::default()
        })
        .await;
    let calls: Vec<_> = (0..300)
        .map(|number| {
            let (id, tx) = consortium.any(number);
            let replica = validator.replica();
            tokio::spawn(async move { (id, replica.submit(tx).await) })
        })
        .collect();
    let (mut taken, mut full) = (Vec::new(), 0);
    for call in calls {
        let (id, answer) = call.await.unwrap();
        match answer {
            Ok(_) => taken.push(id),
            Err(fault) => {
                let status = tonic::Status::from(fault);
                let view = xinqiao_rpc::FaultView::from_status(&status);
                assert_eq!(view.reason_code.as_deref(), Some("MEMPOOL_FULL"));
                assert_eq!(status.code(), tonic::Code::ResourceExhausted);
                assert!(view.retry_after.is_some());
                full += 1;
            }
        }
    }
    assert!(full > 0, "300 at once do not fit where 2 may wait");
    assert!(!taken.is_empty());
    for id in &taken {
        validator.replica().wait_final(id, PATIENCE).await.unwrap();
    }
    let ordered: usize = (1..=validator.replica().tip().height)
        .map(|height| {
            validator
                .replica()
                .applied(height)
                .unwrap()
                .unwrap()
                .txs
                .len()
        })
        .sum();
    assert_eq!(ordered, taken.len());
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_sent_many_times_is_ordered_once() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let (id, tx) = consortium.any(1);
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (replica, tx) = (validator.replica(), tx.clone());
            tokio::spawn(async move { replica.submit(tx).await })
        })
        .collect();
    for call in calls {
        match call.await.unwrap() {
            Ok(taken) => assert_eq!(taken, id),
            Err(fault) => assert!(
                matches!(fault, xinqiao_node::SubmitFault::Replayed(found) if found == id),
                "{fault}"
            ),
        }
    }
    validator.replica().wait_final(&id, PATIENCE).await.unwrap();
    let (_, other) = consortium.any(2);
    validator.commit(other).await;
    let ordered: usize = (1..=validator.replica().tip().height)
        .map(|height| {
            validator
                .replica()
                .applied(height)
                .unwrap()
                .unwrap()
                .txs
                .len()
        })
        .sum();
    assert_eq!(ordered, 2);
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_others_wait_holds_up_none_of_them() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let calls: Vec<_> = (0..200)
        .map(|number| {
            let (id, tx) = consortium.any(number);
            let replica = validator.replica();
            (id, tokio::spawn(async move { replica.submit(tx).await }))
        })
        .collect();
    for (_, call) in calls.iter().step_by(2) {
        call.abort();
    }
    for (id, call) in calls.into_iter().skip(1).step_by(2) {
        assert_eq!(call.await.unwrap().unwrap(), id);
        validator.replica().wait_final(&id, PATIENCE).await.unwrap();
    }
    validator.stop().await;
}
