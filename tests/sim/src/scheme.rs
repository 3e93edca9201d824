//! The signature schemes that a run can have: SM2, and a cheap one for long searches.
//!
//! Both run the same engine, the same encodings and the same checks. The cheap one is no
//! signature: whoever knows a key id can make it. The simulated liars do not, save with their own.

use std::num::NonZeroUsize;

use rand::{SeedableRng, rngs::StdRng};
use xinqiao_consensus::{Signer, Sm2Signer, Sm2Verifier, Verifier};
use xinqiao_crypto::{
    DistinguishingId, KeyId, PublicKey, SecretKey, Signature, VerifierCache, sm3_parts,
};

/// A signature scheme.
pub trait Scheme: 'static {
    /// Signs as a validator.
    type Signer: Signer;
    /// Checks others' signatures.
    type Verifier: Verifier;

    /// The signer of a validator.
    fn signer(validator: usize) -> Self::Signer;

    /// A verifier for so many validators.
    fn verifier(validators: usize) -> Self::Verifier;
}

/// The key of a validator, the same in every run.
pub fn key(validator: usize) -> SecretKey {
    let mut bytes = [7; 32];
    bytes[31] = u8::try_from(validator).expect("simulated sets are small") + 1;
    SecretKey::from_bytes(&bytes).expect("far below the group's order")
}

/// SM2 with SM3.
#[derive(Debug)]
pub struct Sm2;

impl Scheme for Sm2 {
    type Signer = Sm2Signer<StdRng>;
    type Verifier = Sm2Verifier;

    fn signer(validator: usize) -> Self::Signer {
        let rng = StdRng::seed_from_u64(validator as u64);
        Sm2Signer::new(key(validator), DistinguishingId::default(), rng)
    }

    fn verifier(validators: usize) -> Self::Verifier {
        let room = NonZeroUsize::new(validators).unwrap_or(NonZeroUsize::MIN);
        Sm2Verifier::new(VerifierCache::new(room), DistinguishingId::default())
    }
}

/// A digest over key id and message in the shape of a signature.
#[derive(Debug)]
pub struct Cheap;

/// Signs cheaply.
#[derive(Debug)]
pub struct CheapSigner(KeyId);

/// Verifies cheaply.
#[derive(Debug)]
pub struct CheapVerifier;

impl Scheme for Cheap {
    type Signer = CheapSigner;
    type Verifier = CheapVerifier;

    fn signer(validator: usize) -> CheapSigner {
        CheapSigner(key(validator).public().id())
    }

    fn verifier(_: usize) -> CheapVerifier {
        CheapVerifier
    }
}

impl Signer for CheapSigner {
    fn validator(&self) -> KeyId {
        self.0
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        cheap(&self.0, message)
    }
}

impl Verifier for CheapVerifier {
    fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        cheap(&key.id(), message) == *signature
    }
}

fn cheap(key: &KeyId, message: &[u8]) -> Signature {
    let digest = sm3_parts(&[key.as_bytes(), message]);
    // A leading 1 keeps both halves between 1 and the group's order.
    let mut bytes = [1; 64];
    bytes[1..32].copy_from_slice(&digest.as_bytes()[1..]);
    bytes[33..].copy_from_slice(&digest.as_bytes()[1..]);
    Signature::try_from(bytes.as_slice()).expect("both halves are in range")
}
