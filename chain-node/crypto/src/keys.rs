//! Public keys on sm2p256v1 (GB/T 32918.5), their ids, and the signer's distinguishing id.
//!
//! A [`PublicKey`] that exists is a point of the curve and not infinity: parsing is the only way
//! to one. No secret is in this module; see [`crate::secret`].

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use sm2::elliptic_curve::sec1::ToSec1Point;
use sm2::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use sm3::{Digest as _, Sm3};

use crate::digest::{Digest, DigestError, sm3_parts};

/// Why bytes or text are not a key or a distinguishing id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither 33 bytes (compressed) nor 65 bytes (uncompressed) with their tag.
    #[error("a public key is 33 bytes compressed (02, 03) or 65 bytes uncompressed (04)")]
    Encoding,
    /// The coordinates are no point of the curve, or not below the field's modulus.
    #[error("the public key is not a point on curve sm2p256v1")]
    NotOnCurve,
    /// Not a PEM document of the expected kind holding an SM2 key.
    #[error("not a PEM document with an SM2 key (id-ecPublicKey on sm2p256v1)")]
    Pem,
    /// A secret scalar outside 1..n-1 (GB/T 32918.1 §6.1 wants at most n-2).
    #[error("the secret key is out of range")]
    SecretRange,
    /// Empty, or longer than its 16-bit length in bits can say.
    #[error("a distinguishing id has 1 to 8191 bytes, not {0}")]
    DistinguishingId(usize),
}

/// An SM2 public key: a point on the curve other than infinity.
///
/// The canonical form, used for equality, order, hashing and Borsh, is 33 bytes SEC 1 compressed.
#[derive(Clone, Copy)]
pub struct PublicKey {
    sec1: [u8; 33],
    point: sm2::PublicKey,
}

impl PublicKey {
    /// Length of the canonical form in bytes.
    pub const LEN: usize = 33;

    /// The canonical form: SEC 1 compressed, 33 bytes.
    pub const fn to_sec1(&self) -> [u8; 33] {
        self.sec1
    }

    /// SEC 1 uncompressed (04 ‖ x ‖ y), 65 bytes, as most SM2 libraries write keys.
    pub fn to_uncompressed(&self) -> [u8; 65] {
        let encoded = self.point.to_sec1_point(false);
        encoded
            .as_bytes()
            .try_into()
            .expect("an uncompressed point that is not infinity has 65 bytes")
    }

    /// The key's id: SM3("xinqiao/key/v1" ‖ canonical form).
    pub fn id(&self) -> KeyId {
        KeyId(sm3_parts(&[b"xinqiao/key/v1", &self.sec1]))
    }

    /// SubjectPublicKeyInfo (RFC 5280) as PEM, `-----BEGIN PUBLIC KEY-----`.
    pub fn to_pem(&self) -> String {
        self.point
            .to_public_key_pem(LineEnding::LF)
            .expect("a valid point always has an SPKI form")
    }

    /// Reads what [`PublicKey::to_pem`] and `openssl pkey -pubout` write.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        sm2::PublicKey::from_public_key_pem(pem)
            .map(Self::from_point)
            .map_err(|_| KeyError::Pem)
    }

    pub(crate) fn from_point(point: sm2::PublicKey) -> Self {
        let encoded = point.to_sec1_point(true);
        let sec1 = encoded
            .as_bytes()
            .try_into()
            .expect("a compressed point that is not infinity has 33 bytes");
        Self { sec1, point }
    }

    pub(crate) const fn point(&self) -> &sm2::PublicKey {
        &self.point
    }
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = KeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, KeyError> {
        // The tags are checked here because SEC 1 knows more (infinity, hybrid, compact) than we take.
        match (bytes.len(), bytes.first()) {
            (33, Some(0x02 | 0x03)) | (65, Some(0x04)) => {}
            _ => return Err(KeyError::Encoding),
        }
        sm2::PublicKey::from_sec1_bytes(bytes)
            .map(Self::from_point)
            .map_err(|_| KeyError::NotOnCurve)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.sec1 == other.sec1
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sec1.cmp(&other.sec1)
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sec1.hash(state);
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sec1
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl BorshSerialize for PublicKey {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&self.sec1)
    }
}

