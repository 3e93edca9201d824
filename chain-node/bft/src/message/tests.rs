//! Golden bytes of everything that is signed or sent, and what strangers' bytes can do: nothing.

use xinqiao_consensus::Message as _;

use super::*;
use crate::testing::{CHAIN, block, ones, proposal, validators, verifier, vote, voter};

fn unsigned(kind: VoteKind, header: NilOrVal<BlockId>) -> Vote {
    Vote {
        kind,
        height: 0x0102,
        round: 3,
        header,
        validator: Voter(Digest::from([7; 32]).into()),
    }
}

fn examples() -> Vec<Message> {
    let prevote = |place| vote(place, VoteKind::Prevote, 5, 1, Some(block(6)));
    let nil = |place| vote(place, VoteKind::Precommit, 5, 1, None);
    vec![
        Message::Proposal(proposal(5, 1, None, block(6))),
        Message::Proposal(proposal(5, 2, Some(1), block(6))),
        Message::Vote(prevote(0)),
        Message::Vote(nil(3)),
        Message::Polka(Polka {
            height: 5,
            round: 1,
            header: block(6),
            signatures: (0..3)
                .map(|at| (voter(at), prevote(at).signature))
                .collect(),
        }),
        Message::Round(RoundProof {
            height: 5,
            round: 1,
            kind: RoundProofKind::Precommit,
            votes: (0..3)
                .map(|at| RoundVote {
                    vote: nil(at).message,
                    signature: nil(at).signature,
                })
                .collect(),
        }),
    ]
}

#[test]
fn what_is_signed_is_golden() {
    let chain = "09".repeat(32);
    let hash = "06".repeat(32);
    let id = NilOrVal::Val(block(6));
    let tag = "78696e7169616f2f766f74652f763100".to_owned() + "0020" + &chain;
    for (vote, body) in [
        (
            unsigned(VoteKind::Prevote, NilOrVal::Nil),
            "0200000000000001020000000300".to_owned(),
        ),
        (
            unsigned(VoteKind::Prevote, id),
            "0200000000000001020000000301".to_owned() + &hash,
        ),
        (
            unsigned(VoteKind::Precommit, id),
            "0300000000000001020000000301".to_owned() + &hash,
        ),
    ] {
        assert_eq!(
            hex::encode(vote.signing_message(&CHAIN)),
            tag.clone() + &body
        );
    }
    let tag = "78696e7169616f2f626c6f636b2f7631".to_owned() + "0020" + &chain;
    for (pol_round, body) in [
        (None, "0100000000000001020000000300"),
        (Some(2), "010000000000000102000000030100000002"),
    ] {
        let proposal = Proposal {
            height: 0x0102,
            round: 3,
            pol_round,
            header: block(6),
            proposer: voter(0),
        };
        let expected = tag.clone() + body + &hash;
        assert_eq!(hex::encode(proposal.signing_message(&CHAIN)), expected);
    }
}

#[test]
fn what_is_sent_is_golden() {
    let message = Message::Vote(Signed {
        message: unsigned(VoteKind::Precommit, NilOrVal::Val(block(6))),
        signature: ones(),
    });
    let expected = [
        "01",
        "03",
        "0201000000000000",
        "03000000",
        "01",
        &"06".repeat(32),
        &"07".repeat(32),
        &"01".repeat(64),
    ];
    assert_eq!(hex::encode(message.encode()), expected.concat());
}

#[test]
fn messages_survive_the_wire_and_verify() {
    for message in examples() {
        let decoded = Message::decode(&message.encode()).expect("an encoding");
        assert_eq!(decoded, message);
        let verified = decoded.verify(voter(2).0, &CHAIN, &validators(), &verifier());
        assert_eq!(
            verified.map(|it| it.validators()),
            Ok(validators().hash()),
            "{message:?}"
        );
    }
}

