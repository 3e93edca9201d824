//! Evidence files: one order's whole life in one file, checked against the genesis and nothing else.
//!
//! ```text
//! xinqiao evidence v1⏎                     what it is
//! 64 lower-case hexadecimal digits⏎        SM3 over all bytes that follow
//! …                                        canonical protobuf EvidenceBundle
//! ```
//!
//! The digest is for accidents: it names a damaged file at once. Against someone who computes it
//! anew stand the certificates, paths and signatures, which cover every byte of the bundle.
//! [`verify`] checks them, then says what follows: [`Findings`], each claim proven, not shown for a
//! reason, or contradicted by what the consortium itself certified.
//!
//! Not here: where the bundle comes from, and the report itself, of which the ledger knows digests
//! alone.

mod authentic;
mod claims;
mod findings;
mod wording;

use std::fmt;

use prost::Message;
use xinqiao_crypto::sm3;

use crate::{
    block::Uncertified,
    genesis::Genesis,
    ids::{ChainId, Height, OrderId, TxId},
    malformed::{Malformed, Problem},
    receipt::Unproven,
    tx::canonical,
    validators::NotHandedOver,
    wire,
};

pub use self::{
    authentic::{Fired, Moment, Signer, Step},
    findings::{Claim, Findings, Gap, PartEnd, Standing, Statement},
    wording::Sentence,
};

/// The line that every evidence file begins with.
pub const HEADING: &[u8] = b"xinqiao evidence v1\n";

/// The most bytes of an evidence file: room for one whole batch of digests for each of 64 parts.
pub const MAX_FILE_BYTES: usize = 80 << 20;

/// The most receipts of one bundle, those of transactions and of blocks together.
pub const MAX_RECEIPTS: usize = 1_000;

/// The most changes of validators that one bundle follows.
pub const MAX_HANDOVERS: usize = 1_000;

/// The digest's line: 64 digits and a line feed.
const DIGEST_LINE: usize = 65;

/// What a bundle is made of, by its place in its list, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The receipt of a transaction.
    Receipt(usize),
    /// The receipt of a block's own outcome.
    Block(usize),
}

impl fmt::Display for Piece {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receipt(place) => write!(out, "receipt {place}"),
            Self::Block(place) => write!(out, "block {place}"),
        }
    }
}

/// Why a file is no evidence at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceFault {
    /// It is larger than evidence may be.
    #[error("the file has {got} bytes, an evidence file has at most {max}")]
    TooLarge {
        /// The most bytes it may have.
        max: usize,
        /// Bytes it has.
        got: usize,
    },
    /// It does not begin as evidence of this version does.
    #[error("the file does not begin with the line \"xinqiao evidence v1\"")]
    Heading,
    /// It ends before its contents begin.
    #[error("the file ends within its second line, the digest")]
    Truncated,
    /// Its contents are not those that its digest was computed over.
    #[error(
        "the file was changed or damaged: its contents have the SM3 digest {got}, its second line says {said}"
    )]
    Digest {
        /// What the second line says, as far as it is text.
        said: String,
        /// What the contents have.
        got: String,
    },
    /// A field is not what the contract says.
    #[error("the bundle is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The genesis is no genesis.
    #[error("the genesis is malformed: {0}")]
    Genesis(Malformed),
    /// It is of another consortium, or another genesis was given.
    #[error("the evidence is of chain {found}, the genesis given is of chain {genesis}")]
    OtherChain {
        /// The chain of the evidence.
        found: ChainId,
        /// The chain of the genesis.
        genesis: ChainId,
    },
    /// The validators before did not hand over to these.
    #[error("handover {place} of the evidence is not believed: {why}")]
    Handover {
        /// Its place in the bundle, from 0.
        place: usize,
        /// What is wrong with it.
        why: NotHandedOver,
    },
    /// The newest header is not certified by the validators in force at its height.
    #[error("the newest header of the evidence is not certified: {0}")]
    Tip(Uncertified),
    /// A receipt proves nothing.
    #[error("{piece} proves nothing: {why}")]
    Receipt {
        /// Which one.
        piece: Piece,
        /// What is wrong with it.
        why: Unproven,
    },
    /// A receipt's block is not part of the history that the newest header stands for.
    #[error(
        "{piece}: its block at height {height} is not shown to be part of the history that ends at height {tip}"
    )]
    History {
        /// Which receipt.
        piece: Piece,
        /// Height of its block.
        height: Height,
        /// Height of the newest header.
        tip: Height,
    },
    /// Receipts are not in the order of the ledger, each once.
    #[error("{piece} does not come after the one before it on the ledger")]
    OutOfOrder {
        /// Which one.
        piece: Piece,
    },
    /// A transaction was not signed by the key that it names.
    #[error("receipt {receipt}: the signature of transaction {id} is not that of its signer")]
    Signature {
        /// Place of the receipt in the bundle, from 0.
        receipt: usize,
        /// The transaction.
        id: TxId,
    },
    /// The order is not among the receipts.
    #[error("the evidence has no receipt of order {0}")]
    OrderMissing(OrderId),
    /// The transaction of that id placed no order.
    #[error("transaction {id} placed no order: {why}")]
    NoOrder {
        /// What was named as the order.
        id: OrderId,
        /// What it was or came to.
        why: String,
    },
}

