//! Bytes at rest under one symmetric key: SM4-GCM (RFC 8998 §3.2.1) with a fresh random nonce each.
//!
//! Not here: where the key is kept. It is 16 random bytes, which their owner seals to itself
//! ([`crate::seal`]). Random nonces bear 2³² pieces under one key.
//!
//! A piece is its nonce (12 bytes), the ciphertext, of the plaintext's length, and the tag (16 bytes).

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{AesGcm, KeyInit};
use rand_core::CryptoRng;
use sm4::Sm4;
use zeroize::Zeroizing;

use crate::seal::SealError;

const NONCE: usize = 12;

type Sm4Gcm = AesGcm<Sm4, U12>;

/// A key for bytes at rest; it is zeroed when dropped.
#[derive(Clone)]
pub struct ChestKey(Zeroizing<[u8; ChestKey::LEN]>);

impl ChestKey {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// How much longer a piece is than what is in it.
    pub const OVERHEAD: usize = NONCE + 16;

    /// A new key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(key.as_mut_slice());
        Self(key)
    }

    /// A key that was kept.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The key, to be sealed and kept, and for nothing else.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Locks bytes away, so that they come out only with the same `aad`.
    ///
    /// # Errors
    /// [`SealError::Failed`] beyond what SM4-GCM bears, which is 64 GiB.
    pub fn lock(
        &self,
        aad: &[u8],
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let payload = Payload {
            msg: plaintext,
            aad,
        };
        let ciphertext = Sm4Gcm::new(&(*self.0).into())
            .encrypt(&nonce.into(), payload)
            .map_err(|_| SealError::Failed)?;
        Ok([&nonce[..], &ciphertext].concat())
    }

    /// What was locked away under this key with the same `aad`.
    ///
    /// # Errors
    /// When the piece was altered, or is of another key or place.
    pub fn unlock(&self, aad: &[u8], piece: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, ciphertext) = piece
            .split_first_chunk::<NONCE>()
            .ok_or(SealError::Format)?;
        let payload = Payload {
            msg: ciphertext,
            aad,
        };
        Sm4Gcm::new(&(*self.0).into())
            .decrypt(&(*nonce).into(), payload)
            .map(Zeroizing::new)
            .map_err(|_| SealError::Refused)
    }
}

impl std::fmt::Debug for ChestKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ChestKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_locked_comes_out_in_its_own_place_alone_and_unaltered() {
        let mut rng = rand::rng();
        let key = ChestKey::generate(&mut rng);
        let piece = key.lock(b"here", b"plain", &mut rng).unwrap();
        assert_eq!(piece.len(), 5 + ChestKey::OVERHEAD);
        let again = ChestKey::from_bytes(key.expose());
        assert_eq!(*again.unlock(b"here", &piece).unwrap(), b"plain");
        assert_eq!(key.unlock(b"there", &piece), Err(SealError::Refused));
        for at in 0..piece.len() {
            let mut altered = piece.clone();
            altered[at] ^= 1;
            assert_eq!(key.unlock(b"here", &altered), Err(SealError::Refused));
        }
        let other = ChestKey::generate(&mut rng);
        assert_eq!(other.unlock(b"here", &piece), Err(SealError::Refused));
        assert_eq!(key.unlock(b"here", &piece[..11]), Err(SealError::Format));
        assert_eq!(format!("{key:?}"), "ChestKey");
    }
}
