//! The vectors that the standards publish.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sm2::pke::DecryptingKey;
use xinqiao_crypto::{
    DistinguishingId, KnownKey, PublicKey, SecretKey, Signature, SignatureError, hmac_sm3, sm3,
    sm3_parts, verify_once,
};

/// GM/T 0003.5-2012 annex A, GB/T 32918.5-2017 annex A.
mod gmt0003 {
    pub(super) const D: &str = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8";
    pub(super) const X: &str = "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020";
    pub(super) const Y: &str = "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13";
    pub(super) const Z: &str = "b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3";
    pub(super) const E: &str = "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640";
    pub(super) const R: &str = "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3";
    pub(super) const S: &str = "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa";
    pub(super) const MESSAGE: &[u8] = b"message digest";
    /// Annex C: "encryption standard" for the same key, C1‖C3‖C2.
    pub(super) const C: &str = "0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73\
        e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0\
        59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766\
        21886ca989ca9c7d58087307ca93092d651efa";
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn standard_key() -> SecretKey {
    SecretKey::from_bytes(&bytes(gmt0003::D).try_into().unwrap()).unwrap()
}

#[test]
fn sm3_gives_the_published_digests() {
    for (input, digest) in [
        (
            String::new(),
            "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b",
        ),
        (
            "abc".into(),
            "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
        ),
        (
            "abcd".repeat(16),
            "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
        ),
    ] {
        assert_eq!(sm3(input.as_bytes()).to_string(), digest, "{input:?}");
        let (left, right) = input.as_bytes().split_at(input.len() / 3);
        assert_eq!(
            sm3_parts(&[left, &[], right]).to_string(),
            digest,
            "{input:?} in parts"
        );
    }
}

/// RFC 2104 written out: the long and the short key, at and around the block's 64 bytes.
#[test]
fn hmac_is_two_hashes_over_a_padded_key() {
    for length in [0, 1, 32, 63, 64, 65, 200] {
        let key: Vec<u8> = (0..length).map(|i| i as u8).collect();
        let mut block = [0; 64];
        if length > 64 {
            block[..32].copy_from_slice(sm3(&key).as_bytes());
        } else {
            block[..length].copy_from_slice(&key);
        }
        let inner = sm3_parts(&[&block.map(|byte| byte ^ 0x36), b"part one", b"part two"]);
        let outer = sm3_parts(&[&block.map(|byte| byte ^ 0x5c), inner.as_bytes()]);
        assert_eq!(
            hmac_sm3(&key, &[b"part one", b"part two"]),
            outer,
            "{length}"
        );
    }
}

#[test]
fn the_standards_signature_verifies_and_its_intermediate_values_are_ours() {
    let id = DistinguishingId::default();
    let uncompressed = bytes(&["04", gmt0003::X, gmt0003::Y].concat());
    let key = PublicKey::try_from(uncompressed.as_slice()).unwrap();
    assert_eq!(key, *standard_key().public());
    assert_eq!(key.to_uncompressed().as_slice(), uncompressed);
    assert_eq!(hex::encode(key.to_sec1()), ["03", gmt0003::X].concat());
    assert_eq!(id.z(&key).to_string(), gmt0003::Z);
    assert_eq!(
        sm3_parts(&[&bytes(gmt0003::Z), gmt0003::MESSAGE]).to_string(),
        gmt0003::E
    );

    let signature = bytes(&[gmt0003::R, gmt0003::S].concat());
    let signature = Signature::try_from(signature.as_slice()).unwrap();
    let known = KnownKey::new(&key, &id);
    for (message, valid) in [
        (gmt0003::MESSAGE, true),
        (b"message digesT", false),
        (b"", false),
    ] {
        assert_eq!(known.verify(message, &signature).is_ok(), valid);
        assert_eq!(verify_once(&key, &id, message, &signature).is_ok(), valid);
    }
    let mutated = bytes(&[gmt0003::S, gmt0003::R].concat());
    let mutated = Signature::try_from(mutated.as_slice()).unwrap();
    assert_eq!(
        known.verify(gmt0003::MESSAGE, &mutated),
        Err(SignatureError::Mismatch)
    );
}

/// The library below the sealed envelope.
#[test]
fn the_standards_ciphertext_decrypts() {
    let scalar = sm2::SecretKey::from_slice(&bytes(gmt0003::D)).unwrap();
    let plaintext = DecryptingKey::new(scalar)
        .decrypt(&bytes(gmt0003::C))
        .unwrap();
    assert_eq!(plaintext, b"encryption standard");
}
