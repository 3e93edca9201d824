//! Keys and values of the store, byte by byte.
//!
//! Heights and indices are big-endian, so that they sort as numbers; values are Borsh, or the bytes
//! that came over the wire.

use borsh::{BorshDeserialize, BorshSerialize};
use xinqiao_crypto::{Digest, Frontier, PublicKey, merkle};
use xinqiao_ledger::{
    ids::{HeaderHash, Height, TimeMs},
    validators::{Engine, ValidatorSet},
};

use crate::error::Error;

/// Version of this layout.
pub(crate) const LAYOUT: u32 = 3;

/// The contracts' state: their keys, their values.
pub(crate) const STATE: &str = "state";
/// Height → [`StoredHeader`].
pub(crate) const HEADERS: &str = "headers";
/// Height → [`StoredList`] of encoded transactions, in order.
pub(crate) const BODIES: &str = "bodies";
/// Height → [`StoredList`] of encoded outcomes: the block's own, then one for each transaction.
pub(crate) const OUTCOMES: &str = "outcomes";
/// Transaction id → height and index.
pub(crate) const TXS: &str = "txs";
/// Level and index → digest of a complete subtree of the history.
pub(crate) const HISTORY: &str = "history";
/// First height → [`StoredSet`] in force from there on.
pub(crate) const EPOCHS: &str = "epochs";
/// What there is one of.
pub(crate) const META: &str = "meta";

/// Every column family with height or digest keys that a block adds to.
pub(crate) const FAMILIES: [&str; 8] =
    [STATE, HEADERS, BODIES, OUTCOMES, TXS, HISTORY, EPOCHS, META];

pub(crate) const META_LAYOUT: &[u8] = b"layout";
pub(crate) const META_CHAIN: &[u8] = b"chain";
pub(crate) const META_TIP: &[u8] = b"tip";
pub(crate) const META_HALTED: &[u8] = b"halted";
/// The lowest height from which on all blocks are here, whole; 1 if it is not there.
pub(crate) const META_FIRST: &[u8] = b"first";
/// How far the transfer of a snapshot has come.
pub(crate) const META_JOINING: &[u8] = b"joining";

/// Where a chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// Height of the last block; 0 before the first.
    pub height: Height,
    /// Its time; the genesis' time before the first.
    pub time: TimeMs,
    /// Hash of its header; the chain id before the first.
    pub hash: HeaderHash,
    /// Commitment to the state.
    pub commitment: Digest,
}

/// The tip as it is stored: with all that the next block continues from.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct StoredTip {
    pub(crate) tip: Tip,
    /// The history tree over the hashes of all headers up to the tip.
    pub(crate) frontier: Frontier,
}

/// A set of validators.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct StoredSet {
    pub(crate) engine: Engine,
    pub(crate) keys: Vec<PublicKey>,
}

impl From<&ValidatorSet> for StoredSet {
    fn from(set: &ValidatorSet) -> Self {
        Self {
            engine: set.engine(),
            keys: set.keys().iter().map(|(_, key)| *key).collect(),
        }
    }
}

/// A header with its certificate, both as wire bytes.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct StoredHeader {
    pub(crate) header: Vec<u8>,
    pub(crate) certificate: Vec<u8>,
}

/// Transactions or outcomes of a block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum StoredList {
    /// All of them.
    Whole(Vec<Vec<u8>>),
    /// What proofs need of them.
    Pruned(Vec<StoredPart>),
}

/// One of what was pruned: its leaf hash at least, for the others' paths.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum StoredPart {
    /// It is here.
    Kept(Vec<u8>),
    /// Its leaf hash is.
    Leaf(Digest),
}

impl StoredList {
    /// The leaf hashes of all.
    pub(crate) fn leaves(&self) -> Vec<Digest> {
        match self {
            Self::Whole(all) => all.iter().map(|bytes| merkle::leaf_hash(bytes)).collect(),
            Self::Pruned(parts) => (parts.iter())
                .map(|part| match part {
                    StoredPart::Kept(bytes) => merkle::leaf_hash(bytes),
                    StoredPart::Leaf(leaf) => *leaf,
                })
                .collect(),
        }
    }

    /// One of them, if it is here.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        match self {
            Self::Whole(all) => all.get(index).map(|bytes| &bytes[..]),
            Self::Pruned(parts) => match parts.get(index)? {
                StoredPart::Kept(bytes) => Some(bytes),
                StoredPart::Leaf(_) => None,
            },
        }
    }

    /// How many bytes of it are here.
    pub(crate) fn bytes(&self) -> usize {
        let all = 0..match self {
            Self::Whole(all) => all.len(),
            Self::Pruned(parts) => parts.len(),
        };
        all.filter_map(|index| self.get(index))
            .map(<[u8]>::len)
            .sum()
    }

    /// The same without those that are not to be kept.
    pub(crate) fn pruned(self, keep: impl Fn(usize) -> bool) -> Self {
        let parts = match self {
            Self::Whole(all) => all.into_iter().map(StoredPart::Kept).collect(),
            Self::Pruned(parts) => parts,
        };
        let pruned = |(index, part)| match part {
            StoredPart::Kept(bytes) if !keep(index) => StoredPart::Leaf(merkle::leaf_hash(&bytes)),
            part => part,
        };
        Self::Pruned(parts.into_iter().enumerate().map(pruned).collect())
    }
}

pub(crate) fn height_key(height: Height) -> [u8; 8] {
    height.to_be_bytes()
}

pub(crate) fn node_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Height and index of a transaction, as the index keeps it.
pub(crate) fn place_value(height: Height, index: u32) -> [u8; 12] {
    let mut value = [0; 12];
    value[..8].copy_from_slice(&height.to_be_bytes());
    value[8..].copy_from_slice(&index.to_be_bytes());
    value
}

/// What [`place_value`] wrote.
pub(crate) fn place_of(value: &[u8]) -> Option<(Height, u32)> {
    let (height, index) = value.split_at_checked(8)?;
    Some((
        Height::from_be_bytes(height.try_into().ok()?),
        u32::from_be_bytes(index.try_into().ok()?),
    ))
}

pub(crate) fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory does not fail")
}

pub(crate) fn decode<T: BorshDeserialize>(
    height: Height,
    what: &str,
    bytes: &[u8],
) -> Result<T, Error> {
    borsh::from_slice(bytes).map_err(|fault| Error::damaged(height, format!("{what}: {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_golden_bytes_and_sort_as_numbers() {
        assert_eq!(height_key(258), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(node_key(3, 258), [3, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(place_value(1, 2), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(place_of(&place_value(7, 9)), Some((7, 9)));
        assert_eq!(place_of(&[0; 11]), None);
        assert_eq!(place_of(&[0; 13]), None);
        assert_eq!(place_of(&[]), None);
        assert!(height_key(255) < height_key(256));
    }
}
