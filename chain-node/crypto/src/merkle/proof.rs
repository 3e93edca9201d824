//! Making and checking inclusion and consistency proofs.

use super::{MerkleError, NodeSource, node_hash, split};
use crate::digest::{Digest, sm3};

/// Why a path was not made from stored nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError<E> {
    /// There is no such path.
    #[error(transparent)]
    Merkle(MerkleError),
    /// The source of nodes failed.
    #[error("a node of the tree could not be read")]
    Source(#[source] E),
}

/// The path from leaf `index` to the root of the first `size` leaves, lowest sibling first,
pub fn inclusion_path_from<S: NodeSource>(
    source: &S,
    size: u64,
    index: u64,
) -> Result<Vec<Digest>, PathError<S::Error>> {
    if index >= size {
        return Err(PathError::Merkle(MerkleError::IndexOutOfRange {
            index,
            size,
        }));
    }
    inclusion(source, size, index).map_err(PathError::Source)
}

/// The proof that the first `new_size` leaves extend the first `old_size`, from stored nodes
/// (RFC 6962 §2.1.2). Empty when `old_size` is 0 or both sizes are equal.
pub fn consistency_path_from<S: NodeSource>(
    source: &S,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Digest>, PathError<S::Error>> {
    if old_size > new_size {
        return Err(PathError::Merkle(MerkleError::SizesReversed {
            old: old_size,
            new: new_size,
        }));
    }
    consistency(source, old_size, new_size).map_err(PathError::Source)
}

/// Checks that `leaf` is leaf number `index` of the tree of `size` leaves with this `root`
/// (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(
    root: &Digest,
    size: u64,
    index: u64,
    leaf: &Digest,
    path: &[Digest],
) -> Result<(), MerkleError> {
    if index >= size {
        return Err(MerkleError::IndexOutOfRange { index, size });
    }
    check_length(inclusion_length(size, index), path)?;
    let (mut node, mut last) = (index, size - 1);
    let mut digest = *leaf;
    for sibling in path {
        if node & 1 == 1 || node == last {
            digest = node_hash(sibling, &digest);
            // A right edge without a sibling climbs until it has one on its left.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            digest = node_hash(&digest, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && digest == *root {
        Ok(())
    } else {
        Err(MerkleError::RootMismatch)
    }
}

/// Checks that the tree with `new_root` extends the tree with `old_root` (RFC 9162 §2.1.4.2).
///
/// Every tree extends the empty one, and its root is checked to be the empty root.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    path: &[Digest],
) -> Result<(), MerkleError> {
    if old_size > new_size {
        return Err(MerkleError::SizesReversed {
            old: old_size,
            new: new_size,
        });
    }
    check_length(consistency_length(old_size, new_size), path)?;
    if old_size == new_size {
        return if old_root == new_root {
            Ok(())
        } else {
            Err(MerkleError::RootMismatch)
        };
    }
    if old_size == 0 {
        return if *old_root == sm3(&[]) {
            Ok(())
        } else {
            Err(MerkleError::RootMismatch)
        };
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    let shift = node.trailing_ones();
    node >>= shift;
    last >>= shift;
    // An earlier tree that is one complete subtree is its own first digest and is not sent.
    let (first, rest) = match path {
        _ if old_size.is_power_of_two() => (*old_root, path),
        [first, rest @ ..] => (*first, rest),
        [] => return Err(MerkleError::RootMismatch),
    };
    let (mut old, mut new) = (first, first);
    for sibling in rest {
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && old == *old_root && new == *new_root {
        Ok(())
    } else {
        Err(MerkleError::RootMismatch)
    }
}

/// PATH(index, D[size]) of RFC 6962 §2.1.1; the caller has checked `index < size`.
pub(super) fn inclusion<S: NodeSource>(
    source: &S,
    size: u64,
    index: u64,
) -> Result<Vec<Digest>, S::Error> {
    let (mut start, mut size, mut index) = (0, size, index);
    let mut path = Vec::new();
    // From the root down, then reversed: the path is listed from the leaf up.
    while size > 1 {
        let left = split(size);
        if index < left {
            path.push(subtree(source, start + left, size - left)?);
            size = left;
        } else {
            path.push(subtree(source, start, left)?);
            start += left;
            index -= left;
            size -= left;
        }
    }
    path.reverse();
    Ok(path)
}

/// PROOF(old, D[new]) of RFC 6962 §2.1.2; the caller has checked `old <= new`.
pub(super) fn consistency<S: NodeSource>(
    source: &S,
    old: u64,
    new: u64,
) -> Result<Vec<Digest>, S::Error> {
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Ok(path);
    }
    let (mut start, mut old, mut new) = (0, old, new);
    let mut whole = true;
    while old != new {
        let left = split(new);
        if old <= left {
            path.push(subtree(source, start + left, new - left)?);
            new = left;
        } else {
            path.push(subtree(source, start, left)?);
            start += left;
            old -= left;
            new -= left;
            whole = false;
        }
    }
    if !whole {
        path.push(subtree(source, start, new)?);
    }
    path.reverse();
    Ok(path)
}

/// The digest over `size` leaves from `start`, which is a multiple of a power of two no smaller
/// than `size`.
fn subtree<S: NodeSource>(source: &S, start: u64, size: u64) -> Result<Digest, S::Error> {
    if size.is_power_of_two() {
        let level = size.ilog2();
        return source.node(level as u8, start >> level);
    }
    let left = split(size);
    Ok(node_hash(
        &subtree(source, start, left)?,
        &subtree(source, start + left, size - left)?,
    ))
}

fn check_length(expected: usize, path: &[Digest]) -> Result<(), MerkleError> {
    match path.len() {
        found if found == expected => Ok(()),
        found => Err(MerkleError::PathLength { expected, found }),
    }
}

/// Siblings below the point where the leaf's and the last leaf's ways part, then one for each
/// left turn above it.
fn inclusion_length(size: u64, index: u64) -> usize {
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = index.checked_shr(inner).map_or(0, u64::count_ones);
    (inner + border) as usize
}

fn consistency_length(old: u64, new: u64) -> usize {
    if old == 0 || old == new {
        return 0;
    }
    // The proof is the path of the old tree's last complete subtree, and that subtree itself
    // unless it is the whole old tree.
    let shift = old.trailing_zeros();
    let path = inclusion_length(((new - 1) >> shift) + 1, (old - 1) >> shift);
    path + usize::from(!old.is_power_of_two())
}
