//! The engine keeps every promise of the suite, among three and among five.

use std::num::NonZeroUsize;

use rand::{SeedableRng, rngs::StdRng};
use xinqiao_consensus::{
    Sm2Signer, Sm2Verifier,
    conformance::{Consortium, run},
};
use xinqiao_crypto::{DistinguishingId, SecretKey, VerifierCache, sm3};
use xinqiao_ledger::{
    ids::ChainId,
    validators::{Engine, ValidatorSet},
};
use xinqiao_raft::Raft;

fn check(count: u8) {
    let id = DistinguishingId::default();
    let key = |last| {
        let mut bytes = [5; 32];
        bytes[31] = last;
        SecretKey::from_bytes(&bytes).expect("in range")
    };
    let keys = (1..=count).map(|last| *key(last).public());
    let set = ValidatorSet::new(Engine::Raft, keys, id.clone()).expect("keys differ");
    let chain = ChainId(sm3(b"chain"));
    let room = NonZeroUsize::new(count.into()).expect("not zero");
    let verifier = Sm2Verifier::new(VerifierCache::new(room), id.clone());
    let consortium = Consortium {
        chain,
        set: &set,
        verifier: &verifier,
    };
    run(&consortium, |place| {
        let is_it = |last: &u8| key(*last).public().id() == set.keys()[place].0;
        let last = (1..=count).find(is_it).expect("one of them");
        let rng = StdRng::seed_from_u64(place as u64);
        Raft::new(
            chain,
            Sm2Signer::new(key(last), id.clone(), rng),
            place as u64,
        )
    });
}

#[test]
fn three_voters_keep_every_promise_of_an_engine() {
    check(3);
}

#[test]
fn five_voters_keep_every_promise_of_an_engine() {
    check(5);
}

/// Few to be of use, and still a set that may be in force.
#[test]
fn one_two_and_four_voters_keep_every_promise_of_an_engine() {
    for count in [1, 2, 4] {
        check(count);
    }
}
