//! What certifies a header and what does not: a quorum of distinct validators of this very set, over
//! this very header, on this very chain, and not one signature beside them that is wrong.

use rand::{SeedableRng, rngs::StdRng};
use xinqiao_crypto::{DistinguishingId, VerifierCache};
use xinqiao_ledger::{
    block::{Certificate, Header, Uncertified},
    ids::ChainId,
    validators::{Engine, Epochs, Handover, NotHandedOver, ValidatorSet},
    vote::commit_message,
};

use crate::{
    golden::{header, validators},
    samples::{digest, secret},
};

fn signed_by(header: &Header, signers: &[u8]) -> Certificate {
    let mut rng = StdRng::seed_from_u64(1);
    let id = DistinguishingId::default();
    let mut signatures: Vec<_> = signers
        .iter()
        .map(|number| Certificate::sign(header, &secret(*number), &id, &mut rng))
        .collect();
    signatures.sort_by_key(|(signer, _)| *signer);
    Certificate {
        height: header.height,
        round: 0,
        header: header.hash(),
        signatures,
    }
}

#[track_caller]
fn check(
    certificate: &Certificate,
    header: Header,
    set: &ValidatorSet,
    wanted: Result<(), Uncertified>,
) {
    let plain = certificate.check(header.clone(), set);
    let cache = VerifierCache::new(std::num::NonZeroUsize::new(8).unwrap());
    let known = certificate.check_known(header, set, &cache);
    assert_eq!(plain, known);
    assert_eq!(plain.map(|_| ()), wanted);
}

fn set_of(numbers: &[u8]) -> ValidatorSet {
    let keys = numbers.iter().map(|number| *secret(*number).public());
    ValidatorSet::new(Engine::Bft, keys, DistinguishingId::default()).unwrap()
}

#[test]
fn quorums_are_what_the_engine_tolerates() {
    for (engine, validators, quorum) in [
        (Engine::Solo, 1, 1),
        (Engine::Raft, 1, 1),
        (Engine::Raft, 2, 2),
        (Engine::Raft, 3, 2),
        (Engine::Raft, 4, 3),
        (Engine::Raft, 5, 3),
        (Engine::Bft, 1, 1),
        (Engine::Bft, 2, 2),
        (Engine::Bft, 3, 3),
        (Engine::Bft, 4, 3),
        (Engine::Bft, 5, 4),
        (Engine::Bft, 6, 5),
        (Engine::Bft, 7, 5),
        (Engine::Bft, 10, 7),
    ] {
        let keys = (1..=validators).map(|number| *secret(number).public());
        let set = ValidatorSet::new(engine, keys, DistinguishingId::default()).unwrap();
        assert_eq!(set.quorum(), quorum, "{engine:?} of {validators}");
    }
}

#[test]
fn only_a_quorum_of_distinct_validators_certifies() {
    let few = |got| Err(Uncertified::TooFew { got, quorum: 3 });
    for (signers, wanted) in [
        (&[1, 2, 3, 4][..], Ok(())),
        (&[1, 2, 3], Ok(())),
        (&[2, 3, 4], Ok(())),
        (&[1, 2], few(2)),
        (&[], few(0)),
        // One validator is one signature, however often it signs.
        (&[1, 1, 1], Err(Uncertified::RepeatedSigner)),
        (&[1, 2, 2], Err(Uncertified::RepeatedSigner)),
        (&[1, 2, 3, 3], Err(Uncertified::RepeatedSigner)),
        // A quorum does not excuse a stranger beside it.
        (&[1, 2, 9], Err(Uncertified::NotValidator)),
        (&[1, 2, 3, 9], Err(Uncertified::NotValidator)),
    ] {
        check(
            &signed_by(&header(), signers),
            header(),
            &validators(),
            wanted,
        );
    }
}

#[test]
fn one_wrong_signature_among_right_ones_is_refused() {
    let good = signed_by(&header(), &[1, 2, 3, 4]);
    for at in 0..4 {
        let mut made = good.clone();
        made.signatures[at].1 = good.signatures[(at + 1) % 4].1;
        check(&made, header(), &validators(), Err(Uncertified::Signature));
    }
}

