//! Nobody's messages crowd out another's.

use xinqiao_ledger::vote::VoteKind;

use super::*;
use crate::{
    Message,
    testing::{verified, vote, voter},
};

fn prevote(height: Height, round: u32) -> Verified {
    verified(Message::Vote(vote(
        1,
        VoteKind::Prevote,
        height,
        round,
        None,
    )))
}

#[test]
fn each_sender_has_its_quota_and_far_heights_have_none() {
    let mut future = Future::default();
    for round in 0..QUOTA as u32 + 3 {
        future.keep(5, voter(1), prevote(6, round));
    }
    future.keep(5, voter(2), prevote(6, 0));
    future.keep(5, voter(2), prevote(6, 0));
    future.keep(5, voter(2), prevote(7, 0));
    future.keep(5, voter(2), prevote(8, 0));
    assert_eq!(
        future.take(6).len(),
        QUOTA + 1,
        "a repeated message is kept once"
    );
    assert_eq!(future.take(6).len(), 0);
    assert_eq!(future.take(8).len(), 0, "three heights ahead is too far");
    assert!(future.kept.is_empty(), "what was passed over is dropped");
}
