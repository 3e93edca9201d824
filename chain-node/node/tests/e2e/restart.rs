//! What was acknowledged is there after a restart, and a node that has halted stays so.

use std::sync::Arc;

use xinqiao_contracts::testing::PlainVerifier;
use xinqiao_node::{Error, Role, SubmitFault};
use xinqiao_rpc::Role as Process;

use crate::consortium::{Consortium, Running, assert_agree};

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_chain_goes_on_where_it_was() {
    let mut consortium = Consortium::new();
    let mut ids = Vec::new();
    let mut tips = Vec::new();
    for round in 0..3 {
        let validator = consortium.validator().await;
        let follower = consortium.follower(&[&validator]).await;
        assert_eq!(
            tips.last(),
            (round > 0).then(|| validator.replica().tip()).as_ref()
        );
        for id in &ids {
            assert!(validator.replica().is_final(id).unwrap().is_some());
        }
        for number in 0..10 {
            let (id, tx) = consortium.any(round * 100 + number);
            follower.commit(tx).await;
            ids.push(id);
        }
        follower.reaches(validator.replica().tip().height).await;
        assert_agree(&validator.replica(), &follower.replica());
        tips.push(validator.replica().tip());
        follower.stop().await;
        validator.stop().await;
    }
    // Every byte that was written follows from the certified blocks.
    let report = xinqiao_store::verify(
        &consortium.directory("follower"),
        &consortium.genesis,
        &PlainVerifier::default(),
        |_| {},
    )
    .unwrap();
    assert_eq!((report.tip, report.txs), (*tips.last().unwrap(), 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_chain_is_refused() {
    let consortium = Consortium::new();
    consortium.validator().await.stop().await;
    let other = Consortium::new();
    let mut config = consortium.config(
        "validator",
        Role::Validator {
            key: xinqiao_contracts::testing::secret("validator"),
        },
        "sh-bureau",
        Process::Node,
    );
    config.genesis = Arc::clone(&other.genesis);
    let Err(Error::Store(fault)) = Running::start(config).await else {
        panic!("a store of another chain was opened");
    };
    let text = fault.to_string();
    let (found, expected) = (consortium.genesis.chain_id(), other.genesis.chain_id());
    assert!(
        text.contains(&found.to_string()) && text.contains(&expected.to_string()),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_share_a_store() {
    let consortium = Consortium::new();
    let validator = consortium.validator().await;
    let again = consortium.config(
        "validator",
        Role::Validator {
            key: xinqiao_contracts::testing::secret("validator"),
        },
        "sh-bureau",
        Process::Node,
    );
    let refused = Running::start(again).await.err().unwrap().to_string();
    assert!(refused.contains("in use"), "{refused}");
    validator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_key_is_no_validator_s_orders_nothing_and_says_so() {
    let mut consortium = Consortium::new();
    let config = consortium.config(
        "impostor",
        Role::Validator {
            key: xinqiao_contracts::testing::secret("somebody else"),
        },
        "sh-bureau",
        Process::Node,
    );
    let node = Running::start(config).await.unwrap();
    let (_, tx) = consortium.any(1);
    let refused = node.replica().submit(tx).await;
    assert!(
        matches!(refused, Err(SubmitFault::NotInForce)),
        "{refused:?}"
    );
    assert_eq!(node.replica().tip().height, 0);
    node.stop().await;
}