#[test]
fn a_certificate_is_over_one_header_of_one_chain() {
    let good = signed_by(&header(), &[1, 2, 3]);
    check(&good, header(), &validators(), Ok(()));

    let later = Header {
        time: header().time + 1,
        ..header()
    };
    check(
        &good,
        later.clone(),
        &validators(),
        Err(Uncertified::OtherHeader),
    );
    let higher = Certificate {
        height: 301,
        ..good.clone()
    };
    check(
        &higher,
        header(),
        &validators(),
        Err(Uncertified::OtherHeader),
    );
    // The hash of the other header over signatures of the first.
    let moved = Certificate {
        header: later.hash(),
        ..good
    };
    check(&moved, later, &validators(), Err(Uncertified::Signature));

    // What validators of this chain signed is nothing on another, even for an equal rest.
    let elsewhere = Header {
        chain: ChainId(digest("other chain")),
        ..header()
    };
    let mut foreign = signed_by(&elsewhere, &[1, 2, 3]);
    check(
        &foreign,
        header(),
        &validators(),
        Err(Uncertified::OtherHeader),
    );
    foreign.header = header().hash();
    check(
        &foreign,
        header(),
        &validators(),
        Err(Uncertified::Signature),
    );
}

#[test]
fn other_validators_do_not_certify() {
    let others = set_of(&[5, 6, 7, 8]);
    let theirs = signed_by(&header(), &[5, 6, 7]);
    check(
        &theirs,
        header(),
        &validators(),
        Err(Uncertified::NotValidator),
    );
    check(
        &theirs,
        header(),
        &others,
        Err(Uncertified::OtherValidators),
    );
    // A header that names a subset as its validators is not certified by the subset.
    let small = set_of(&[1]);
    let header = Header {
        validator_set: small.hash(),
        ..header()
    };
    let certificate = signed_by(&header, &[1]);
    check(&certificate, header.clone(), &small, Ok(()));
    check(
        &certificate,
        header,
        &validators(),
        Err(Uncertified::OtherValidators),
    );
}

#[test]
fn another_distinguishing_id_is_another_signature() {
    let keys = (1..=4).map(|number| *secret(number).public());
    let id = DistinguishingId::new(b"another".to_vec()).unwrap();
    let set = ValidatorSet::new(Engine::Bft, keys, id).unwrap();
    let certificate = signed_by(&header(), &[1, 2, 3]);
    check(&certificate, header(), &set, Err(Uncertified::Signature));
}

#[test]
fn validator_sets_are_checked_when_they_are_made() {
    let keys = |numbers: &[u8]| {
        numbers
            .iter()
            .map(|n| *secret(*n).public())
            .collect::<Vec<_>>()
    };
    let made = |numbers: &[u8]| {
        ValidatorSet::new(Engine::Bft, keys(numbers), DistinguishingId::default())
            .map_err(|fault| fault.problem.code())
    };
    assert_eq!(made(&[]).unwrap_err(), "FIELD_REQUIRED");
    assert_eq!(made(&[1, 2, 1]).unwrap_err(), "FIELD_FORMAT");
    let many: Vec<u8> = (1..=129).collect();
    assert_eq!(made(&many).unwrap_err(), "TOO_MANY_ITEMS");
    // The order in which keys are named changes nothing.
    assert_eq!(made(&[1, 2, 3]), made(&[3, 1, 2]));
    assert_ne!(
        made(&[1, 2, 3]).unwrap().hash(),
        made(&[1, 2]).unwrap().hash()
    );
    let solo = ValidatorSet::new(Engine::Solo, keys(&[1, 2]), DistinguishingId::default());
    assert_eq!(solo.unwrap_err().problem.code(), "TOO_MANY_ITEMS");
    // The same keys that agree in another way are another set.
    let raft = ValidatorSet::new(Engine::Raft, keys(&[1, 2]), DistinguishingId::default());
    assert_ne!(made(&[1, 2]).unwrap().hash(), raft.unwrap().hash());
}

#[test]
fn precommits_of_different_rounds_certify_nothing_together() {
    let signed = |round: u32, number: u8| {
        let mut rng = StdRng::seed_from_u64(2);
        let header = header();
        let message = commit_message(&header.chain, header.height, round, &header.hash());
        let key = secret(number);
        let signature = key.sign(&DistinguishingId::default(), &message, &mut rng);
        (key.public().id(), signature)
    };
    let of = |round: u32, signers: &[(u32, u8)]| {
        let mut signatures: Vec<_> = signers.iter().map(|(r, n)| signed(*r, *n)).collect();
        signatures.sort_by_key(|(signer, _)| *signer);
        Certificate {
            round,
            signatures,
            ..signed_by(&header(), &[])
        }
    };
    let set = validators();
    check(&of(2, &[(2, 1), (2, 2), (2, 3)]), header(), &set, Ok(()));
    for (round, signers) in [
        (0, [(2, 1), (2, 2), (2, 3)]),
        (2, [(2, 1), (2, 2), (1, 3)]),
        (2, [(0, 1), (2, 2), (2, 3)]),
    ] {
        let made = of(round, &signers);
        check(&made, header(), &set, Err(Uncertified::Signature));
    }
    // Only the Byzantine engine has rounds.
    let keys = (1..=4).map(|number| *secret(number).public());
    let raft = ValidatorSet::new(Engine::Raft, keys, DistinguishingId::default()).unwrap();
    let header = Header {
        validator_set: raft.hash(),
        ..header()
    };
    let mut made = signed_by(&header, &[1, 2, 3]);
    check(&made, header.clone(), &raft, Ok(()));
    made.round = 1;
    check(&made, header, &raft, Err(Uncertified::Round));
}

