//! What a third party accepts, and every way in which a certificate can prove nothing.

use xinqiao_crypto::DistinguishingId;
use xinqiao_ledger::block::ValidatorSet;

use super::*;
use crate::testing::{CHAIN, certificate, electorate, header, keys, ones, verifier, vote, voter};

type Change = fn(&mut CommitCertificate);

#[test]
fn a_quorum_s_precommits_certify_and_nothing_less_or_else_does() {
    let header = header(7);
    let cases: [(&str, Change, Option<Refused>); 9] = [
        ("three of four", |_| {}, None),
        (
            "a fourth",
            |it| {
                let fourth = certificate(&crate::testing::header(7), 2, &[3]);
                it.signatures.extend(fourth.signatures);
            },
            None,
        ),
        (
            "one too few",
            |it| it.signatures.truncate(2),
            Some(Refused::TooFew { got: 2, quorum: 3 }),
        ),
        (
            "a repeated signer",
            |it| it.signatures[2] = it.signatures[1],
            Some(Refused::RepeatedSigner),
        ),
        (
            "out of order",
            |it| it.signatures.swap(0, 1),
            Some(Refused::RepeatedSigner),
        ),
        (
            "a stranger",
            |it| {
                let stranger = xinqiao_crypto::Digest::from([255; 32]);
                it.signatures[2].0 = Voter(stranger.into());
            },
            Some(Refused::NotValidator),
        ),
        (
            "an invalid signature beside a quorum",
            |it| it.signatures.push((voter(3), ones())),
            Some(Refused::Signature),
        ),
        ("another round", |it| it.round = 3, Some(Refused::Signature)),
        (
            "another height",
            |it| it.height = 8,
            Some(Refused::OtherHeader),
        ),
    ];
    for (case, change, expected) in cases {
        let mut certificate = certificate(&header, 2, &[0, 1, 2]);
        change(&mut certificate);
        let certificate = CommitCertificate::decode(&certificate.encode()).expect(case);
        let checked = certificate.check(&CHAIN, header.clone(), &electorate(), &verifier());
        assert_eq!(checked.clone().err(), expected, "{case}");
        if let Ok(committed) = checked {
            assert_eq!(committed.into_header(), header, "{case}");
        }
    }
}

#[test]
fn a_certificate_is_good_for_one_chain_one_header_and_one_validator_set() {
    let header = header(7);
    let certificate = certificate(&header, 0, &[0, 1, 2]);
    let check = |chain, header: &Header, set: &Electorate| {
        let checked = certificate.check(&chain, header.clone(), set, &verifier());
        checked.err()
    };
    let other_chain = ChainId(xinqiao_crypto::Digest::from([8; 32]));
    assert_eq!(
        check(other_chain, &header, &electorate()),
        Some(Refused::OtherChain)
    );
    let mut moved = header.clone();
    moved.chain = other_chain;
    assert_eq!(
        check(other_chain, &moved, &electorate()),
        Some(Refused::OtherHeader)
    );
    let mut later = header.clone();
    later.time += 1;
    assert_eq!(
        check(CHAIN, &later, &electorate()),
        Some(Refused::OtherHeader)
    );
    let three = ValidatorSet::new(keys()[..3].to_vec(), DistinguishingId::default());
    let three = Electorate::from(&three.expect("three keys"));
    assert_eq!(
        check(CHAIN, &header, &three),
        Some(Refused::OtherValidators)
    );
}

#[test]
fn prevotes_are_no_precommits_and_another_chain_s_are_none_either() {
    let header = header(7);
    let mut certificate = certificate(&header, 0, &[0, 1, 2]);
    let id = BlockId(header.hash());
    certificate.signatures[0].1 = vote(0, VoteKind::Prevote, 7, 0, Some(id)).signature;
    let checked = certificate.check(&CHAIN, header, &electorate(), &verifier());
    assert_eq!(checked.err(), Some(Refused::Signature));
}

#[test]
fn more_signers_than_validators_can_be_are_refused_before_any_is_checked() {
    let header = header(7);
    let mut certificate = certificate(&header, 0, &[0]);
    certificate.signatures = vec![certificate.signatures[0]; MAX_VALIDATORS + 1];
    assert_eq!(
        CommitCertificate::decode(&certificate.encode()),
        Err(crate::Malformed::TooManySigners)
    );
}
