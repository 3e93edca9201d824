//! Who signs and who verifies: the two places where a signature scheme enters.
//!
//! An engine asks a [`Signer`] for its own signatures only. Everything that comes from others is
//! verified by the host with a [`Verifier`], on whatever thread it likes, before it is fed: see
//! [`Message::verify`](crate::Message::verify).

use rand_core::CryptoRng;
use xinqiao_crypto::{DistinguishingId, KeyId, PublicKey, SecretKey, Signature, VerifierCache};

/// This node's key.
pub trait Signer {
    /// The validator that it signs as.
    fn validator(&self) -> KeyId;

    /// Signs a message.
    fn sign(&mut self, message: &[u8]) -> Signature;
}

/// Checks others' signatures.
pub trait Verifier {
    /// Whether that key made this signature over this message.
    fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool;
}

/// An SM2 key under a distinguishing id, with the randomness that its signatures take.
pub struct Sm2Signer<R> {
    key: SecretKey,
    id: DistinguishingId,
    rng: R,
}

impl<R: CryptoRng> Sm2Signer<R> {
    /// A signer of that key.
    pub fn new(key: SecretKey, id: DistinguishingId, rng: R) -> Self {
        Self { key, id, rng }
    }
}

impl<R: CryptoRng> Signer for Sm2Signer<R> {
    fn validator(&self) -> KeyId {
        self.key.public().id()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        self.key.sign(&self.id, message, &mut self.rng)
    }
}

/// SM2 with the tables of known keys.
#[derive(Debug)]
pub struct Sm2Verifier {
    known: VerifierCache,
    id: DistinguishingId,
}

impl Sm2Verifier {
    /// A verifier of signatures under that distinguishing id.
    pub fn new(known: VerifierCache, id: DistinguishingId) -> Self {
        Self { known, id }
    }
}

impl Verifier for Sm2Verifier {
    fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        self.known
            .known(key, &self.id)
            .verify(message, signature)
            .is_ok()
    }
}
