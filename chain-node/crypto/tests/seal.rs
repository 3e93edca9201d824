//! Envelopes: golden bytes, and everything that must not open.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use xinqiao_crypto::seal::{MAX_PLAINTEXT, MAX_SEALED};
use xinqiao_crypto::{Open, Seal, SealError, SealScheme, SecretKey, Sm2Sm4Gcm, sm3};

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

/// A generator whose bytes never change with a library's version: SM3 of a counter.
struct Counter(u64, Vec<u8>);

impl rand_core::TryRng for Counter {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for byte in out {
            if self.1.is_empty() {
                self.0 += 1;
                self.1 = sm3(&self.0.to_be_bytes()).as_bytes().to_vec();
            }
            *byte = self.1.remove(0);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counter {}

fn seal(plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
    let mut rng = Counter(0, Vec::new());
    Sm2Sm4Gcm
        .seal(secret(1).public(), aad, plaintext, &mut rng)
        .unwrap()
}

#[test]
fn an_envelopes_bytes_are_golden() {
    let sealed = seal(b"report", b"order 7");
    assert_eq!(sealed.len(), 164 + 256 + 16);
    assert_eq!(&sealed[..5], b"XQS1\x01");
    assert_eq!(sealed[5..37], *secret(1).public().id().as_bytes());
    assert_eq!(sealed[37..39], [0, 113]);
    assert_eq!(sm3(&sealed).to_string(), GOLDEN);
    assert_eq!(*secret(1).open(b"order 7", &sealed).unwrap(), b"report");
    assert_eq!(Sm2Sm4Gcm.scheme(), SealScheme::Sm2Sm4Gcm);
}

const GOLDEN: &str = "d3319911cb5296ab1173101180afd33a84faa9b361f16ee87cb3aff0b76decfc";

#[test]
fn what_is_sealed_opens_at_every_size() {
    let mut rng = StdRng::seed_from_u64(1);
    for length in [0, 1, 251, 252, 253, 256, 1000, 65_535, 1 << 20] {
        let mut plaintext = vec![0; length];
        rng.fill_bytes(&mut plaintext);
        let sealed = Sm2Sm4Gcm
            .seal(secret(1).public(), b"aad", &plaintext, &mut rng)
            .unwrap();
        assert_eq!(
            *secret(1).open(b"aad", &sealed).unwrap(),
            plaintext,
            "{length}"
        );
        assert_eq!((sealed.len() - 164 - 16) % 256, 0, "{length}");
    }
}

#[test]
fn a_length_tells_only_the_bucket() {
    let length = |plaintext: usize| seal(&vec![0; plaintext], b"").len();
    assert_eq!(length(0), length(252));
    assert_eq!(length(253), length(508));
    assert_eq!(length(253) - length(252), 256);
}

#[test]
fn the_same_plaintext_is_never_sealed_alike() {
    let mut rng = StdRng::seed_from_u64(2);
    let one = Sm2Sm4Gcm
        .seal(secret(1).public(), b"", b"report", &mut rng)
        .unwrap();
    let two = Sm2Sm4Gcm
        .seal(secret(1).public(), b"", b"report", &mut rng)
        .unwrap();
    for range in [39..152, 152..164, 164..one.len()] {
        assert_ne!(one[range.clone()], two[range]);
    }
}

#[test]
fn no_byte_of_the_plaintext_shows() {
    let sealed = seal(&b"MARKER".repeat(100), b"aad");
    assert!(!sealed.windows(6).any(|window| window == b"MARKER"));
}

#[test]
fn every_flipped_bit_is_refused() {
    let sealed = seal(b"report", b"order 7");
    for byte in 0..sealed.len() {
        for bit in [0, 3, 7] {
            let mut altered = sealed.clone();
            altered[byte] ^= 1 << bit;
            let found = secret(1).open(b"order 7", &altered);
            let expected = match byte {
                0..5 | 37..40 => matches!(found, Err(SealError::Format)),
                5..37 => matches!(found, Err(SealError::OtherRecipient(_))),
                _ => matches!(found, Err(SealError::Refused)),
            };
            assert!(expected, "byte {byte} bit {bit}: {:?}", found.err());
        }
    }
}

#[test]
fn every_other_length_is_refused() {
    let sealed = seal(b"report", b"");
    for length in 0..sealed.len() {
        assert_eq!(
            secret(1).open(b"", &sealed[..length]).err(),
            Some(SealError::Format),
            "{length}"
        );
    }
    for extra in [1, 16, 256] {
        let longer = [sealed.as_slice(), &vec![0; extra]].concat();
        assert!(secret(1).open(b"", &longer).is_err(), "{extra}");
    }
}

#[test]
fn another_key_or_context_does_not_open() {
    let sealed = seal(b"report", b"order 7");
    let recipient = secret(1).public().id();
    assert_eq!(
        secret(2).open(b"order 7", &sealed).err(),
        Some(SealError::OtherRecipient(recipient)),
    );
    for aad in [b"".as_slice(), b"order 8", b"order 7 ", b"order"] {
        assert_eq!(secret(1).open(aad, &sealed).err(), Some(SealError::Refused));
    }
    // Readdressed to key 2, it is still only key 1's to open.
    let mut readdressed = sealed;
    readdressed[5..37].copy_from_slice(secret(2).public().id().as_bytes());
    assert_eq!(
        secret(2).open(b"order 7", &readdressed).err(),
        Some(SealError::Refused)
    );
}

#[test]
fn over_the_limit_is_refused_before_any_work() {
    let mut rng = StdRng::seed_from_u64(3);
    let largest = vec![0; MAX_PLAINTEXT];
    let sealed = Sm2Sm4Gcm
        .seal(secret(1).public(), b"", &largest, &mut rng)
        .unwrap();
    assert_eq!(sealed.len(), MAX_SEALED);
    assert_eq!(secret(1).open(b"", &sealed).unwrap().len(), MAX_PLAINTEXT);
    let over = vec![0; MAX_PLAINTEXT + 1];
    assert_eq!(
        Sm2Sm4Gcm
            .seal(secret(1).public(), b"", &over, &mut rng)
            .err(),
        Some(SealError::TooLarge(MAX_PLAINTEXT + 1)),
    );
    assert_eq!(
        secret(1).open(b"", &vec![0; MAX_SEALED + 1]).err(),
        Some(SealError::TooLarge(MAX_SEALED + 1)),
    );
}
