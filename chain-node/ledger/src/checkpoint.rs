//! Checkpoints: a digest over a whole state, which validators certify by naming it in a later header.
//!
//! The state commitment is a chain over what blocks write and cannot tell whether a state that was
//! handed over as a whole is right. So every so many blocks the state is cut into chunks: its pairs
//! in ascending order of keys, a chunk closed as soon as it has [`CHUNK_BYTES`]. The digest is over
//! the header whose state this is, the number of pairs, and the root over the chunks: every node
//! comes to the same, and a chunk can be checked by itself before one key of it is believed.
//!
//! Not here: when one is taken (`contracts::checkpoints`), and where it is kept (`store`).

use xinqiao_crypto::{Digest, Frontier, merkle, sm3_parts};

use crate::{
    block::{Certificate, Certified, Header, Uncertified},
    ids::{ChainId, HeaderHash, Height},
    malformed::{Malformed, Problem, fixed, list, required},
    validators::Epochs,
    wire,
};

/// A chunk is closed once it has so many bytes.
pub const CHUNK_BYTES: usize = 512 << 10;

/// The most bytes of one chunk. Its last pair may be the largest that a contract writes: a proposal,
/// which a transaction of 1 MiB holds.
pub const MAX_CHUNK_BYTES: usize = 3 << 20;

/// The most chunks of one state: 32 GiB.
pub const MAX_CHUNKS: usize = 1 << 16;

/// What identifies a whole state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The height that it is the state after.
    pub height: Height,
    /// Hash of that height's header.
    pub header: HeaderHash,
    /// Pairs.
    pub pairs: u64,
    /// Root over the chunks' leaf hashes.
    pub root: Digest,
}

impl Checkpoint {
    /// SM3 over a tag and all fields.
    pub fn digest(&self) -> Digest {
        sm3_parts(&[
            b"xinqiao/checkpoint/v1",
            &self.height.to_be_bytes(),
            self.header.as_bytes(),
            &self.pairs.to_be_bytes(),
            self.root.as_bytes(),
        ])
    }
}

/// Cuts a state into chunks. Pairs come in ascending order of keys.
#[derive(Debug, Default)]
pub struct Cutter {
    bytes: Vec<u8>,
}

impl Cutter {
    /// Adds a pair; gives the chunk that it completes.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        for part in [key, value] {
            let length = u32::try_from(part.len());
            let length = length.expect("keys and values are far below 4 GiB");
            self.bytes.extend_from_slice(&length.to_be_bytes());
            self.bytes.extend_from_slice(part);
        }
        (self.bytes.len() >= CHUNK_BYTES).then(|| std::mem::take(&mut self.bytes))
    }

    /// The last chunk, if anything is left for it.
    pub fn finish(self) -> Option<Vec<u8>> {
        (!self.bytes.is_empty()).then_some(self.bytes)
    }
}

/// A key and its value, as a chunk holds them.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// The pairs of a chunk, in their order.
///
/// # Errors
/// When the bytes are no chunk.
pub fn pairs(chunk: &[u8]) -> Result<Vec<Pair<'_>>, Malformed> {
    let broken = || Malformed::new("chunk", Problem::Format("pairs with their lengths"));
    let mut rest = chunk;
    let mut part = || -> Option<&[u8]> {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after;
        Some(part)
    };
    let mut found: Vec<Pair<'_>> = Vec::new();
    let mut used = 0;
    while used < chunk.len() {
        let (key, value) = (part().ok_or_else(broken)?, part().ok_or_else(broken)?);
        if found.last().is_some_and(|(last, _)| *last >= key) {
            return Err(Malformed::new("chunk", Problem::NotAscending));
        }
        used += 8 + key.len() + value.len();
        found.push((key, value));
    }
    Ok(found)
}

/// A snapshot as it was offered: nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The header that it is the state after.
    pub header: Header,
    /// The certificate over it.
    pub certificate: Certificate,
    /// The history over all headers before it.
    pub history: Frontier,
    /// Pairs of the state.
    pub pairs: u64,
    /// Leaf hashes of the chunks.
    pub chunks: Vec<Digest>,
    /// The header that names it.
    pub naming: Header,
    /// The certificate over that.
    pub naming_certificate: Certificate,
}

