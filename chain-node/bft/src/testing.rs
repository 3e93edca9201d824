//! Validators with keys, for this crate's own tests.

use std::num::NonZeroUsize;

use arc_malachitebft_core_types::NilOrVal;
use rand::{SeedableRng, rngs::StdRng};
use xinqiao_consensus::{Message as _, Signer, Sm2Signer, Sm2Verifier};
use xinqiao_crypto::{Digest, DistinguishingId, SecretKey, Signature, VerifierCache};
use xinqiao_ledger::{
    block::Header,
    ids::{ChainId, HeaderHash, Height},
    validators::{Engine, ValidatorSet},
    vote::VoteKind,
};

use crate::{BlockId, Message, Proposal, Signed, Verified, Vote, Voter};

pub(crate) const CHAIN: ChainId = ChainId(Digest::new([9; 32]));

/// A validator's key, by its place in the set of four.
pub(crate) fn signer(place: usize) -> Sm2Signer<StdRng> {
    let mut keys: Vec<SecretKey> = (1..=4)
        .map(|last| {
            let mut bytes = [3; 32];
            bytes[31] = last;
            SecretKey::from_bytes(&bytes).expect("in range")
        })
        .collect();
    keys.sort_by_key(|key| key.public().id());
    let rng = StdRng::seed_from_u64(place as u64);
    Sm2Signer::new(keys.remove(place), DistinguishingId::default(), rng)
}

pub(crate) fn voter(place: usize) -> Voter {
    Voter(signer(place).validator())
}

pub(crate) fn keys() -> Vec<xinqiao_crypto::PublicKey> {
    let key = |last| {
        let mut bytes = [3; 32];
        bytes[31] = last;
        *SecretKey::from_bytes(&bytes).expect("in range").public()
    };
    (1..=4).map(key).collect()
}

pub(crate) fn validators() -> ValidatorSet {
    ValidatorSet::new(Engine::Bft, keys(), DistinguishingId::default()).expect("four keys")
}

pub(crate) fn verifier() -> Sm2Verifier {
    let room = NonZeroUsize::new(8).expect("not zero");
    Sm2Verifier::new(VerifierCache::new(room), DistinguishingId::default())
}

pub(crate) fn header(height: Height) -> Header {
    let digest = |byte| Digest::from([byte; 32]);
    Header {
        chain: CHAIN,
        height,
        parent: HeaderHash(digest(1)),
        time: 5,
        tx_count: 0,
        tx_root: digest(2),
        outcome_root: digest(3),
        state_commitment: digest(4),
        history_root: digest(5),
        validator_set: validators().hash(),
        next_validators: validators().hash(),
        checkpoint: None,
        proposer: voter(0).0,
    }
}

pub(crate) fn block(byte: u8) -> BlockId {
    BlockId(HeaderHash(Digest::from([byte; 32])))
}

pub(crate) fn vote(
    place: usize,
    kind: VoteKind,
    height: Height,
    round: u32,
    header: Option<BlockId>,
) -> Signed<Vote> {
    let mut signer = signer(place);
    let message = Vote {
        kind,
        height,
        round,
        header: header.map_or(NilOrVal::Nil, NilOrVal::Val),
        validator: Voter(signer.validator()),
    };
    let signature = signer.sign(&message.signing_message(&CHAIN));
    Signed { message, signature }
}

pub(crate) fn proposal(
    height: Height,
    round: u32,
    pol_round: Option<u32>,
    header: BlockId,
) -> Signed<Proposal> {
    let mut signer = signer(turn(height, round));
    let message = Proposal {
        height,
        round,
        pol_round,
        header,
        proposer: Voter(signer.validator()),
    };
    let signature = signer.sign(&message.signing_message(&CHAIN));
    Signed { message, signature }
}

/// Whose turn it is among the four.
pub(crate) fn turn(height: Height, round: u32) -> usize {
    ((height + u64::from(round)) % 4) as usize
}

pub(crate) fn verified(message: Message) -> Verified {
    message
        .verify(voter(0).0, &CHAIN, &validators(), &verifier())
        .expect("signed by the right validators")
}

/// A signature that is none, for golden bytes.
pub(crate) fn ones() -> Signature {
    Signature::try_from([1; 64].as_slice()).expect("in range")
}
