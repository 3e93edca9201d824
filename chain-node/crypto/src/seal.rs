//! Sealed envelopes: bytes that only the addressee can read, and nobody can alter unnoticed.
//!
//! Not here: who the addressee ought to be, forward secrecy, and groups. An envelope does not say
//! who sealed it either: whoever must know signs its digest.
//!
//! ## Envelope, scheme 1
//!
//! | bytes | what |
//! |---:|---|
//! | 4 | magic `XQS1` |
//! | 1 | scheme, 1 |
//! | 32 | [`KeyId`] of the recipient |
//! | 2 | length of the next field, big endian: 113 |
//! | 113 | a fresh 16-byte SM4 key under SM2 encryption, C1‖C3‖C2 with C1 uncompressed (GB/T 32918.4 §6) |
//! | 12 | nonce |
//! | 256·k + 16 | SM4-GCM ciphertext and tag (RFC 8998 §3.2.1) |
//!
//! The associated data of the GCM is everything before the ciphertext, then the caller's. The content is
//! the plaintext's length (4 bytes, big endian), the plaintext, and zeros up to a multiple of
//! 256 bytes: an envelope's length tells the plaintext's only to within 256 bytes.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{AesGcm, KeyInit};
use rand_core::CryptoRng;
use sm2::pke::{DecryptingKey, EncryptingKey};
use sm4::Sm4;
use zeroize::Zeroizing;

use crate::keys::{KeyId, PublicKey};
use crate::secret::SecretKey;

/// How an envelope is sealed; the byte in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SealScheme {
    /// SM2 public key encryption of a fresh SM4 key, SM4-GCM for the content.
    Sm2Sm4Gcm = 1,
}

/// Largest plaintext of an envelope: 16 MiB.
pub const MAX_PLAINTEXT: usize = 16 << 20;
/// Largest envelope.
pub const MAX_SEALED: usize = HEADER + padded(MAX_PLAINTEXT) + TAG;

const MAGIC: &[u8; 4] = b"XQS1";
const KEY: usize = 16;
const NONCE: usize = 12;
const TAG: usize = 16;
const LENGTH: usize = 4;
const BUCKET: usize = 256;
/// C1 (04 ‖ x ‖ y), C3 (SM3), C2 (the key).
const WRAPPED: usize = 65 + 32 + KEY;
const WRAPPED_AT: usize = 4 + 1 + 32 + 2;
const HEADER: usize = WRAPPED_AT + WRAPPED + NONCE;

const fn padded(plaintext: usize) -> usize {
    (LENGTH + plaintext).next_multiple_of(BUCKET)
}

type Sm4Gcm = AesGcm<Sm4, U12>;

/// Why something was not sealed or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Plaintext or envelope over the limit.
    #[error("{0} bytes are over the limit of a sealed envelope (16 MiB of content)")]
    TooLarge(usize),
    /// Not an envelope, or of a version or scheme this program does not know.
    #[error("not a sealed envelope of a known version")]
    Format,
    /// Sealed to another key.
    #[error("the envelope is addressed to key {0}")]
    OtherRecipient(KeyId),
    /// Altered, or sealed with other associated data. Deliberately no more detail.
    #[error("the envelope does not open: it was altered, or belongs to another context")]
    Refused,
    /// The recipient's key cannot be encrypted to. Cannot happen with a [`PublicKey`].
    #[error("sealing failed")]
    Failed,
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
    /// The plaintext, when the envelope is intact, ours, and was sealed with the same `aad`.
    fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError>;
}

/// SM2 encryption of a fresh SM4 key, SM4-GCM of the content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sm2Sm4Gcm;

impl Seal for Sm2Sm4Gcm {
    fn scheme(&self) -> SealScheme {
        SealScheme::Sm2Sm4Gcm
    }

    fn seal(
        &self,
        recipient: &PublicKey,
        aad: &[u8],
        plaintext: &[u8],
        mut rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(SealError::TooLarge(plaintext.len()));
        }
        let key = ContentKey::generate(rng);
        let wrapped = EncryptingKey::new(*recipient.point())
            .encrypt(&mut rng, key.expose())
            .map_err(|_| SealError::Failed)?;
        let mut sealed = Vec::with_capacity(HEADER + padded(plaintext.len()) + TAG);
        sealed.extend_from_slice(MAGIC);
        sealed.push(self.scheme() as u8);
        sealed.extend_from_slice(recipient.id().as_bytes());
        sealed.extend_from_slice(&(WRAPPED as u16).to_be_bytes());
        sealed.extend_from_slice(&wrapped);
        if sealed.len() + NONCE != HEADER {
            return Err(SealError::Failed);
        }
        key.seal_after(sealed, aad, plaintext, rng)
    }
}

impl Open for SecretKey {
    fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.len() > MAX_SEALED {
            return Err(SealError::TooLarge(sealed.len()));
        }
        let header = sealed.get(..HEADER).ok_or(SealError::Format)?;
        if header[..4] != *MAGIC
            || header[4] != SealScheme::Sm2Sm4Gcm as u8
            || header[WRAPPED_AT - 2..WRAPPED_AT] != (WRAPPED as u16).to_be_bytes()
            || header[WRAPPED_AT] != 0x04
            || !is_padded(sealed.len() - HEADER)
        {
            return Err(SealError::Format);
        }
        let recipient = KeyId::try_from(&header[5..37]).map_err(|_| SealError::Format)?;
        if recipient != self.public().id() {
            return Err(SealError::OtherRecipient(recipient));
        }
        let wrapped = &header[WRAPPED_AT..WRAPPED_AT + WRAPPED];
        let key = DecryptingKey::new(self.scalar().clone())
            .decrypt(wrapped)
            .map(Zeroizing::new)
            .map_err(|_| SealError::Refused)?;
        let key = key.as_slice().try_into().map_err(|_| SealError::Refused)?;
        ContentKey::from_bytes(key).open_after(HEADER - NONCE, aad, sealed)
    }
}

