//! What can go wrong with a source as a whole.
//!
//! Not here: a row that is bad ([`crate::BadRow`], counted and reported while the rest goes on) and a
//! fetch that is refused ([`crate::FetchError`]).

use std::io;
use std::path::PathBuf;

/// Why a source cannot be opened or read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mapping file is not right.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The first line of a data file does not fit the mapping.
    #[error("{}, line 1: {message}", path.display())]
    Header {
        /// Which file.
        path: PathBuf,
        /// What is missing or wrong.
        message: String,
    },
    /// A data file is not the one that was indexed.
    #[error("{} changed since it was indexed; refresh the source and start again", path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// The checkpoint is not of this source as it is now.
    #[error("this checkpoint cannot be resumed from: {reason}; scan from the start")]
    Checkpoint {
        /// What does not fit.
        reason: String,
    },
    /// The source is larger than this program takes.
    #[error("{what}: at most {limit}")]
    Limit {
        /// What there is too much of.
        what: String,
        /// How much is allowed.
        limit: u64,
    },
    /// A source of another kind is not reachable, or broke off.
    #[error("the source is unavailable: {0}")]
    Unavailable(String),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// One fault in a mapping file, at its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {field}: {message}", path.display())]
pub struct MappingError {
    /// The mapping file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field, such as `item[2].fields[1].type`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}
