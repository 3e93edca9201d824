//! Every engine of this crate keeps every promise of the suite.

use rand::rng;
use xinqiao_consensus::{
    Solo,
    conformance::{Validator, run},
};
use xinqiao_crypto::{DistinguishingId, SecretKey};
use xinqiao_ledger::block::{Certificate, ValidatorSet};

#[test]
fn solo_keeps_every_promise_of_an_engine() {
    let key = SecretKey::generate(&mut rng());
    let id = DistinguishingId::default();
    let set = ValidatorSet::new(vec![*key.public()], id.clone()).unwrap();
    let validator = Validator {
        set: &set,
        sign: &|header| Certificate::sign(header, &key, &id, &mut rng()),
    };
    run(&validator, Solo::new);
}