/// The SM4 key of one content, used for nothing else; it is zeroed when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey(Zeroizing<[u8; ContentKey::LEN]>);

impl ContentKey {
    /// Length in bytes.
    pub const LEN: usize = KEY;

    /// A fresh key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Zeroizing::new([0; KEY]);
        rng.fill_bytes(key.as_mut_slice());
        Self(key)
    }

    /// Takes a key that was kept or sent.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The key, for who keeps or sends it, and for nothing else.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// `header` ‖ nonce (12) ‖ SM4-GCM ciphertext and tag of the padded `plaintext`. Header, nonce and `aad`,
    /// in this order, are the associated data.
    ///
    /// # Errors
    /// When the plaintext is longer than [`MAX_PLAINTEXT`].
    pub fn seal_after(
        &self,
        header: Vec<u8>,
        aad: &[u8],
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(SealError::TooLarge(plaintext.len()));
        }
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let mut sealed = header;
        sealed.extend_from_slice(&nonce);
        let content = pad(plaintext);
        let associated = [&sealed, aad].concat();
        let payload = Payload {
            msg: &content,
            aad: &associated,
        };
        let ciphertext = Sm4Gcm::new(&(*self.0).into())
            .encrypt(&nonce.into(), payload)
            .map_err(|_| SealError::Failed)?;
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// The plaintext of what [`Self::seal_after`] made of a header of that length.
    ///
    /// # Errors
    /// When it is altered, too long or no such thing.
    pub fn open_after(
        &self,
        header: usize,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.len() > MAX_SEALED {
            return Err(SealError::TooLarge(sealed.len()));
        }
        let (before, ciphertext) = sealed
            .split_at_checked(header + NONCE)
            .filter(|(_, ciphertext)| is_padded(ciphertext.len()))
            .ok_or(SealError::Format)?;
        let nonce: [u8; NONCE] = before[header..].try_into().map_err(|_| SealError::Format)?;
        let associated = [before, aad].concat();
        let payload = Payload {
            msg: ciphertext,
            aad: &associated,
        };
        let content = Sm4Gcm::new(&(*self.0).into())
            .decrypt(&nonce.into(), payload)
            .map(Zeroizing::new)
            .map_err(|_| SealError::Refused)?;
        unpad(&content)
    }
}

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ContentKey")
    }
}

/// Whether a ciphertext has the length of a padded content and its tag.
fn is_padded(ciphertext: usize) -> bool {
    let content = ciphertext.checked_sub(TAG);
    content.is_some_and(|content| content > 0 && content % BUCKET == 0)
}

fn pad(plaintext: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut content = Zeroizing::new(Vec::with_capacity(padded(plaintext.len())));
    content.extend_from_slice(&(plaintext.len() as u32).to_be_bytes());
    content.extend_from_slice(plaintext);
    content.resize(padded(plaintext.len()), 0);
    content
}

/// The inverse of [`pad`], and of nothing else: one plaintext has one content.
fn unpad(content: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (length, rest) = content
        .split_first_chunk::<LENGTH>()
        .ok_or(SealError::Refused)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > rest.len() || padded(length) != content.len() {
        return Err(SealError::Refused);
    }
    let (plaintext, padding) = rest.split_at(length);
    if padding.iter().any(|byte| *byte != 0) {
        return Err(SealError::Refused);
    }
    Ok(Zeroizing::new(plaintext.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8998 appendix A.1.
    #[test]
    fn sm4_gcm_gives_the_published_vector() {
        let bytes = |text| hex::decode(text).unwrap();
        let key = bytes("0123456789abcdeffedcba9876543210");
        let nonce: [u8; NONCE] = bytes("00001234567800000000abcd").try_into().unwrap();
        let aad = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let plaintext = bytes(
            "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd\
             eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
        );
        let ciphertext = Sm4Gcm::new_from_slice(&key)
            .unwrap()
            .encrypt(
                &nonce.into(),
                Payload {
                    msg: &plaintext,
                    aad: &aad,
                },
            )
            .unwrap();
        assert_eq!(
            hex::encode(ciphertext),
            "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735\
             d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d\
             83de3541e4c2b58177e065a9bf7b62ec",
        );
    }

    #[test]
    fn content_has_one_form_only() {
        for length in [0, 1, 251, 252, 253, 508, 509, 1000] {
            let plaintext = vec![7; length];
            let content = pad(&plaintext);
            assert_eq!(content.len() % BUCKET, 0);
            assert_eq!(*unpad(&content).unwrap(), plaintext);
            let longer = [content.as_slice(), &[0; BUCKET]].concat();
            assert_eq!(unpad(&longer), Err(SealError::Refused), "a bucket too many");
        }
        let mut padding = pad(b"x");
        padding[255] = 1;
        assert_eq!(
            unpad(&padding),
            Err(SealError::Refused),
            "padding that is not zero"
        );
        let mut length = pad(b"x");
        length[0] = 0xff;
        assert_eq!(
            unpad(&length),
            Err(SealError::Refused),
            "a length past the end"
        );
        assert_eq!(unpad(b""), Err(SealError::Refused), "nothing");
    }
}
