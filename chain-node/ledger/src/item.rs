//! Item leaves, salts and report roots: how a report's digest is made and one item proved.
//!
//! The holder computes them from its records, the institution's agent checks them; the ledger has
//! the root alone. A salt that only the source can derive keeps low-entropy items from being
//! guessed; the pseudonym is keyed for the same reason.

use xinqiao_crypto::{Digest, MacKey, Messages, merkle, sm3, sm3_each, sm3_parts};

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
        Subject(self.0.mac(&subject_input(uscc)))
    }

    /// Many subjects, hashed side by side.
    pub fn subjects<'a>(&self, codes: impl IntoIterator<Item = &'a Uscc>) -> Vec<Subject> {
        let mut inputs = Messages::default();
        for uscc in codes {
            inputs.push(&subject_input(uscc));
        }
        self.0.mac_each(&inputs).into_iter().map(Subject).collect()
    }
}

fn subject_input(uscc: &Uscc) -> [&[u8]; 2] {
    [b"xinqiao/subject/v1", uscc.expose().as_bytes()]
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
        pad(&self.0.mac(&pad_input(subject)))
    }

    /// The pads of many subjects, hashed side by side.
    pub fn code_pads(&self, subjects: &[Subject]) -> Vec<[u8; USCC_LENGTH]> {
        let mut inputs = Messages::default();
        for subject in subjects {
            inputs.push(&pad_input(subject));
        }
        self.0.mac_each(&inputs).iter().map(pad).collect()
    }

    /// The salt of one item of one subject, whose canonical form it depends on: two versions of an
    /// item have unrelated leaves.
    pub fn salt(&self, subject: &Subject, code: &ItemCode, canonical: &[u8]) -> Digest {
        self.0.mac(&salt_input(subject, code, &sm3(canonical)))
    }
}

fn pad_input(subject: &Subject) -> [&[u8]; 2] {
    [b"xinqiao/code-pad/v1", subject.as_bytes()]
}

fn pad(mac: &Digest) -> [u8; USCC_LENGTH] {
    let (pad, _) = (mac.as_bytes().split_first_chunk()).expect("32 bytes are more than 18");
    *pad
}

fn salt_input<'a>(subject: &'a Subject, code: &'a ItemCode, item: &'a Digest) -> [&'a [u8]; 5] {
    [
        b"xinqiao/salt/v1",
        subject.as_bytes(),
        length(code),
        code.as_str().as_bytes(),
        item.as_bytes(),
    ]
}

/// The most bytes that a salt or a leaf is derived from: two digests, a code with its length, and a tag.
const MAX_INPUT: usize = 2 * 32 + 33 + 15;

/// The code's length, in one byte.
fn length(code: &ItemCode) -> &'static [u8] {
    const LENGTHS: [u8; 33] = {
        let mut lengths = [0; 33];
        let mut length = 0;
        while length < lengths.len() {
            lengths[length] = length as u8;
            length += 1;
        }
        lengths
    };
    // A code has at most 32 bytes.
    std::slice::from_ref(&LENGTHS[code.as_str().len()])
}

/// Leaf of one item: SM3(0x00 ‖ length of the code (1) ‖ code ‖ salt (32) ‖ SM3(canonical item)).
pub fn leaf(code: &ItemCode, salt: &Digest, canonical: &[u8]) -> Digest {
    sm3_parts(&leaf_input(code, salt, &sm3(canonical)))
}

fn leaf_input<'a>(code: &'a ItemCode, salt: &'a Digest, item: &'a Digest) -> [&'a [u8]; 5] {
    [
        &[0],
        length(code),
        code.as_str().as_bytes(),
        salt.as_bytes(),
        item.as_bytes(),
    ]
}

/// An item's code and its canonical form.
pub type Content<'a> = (&'a ItemCode, &'a [u8]);

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
        items: impl IntoIterator<Item = Content<'a>>,
    ) -> Option<Self> {
        Self::each(key, vec![(*subject, items.into_iter().collect())])
            .pop()
            .flatten()
    }

    /// Digests many records, side by side: of each what [`DigestedReport::new`] gives.
    pub fn each<'a>(
        key: &SaltKey,
        mut records: Vec<(Subject, Vec<Content<'a>>)>,
    ) -> Vec<Option<Self>> {
        for (_, items) in &mut records {
            items.sort_by(|left, right| left.0.cmp(right.0));
            if items.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                items.clear();
            }
        }
        let all = || {
            (records.iter())
                .flat_map(|(subject, items)| items.iter().map(move |item| (subject, item)))
        };
        let contents: Vec<&[u8]> = all().map(|(_, (_, canonical))| *canonical).collect();
        let contents = sm3_each(&contents);
        let room = contents.len() * MAX_INPUT;
        let mut salts = Messages::with_capacity(contents.len(), room);
        for ((subject, (code, _)), item) in all().zip(&contents) {
            salts.push(&salt_input(subject, code, item));
        }
        let salts = key.0.mac_each(&salts);
        let mut leaves = Messages::with_capacity(contents.len(), room);
        for (((_, (code, _)), salt), item) in all().zip(&salts).zip(&contents) {
            leaves.push(&leaf_input(code, salt, item));
        }
        let (mut salts, mut leaves) = (salts.into_iter(), leaves.sm3().into_iter());
        let report = |(_, items): &(Subject, Vec<Content<'_>>)| {
            (!items.is_empty()).then(|| Self {
                codes: items.iter().map(|(code, _)| (*code).clone()).collect(),
                salts: salts.by_ref().take(items.len()).collect(),
                leaves: leaves.by_ref().take(items.len()).collect(),
            })
        };
        records.iter().map(report).collect()
    }

    /// The roots of many reports, hashed side by side.
    pub fn roots<'a>(reports: impl IntoIterator<Item = &'a Self>) -> Vec<Digest> {
        merkle::roots(reports.into_iter().map(|report| &*report.leaves))
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
