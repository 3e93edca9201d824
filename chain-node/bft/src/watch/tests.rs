//! What the watch finds, and how much it keeps.

use xinqiao_consensus::Verifier as _;
use xinqiao_crypto::KeyId;
use xinqiao_ledger::vote::NoEquivocation;

use super::*;
use crate::testing::{CHAIN, block, proposal, validators, verifier, vote, voter};

fn accused(equivocation: &Equivocation) -> Result<KeyId, NoEquivocation> {
    let verifier = verifier();
    let signed =
        |key: &_, message: &[u8], signature: &_| verifier.is_signed(key, message, signature);
    let checked = equivocation.check(&CHAIN, &validators(), signed);
    checked.map(|()| equivocation.validator)
}

#[test]
fn the_watch_proves_statements_that_exclude_each_other_and_no_others() {
    let prevote =
        |place, round, header| Message::Vote(vote(place, VoteKind::Prevote, 5, round, header));
    let first = prevote(1, 0, Some(block(1)));
    let proposed = |pol_round, header| Message::Proposal(proposal(5, 3, pol_round, header));
    let proposer = proposal(5, 3, None, block(1)).message.proposer;
    let cases = [
        (
            "two headers",
            &first,
            prevote(1, 0, Some(block(2))),
            Some(voter(1)),
        ),
        (
            "a header and none",
            &first,
            prevote(1, 0, None),
            Some(voter(1)),
        ),
        ("the same", &first, first.clone(), None),
        ("two voters", &first, prevote(2, 0, None), None),
        ("two rounds", &first, prevote(1, 1, None), None),
        (
            "two kinds",
            &first,
            Message::Vote(vote(1, VoteKind::Precommit, 5, 0, None)),
            None,
        ),
        (
            "two proposals",
            &proposed(None, block(1)),
            proposed(None, block(2)),
            Some(proposer),
        ),
        (
            "two reasons for one header",
            &proposed(None, block(1)),
            proposed(Some(1), block(1)),
            Some(proposer),
        ),
        (
            "one proposal",
            &proposed(None, block(1)),
            proposed(None, block(1)),
            None,
        ),
    ];
    for (case, one, other, expected) in cases {
        for (one, other) in [(one, &other), (&other, one)] {
            let mut watch = Watch::default();
            assert_eq!(watch.note(one), [], "{case}");
            let found = watch.note(other);
            assert!(found.iter().all(|it| it.height == 5), "{case}");
            let found: Vec<_> = found.iter().map(accused).collect();
            let expected: Vec<_> = expected.iter().map(|voter| Ok(voter.0)).collect();
            assert_eq!(found, expected, "{case}");
        }
    }
}

#[test]
fn the_watch_accuses_once_a_height_and_forgets() {
    let mut watch = Watch::default();
    let mut note = |height, round, header| {
        let vote = vote(1, VoteKind::Prevote, height, round, header);
        watch.note(&Message::Vote(vote)).len()
    };
    assert_eq!(note(5, 0, Some(block(1))), 0);
    assert_eq!(note(5, 0, Some(block(1))), 0, "said again");
    assert_eq!(note(5, 0, None), 1);
    assert_eq!(note(5, 0, Some(block(2))), 0, "one proof is enough");
    assert_eq!(note(6, 0, None), 0);
    watch.forget_before(11);
    assert!(watch.said.is_empty());
}

#[test]
fn votes_inside_proofs_are_watched_too() {
    let mut watch = Watch::default();
    watch.note(&Message::Vote(vote(1, VoteKind::Prevote, 5, 0, None)));
    let prevote = |place| vote(place, VoteKind::Prevote, 5, 0, Some(block(1)));
    let polka = Polka {
        height: 5,
        round: 0,
        header: block(1),
        signatures: (0..3)
            .map(|at| (voter(at), prevote(at).signature))
            .collect(),
    };
    let found = watch.note(&Message::Polka(polka));
    assert_eq!(
        found.iter().map(accused).collect::<Vec<_>>(),
        [Ok(voter(1).0)]
    );
}

#[test]
fn a_chatterer_is_kept_within_bounds() {
    let mut watch = Watch::default();
    let said = vote(1, VoteKind::Prevote, 5, 0, None);
    for round in 0..10_000 {
        let mut vote = said;
        vote.message.round = round;
        watch.note(&Message::Vote(vote));
    }
    let kept: usize = watch.said.values().map(|said| said.votes.len()).sum();
    assert_eq!(kept, STATEMENTS);
}
