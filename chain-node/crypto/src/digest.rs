//! SM3 (GB/T 32905-2016) digests and HMAC-SM3, as one 32-byte type.
//!
//! Not a hashing framework: the product uses one hash, so there is no type parameter for it.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use hmac::{Hmac, KeyInit, Mac};
use sm3::{Digest as _, Sm3};
use zeroize::Zeroizing;

use crate::many::{BLOCK, Chain, chain_after};

/// The output of SM3: 32 bytes. Ordered as bytes; written as 64 lower-case hexadecimal characters.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize,
)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Thirty-two zero bytes: "none yet" where a format has no room for an option, such as the
    /// parent of the first block. No known input has this digest.
    pub const ZERO: Self = Self([0; 32]);

    /// Wraps bytes that are already a digest. [`sm3`] computes one.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest as bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest as an owned array.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

/// Why bytes or text are not a [`Digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not 32 bytes.
    #[error("a digest has 32 bytes, not {0}")]
    Length(usize),
    /// Not 64 hexadecimal characters.
    #[error("a digest is written as 64 hexadecimal characters")]
    Hex,
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = DigestError;

    fn try_from(bytes: &[u8]) -> Result<Self, DigestError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| DigestError::Length(bytes.len()))
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError::Hex)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SM3 of `data`.
pub fn sm3(data: &[u8]) -> Digest {
    Digest(Sm3::digest(data).into())
}

/// SM3 of the concatenation of `parts`, without building it.
///
/// The boundaries between parts are not hashed: where parts vary in length, the caller writes the
/// lengths in.
pub fn sm3_parts(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sm3::new();
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

/// A key of HMAC-SM3 (GM/T 0042, RFC 2104), prepared: who computes many pays for the key once. What was made of the
/// key is wiped from memory when it is dropped.
#[derive(Clone)]
pub struct MacKey {
    mac: Hmac<Sm3>,
    chains: Zeroizing<[Chain; 2]>,
}

impl MacKey {
    /// Prepares a key of any length.
    pub fn new(key: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(key).expect("HMAC takes keys of every length (RFC 2104 §2)");
        let chains = Zeroizing::new([0x36, 0x5c].map(|pad| {
            let mut block = Zeroizing::new([pad; BLOCK]);
            let hashed = (key.len() > BLOCK).then(|| Zeroizing::new(sm3(key).to_bytes()));
            let key = hashed.as_ref().map_or(key, |hashed| &hashed[..]);
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            chain_after(&block)
        }));
        Self { mac, chains }
    }

    /// The chaining values after the inner and after the outer block of the key (RFC 2104 §4).
    pub(crate) fn chains(&self) -> &[Chain; 2] {
        &self.chains
    }

    /// HMAC-SM3 over the concatenation of the parts.
    pub fn mac(&self, parts: &[&[u8]]) -> Digest {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(part);
        }
        Digest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for MacKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey")
    }
}

/// HMAC-SM3 (GB/T 15852.2, RFC 2104 with SM3) of the concatenation of `parts`.
///
/// As in [`sm3_parts`], the boundaries between parts are not part of the input.
pub fn hmac_sm3(key: &[u8], parts: &[&[u8]]) -> Digest {
    MacKey::new(key).mac(parts)
}
