//! The secret half of a key: signs, opens envelopes, and is zeroed when dropped.
//!
//! It has no `Display` and its `Debug` says nothing. Where it is kept, and under which file
//! permissions, is the caller's business.

use std::fmt;

use rand_core::CryptoRng;
use sm2::dsa::SigningKey;
use sm2::dsa::signature::hazmat::RandomizedPrehashSigner;
use sm2::elliptic_curve::Generate;
use sm2::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use zeroize::Zeroizing;

use crate::digest::sm3_parts;
use crate::keys::{DistinguishingId, KeyError, PublicKey};
use crate::signature::Signature;

/// An SM2 secret key.
pub struct SecretKey {
    // Zeroes itself when dropped.
    scalar: sm2::SecretKey,
    public: PublicKey,
}

impl SecretKey {
    /// Draws a key from `rng`.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        loop {
            let scalar = sm2::SecretKey::generate_from_rng(rng);
            // n-1 is the one value that cannot sign (1 + d has no inverse): draw again.
            if let Ok(key) = Self::from_scalar(scalar) {
                return key;
            }
        }
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs Z_A ‖ `message` (GB/T 32918.2 §6).
    ///
    /// The nonce k is *hedged*: derived as in RFC 6979 (HMAC-SM3) from the secret, the digest and 32
    /// fresh bytes of `rng`. A good generator makes signatures unpredictable, and a broken one
    /// still never makes two messages share a k. All arithmetic on secrets is the `sm2` crate's
    /// constant-time path.
    pub fn sign<R: CryptoRng + ?Sized>(
        &self,
        id: &DistinguishingId,
        message: &[u8],
        rng: &mut R,
    ) -> Signature {
        let prehash = sm3_parts(&[id.z(&self.public).as_bytes(), message]);
        // The crate's own id is a string and only enters a digest that we replace with ours.
        let signer = SigningKey::from_nonzero_scalar("", self.scalar.to_nonzero_scalar())
            .expect("an empty id is short enough");
        loop {
            // Fails once in about 2^255 draws, when r, s or r + k is zero: draw again.
            if let Ok(signature) = signer.sign_prehash_with_rng(rng, prehash.as_bytes()) {
                return Signature::from_inner(&signature);
            }
        }
    }

    /// PKCS#8 (RFC 5958) as PEM, unencrypted, `-----BEGIN PRIVATE KEY-----`.
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.scalar
            .to_pkcs8_pem(LineEnding::LF)
            .expect("a valid secret key always has a PKCS#8 form")
    }

    /// Reads what [`SecretKey::to_pem`] and `openssl genpkey` write.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        sm2::SecretKey::from_pkcs8_pem(pem)
            .map_err(|_| KeyError::Pem)
            .and_then(Self::from_scalar)
    }

    /// Reads a big-endian scalar of 32 bytes in 1..n-2 (GB/T 32918.1 §6.1).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        sm2::SecretKey::from_slice(bytes)
            .map_err(|_| KeyError::SecretRange)
            .and_then(Self::from_scalar)
    }

    fn from_scalar(scalar: sm2::SecretKey) -> Result<Self, KeyError> {
        let minus_one = -sm2::Scalar::ONE;
        if *scalar.to_nonzero_scalar() == minus_one {
            return Err(KeyError::SecretRange);
        }
        let public = PublicKey::from_point(scalar.public_key());
        Ok(Self { scalar, public })
    }

    pub(crate) const fn scalar(&self) -> &sm2::SecretKey {
        &self.scalar
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public.id())
    }
}
