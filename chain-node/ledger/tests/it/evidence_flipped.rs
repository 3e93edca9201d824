//! That no changed file passes for evidence: every bit is flipped, with the digest as it was and
//! with a digest computed anew.

use std::collections::BTreeMap;

use prost::Message;
use xinqiao_crypto::sm3;
use xinqiao_ledger::{
    evidence::{self, EvidenceFault, HEADING},
    genesis::Genesis,
};

use crate::{
    evidence::expiring,
    world::{genesis, tell, tell_in},
};

#[test]
fn every_flipped_bit_of_a_file_is_refused() {
    let genesis = genesis();
    let mut file = evidence::encode(&tell(expiring()).bundle());
    assert!(evidence::verify(&file, &genesis).is_ok());
    for at in 0..file.len() {
        for bit in 0..8 {
            file[at] ^= 1 << bit;
            let fault = evidence::verify(&file, &genesis).expect_err("a flipped bit passed");
            assert!(!fault.to_string().is_empty());
            file[at] ^= 1 << bit;
        }
    }
}

/// Someone who changes a byte can compute the digest anew: then the certificates, the paths and the
/// signatures must find it, whichever byte it is.
#[test]
fn every_flipped_byte_is_refused_even_under_a_digest_computed_anew() {
    // One validator, and no more receipts than it takes: each change costs a whole verification. One
    // signer's key is not there: bytes of transactions whose signatures cannot be checked here are
    // covered all the same.
    let mut genesis = genesis();
    genesis.validators.truncate(1);
    let story = tell_in(genesis.clone(), expiring());
    let bundle = story.bundle_without(&["add_key", "bind", "source", "digests zj"]);
    let contents = bundle.encode_to_vec();
    let halves: Vec<_> = (0..2)
        .map(|half| {
            let (genesis, contents) = (genesis.clone(), contents.clone());
            std::thread::spawn(move || flip_each(&genesis, contents, half))
        })
        .collect();
    let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
    for half in halves {
        for (reason, count) in half.join().unwrap() {
            *reasons.entry(reason).or_default() += count;
        }
    }
    assert_eq!(reasons.values().sum::<usize>(), contents.len());
    for reason in [
        "malformed",
        "other chain",
        "tip",
        "receipt",
        "history",
        "order",
    ] {
        assert!(
            reasons.contains_key(reason),
            "{reason} never found: {reasons:?}"
        );
    }
}

/// Flips a bit of every second byte, and counts the reasons.
fn flip_each(
    genesis: &Genesis,
    mut contents: Vec<u8>,
    half: usize,
) -> BTreeMap<&'static str, usize> {
    let mut reasons = BTreeMap::new();
    for at in (half..contents.len()).step_by(2) {
        contents[at] ^= 1;
        let file = [
            HEADING,
            format!("{}\n", sm3(&contents)).as_bytes(),
            &contents,
        ]
        .concat();
        let fault = evidence::verify(&file, genesis)
            .expect_err(&format!("the lowest bit of byte {at} may be flipped"));
        contents[at] ^= 1;
        let reason = match fault {
            EvidenceFault::Malformed(_) => "malformed",
            EvidenceFault::OtherChain { .. } => "other chain",
            EvidenceFault::Tip(_) => "tip",
            EvidenceFault::Receipt { .. } => "receipt",
            EvidenceFault::History { .. } => "history",
            EvidenceFault::OutOfOrder { .. } => "out of order",
            EvidenceFault::Signature { .. } => "signature",
            EvidenceFault::OrderMissing(_) | EvidenceFault::NoOrder { .. } => "order",
            other => panic!("byte {at}: {other}"),
        };
        *reasons.entry(reason).or_default() += 1;
    }
    reasons
}
