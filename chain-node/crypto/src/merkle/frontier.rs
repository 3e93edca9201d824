//! The right edge of a growing tree: enough to append and to know the root, in O(log n) space.
//!
//! Not a store: it tells the caller which nodes became complete, and the caller keeps them.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use super::node_hash;
use crate::digest::{Digest, sm3};

/// A subtree that an append completed; it never changes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedNode {
    /// 0 for the leaf itself.
    pub level: u8,
    /// Position within the level.
    pub index: u64,
    /// Digest of the subtree.
    pub digest: Digest,
}

/// The roots of the complete subtrees that make up a tree, largest first: one for each bit set in
/// the size.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The empty tree.
    pub const fn new() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// The frontier of a tree whose complete subtrees have these roots, largest first.
    ///
    /// None unless there is one for each bit set in `size`. Whether they are right, only a root that
    /// is trusted tells.
    pub fn from_peaks(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        let fits = peaks.len() == size.count_ones() as usize && size != u64::MAX;
        fits.then_some(Self { size, peaks })
    }

    /// The complete subtrees that make up the tree, largest first.
    pub fn peaks(&self) -> impl Iterator<Item = CompletedNode> {
        let mut before = 0;
        let levels = (0..u64::BITS as u8)
            .rev()
            .filter(|level| self.size >> level & 1 == 1);
        levels.zip(&self.peaks).map(move |(level, digest)| {
            let index = before >> level;
            before += 1 << level;
            CompletedNode {
                level,
                index,
                digest: *digest,
            }
        })
    }

    /// Leaves appended so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree as it is now; SM3("") when it is empty.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => sm3(&[]),
            Some(smallest) => peaks.fold(*smallest, |right, left| node_hash(left, &right)),
        }
    }

    /// Appends a leaf digest and returns the nodes that became complete, the leaf first.
    pub fn append(&mut self, leaf: Digest) -> Vec<CompletedNode> {
        let mut completed = Vec::new();
        self.append_with(leaf, |node| completed.push(node));
        completed
    }

    /// As [`Frontier::append`], handing each completed node to `store` instead of collecting them.
    pub fn append_with(&mut self, leaf: Digest, mut store: impl FnMut(CompletedNode)) {
        let mut node = CompletedNode {
            level: 0,
            index: self.size,
            digest: leaf,
        };
        store(node);
        // Each trailing one bit of the old size is a peak of equal height that the new node joins.
        for _ in 0..self.size.trailing_ones() {
            let left = self
                .peaks
                .pop()
                .expect("one peak for each bit set in the size");
            node = CompletedNode {
                level: node.level + 1,
                index: node.index >> 1,
                digest: node_hash(&left, &node.digest),
            };
            store(node);
        }
        self.peaks.push(node.digest);
        self.size += 1;
    }
}

impl BorshDeserialize for Frontier {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let size = u64::deserialize_reader(reader)?;
        let count = u32::deserialize_reader(reader)?;
        // The last size of all could not take another leaf.
        if count != size.count_ones() || size == u64::MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{count} peaks do not make a frontier of {size} leaves"),
            ));
        }
        let peaks = (0..count)
            .map(|_| Digest::deserialize_reader(reader))
            .collect::<io::Result<_>>()?;
        Ok(Self { size, peaks })
    }
}