/// Why an offered snapshot is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCertified {
    /// It is of another chain.
    #[error("it is of another chain")]
    OtherChain,
    /// The header that should name it is not above it.
    #[error("the header that should name it is not above it")]
    NotAbove,
    /// The validators in force did not certify a header.
    #[error("its header at height {height} is not certified: {fault}")]
    Uncertified {
        /// The header's height.
        height: Height,
        /// Why.
        fault: Uncertified,
    },
    /// The certified header names another checkpoint, or none.
    #[error("the certified header at height {0} names another checkpoint, or none")]
    NotNamed(Height),
    /// The history does not lead to the header's root.
    #[error("its history is not the one that its header is over")]
    OtherHistory,
}

impl Offer {
    /// What it says it is.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            height: self.header.height,
            header: self.header.hash(),
            pairs: self.pairs,
            root: merkle::root(&self.chunks),
        }
    }

    /// Checks everything but the chunks themselves, against the validators since the genesis. Those
    /// must be known up to the header that names it.
    ///
    /// # Errors
    /// [`NotCertified`].
    pub fn certified(self, chain: &ChainId, epochs: &Epochs) -> Result<Snapshot, NotCertified> {
        if self.header.chain != *chain || self.naming.chain != *chain {
            return Err(NotCertified::OtherChain);
        }
        let (height, above) = (self.header.height, self.naming.height);
        if above <= height {
            return Err(NotCertified::NotAbove);
        }
        let certified = |certificate: &Certificate, header: &Header| {
            let height = header.height;
            (certificate.check(header.clone(), epochs.at(height)))
                .map_err(|fault| NotCertified::Uncertified { height, fault })
        };
        let header = certified(&self.certificate, &self.header)?;
        let naming = certified(&self.naming_certificate, &self.naming)?;
        if naming.checkpoint != Some(self.checkpoint().digest()) {
            return Err(NotCertified::NotNamed(above));
        }
        if self.history.size() != height - 1 || self.history.root() != header.history_root {
            return Err(NotCertified::OtherHistory);
        }
        Ok(Snapshot {
            checkpoint: self.checkpoint(),
            header,
            certificate: self.certificate,
            history: self.history,
            chunks: self.chunks,
        })
    }
}

/// A snapshot that validators certified: proof that the offer was checked. Its chunks are believed one
/// by one, by their leaf hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    checkpoint: Checkpoint,
    header: Certified,
    certificate: Certificate,
    history: Frontier,
    chunks: Vec<Digest>,
}

impl Snapshot {
    /// What identifies it.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The header that it is the state after.
    pub fn header(&self) -> &Certified {
        &self.header
    }

    /// The certificate over it.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The history over all headers before it.
    pub fn history(&self) -> &Frontier {
        &self.history
    }

    /// How many chunks it has.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Whether these bytes are the chunk of that index.
    pub fn is_chunk(&self, index: usize, bytes: &[u8]) -> bool {
        self.chunks.get(index) == Some(&merkle::leaf_hash(bytes))
    }
}

impl TryFrom<&wire::Snapshot> for Offer {
    type Error = Malformed;

    fn try_from(wire: &wire::Snapshot) -> Result<Self, Malformed> {
        let digest = |field: &str, bytes: &Vec<u8>| fixed::<32>(field, bytes).map(Digest::from);
        let header_of =
            |field: &str, bytes: &[u8]| Header::parse(bytes).map_err(|fault| fault.within(field));
        let certificate_of = |field: &str, certificate: &Option<wire::Certificate>| {
            Certificate::try_from(required(field, certificate.as_ref())?)
                .map_err(|fault| fault.within(field))
        };
        let header = header_of("header", &wire.header)?;
        let peaks = list("history", &wire.history, 0, 64, digest)?;
        let history = Frontier::from_peaks(header.height - 1, peaks).ok_or_else(|| {
            Malformed::new("history", Problem::Format("the history before the header"))
        })?;
        Ok(Self {
            certificate: certificate_of("certificate", &wire.certificate)?,
            history,
            pairs: wire.pairs,
            chunks: list("chunks", &wire.chunks, 1, MAX_CHUNKS, digest)?,
            naming: header_of("naming_header", &wire.naming_header)?,
            naming_certificate: certificate_of("naming_certificate", &wire.naming_certificate)?,
            header,
        })
    }
}

impl From<&Offer> for wire::Snapshot {
    fn from(offer: &Offer) -> Self {
        let bytes = |digest: &Digest| digest.as_bytes().to_vec();
        Self {
            header: offer.header.encode(),
            certificate: Some((&offer.certificate).into()),
            history: offer
                .history
                .peaks()
                .map(|peak| bytes(&peak.digest))
                .collect(),
            pairs: offer.pairs,
            chunks: offer.chunks.iter().map(bytes).collect(),
            naming_header: offer.naming.encode(),
            naming_certificate: Some((&offer.naming_certificate).into()),
        }
    }
}