#[test]
fn damaged_bytes_never_panic_and_are_never_a_second_encoding() {
    for message in examples() {
        let bytes = message.encode();
        for cut in 0..bytes.len() {
            assert!(Message::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Message::decode(&longer), Err(Malformed::Encoding));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Message::decode(&damaged) {
                assert_eq!(other.encode(), damaged, "bit {bit}");
                assert_ne!(other, message, "bit {bit}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_no_verified_message() {
    let verifier = verifier();
    let bytes = examples()[2].encode();
    for bit in (0..bytes.len() * 8).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Message::decode(&damaged) {
            assert!(
                other
                    .verify(voter(2).0, &CHAIN, &validators(), &verifier)
                    .is_err(),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn what_no_validator_can_mean_is_malformed() {
    let decode = |message: Message| Message::decode(&message.encode()).err();
    let signed_vote = |height, round| {
        let mut vote = unsigned(VoteKind::Prevote, NilOrVal::Nil);
        (vote.height, vote.round) = (height, round);
        Message::Vote(Signed {
            message: vote,
            signature: ones(),
        })
    };
    assert_eq!(decode(signed_vote(0, 0)), Some(Malformed::Height));
    assert_eq!(decode(signed_vote(1, MAX_ROUND)), None);
    assert_eq!(
        decode(signed_vote(1, MAX_ROUND + 1)),
        Some(Malformed::Round)
    );
    let own_round = Message::Proposal(proposal(5, 1, Some(1), block(6)));
    assert_eq!(decode(own_round), Some(Malformed::Round));
    let Some(Message::Polka(mut polka)) = examples().into_iter().nth(4) else {
        panic!("the fifth example is a polka");
    };
    polka.signatures = vec![polka.signatures[0]; MAX_VALIDATORS + 1];
    assert_eq!(
        decode(Message::Polka(polka)),
        Some(Malformed::TooManySigners)
    );
    let Some(Message::Round(mut proof)) = examples().into_iter().nth(5) else {
        panic!("the sixth example is a proof");
    };
    proof.votes[1].vote.round += 1;
    assert_eq!(decode(Message::Round(proof)), Some(Malformed::OtherVote));
    let long = vec![0; MAX_MESSAGE_BYTES + 1];
    assert_eq!(Message::decode(&long), Err(Malformed::TooLong(long.len())));
}

#[test]
fn proofs_need_their_quorum_and_proposals_their_proposer() {
    let check = |message: Message| {
        let verified = message.verify(voter(0).0, &CHAIN, &validators(), &verifier());
        verified.err()
    };
    let examples = examples();
    let Message::Polka(polka) = &examples[4] else {
        panic!("the fifth example is a polka");
    };
    let mut few = polka.clone();
    few.signatures.truncate(2);
    assert_eq!(
        check(Message::Polka(few)),
        Some(Refused::TooFew { got: 2, quorum: 3 })
    );
    let mut twice = polka.clone();
    twice.signatures[2] = twice.signatures[1];
    assert_eq!(check(Message::Polka(twice)), Some(Refused::RepeatedSigner));
    let Message::Round(proof) = &examples[5] else {
        panic!("the sixth example is a proof");
    };
    // More than a third is enough to show that a round has been entered, not that one may be left.
    let mut skip = proof.clone();
    skip.votes.truncate(2);
    assert_eq!(
        check(Message::Round(skip.clone())),
        Some(Refused::TooFew { got: 2, quorum: 3 })
    );
    skip.kind = RoundProofKind::Skip;
    assert_eq!(check(Message::Round(skip)), None);
    let mut prevotes = proof.clone();
    for (at, one) in prevotes.votes.iter_mut().enumerate() {
        let vote = vote(at, VoteKind::Prevote, 5, 1, None);
        (one.vote, one.signature) = (vote.message, vote.signature);
    }
    assert_eq!(check(Message::Round(prevotes)), Some(Refused::Signature));
    let Message::Proposal(mut foreign) = examples[0].clone() else {
        panic!("the first example is a proposal");
    };
    foreign.message.round += 1;
    assert_eq!(
        check(Message::Proposal(foreign)),
        Some(Refused::NotValidator)
    );
}

#[test]
fn a_proposal_s_body_travels_with_it_and_with_nothing_else() {
    for message in examples() {
        let expected = match &message {
            Message::Proposal(it) => vec![it.message.header.0],
            _ => Vec::new(),
        };
        assert_eq!(message.proposes(), expected, "{message:?}");
    }
}
