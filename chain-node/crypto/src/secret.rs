//! The secret half of a key: signs, opens envelopes, and is zeroed when dropped.
//!
//! It has no `Display` and its `Debug` says nothing. Where it is kept, and under which file
//! permissions, is the caller's business.

use std::fmt;

use rand_core::CryptoRng;
use sm2::elliptic_curve::ops::Reduce;
use sm2::elliptic_curve::point::AffineCoordinates;
use sm2::elliptic_curve::{Generate, Group as _};
use sm2::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use sm2::{FieldBytes, ProjectivePoint, Scalar};
use zeroize::Zeroizing;

use crate::digest::{Digest, sm3_parts};
use crate::keys::{DistinguishingId, KeyError, PublicKey};
use crate::sign::nonce;
use crate::signature::Signature;

/// An SM2 secret key.
pub struct SecretKey {
    // Zeroes itself when dropped.
    scalar: sm2::SecretKey,
    /// (1 + d)^-1, which every signature needs.
    inverse: Zeroizing<Scalar>,
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
    /// still never makes two messages share a k. Signatures are those of the `sm2` crate bit for bit, and
    /// all arithmetic on secrets is its constant-time path.
    pub fn sign<R: CryptoRng + ?Sized>(
        &self,
        id: &DistinguishingId,
        message: &[u8],
        rng: &mut R,
    ) -> Signature {
        let prehash = sm3_parts(&[id.z(&self.public).as_bytes(), message]);
        loop {
            // Fails once in about 2^255 draws: draw again.
            if let Some(signature) = self.sign_prehash(&prehash, rng) {
                return signature;
            }
        }
    }

    /// Steps A3 to A7 of GB/T 32918.2 §6.1; none when r, s or r + k is zero.
    fn sign_prehash<R: CryptoRng + ?Sized>(
        &self,
        prehash: &Digest,
        rng: &mut R,
    ) -> Option<Signature> {
        let secret = Zeroizing::new(self.scalar.to_nonzero_scalar());
        let d: &Scalar = &secret;
        let e = Scalar::reduce(&FieldBytes::from(prehash.to_bytes()));
        let k = nonce(d, &e, rng);
        // Projective coordinates tell of the nonce, so they are erased.
        let point = Zeroizing::new(ProjectivePoint::mul_by_generator(&k));
        let r = e + Scalar::reduce(&point.to_affine().x());
        if bool::from(r.is_zero() | (r + *k).is_zero()) {
            return None;
        }
        let s = *self.inverse * (*k - r * d);
        let signature = sm2::dsa::Signature::from_scalars(r, s).ok()?;
        Some(Signature::from_inner(&signature))
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
        let secret = Zeroizing::new(scalar.to_nonzero_scalar());
        let inverse = Option::from((**secret + Scalar::ONE).invert());
        let inverse = Zeroizing::new(inverse.ok_or(KeyError::SecretRange)?);
        let public = PublicKey::from_point(scalar.public_key());
        Ok(Self {
            scalar,
            inverse,
            public,
        })
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

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use sm2::dsa::SigningKey;
    use sm2::dsa::signature::hazmat::RandomizedPrehashSigner;

    use super::*;

    #[test]
    fn signatures_are_the_crate_s_bit_for_bit() {
        let mut rng = StdRng::seed_from_u64(31);
        for number in 0..300 {
            let key = SecretKey::generate(&mut rng);
            let signer = SigningKey::new("", key.scalar()).expect("an empty id is short enough");
            let mut digest = [0; 32];
            match number {
                0 => {}
                // Above n, so that it has to be reduced.
                1 => digest = [0xff; 32],
                _ => rng.fill_bytes(&mut digest),
            }
            let theirs = signer
                .sign_prehash_with_rng(&mut StdRng::seed_from_u64(number), &digest)
                .expect("once in 2^255 it is not");
            let ours = key.sign_prehash(&Digest::from(digest), &mut StdRng::seed_from_u64(number));
            assert_eq!(ours, Some(Signature::from_inner(&theirs)));
        }
    }
}
