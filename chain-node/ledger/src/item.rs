//! Item leaves, salts and report roots: how a report's digest is made and one item proved.
//!
//! The holder computes them from its records, the institution's agent checks them; the ledger has
//! the root alone. A salt that only the source can derive keeps low-entropy items from being
//! guessed; the pseudonym is keyed for the same reason.

use xinqiao_crypto::{Digest, MacKey, merkle, sm3, sm3_parts};

use crate::{
    ids::{ItemCode, Subject},
    receipt::Path,
    uscc::{USCC_LENGTH, Uscc},
};

/// The consortium's pseudonym key. Agents and data-holding nodes have it; gateways, nodes and
/// observers do not.
#[derive(Clone)]
pub struct PseudonymKey(MacKey);

impl From<[u8; 32]> for PseudonymKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(MacKey::new(&bytes))
    }
}

impl PseudonymKey {
    /// HMAC-SM3 over the code (DESIGN promise 1): how the subject is known on the ledger.
    pub fn subject(&self, uscc: &Uscc) -> Subject {
        let parts: [&[u8]; 2] = [b"xinqiao/subject/v1", uscc.expose().as_bytes()];
        Subject(self.0.mac(&parts))
    }
}

/// A source's salt key, which never leaves it.
#[derive(Clone)]
pub struct SaltKey(MacKey);

impl From<[u8; 32]> for SaltKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(MacKey::new(&bytes))
    }
}

impl SaltKey {
    /// The key with which an adapter seals where a scan has got to, so that the next process can go on there.
    pub fn checkpoint_key(&self) -> [u8; 32] {
        self.0.mac(&[b"xinqiao/checkpoint-key/v1"]).to_bytes()
    }

    /// What a subject's code is sealed with where the source keeps it beside the pseudonym: the first bytes of
    /// HMAC-SM3 over the pseudonym. A subject has one code, so no pad serves twice.
    pub fn code_pad(&self, subject: &Subject) -> [u8; USCC_LENGTH] {
        let mac = self.0.mac(&[b"xinqiao/code-pad/v1", subject.as_bytes()]);
        let (pad, _) = (mac.as_bytes().split_first_chunk()).expect("32 bytes are more than 18");
        *pad
    }

    /// The salt of one item of one subject, whose canonical form it depends on: two versions of an
    /// item have unrelated leaves.
    pub fn salt(&self, subject: &Subject, code: &ItemCode, canonical: &[u8]) -> Digest {
        self.salt_of(subject, code, &sm3(canonical))
    }

    fn salt_of(&self, subject: &Subject, code: &ItemCode, item: &Digest) -> Digest {
        self.0.mac(&[
            b"xinqiao/salt/v1",
            subject.as_bytes(),
            &length(code),
            code.as_str().as_bytes(),
            item.as_bytes(),
        ])
    }
}

fn length(code: &ItemCode) -> [u8; 1] {
    [u8::try_from(code.as_str().len()).expect("codes have at most 32 bytes")]
}

/// Leaf of one item: SM3(0x00 ‖ length of the code (1) ‖ code ‖ salt (32) ‖ SM3(canonical item)).
pub fn leaf(code: &ItemCode, salt: &Digest, canonical: &[u8]) -> Digest {
    leaf_of(code, salt, &sm3(canonical))
}

fn leaf_of(code: &ItemCode, salt: &Digest, item: &Digest) -> Digest {
    sm3_parts(&[
        &[0],
        &length(code),
        code.as_str().as_bytes(),
        salt.as_bytes(),
        item.as_bytes(),
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
        let (salts, leaves) = items
            .iter()
            .map(|(code, canonical)| {
                let item = sm3(canonical);
                let salt = key.salt_of(subject, code, &item);
                (salt, leaf_of(code, &salt, &item))
            })
            .unzip();
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
