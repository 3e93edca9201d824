//! What proves equivocation, and how much the watch keeps.

use super::*;
use crate::testing::{CHAIN, block, electorate, ones, proposal, verifier, vote, voter};

#[test]
fn evidence_is_two_signed_statements_that_exclude_each_other() {
    let prevote = |place, round, header| vote(place, VoteKind::Prevote, 5, round, header);
    let first = prevote(1, 0, Some(block(1)));
    let forged = Signed {
        signature: ones(),
        ..prevote(1, 0, None)
    };
    let proposed = proposal(5, 3, None, block(1));
    let cases = [
        (
            "two headers",
            Evidence::Votes(first, prevote(1, 0, Some(block(2)))),
            Ok(voter(1)),
        ),
        (
            "a header and none",
            Evidence::Votes(first, prevote(1, 0, None)),
            Ok(voter(1)),
        ),
        (
            "the same",
            Evidence::Votes(first, first),
            Err(Unproven::NoConflict),
        ),
        (
            "two voters",
            Evidence::Votes(first, prevote(2, 0, None)),
            Err(Unproven::NoConflict),
        ),
        (
            "two rounds",
            Evidence::Votes(first, prevote(1, 1, None)),
            Err(Unproven::NoConflict),
        ),
        (
            "two kinds",
            Evidence::Votes(first, vote(1, VoteKind::Precommit, 5, 0, None)),
            Err(Unproven::NoConflict),
        ),
        (
            "a forged one",
            Evidence::Votes(first, forged),
            Err(Unproven::Refused(Refused::Signature)),
        ),
        (
            "two proposals",
            Evidence::Proposals(proposed, proposal(5, 3, None, block(2))),
            Ok(proposed.message.proposer),
        ),
        (
            "two reasons for one header",
            Evidence::Proposals(proposed, proposal(5, 3, Some(1), block(1))),
            Ok(proposed.message.proposer),
        ),
        (
            "one proposal",
            Evidence::Proposals(proposed, proposed),
            Err(Unproven::NoConflict),
        ),
    ];
    for (case, evidence, expected) in cases {
        let evidence = Evidence::decode(&evidence.encode()).expect(case);
        assert_eq!(evidence.height(), 5, "{case}");
        assert_eq!(
            evidence.check(&CHAIN, &electorate(), &verifier()),
            expected,
            "{case}"
        );
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
    let check = |evidence: &Evidence| evidence.check(&CHAIN, &electorate(), &verifier());
    assert_eq!(found.iter().map(check).collect::<Vec<_>>(), [Ok(voter(1))]);
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
