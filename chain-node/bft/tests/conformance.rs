//! The Byzantine-fault-tolerant engine keeps every promise of the suite.

use std::num::NonZeroUsize;

use rand::rng;
use xinqiao_bft::{Bft, Timeouts};
use xinqiao_consensus::{
    Sm2Signer, Sm2Verifier,
    conformance::{Consortium, run},
};
use xinqiao_crypto::{DistinguishingId, SecretKey, VerifierCache, sm3};
use xinqiao_ledger::{
    ids::ChainId,
    validators::{Engine, ValidatorSet},
};

fn key(number: usize) -> SecretKey {
    let mut bytes = [5; 32];
    bytes[31] = u8::try_from(number).expect("few validators");
    SecretKey::from_bytes(&bytes).expect("in range")
}

#[test]
fn bft_keeps_every_promise_of_an_engine() {
    let id = DistinguishingId::default();
    let keys = (0..4).map(|number| *key(number).public());
    let set = ValidatorSet::new(Engine::Bft, keys, id.clone()).unwrap();
    let place = |number: &usize| {
        let key = *key(*number).public();
        set.keys().iter().position(|(one, _)| *one == key.id())
    };
    let mut numbers: Vec<usize> = (0..4).collect();
    numbers.sort_by_key(place);
    let chain = ChainId(sm3(b"chain"));
    let room = NonZeroUsize::new(4).unwrap();
    let verifier = Sm2Verifier::new(VerifierCache::new(room), id.clone());
    let consortium = Consortium {
        chain,
        set: &set,
        verifier: &verifier,
    };
    run(&consortium, |place| {
        let signer = Sm2Signer::new(key(numbers[place]), id.clone(), rng());
        Bft::new(chain, signer, Timeouts::default())
    });
}
