//! Verifying SM2 signatures: fast for keys that are known, plain for keys seen once.
//!
//! Both ways end in a [`SignatureValid`], which nothing else can make: a function that takes one
//! cannot be called without a check. Not here: what a signer may do.
//!
//! A [`KnownKey`] computes [s]G + [t]P from two fixed-base tables (one for G, shared by the
//! process; one for P) as at most 53 additions, and compares x without a division. Its verdict
//! equals the `sm2` crate's on every input; the tests hold it to that.

mod cache;
mod sum;
mod table;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::OnceLock;

use sm2::dsa::VerifyingKey;
use sm2::dsa::signature::hazmat::PrehashVerifier;
use sm2::elliptic_curve::ff::{Field as _, PrimeField};
use sm2::elliptic_curve::ops::Reduce;
use sm2::{AffinePoint, FieldBytes, Scalar};

pub use cache::VerifierCache;

use self::table::{Field, Table, sum_of_products};
use crate::digest::{Digest, sm3_parts};
use crate::keys::{DistinguishingId, KeyId, PublicKey};
use crate::signature::{Signature, SignatureError};

/// Window of a key's table: 464 KiB a key, 29 additions.
const KEY_WINDOW: u32 = 9;
/// Window of the generator's table: 1.5 MiB a process, 24 additions.
const GENERATOR_WINDOW: u32 = 11;

/// Proof that a signature was checked and is valid. Only this module makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureValid(());

/// Checks one signature with the `sm2` crate's own verification, without any precomputation.
pub fn verify_once(
    key: &PublicKey,
    id: &DistinguishingId,
    message: &[u8],
    signature: &Signature,
) -> Result<SignatureValid, SignatureError> {
    let prehash = sm3_parts(&[id.z(key).as_bytes(), message]);
    verify_prehash_once(key, &prehash, signature)
}

fn verify_prehash_once(
    key: &PublicKey,
    prehash: &Digest,
    signature: &Signature,
) -> Result<SignatureValid, SignatureError> {
    // The crate's own id is a string and only enters a digest that we replace with ours.
    let verifier = VerifyingKey::new("", *key.point()).expect("an empty id is short enough");
    verifier
        .verify_prehash(prehash.as_bytes(), &signature.inner())
        .map(|()| SignatureValid(()))
        .map_err(|_| SignatureError::Mismatch)
}

/// A public key with a distinguishing id, prepared for many verifications.
///
/// Preparing takes some milliseconds and 464 KiB: worth it from about fifty signatures on.
pub struct KnownKey {
    key: PublicKey,
    id: KeyId,
    z: Digest,
    table: Table<KEY_WINDOW>,
}

impl KnownKey {
    /// Prepares the key.
    pub fn new(key: &PublicKey, id: &DistinguishingId) -> Self {
        Self {
            key: *key,
            id: key.id(),
            z: id.z(key),
            table: Table::new(key.point().as_affine()),
        }
    }

    /// The key that was prepared.
    pub const fn public(&self) -> &PublicKey {
        &self.key
    }

    /// Its id.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Checks a signature over Z_A ‖ `message` (GB/T 32918.2 §7).
    pub fn verify(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<SignatureValid, SignatureError> {
        // Z_A is half a block of SM3, so a saved hash state would spare no compression.
        self.verify_prehash(&sm3_parts(&[self.z.as_bytes(), message]), signature)
    }

    /// Steps B4 to B7 of GB/T 32918.2 §7.1; B1 and B2 hold of every [`Signature`].
    fn verify_prehash(
        &self,
        prehash: &Digest,
        signature: &Signature,
    ) -> Result<SignatureValid, SignatureError> {
        let (r, s) = signature.inner().split_scalars();
        let e = Scalar::reduce(&FieldBytes::from(prehash.to_bytes()));
        let t = *r + *s;
        if t.is_zero_vartime() {
            return Err(SignatureError::Mismatch);
        }
        let point = sum_of_products((generator(), &*s), (&self.table, &t));
        // R = (e + x1) mod n equals r exactly when x1 is r - e, or that plus n where still below p.
        let x = (*r - e).to_repr();
        let candidate = field(x);
        if point.has_x(&candidate)
            || (x.as_slice() < P_MINUS_N.as_slice() && point.has_x(&(candidate + field(N.into()))))
        {
            Ok(SignatureValid(()))
        } else {
            Err(SignatureError::Mismatch)
        }
    }
}

impl fmt::Debug for KnownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownKey({})", self.key)
    }
}

/// The table of G, built on first use.
fn generator() -> &'static Table<GENERATOR_WINDOW> {
    static TABLE: OnceLock<Table<GENERATOR_WINDOW>> = OnceLock::new();
    TABLE.get_or_init(|| Table::new(&AffinePoint::GENERATOR))
}

/// A number below n as an element of the field, whose modulus p is larger.
fn field(below_p: FieldBytes) -> Field {
    Option::from(Field::from_repr(below_p)).expect("n is below p")
}

/// The order n of the group (GB/T 32918.5 §2), big endian.
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x72, 0x03, 0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5, 0x41, 0x23,
];

/// p - n, big endian: an x coordinate of at least n is n plus a number below this.
const P_MINUS_N: [u8; 32] = [
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x8d, 0xfc, 0x20, 0x93, 0xde, 0x39, 0xfa, 0xd5, 0xac, 0x44, 0x0b, 0xf6, 0xc6, 0x2a, 0xbe, 0xdc,
];
