//! What a single validator does with each input, in each phase.

use xinqiao_crypto::{Digest, KeyId, PublicKey, SecretKey, Signature};
use xinqiao_ledger::validators::Engine as Kind;

use super::*;

struct Key;

impl Signer for Key {
    fn validator(&self) -> KeyId {
        public().id()
    }

    fn sign(&mut self, _: &[u8]) -> Signature {
        Signature::try_from(&[7; 64][..]).unwrap()
    }
}

fn public() -> PublicKey {
    *SecretKey::from_bytes(&[7; 32]).unwrap().public()
}

fn start(height: Height, work: bool) -> Input<Silence> {
    Input::Start {
        height,
        since: 1,
        validators: ValidatorSet::new(Kind::Solo, [public()], Default::default()).unwrap(),
        log: Vec::new(),
        work,
    }
}

fn built(height: Height) -> Input<Silence> {
    Input::Built {
        height,
        round: 0,
        header: HeaderHash(Digest::ZERO),
    }
}

fn engine(inputs: impl IntoIterator<Item = Input<Silence>>) -> Solo<Key> {
    let mut engine = Solo::new(ChainId(Digest::ZERO), Key);
    for input in inputs {
        engine.handle(input).unwrap();
    }
    engine
}

#[test]
fn it_builds_when_there_is_work_and_it_is_free() {
    let build = vec![Effect::Build {
        height: 4,
        round: 0,
    }];
    for (before, input, wanted) in [
        (vec![], start(4, false), vec![]),
        (vec![], start(4, true), build.clone()),
        (vec![], Input::Work, vec![]),
        (vec![start(4, false)], Input::Work, build),
        (vec![start(4, true)], Input::Work, vec![]),
        (vec![start(4, true), built(4)], Input::Work, vec![]),
        // What was built for a height that was left means nothing.
        (vec![start(4, true), start(5, true)], built(4), vec![]),
    ] {
        let shown = format!("{before:?} {input:?}");
        assert_eq!(engine(before).handle(input).unwrap(), wanted, "{shown}");
    }
}

#[test]
fn it_certifies_what_was_built_by_itself() {
    let effects = engine([start(4, true)]).handle(built(4)).unwrap();
    let [Effect::Commit(certificate)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((certificate.height, certificate.round), (4, 0));
    assert_eq!(certificate.signatures[0].0, public().id());
}

#[test]
fn what_nobody_asked_for_stops_it() {
    for (before, input) in [
        (vec![start(4, false)], built(4)),
        (vec![start(4, true), built(4)], built(4)),
        (vec![start(4, false)], start(4, false)),
        (vec![start(4, false)], start(3, false)),
    ] {
        assert!(engine(before).handle(input).is_err());
    }
}
