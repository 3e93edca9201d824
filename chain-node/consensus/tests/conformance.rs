//! Every engine of this crate keeps every promise of the suite.

use std::num::NonZeroUsize;

use rand::rng;
use xinqiao_consensus::{
    Sm2Signer, Sm2Verifier, Solo,
    conformance::{Consortium, run},
};
use xinqiao_crypto::{DistinguishingId, SecretKey, VerifierCache, sm3};
use xinqiao_ledger::{
    ids::ChainId,
    validators::{Engine, ValidatorSet},
};

#[test]
fn solo_keeps_every_promise_of_an_engine() {
    let bytes = [9; 32];
    let key = || SecretKey::from_bytes(&bytes).unwrap();
    let id = DistinguishingId::default();
    let set = ValidatorSet::new(Engine::Solo, [*key().public()], id.clone()).unwrap();
    let chain = ChainId(sm3(b"chain"));
    let verifier = Sm2Verifier::new(VerifierCache::new(NonZeroUsize::MIN), id.clone());
    let consortium = Consortium {
        chain,
        set: &set,
        verifier: &verifier,
    };
    run(&consortium, |_| {
        Solo::new(chain, Sm2Signer::new(key(), id.clone(), rng()))
    });
}