impl BorshDeserialize for PublicKey {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let mut sec1 = [0; 33];
        reader.read_exact(&mut sec1)?;
        Self::try_from(sec1.as_slice())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Names a public key: SM3("xinqiao/key/v1" ‖ 33 bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct KeyId(Digest);

impl KeyId {
    /// The id as a digest.
    pub const fn digest(&self) -> Digest {
        self.0
    }

    /// The id as bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl From<Digest> for KeyId {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl TryFrom<&[u8]> for KeyId {
    type Error = DigestError;

    fn try_from(bytes: &[u8]) -> Result<Self, DigestError> {
        Digest::try_from(bytes).map(Self)
    }
}

impl FromStr for KeyId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

impl AsRef<[u8]> for KeyId {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

/// The signer's distinguishing id (ID_A, GB/T 32918.2 §5.5): 1 to 8191 bytes, so that its length
/// in bits fits the 16 bits of ENTL_A.
///
/// The default is `1234567812345678` (GM/T 0009-2012 §10). Later practice differs, so it is
/// configured and recorded, never assumed. Cloning it is cheap: it is part of every look-up of a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistinguishingId(Arc<[u8]>);

impl DistinguishingId {
    /// Longest id in bytes: 8 × 8191 = 65,528 bits still fit 16 bits.
    pub const MAX_LEN: usize = 8191;

    /// Takes 1 to 8191 bytes of any kind.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, KeyError> {
        let bytes = bytes.into();
        match bytes.len() {
            1..=Self::MAX_LEN => Ok(Self(bytes.into())),
            length => Err(KeyError::DistinguishingId(length)),
        }
    }

    /// The id's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Z_A = SM3(ENTL_A ‖ ID_A ‖ a ‖ b ‖ x_G ‖ y_G ‖ x_A ‖ y_A), GB/T 32918.2 §5.5.
    pub fn z(&self, key: &PublicKey) -> Digest {
        let bits = u16::try_from(self.0.len() * 8).expect("at most 8191 bytes, so 65,528 bits");
        let mut hasher = Sm3::new();
        hasher.update(bits.to_be_bytes());
        hasher.update(&self.0);
        hasher.update(CURVE);
        hasher.update(&key.to_uncompressed()[1..]);
        Digest::new(hasher.finalize().into())
    }
}

impl Default for DistinguishingId {
    fn default() -> Self {
        Self(Arc::from(&b"1234567812345678"[..]))
    }
}

impl TryFrom<&[u8]> for DistinguishingId {
    type Error = KeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::new(bytes)
    }
}

impl fmt::Debug for DistinguishingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistinguishingId({})", self.0.escape_ascii())
    }
}

impl BorshSerialize for DistinguishingId {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        self.0[..].serialize(writer)
    }
}

impl BorshDeserialize for DistinguishingId {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let length = u32::deserialize_reader(reader)? as usize;
        // Checked before anything is allocated for it.
        if !(1..=Self::MAX_LEN).contains(&length) {
            return Err(invalid(KeyError::DistinguishingId(length)));
        }
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes)?;
        Self::new(bytes).map_err(invalid)
    }
}

/// a ‖ b ‖ x_G ‖ y_G of sm2p256v1 (GB/T 32918.5 §2), the constant part of Z_A.
const CURVE: [u8; 128] = {
    const HEX: &[u8; 256] = b"FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC\
        28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93\
        32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7\
        BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0";
    const fn nibble(character: u8) -> u8 {
        match character {
            b'0'..=b'9' => character - b'0',
            _ => character - b'A' + 10,
        }
    }
    let mut bytes = [0; 128];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = nibble(HEX[2 * i]) << 4 | nibble(HEX[2 * i + 1]);
        i += 1;
    }
    bytes
};
