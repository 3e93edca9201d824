//! What certifies a header and what does not: a quorum of distinct validators of this very set, over
//! this very header, on this very chain, and not one signature beside them that is wrong.

use rand::{SeedableRng, rngs::StdRng};
use xinqiao_crypto::{DistinguishingId, VerifierCache};
use xinqiao_ledger::{
    block::{Certificate, Header, Uncertified, ValidatorSet},
    ids::ChainId,
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
    ValidatorSet::new(keys.collect(), DistinguishingId::default()).unwrap()
}

#[test]
fn quorums_are_more_than_two_thirds() {
    for (validators, quorum) in [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 3),
        (5, 4),
        (6, 5),
        (7, 5),
        (10, 7),
    ] {
        let numbers: Vec<u8> = (1..=validators).collect();
        assert_eq!(set_of(&numbers).quorum(), quorum, "{validators} validators");
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
    let keys = (1..=4).map(|number| *secret(number).public()).collect();
    let id = DistinguishingId::new(b"another".to_vec()).unwrap();
    let set = ValidatorSet::new(keys, id).unwrap();
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
        ValidatorSet::new(keys(numbers), DistinguishingId::default())
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
}
