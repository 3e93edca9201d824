//! The body of a delivery: one report under a key of its own.
//!
//! The digest of these bytes is what the ledger records. The key is 16 bytes that are used for nothing else
//! and travel in a letter ([`crate::letter`]).
//!
//! ## Body, scheme 2
//!
//! | bytes | what |
//! |---:|---|
//! | 4 | magic `XQS1` |
//! | 1 | scheme, 2 |
//! | 48 | the group's [`EpochMark`] when it was sealed |
//! | 12 | nonce |
//! | 256·k + 16 | SM4-GCM ciphertext and tag (RFC 8998 §3.2.1) |
//!
//! The associated data is everything before the ciphertext, then the caller's. The content is the report's
//! length (4 bytes, big endian), the report, and zeros up to a multiple of 256 bytes, as in an envelope of
//! scheme 1 (`xinqiao_crypto::seal`).

use aes_gcm::{
    AesGcm, KeyInit,
    aead::{Aead, Payload, consts::U12},
};
use rand_core::CryptoRng;
use sm4::Sm4;
use xinqiao_crypto::{
    Open, SealError,
    seal::{MAX_PLAINTEXT, MAX_SEALED},
};
use zeroize::Zeroizing;

use crate::member::EpochMark;

const MAGIC: &[u8; 4] = b"XQS1";
const SCHEME: u8 = 2;
const MARK_AT: usize = 5;
const NONCE_AT: usize = MARK_AT + EpochMark::LEN;
const NONCE: usize = 12;
const HEADER: usize = NONCE_AT + NONCE;
const TAG: usize = 16;
const LENGTH: usize = 4;
const BUCKET: usize = 256;

type Sm4Gcm = AesGcm<Sm4, U12>;

/// The key of one report's body; it is zeroed when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey(Zeroizing<[u8; ContentKey::LEN]>);

impl ContentKey {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Takes a key that was kept or sent.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The key, for the holder's own spool and for letters, and for nothing else.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ContentKey")
    }
}

