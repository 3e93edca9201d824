//! Voters with keys, for this crate's own tests.

use std::{num::NonZeroUsize, sync::LazyLock};

use rand::{SeedableRng, rngs::StdRng};
use xinqiao_consensus::{Message as _, Signer, Sm2Signer, Sm2Verifier};
use xinqiao_crypto::{Digest, DistinguishingId, KeyId, SecretKey, Signature, VerifierCache};
use xinqiao_ledger::{
    ids::{ChainId, HeaderHash, Height},
    validators::{Engine, ValidatorSet},
    vote::commit_message,
};

use crate::{Block, Body, Letter, Message, Share, Slot, Verified};

pub(crate) const CHAIN: ChainId = ChainId(Digest::new([9; 32]));

fn keys() -> Vec<SecretKey> {
    let key = |last| {
        let mut bytes = [3; 32];
        bytes[31] = last;
        SecretKey::from_bytes(&bytes).expect("in range")
    };
    let mut keys: Vec<SecretKey> = (1..=4).map(key).collect();
    keys.sort_by_key(|key| key.public().id());
    keys
}

/// A voter's key, by its place.
pub(crate) fn signer(place: usize) -> Sm2Signer<StdRng> {
    let rng = StdRng::seed_from_u64(place as u64);
    Sm2Signer::new(keys().remove(place), DistinguishingId::default(), rng)
}

pub(crate) fn id(place: usize) -> KeyId {
    static IDS: LazyLock<Vec<KeyId>> =
        LazyLock::new(|| keys().iter().map(|key| key.public().id()).collect());
    IDS[place]
}

/// The set of those places.
pub(crate) fn set_of(places: &[usize]) -> ValidatorSet {
    let keys = keys();
    let chosen = places.iter().map(|place| *keys[*place].public());
    ValidatorSet::new(Engine::Raft, chosen, DistinguishingId::default()).expect("keys differ")
}

/// The first three; the fourth is a stranger.
pub(crate) fn set() -> ValidatorSet {
    set_of(&[0, 1, 2])
}

pub(crate) fn verifier() -> Sm2Verifier {
    let room = NonZeroUsize::new(8).expect("not zero");
    Sm2Verifier::new(VerifierCache::new(room), DistinguishingId::default())
}

pub(crate) fn header(byte: u8) -> HeaderHash {
    HeaderHash(Digest::from([byte; 32]))
}

/// An entry with a block of the second voter's.
pub(crate) fn slot(term: u64, height: Height, byte: u8) -> Slot {
    let block = Some(Block {
        height,
        header: header(byte),
        proposer: id(1),
    });
    Slot { term, block }
}

/// The entry that a leader begins with.
pub(crate) fn empty(term: u64) -> Slot {
    Slot { term, block: None }
}

/// From a voter to the first.
pub(crate) fn letter(from: usize, term: u64, body: Body) -> Letter {
    Letter {
        since: 1,
        height: 20,
        from: id(from),
        to: id(0),
        term,
        body,
    }
}

pub(crate) fn append(index: u64, log_term: u64, commit: u64, slots: &[Slot]) -> Body {
    Body::Append {
        index,
        log_term,
        commit,
        slots: slots.to_vec(),
    }
}

pub(crate) fn share(place: usize, height: Height, header: HeaderHash, again: bool) -> Share {
    let mut signer = signer(place);
    Share {
        height,
        header,
        validator: signer.validator(),
        signature: signer.sign(&commit_message(&CHAIN, height, 0, &header)),
        again,
    }
}

/// As it comes from its author, checked against that set.
pub(crate) fn verified_by(message: Message, set: &ValidatorSet) -> Verified {
    let from = match &message {
        Message::Letter(letter) => letter.from,
        Message::Share(share) => share.validator,
    };
    let message = Message::decode(&message.encode()).expect("well formed");
    let verified = message.verify(from, &CHAIN, set, &verifier());
    verified.expect("from its author")
}

/// A signature that is none, for golden bytes.
pub(crate) fn ones() -> Signature {
    Signature::try_from([1; 64].as_slice()).expect("in range")
}