mod handing_over {
    use super::*;

    fn at(height: u64, from: &ValidatorSet, to: &ValidatorSet) -> Header {
        Header {
            height,
            validator_set: from.hash(),
            next_validators: to.hash(),
            checkpoint: None,
            ..header()
        }
    }

    fn handover(height: u64, from: &ValidatorSet, to: &ValidatorSet, signers: &[u8]) -> Handover {
        let header = at(height, from, to);
        Handover {
            certificate: signed_by(&header, signers),
            header,
            validators: to.clone(),
        }
    }

    #[test]
    fn sets_hand_over_under_their_own_signatures() {
        let (first, second, third) = (validators(), set_of(&[2, 3, 4, 5]), set_of(&[5, 6, 7, 8]));
        let mut epochs = Epochs::begin(first.clone());
        epochs
            .hand_over(handover(10, &first, &second, &[1, 2, 3]))
            .unwrap();
        epochs
            .hand_over(handover(11, &second, &third, &[3, 4, 5]))
            .unwrap();
        for (height, set) in [
            (1, &first),
            (10, &first),
            (11, &second),
            (12, &third),
            (99, &third),
        ] {
            assert_eq!(epochs.at(height), set, "height {height}");
        }
        // What the removed sign is nothing from the next height on.
        let late = Header {
            height: 12,
            validator_set: second.hash(),
            ..header()
        };
        check(
            &signed_by(&late, &[2, 3, 4]),
            late,
            epochs.at(12),
            Err(Uncertified::OtherValidators),
        );
    }

    #[test]
    fn nobody_else_hands_over() {
        let (first, second) = (validators(), set_of(&[5, 6, 7, 8]));
        let few = Uncertified::TooFew { got: 2, quorum: 3 };
        for (made, wanted) in [
            (
                handover(10, &first, &second, &[1, 2]),
                NotHandedOver::Uncertified(few),
            ),
            (
                handover(10, &first, &second, &[5, 6, 7]),
                NotHandedOver::Uncertified(Uncertified::NotValidator),
            ),
            (
                handover(10, &second, &second, &[5, 6, 7]),
                NotHandedOver::Uncertified(Uncertified::OtherValidators),
            ),
            (
                Handover {
                    validators: set_of(&[6, 7, 8, 9]),
                    ..handover(10, &first, &second, &[1, 2, 3])
                },
                NotHandedOver::OtherValidators(10),
            ),
            (
                handover(10, &first, &first, &[1, 2, 3]),
                NotHandedOver::OtherValidators(10),
            ),
        ] {
            let mut epochs = Epochs::begin(first.clone());
            assert_eq!(epochs.hand_over(made), Err(wanted));
            assert_eq!(epochs, Epochs::begin(first.clone()));
        }
        let mut epochs = Epochs::begin(first.clone());
        epochs
            .hand_over(handover(10, &first, &second, &[1, 2, 3]))
            .unwrap();
        for height in [1, 10] {
            assert_eq!(
                epochs.hand_over(handover(height, &second, &first, &[5, 6, 7])),
                Err(NotHandedOver::OutOfOrder {
                    last: 10,
                    got: height
                })
            );
        }
    }

    #[test]
    fn a_handover_comes_back_from_the_wire_as_it_was() {
        let made = handover(10, &validators(), &set_of(&[5, 6, 7, 8]), &[1, 2, 3]);
        let wire = xinqiao_ledger::wire::Handover::from(&made);
        let id = DistinguishingId::default();
        assert_eq!(Handover::parse(&wire, id.clone()), Ok(made));
        let mut disordered = wire;
        disordered.validators.as_mut().unwrap().keys.swap(0, 1);
        let fault = Handover::parse(&disordered, id).unwrap_err();
        assert_eq!(
            (&*fault.field, fault.problem.code()),
            ("validators.keys", "DUPLICATE_ITEM")
        );
    }
}
