//! The SM2 signature value: 64 bytes r‖s, both big endian, both in 1..n-1.
//!
//! Whether it is *valid* for a message is another matter: see [`crate::verify`]. There is no
//! "low s" form in SM2; (r, n-s) is simply another, wrong, signature.

use std::fmt;
use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use sm2::dsa::SignatureBytes;

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 64 bytes.
    #[error("a signature has 64 bytes, not {0}")]
    Length(usize),
    /// r or s is zero, or not below the group's order n (GB/T 32918.2 §7.1, B1 and B2).
    #[error("r and s of a signature must lie in 1..n-1")]
    Range,
    /// Not the one DER encoding of the two integers.
    #[error("not a DER-encoded SM2 signature")]
    Der,
    /// The numbers are well formed but do not sign this message with this key and id.
    #[error("the signature does not match the message, the key or the distinguishing id")]
    Mismatch,
}

/// r‖s, 64 bytes, with r and s known to lie in 1..n-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Length in bytes.
    pub const LEN: usize = 64;

    /// r‖s.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// r‖s as an owned array.
    pub const fn to_bytes(self) -> [u8; 64] {
        self.0
    }

    /// SEQUENCE { r INTEGER, s INTEGER } in DER, as GM/T 0009 and OpenSSL write signatures.
    pub fn to_der(&self) -> Vec<u8> {
        self.inner().to_der().to_vec()
    }

    /// Reads [`Signature::to_der`]'s form and no other: minimal lengths, minimal integers, nothing after.
    pub fn from_der(der: &[u8]) -> Result<Self, SignatureError> {
        let inner = sm2::dsa::Signature::from_der(der).map_err(|_| SignatureError::Der)?;
        let signature = Self::from_inner(&inner);
        // Whatever leniency the parser has ends here.
        if signature.to_der() == der {
            Ok(signature)
        } else {
            Err(SignatureError::Der)
        }
    }

    pub(crate) fn from_inner(inner: &sm2::dsa::Signature) -> Self {
        Self(inner.to_bytes().into())
    }

    pub(crate) fn inner(&self) -> sm2::dsa::Signature {
        sm2::dsa::Signature::from_bytes(&SignatureBytes::from(self.0))
            .expect("r and s were checked when this value was made")
    }
}

impl TryFrom<&[u8]> for Signature {
    type Error = SignatureError;

    fn try_from(bytes: &[u8]) -> Result<Self, SignatureError> {
        let array: [u8; 64] = bytes
            .try_into()
            .map_err(|_| SignatureError::Length(bytes.len()))?;
        sm2::dsa::Signature::from_bytes(&SignatureBytes::from(array))
            .map_err(|_| SignatureError::Range)?;
        Ok(Self(array))
    }
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl BorshSerialize for Signature {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&self.0)
    }
}

impl BorshDeserialize for Signature {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let mut bytes = [0; 64];
        reader.read_exact(&mut bytes)?;
        Self::try_from(bytes.as_slice())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
