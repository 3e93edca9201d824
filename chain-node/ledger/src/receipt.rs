//! Receipts: proof that a transaction was ordered and what it came to, and of what a block recorded
//! by itself.

use xinqiao_crypto::{Digest, VerifierCache, merkle};

use crate::{
    block::{Certificate, Certified, Header, Uncertified},
    ids::{ChainId, TxId},
    malformed::{Malformed, fixed, list, required},
    outcome::{Event, Outcome},
    tx::Tx,
    validators::Epochs,
    wire,
};

/// The most siblings that a path may have.
pub const MAX_PATH: usize = 64;

/// A path in an RFC 6962-shaped tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Index of the leaf.
    pub index: u64,
    /// Number of leaves.
    pub size: u64,
    /// Siblings from the leaf upwards.
    pub siblings: Vec<Digest>,
}

impl Path {
    /// Whether the path leads from that leaf to that root.
    pub fn leads(&self, leaf: Digest, root: Digest) -> bool {
        merkle::verify_inclusion(&root, self.size, self.index, &leaf, &self.siblings).is_ok()
    }

    /// The path of one leaf among others.
    ///
    /// # Errors
    /// When there is no leaf of that index.
    pub fn of(leaves: &[Digest], index: usize) -> Result<Self, merkle::MerkleError> {
        Ok(Self {
            index: index as u64,
            size: leaves.len() as u64,
            siblings: merkle::inclusion_path(leaves, index as u64)?,
        })
    }

    /// The path of one leaf of a tree.
    ///
    /// # Errors
    /// When there is no leaf of that index.
    pub fn in_tree(tree: &merkle::Tree, index: usize) -> Result<Self, merkle::MerkleError> {
        Ok(Self {
            index: index as u64,
            size: tree.size(),
            siblings: tree.path(index as u64)?,
        })
    }
}

impl TryFrom<&wire::MerklePath> for Path {
    type Error = Malformed;

    fn try_from(wire: &wire::MerklePath) -> Result<Self, Malformed> {
        Ok(Self {
            index: wire.index,
            size: wire.size,
            siblings: list("siblings", &wire.siblings, 0, MAX_PATH, |field, bytes| {
                fixed::<32>(field, bytes).map(Digest::from)
            })?,
        })
    }
}

impl From<&Path> for wire::MerklePath {
    fn from(path: &Path) -> Self {
        Self {
            index: path.index,
            size: path.size,
            siblings: path
                .siblings
                .iter()
                .map(|digest| digest.as_bytes().to_vec())
                .collect(),
        }
    }
}

/// A receipt whose certificate and paths were checked: nothing else makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Proven {
    header: Certified,
    index: u64,
    tx: Tx,
    outcome: Outcome,
}

impl Proven {
    /// The certified header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Index of the transaction within its block.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Id of the transaction.
    pub fn id(&self) -> TxId {
        self.tx.meta().id
    }

    /// The transaction. Its signature was checked by the quorum that applied it.
    pub fn tx(&self) -> &Tx {
        &self.tx
    }

    /// What it came to.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

/// A block's own outcome whose certificate and path were checked: nothing else makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct ProvenBlock {
    header: Certified,
    events: Vec<Event>,
}

impl ProvenBlock {
    /// The certified header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What happened because deadlines had passed, before any of the block's transactions.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It is not well formed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its header is of another chain.
    #[error("the header is of another chain")]
    OtherChain,
    /// Its header is not certified.
    #[error(transparent)]
    Uncertified(#[from] Uncertified),
    /// The transaction is not in the block.
    #[error("the path does not lead from the transaction to the header's root")]
    TransactionPath,
    /// The outcome is not in the block, or not this transaction's.
    #[error("the path does not lead from this transaction's outcome to the header's root")]
    OutcomePath,
    /// The outcome is not the block's own.
    #[error("the path does not lead from the block's own outcome to the header's root")]
    BlockOutcomePath,
}

/// A header of this chain under its certificate.
fn certified(
    header: &[u8],
    certificate: Option<&wire::Certificate>,
    epochs: &Epochs,
    chain: &ChainId,
    known: Option<&VerifierCache>,
) -> Result<Certified, Unproven> {
    let header = Header::parse(header)?;
    if header.chain != *chain {
        return Err(Unproven::OtherChain);
    }
    let certificate = Certificate::try_from(required("certificate", certificate)?)?;
    let validators = epochs.at(header.height);
    Ok(match known {
        Some(known) => certificate.check_known(header, validators, known)?,
        None => certificate.check(header, validators)?,
    })
}

/// Checks the proof of a block's own outcome against the validators in force at its height.
///
/// # Errors
/// With the first thing that is wrong.
pub fn check_block(
    wire: &wire::BlockReceipt,
    epochs: &Epochs,
    chain: &ChainId,
) -> Result<ProvenBlock, Unproven> {
    let certificate = wire.certificate.as_ref();
    let header = certified(&wire.header, certificate, epochs, chain, None)?;
    let (id, outcome) = Outcome::parse(&wire.outcome)?;
    let path = Path::try_from(required("outcome_path", wire.outcome_path.as_ref())?)?;
    let first = path.index == 0
        && path.size == u64::from(header.tx_count) + 1
        && path.leads(merkle::leaf_hash(&wire.outcome), header.outcome_root);
    match (id, outcome) {
        (None, Outcome::Applied(events)) if first => Ok(ProvenBlock { header, events }),
        _ => Err(Unproven::BlockOutcomePath),
    }
}

/// Checks a receipt against the validators in force at its height.
///
/// # Errors
/// With the first thing that is wrong.
pub fn check(wire: &wire::Receipt, epochs: &Epochs, chain: &ChainId) -> Result<Proven, Unproven> {
    check_by(wire, epochs, chain, None)
}

/// As [`check`], with tables of known keys: for those who check many.
///
/// # Errors
/// As there.
pub fn check_known(
    wire: &wire::Receipt,
    epochs: &Epochs,
    chain: &ChainId,
    known: &VerifierCache,
) -> Result<Proven, Unproven> {
    check_by(wire, epochs, chain, Some(known))
}

fn check_by(
    wire: &wire::Receipt,
    epochs: &Epochs,
    chain: &ChainId,
    known: Option<&VerifierCache>,
) -> Result<Proven, Unproven> {
    let certificate = wire.certificate.as_ref();
    let header = certified(&wire.header, certificate, epochs, chain, known)?;
    let tx = Tx::parse(&wire.transaction)?;
    let tx_path = Path::try_from(required(
        "transaction_path",
        wire.transaction_path.as_ref(),
    )?)?;
    if tx_path.size != u64::from(header.tx_count)
        || !tx_path.leads(merkle::leaf_hash(&wire.transaction), header.tx_root)
    {
        return Err(Unproven::TransactionPath);
    }
    let (id, outcome) = Outcome::parse(&wire.outcome)?;
    let path = Path::try_from(required("outcome_path", wire.outcome_path.as_ref())?)?;
    // The block's own outcome comes first, so a transaction's outcome stands one further.
    if id != Some(tx.meta().id)
        || path.index != tx_path.index + 1
        || path.size != tx_path.size + 1
        || !path.leads(merkle::leaf_hash(&wire.outcome), header.outcome_root)
    {
        return Err(Unproven::OutcomePath);
    }
    Ok(Proven {
        header,
        index: tx_path.index,
        tx,
        outcome,
    })
}
