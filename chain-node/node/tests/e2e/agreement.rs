//! Everyone executes the same, and comes to the same.

use xinqiao_contracts::testing::open_user;
use xinqiao_ledger::outcome::Outcome;
use xinqiao_node::{SubmitFault, WaitError};
use xinqiao_rpc::Role;

use crate::consortium::{Consortium, PATIENCE, assert_agree};

#[tokio::test(flavor = "multi_thread")]
async fn validator_follower_and_observer_agree_at_every_height() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let follower = consortium.follower(&[&validator]).await;
    // The observer follows the follower: certificates count, not who sends them.
    let observer = consortium
        .observer(vec![follower.upstream("js-bureau")])
        .await;

    for number in 0..20 {
        let (_, tx) = consortium.any(number);
        let done = follower.commit(tx).await;
        assert!(matches!(done.outcome(), Outcome::Applied(_)));
    }
    // Many at once, so that blocks hold more than one.
    let mut waiting = Vec::new();
    for number in 100..300 {
        let (id, tx) = consortium.any(number);
        validator.replica().submit(tx).await.unwrap();
        waiting.push(id);
    }
    for id in waiting {
        observer.replica().wait_final(&id, PATIENCE).await.unwrap();
    }
    let tip = validator.replica().tip();
    follower.reaches(tip.height).await;
    observer.reaches(tip.height).await;
    assert!(tip.height < 220, "blocks gather what waits");
    for height in 1..=tip.height {
        let block = validator.replica().applied(height).unwrap().unwrap();
        assert!(!block.txs.is_empty(), "block {height} is empty");
    }
    assert_agree(&validator.replica(), &follower.replica());
    assert_agree(&validator.replica(), &observer.replica());
    observer.stop().await;
    follower.stop().await;
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_transaction_is_final_with_its_reason_on_every_node() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let follower = consortium.follower(&[&validator]).await;
    // A bureau has no users: the contract refuses, and the refusal is on the ledger.
    let (id, tx) = consortium.sign("sh-bureau/holder", open_user(1));
    let done = follower.commit(tx).await;
    let Outcome::Rejected { reason, .. } = done.outcome() else {
        panic!("{done:?}");
    };
    assert_eq!(reason.code(), "ROLE_DENIED");
    let there = validator.replica().is_final(&id).unwrap().unwrap();
    assert_eq!(there, done);
    follower.stop().await;
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ordered_is_not_final() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let (id, tx) = consortium.any(1);
    let brief = std::time::Duration::from_millis(50);
    let waited = validator.replica().wait_final(&id, brief).await;
    assert!(matches!(waited, Err(WaitError::Timeout(_))));
    assert_eq!(validator.replica().is_final(&id).unwrap(), None);
    assert_eq!(validator.replica().receipt(&id).unwrap(), None);
    // Waiting from before it is submitted sees it as well.
    let replica = validator.replica();
    let waiting = tokio::spawn(async move { replica.wait_final(&id, PATIENCE).await });
    validator.replica().submit(tx).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().id(), id);
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_has_no_way_to_write() {
    let mut consortium = Consortium::new();
    let validator = consortium.validator().await;
    let observer = consortium
        .observer(vec![validator.upstream("sh-bureau")])
        .await;
    let (id, tx) = consortium.any(1);
    let refused = observer.replica().submit(tx.clone()).await;
    assert!(matches!(refused, Err(SubmitFault::ReadOnly)));

    let cases = [
        // Its surface has no such call, whoever asks.
        (&observer, "js-bureau", Role::Gateway, "METHOD_UNKNOWN"),
        (&observer, "pboc", Role::Observer, "METHOD_UNKNOWN"),
        // Nor does anyone else take a transaction from its certificate.
        (&validator, "pboc", Role::Observer, "ROLE_DENIED"),
    ];
    for (node, org, role, code) in cases {
        let channel = consortium.channel(node, org, role);
        let fault = crate::services::submit(channel, tx.clone())
            .await
            .unwrap_err();
        assert_eq!(fault.reason_code.as_deref(), Some(code), "{org}/{role}");
    }
    assert_eq!(validator.replica().is_final(&id).unwrap(), None);
    assert_eq!(validator.replica().tip().height, 0);
    observer.stop().await;
    validator.stop().await;
}