/// Seals a report under a fresh key. `aad` ties the body to its chain, order and part
/// (`xinqiao_dispatch::envelope::aad`).
///
/// # Errors
/// When the report is longer than [`MAX_PLAINTEXT`].
pub fn seal(
    mark: &EpochMark,
    aad: &[u8],
    report: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<(Vec<u8>, ContentKey), SealError> {
    if report.len() > MAX_PLAINTEXT {
        return Err(SealError::TooLarge(report.len()));
    }
    let mut key = ContentKey(Zeroizing::new([0; ContentKey::LEN]));
    rng.fill_bytes(&mut *key.0);
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let content = pad(report);
    let mut body = Vec::with_capacity(HEADER + content.len() + TAG);
    body.extend_from_slice(MAGIC);
    body.push(SCHEME);
    body.extend_from_slice(&mark.to_bytes());
    body.extend_from_slice(&nonce);
    let associated = [&body, aad].concat();
    let payload = Payload {
        msg: &content,
        aad: &associated,
    };
    let ciphertext = Sm4Gcm::new(&(*key.0).into())
        .encrypt(&nonce.into(), payload)
        .map_err(|_| SealError::Failed)?;
    body.extend_from_slice(&ciphertext);
    Ok((body, key))
}

/// The epoch that a body says it was sealed in. Only [`ContentKey::open`] proves it.
///
/// # Errors
/// When the bytes are no body.
pub fn mark(body: &[u8]) -> Result<EpochMark, SealError> {
    parts(body).map(|(mark, ..)| mark)
}

/// Mark, nonce and ciphertext of a body that has the right form.
fn parts(body: &[u8]) -> Result<(EpochMark, [u8; NONCE], &[u8]), SealError> {
    if body.len() > MAX_SEALED {
        return Err(SealError::TooLarge(body.len()));
    }
    let (header, ciphertext) = body.split_at_checked(HEADER).ok_or(SealError::Format)?;
    let content = ciphertext.len().checked_sub(TAG).ok_or(SealError::Format)?;
    let well_formed =
        header[..4] == *MAGIC && header[4] == SCHEME && content > 0 && content % BUCKET == 0;
    if !well_formed {
        return Err(SealError::Format);
    }
    let mark = header[MARK_AT..NONCE_AT]
        .try_into()
        .map_err(|_| SealError::Format)?;
    let nonce = header[NONCE_AT..]
        .try_into()
        .map_err(|_| SealError::Format)?;
    Ok((EpochMark::from_bytes(mark), nonce, ciphertext))
}

impl Open for ContentKey {
    fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (_, nonce, ciphertext) = parts(sealed)?;
        let associated = [&sealed[..HEADER], aad].concat();
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

fn padded(length: usize) -> usize {
    (LENGTH + length).next_multiple_of(BUCKET)
}

fn pad(report: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut content = Zeroizing::new(Vec::with_capacity(padded(report.len())));
    // At most 16 MiB.
    content.extend_from_slice(&(report.len() as u32).to_be_bytes());
    content.extend_from_slice(report);
    content.resize(padded(report.len()), 0);
    content
}

/// The inverse of [`pad`], and of nothing else: one report has one content.
fn unpad(content: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (length, rest) = content
        .split_first_chunk::<LENGTH>()
        .ok_or(SealError::Refused)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > rest.len() || padded(length) != content.len() {
        return Err(SealError::Refused);
    }
    let (report, padding) = rest.split_at(length);
    if padding.iter().any(|byte| *byte != 0) {
        return Err(SealError::Refused);
    }
    Ok(Zeroizing::new(report.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};
    use xinqiao_crypto::sm3;

    const MARK: EpochMark = EpochMark {
        generation: 3,
        epoch: 9,
        authenticator: xinqiao_crypto::Digest::new([7; 32]),
    };

    fn sealed(report: &[u8]) -> (Vec<u8>, ContentKey) {
        seal(&MARK, b"aad", report, &mut StdRng::seed_from_u64(1)).unwrap()
    }

    #[test]
    fn a_body_keeps_its_golden_bytes() {
        let (body, key) = sealed(b"report");
        assert_eq!(body.len(), 65 + 256 + 16);
        assert_eq!(body[..5], *b"XQS1\x02");
        assert_eq!(body[5..53], MARK.to_bytes());
        assert_eq!(mark(&body), Ok(MARK));
        assert_eq!(
            sm3(&body).to_string(),
            "7a1c15e778a2010f7b375ddafb301e37bb6dc5db516230fbeb51b0ef7f9b9638"
        );
        assert_eq!(**key.open(b"aad", &body).unwrap(), *b"report");
    }

    #[test]
    fn the_length_tells_a_report_s_only_to_within_256_bytes() {
        for (length, wanted) in [(0, 256), (252, 256), (253, 512), (20_480, 20_736)] {
            let (body, key) = sealed(&vec![1; length]);
            assert_eq!(body.len(), 65 + wanted + 16);
            assert_eq!(key.open(b"aad", &body).unwrap().len(), length);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_another_key_or_another_part_opens_nothing() {
        let (body, key) = sealed(b"report");
        for at in 0..body.len() {
            let mut other = body.clone();
            other[at] ^= 1;
            assert!(key.open(b"aad", &other).is_err(), "byte {at}");
        }
        for end in 0..body.len() {
            assert!(key.open(b"aad", &body[..end]).is_err(), "{end} bytes");
        }
        assert_eq!(key.open(b"other", &body), Err(SealError::Refused));
        let other = ContentKey::from_bytes(&[0; 16]);
        assert_eq!(other.open(b"aad", &body), Err(SealError::Refused));
        let long = vec![0; MAX_SEALED + 1];
        assert_eq!(
            key.open(b"aad", &long),
            Err(SealError::TooLarge(long.len()))
        );
    }

    #[test]
    fn no_two_bodies_have_the_same_key() {
        let mut rng = StdRng::seed_from_u64(2);
        let (first, key) = seal(&MARK, b"aad", b"report", &mut rng).unwrap();
        let (second, other) = seal(&MARK, b"aad", b"report", &mut rng).unwrap();
        assert!(key != other && first != second);
        assert_eq!(format!("{key:?}"), "ContentKey");
    }
}
