//! What can go wrong with a store. Every one of these stops the node; none is a rejection.

use std::path::PathBuf;

use xinqiao_contracts::StateFault;
use xinqiao_ledger::{
    ids::{ChainId, Height},
    malformed::Malformed,
};

/// Why the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// RocksDB cannot open the directory.
    #[error("the store in {} cannot be opened: {source}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// Another process has it open.
    #[error("the store in {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It holds another chain.
    #[error("the store in {} is of chain {found}, the genesis is of chain {expected}", path.display())]
    OtherChain {
        /// The directory.
        path: PathBuf,
        /// The chain that it holds.
        found: ChainId,
        /// The genesis' chain.
        expected: ChainId,
    },
    /// It was written in another layout.
    #[error("the store in {} has layout {found}, this version reads layout {expected}", path.display())]
    OtherLayout {
        /// The directory.
        path: PathBuf,
        /// The layout that it has.
        found: u32,
        /// The layout that this version reads.
        expected: u32,
    },
    /// The genesis itself is not sound.
    #[error("the genesis is not sound: {0}")]
    Genesis(#[from] Malformed),
    /// Something in it is not what was written.
    #[error("the store is damaged at height {height}: {what}")]
    Damaged {
        /// The block concerned; 0 when it is not about one block.
        height: Height,
        /// What is wrong.
        what: String,
    },
    /// What is asked for is not kept here any more, or never was.
    #[error(
        "of block {height} this node has pruned what is asked for, or began above it: it has all blocks from {first} on"
    )]
    Pruned {
        /// The block concerned.
        height: Height,
        /// The lowest height from which on all blocks are here.
        first: Height,
    },
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateFault),
    /// RocksDB failed to read or to write.
    #[error("the store failed: {0}")]
    Failed(#[from] rocksdb::Error),
    /// An earlier write failed, so nobody knows what is on disk: nothing more is written.
    #[error("an earlier write failed; the store takes no more until the node is restarted")]
    Poisoned,
    /// The caller commits a block that does not follow the tip, or another one than it executed.
    #[error("the block to be committed is not the one that was executed on the tip: {0}")]
    NotNext(&'static str),
    /// A scratch directory cannot be made or removed.
    #[error("{}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn damaged(height: Height, what: impl ToString) -> Self {
        Self::Damaged {
            height,
            what: what.to_string(),
        }
    }
}
