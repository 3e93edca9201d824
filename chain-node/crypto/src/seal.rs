//! Sealed envelopes: bytes that only the addressee can read or alter unnoticed.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::keys::PublicKey;

/// How an envelope is sealed; the byte in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SealScheme {
    /// SM2 public key encryption of a fresh SM4 key, SM4-GCM for the content.
    Sm2Sm4Gcm = 1,
}

/// Why something was not sealed or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Content over the limit.
    #[error("content of {0} bytes is over the limit of 16 MiB")]
    TooLarge(usize),
    /// Not an envelope, or of a version or scheme this program does not know.
    #[error("not a sealed envelope of a known version")]
    Format,
    /// Sealed to another key.
    #[error("the envelope is addressed to another key")]
    OtherRecipient,
    /// Altered, or sealed with other associated data. Deliberately no more detail.
    #[error("the envelope does not open: altered, or not meant for this context")]
    Refused,
}

/// Seals for a recipient.
pub trait Seal {
    /// The scheme of the envelopes it makes.
    fn scheme(&self) -> SealScheme;

    /// Seals `plaintext` so that only `recipient` opens it, and only with the same `aad`.
    fn seal(
        &self,
        recipient: &PublicKey,
        aad: &[u8],
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError>;
}

/// Opens what was sealed to it.
pub trait Open {
    /// The plaintext, when the envelope is intact, ours, and sealed with the same `aad`.
    fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError>;
}

/// SM2 + SM4-GCM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sm2Sm4Gcm;
