//! Merkle trees of the shape of RFC 6962 §2.1 (RFC 9162 §2.1), over SM3.
//!
//! A leaf is SM3(00 ‖ data), a node SM3(01 ‖ left ‖ right), the empty tree SM3(""): no leaf can
//! pass for a node. A tree of n leaves splits at the largest power of two below n, so an odd leaf
//! is never paired with itself. Proofs have exactly one length for their position, and a longer or
//! shorter one is refused.
//!
//! | have | want | use |
//! |---|---|---|
//! | all leaves | root, proofs | [`root`], [`inclusion_path`], [`consistency_path`] |
//! | a growing tree on disk | root | [`Frontier`], which also names the nodes to store |
//! | the stored nodes | proofs | [`inclusion_path_from`], [`consistency_path_from`] over a [`NodeSource`] |
//! | a proof | a verdict | [`verify_inclusion`], [`verify_consistency`] |
//!
//! Not here: storage, and trees that prove absence.

mod frontier;
mod proof;

use std::convert::Infallible;

pub use frontier::{CompletedNode, Frontier};
pub use proof::{
    PathError, consistency_path_from, inclusion_path_from, verify_consistency, verify_inclusion,
};

use crate::{
    digest::{Digest, sm3, sm3_parts},
    many::Messages,
};

/// Why a proof does not hold, or cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// The leaf's index is not below the tree's size.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    IndexOutOfRange {
        /// Index asked for.
        index: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// The earlier tree is larger than the later one.
    #[error("a tree of {new} leaves cannot extend one of {old}")]
    SizesReversed {
        /// Leaves in the earlier tree.
        old: u64,
        /// Leaves in the later tree.
        new: u64,
    },
    /// The position demands a path of another length.
    #[error("the path has {found} digests where this position takes {expected}")]
    PathLength {
        /// What the position takes.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// The path leads to another root.
    #[error("the path does not lead to the root")]
    RootMismatch,
}

/// Complete subtrees by position. Level 0 holds the leaf digests; the node `(level, index)` covers
/// the leaves `index << level .. (index + 1) << level`.
pub trait NodeSource {
    /// Why a node could not be had.
    type Error;

    /// The digest of a complete subtree.
    fn node(&self, level: u8, index: u64) -> Result<Digest, Self::Error>;
}

/// The digest of a leaf: SM3(00 ‖ data).
pub fn leaf_hash(data: &[u8]) -> Digest {
    sm3_parts(&[&[0x00], data])
}

/// The digest of an inner node: SM3(01 ‖ left ‖ right).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut input = [0x01; 65];
    input[1..33].copy_from_slice(left.as_bytes());
    input[33..].copy_from_slice(right.as_bytes());
    sm3(&input)
}

/// The root of the tree over these leaf digests.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => sm3(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
            node_hash(&root(left), &root(right))
        }
    }
}

/// A tree with all its nodes: each path costs its own length, where [`inclusion_path`] hashes every leaf anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// From the leaves up. Who has no partner moves up alone.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over these leaf digests.
    pub fn over(leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        loop {
            let below = &levels[levels.len() - 1];
            if below.len() < 2 {
                return Self { levels };
            }
            let (pairs, alone) = below.as_chunks();
            let mut nodes = Messages::default();
            for [left, right] in pairs {
                nodes.push(&[&[0x01], left.as_bytes(), right.as_bytes()]);
            }
            let mut level = nodes.sm3();
            level.extend(alone);
            levels.push(level);
        }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// The path from leaf `index` to the root, lowest sibling first.
    pub fn path(&self, index: u64) -> Result<Vec<Digest>, MerkleError> {
        let size = self.size();
        if index >= size {
            return Err(MerkleError::IndexOutOfRange { index, size });
        }
        let siblings = self.levels.iter().enumerate();
        Ok(siblings
            .filter_map(|(level, nodes)| nodes.get((index >> level) as usize ^ 1).copied())
            .collect())
    }
}

/// The roots of many trees, hashed side by side: of each what [`root`] gives.
pub fn roots<'a>(trees: impl IntoIterator<Item = &'a [Digest]>) -> Vec<Digest> {
    let mut trees: Vec<Vec<Digest>> = trees.into_iter().map(<[Digest]>::to_vec).collect();
    // From the leaves up, pair by pair; who has no partner moves up alone, which comes to the same splits.
    loop {
        let mut nodes = Messages::default();
        for pair in trees.iter().flat_map(|tree| tree.as_chunks().0) {
            let [left, right]: &[Digest; 2] = pair;
            nodes.push(&[&[0x01], left.as_bytes(), right.as_bytes()]);
        }
        let nodes = nodes.sm3();
        if nodes.is_empty() {
            let root = |tree: Vec<Digest>| tree.first().copied().unwrap_or_else(|| sm3(&[]));
            return trees.into_iter().map(root).collect();
        }
        let mut nodes = nodes.into_iter();
        for tree in &mut trees {
            let alone = (tree.len() % 2 == 1).then(|| tree[tree.len() - 1]);
            let pairs = tree.len() / 2;
            tree.clear();
            tree.extend(nodes.by_ref().take(pairs).chain(alone));
        }
    }
}

/// The path from leaf `index` to the root, lowest sibling first.
pub fn inclusion_path(leaves: &[Digest], index: u64) -> Result<Vec<Digest>, MerkleError> {
    let size = leaves.len() as u64;
    if index >= size {
        return Err(MerkleError::IndexOutOfRange { index, size });
    }
    let Ok(path) = proof::inclusion(&Leaves(leaves), size, index);
    Ok(path)
}

/// The proof that the tree over all `leaves` extends the tree over the first `old_size` of them.
pub fn consistency_path(leaves: &[Digest], old_size: u64) -> Result<Vec<Digest>, MerkleError> {
    let size = leaves.len() as u64;
    if old_size > size {
        return Err(MerkleError::SizesReversed {
            old: old_size,
            new: size,
        });
    }
    let Ok(path) = proof::consistency(&Leaves(leaves), old_size, size);
    Ok(path)
}

/// The largest power of two below `size`, which must be at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// Leaves in memory as a source of nodes: every sibling is computed once, when it is asked for.
struct Leaves<'a>(&'a [Digest]);

impl NodeSource for Leaves<'_> {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Digest, Infallible> {
        let start = (index << level) as usize;
        Ok(root(&self.0[start..start + (1 << level)]))
    }
}
