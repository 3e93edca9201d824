//! Verifying SM2 signatures: fast for keys that are known, plain for keys seen once.
//!
//! Both ways end in a [`SignatureValid`], which nothing else can make: a function that takes one
//! cannot be called without a check. Not here: what a signer may do.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use sm2::dsa::VerifyingKey;
use sm2::dsa::signature::hazmat::PrehashVerifier;

use crate::digest::{Digest, sm3_parts};
use crate::keys::{DistinguishingId, PublicKey};
use crate::signature::{Signature, SignatureError};

/// Proof that a signature was checked and is valid. Only this module makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureValid(());

/// Checks one signature with the `sm2` crate's own verification, without any precomputation.
pub fn verify_once(
    key: &PublicKey,
    id: &DistinguishingId,
    message: &[u8],
    signature: &Signature,
) -> Result<SignatureValid, SignatureError> {
    let prehash = sm3_parts(&[id.z(key).as_bytes(), message]);
    verify_prehash_once(key, &prehash, signature)
}

fn verify_prehash_once(
    key: &PublicKey,
    prehash: &Digest,
    signature: &Signature,
) -> Result<SignatureValid, SignatureError> {
    // The crate's own id is a string and only enters a digest that we replace with ours.
    let verifier = VerifyingKey::new("", *key.point()).expect("an empty id is short enough");
    verifier
        .verify_prehash(prehash.as_bytes(), &signature.inner())
        .map(|()| SignatureValid(()))
        .map_err(|_| SignatureError::Mismatch)
}

/// A public key with a distinguishing id, prepared for many verifications.
pub struct KnownKey {
    key: PublicKey,
    z: Digest,
}

impl KnownKey {
    /// Prepares the key.
    pub fn new(key: &PublicKey, id: &DistinguishingId) -> Self {
        Self {
            key: *key,
            z: id.z(key),
        }
    }

    /// The key that was prepared.
    pub const fn public(&self) -> &PublicKey {
        &self.key
    }

    /// Checks a signature over Z_A ‖ `message` (GB/T 32918.2 §7).
    pub fn verify(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<SignatureValid, SignatureError> {
        let prehash = sm3_parts(&[self.z.as_bytes(), message]);
        verify_prehash_once(&self.key, &prehash, signature)
    }
}

/// The least recently used keys make room: at most `capacity` prepared keys, shared by all threads.
pub struct VerifierCache {
    known: Mutex<LruCache<(PublicKey, DistinguishingId), Arc<KnownKey>>>,
}

impl VerifierCache {
    /// Room for `capacity` keys.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self {
            known: Mutex::new(LruCache::new(capacity)),
        }
    }

    /// The prepared key, made now if it is not there.
    pub fn known(&self, key: &PublicKey, id: &DistinguishingId) -> Arc<KnownKey> {
        let name = (*key, id.clone());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&name) {
            return Arc::clone(found);
        }
        let made = Arc::new(KnownKey::new(key, id));
        known.put(name, Arc::clone(&made));
        made
    }
}
