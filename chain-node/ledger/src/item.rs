//! Item leaves, salts and report roots: how a report's digest is made and one item proved.
//!
//! The holder computes them from its records, the institution's agent checks them; the ledger has
//! the root alone. A salt that only the source can derive keeps low-entropy items from being
//! guessed; the pseudonym is keyed for the same reason.

use xinqiao_crypto::{Digest, hmac_sm3, merkle, sm3, sm3_parts};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    ids::{ItemCode, Subject},
    receipt::Path,
    uscc::Uscc,
};

/// The consortium's pseudonym key. Agents and data-holding nodes have it; gateways, nodes and
/// observers do not.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PseudonymKey([u8; 32]);

impl From<[u8; 32]> for PseudonymKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PseudonymKey {
    /// HMAC-SM3 over the code (DESIGN promise 1): how the subject is known on the ledger.
    pub fn subject(&self, uscc: &Uscc) -> Subject {
        Subject(hmac_sm3(
            &self.0,
            &[b"xinqiao/subject/v1", uscc.expose().as_bytes()],
        ))
    }
}

/// A source's salt key, which never leaves it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SaltKey([u8; 32]);

impl From<[u8; 32]> for SaltKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl SaltKey {
    /// The salt of one item of one subject, whose canonical form it depends on: two versions of an
    /// item have unrelated leaves.
    pub fn salt(&self, subject: &Subject, code: &ItemCode, canonical: &[u8]) -> Digest {
        let length = [u8::try_from(code.as_str().len()).expect("codes have at most 32 bytes")];
        hmac_sm3(
            &self.0,
            &[
                b"xinqiao/salt/v1",
                subject.as_bytes(),
                &length,
                code.as_str().as_bytes(),
                sm3(canonical).as_bytes(),
            ],
        )
    }
}

/// Leaf of one item: SM3(0x00 ‖ length of the code (1) ‖ code ‖ salt (32) ‖ SM3(canonical item)).
pub fn leaf(code: &ItemCode, salt: &Digest, canonical: &[u8]) -> Digest {
    let length = [u8::try_from(code.as_str().len()).expect("codes have at most 32 bytes")];
    sm3_parts(&[
        &[0],
        &length,
        code.as_str().as_bytes(),
        salt.as_bytes(),
        sm3(canonical).as_bytes(),
    ])
}

/// A record's items with their salts and leaves, in ascending order of codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestedReport {
    codes: Vec<ItemCode>,
    salts: Vec<Digest>,
    leaves: Vec<Digest>,
}

impl DigestedReport {
    /// Digests a record's items; `None` when there are none, or when a code comes twice.
    pub fn new<'a>(
        key: &SaltKey,
        subject: &Subject,
        items: impl IntoIterator<Item = (&'a ItemCode, &'a [u8])>,
    ) -> Option<Self> {
        let mut items: Vec<_> = items.into_iter().collect();
        items.sort_by(|left, right| left.0.cmp(right.0));
        if items.is_empty() || items.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        let salts: Vec<Digest> = items
            .iter()
            .map(|(code, canonical)| key.salt(subject, code, canonical))
            .collect();
        let leaves = items
            .iter()
            .zip(&salts)
            .map(|((code, canonical), salt)| leaf(code, salt, canonical))
            .collect();
        Some(Self {
            codes: items.into_iter().map(|(code, _)| code.clone()).collect(),
            salts,
            leaves,
        })
    }

    /// The report root.
    pub fn root(&self) -> Digest {
        merkle::root(&self.leaves)
    }

    /// The item codes, ascending.
    pub fn codes(&self) -> &[ItemCode] {
        &self.codes
    }

    /// Salt and path of one item, if the report has it.
    pub fn proof(&self, code: &ItemCode) -> Option<(Digest, Path)> {
        let index = self.codes.binary_search(code).ok()?;
        let path = Path::of(&self.leaves, index).expect("the index was found in this report");
        Some((self.salts[index], path))
    }
}
