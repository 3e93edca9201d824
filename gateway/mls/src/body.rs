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

use rand_core::CryptoRng;
use xinqiao_crypto::{SealError, seal::MAX_SEALED};
use zeroize::Zeroizing;

use crate::{ContentKey, EpochMark};

const MAGIC: &[u8; 4] = b"XQS1";
const SCHEME: u8 = 2;
const MARK_AT: usize = 5;
const HEADER: usize = MARK_AT + EpochMark::LEN;

/// Seals a report under a fresh key. `aad` ties the body to its chain, order and part
/// (`xinqiao_dispatch::envelope::aad`).
///
/// # Errors
/// When the report is longer than `xinqiao_crypto::seal::MAX_PLAINTEXT`.
pub fn seal(
    mark: &EpochMark,
    aad: &[u8],
    report: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<(Vec<u8>, ContentKey), SealError> {
    let key = ContentKey::generate(rng);
    let mut header = MAGIC.to_vec();
    header.push(SCHEME);
    header.extend_from_slice(&mark.to_bytes());
    let body = key.seal_after(header, aad, report, rng)?;
    Ok((body, key))
}

/// The epoch that a body says it was sealed in. Only [`open`] proves it.
///
/// # Errors
/// When the bytes are no body.
pub fn mark(body: &[u8]) -> Result<EpochMark, SealError> {
    if body.len() > MAX_SEALED {
        return Err(SealError::TooLarge(body.len()));
    }
    let header = body
        .first_chunk::<HEADER>()
        .filter(|header| header[..4] == *MAGIC && header[4] == SCHEME)
        .ok_or(SealError::Format)?;
    let mark = header[MARK_AT..]
        .try_into()
        .map_err(|_| SealError::Format)?;
    Ok(EpochMark::from_bytes(mark))
}

/// Opens a body with its key.
///
/// # Errors
/// When the bytes are no body, are altered, or belong to another key or `aad`.
pub fn open(key: &ContentKey, aad: &[u8], body: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    mark(body)?;
    key.open_after(HEADER, aad, body)
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
        assert_eq!(**open(&key, b"aad", &body).unwrap(), *b"report");
    }

    #[test]
    fn the_length_tells_a_report_s_only_to_within_256_bytes() {
        for (length, wanted) in [(0, 256), (252, 256), (253, 512), (20_480, 20_736)] {
            let (body, key) = sealed(&vec![1; length]);
            assert_eq!(body.len(), 65 + wanted + 16);
            assert_eq!(open(&key, b"aad", &body).unwrap().len(), length);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_another_key_or_another_part_opens_nothing() {
        let (body, key) = sealed(b"report");
        for at in 0..body.len() {
            let mut other = body.clone();
            other[at] ^= 1;
            assert!(open(&key, b"aad", &other).is_err(), "byte {at}");
        }
        for end in 0..body.len() {
            assert!(open(&key, b"aad", &body[..end]).is_err(), "{end} bytes");
        }
        assert_eq!(open(&key, b"other", &body), Err(SealError::Refused));
        let other = ContentKey::from_bytes(&[0; 16]);
        assert_eq!(open(&other, b"aad", &body), Err(SealError::Refused));
        let long = vec![0; MAX_SEALED + 1];
        assert_eq!(
            open(&key, b"aad", &long),
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