/// The evidence file of a bundle.
pub fn encode(bundle: &wire::EvidenceBundle) -> Vec<u8> {
    let contents = bundle.encode_to_vec();
    let mut file = Vec::with_capacity(HEADING.len() + DIGEST_LINE + contents.len());
    file.extend_from_slice(HEADING);
    file.extend_from_slice(sm3(&contents).to_string().as_bytes());
    file.push(b'\n');
    file.extend_from_slice(&contents);
    file
}

/// The bundle of an evidence file: whole and canonical, but nothing in it checked.
///
/// # Errors
/// When the file is no evidence file, or not the one that was written.
pub fn decode(file: &[u8]) -> Result<wire::EvidenceBundle, EvidenceFault> {
    if file.len() > MAX_FILE_BYTES {
        return Err(EvidenceFault::TooLarge {
            max: MAX_FILE_BYTES,
            got: file.len(),
        });
    }
    let rest = file.strip_prefix(HEADING).ok_or(EvidenceFault::Heading)?;
    let (line, contents) = rest
        .split_at_checked(DIGEST_LINE)
        .ok_or(EvidenceFault::Truncated)?;
    let got = sm3(contents).to_string();
    if line.strip_suffix(b"\n") != Some(got.as_bytes()) {
        return Err(EvidenceFault::Digest {
            said: line.escape_ascii().to_string(),
            got,
        });
    }
    Ok(canonical("bundle", contents)?)
}

/// Checks an evidence file against the genesis of its chain, and says what it proves.
///
/// # Errors
/// When anything in the file is not authentic. What authentic evidence leaves open, or says against
/// itself, is no error but a finding.
pub fn verify(file: &[u8], genesis: &Genesis) -> Result<Findings, EvidenceFault> {
    verify_bundle(&decode(file)?, genesis)
}

/// As [`verify`], for a bundle that came otherwise than as a file.
///
/// # Errors
/// As there.
pub fn verify_bundle(
    bundle: &wire::EvidenceBundle,
    genesis: &Genesis,
) -> Result<Findings, EvidenceFault> {
    if bundle.version != 1 {
        return Err(Malformed::new(
            "bundle.version",
            Problem::Range {
                min: 1,
                max: 1,
                got: bundle.version.into(),
            },
        )
        .into());
    }
    let order = OrderId::parse("bundle.order", &bundle.order)?;
    let authentic = authentic::check(bundle, genesis)?;
    claims::find(authentic, order, genesis)
}
