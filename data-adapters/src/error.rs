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
    /// A source of another kind is not reachable, or broke off. A scan can be resumed from its last
    /// checkpoint when it is back.
    #[error("the source is unavailable: {0}")]
    Unavailable(String),
    /// A secret cannot be read.
    #[error("{place}: {message}")]
    Secret {
        /// The file or variable.
        place: String,
        /// What is wrong with it.
        message: String,
    },
    /// Tables, columns or members are not as the mapping names them, at the start or no longer.
    #[error("{table}: {message}")]
    Schema {
        /// Table, sheet or address, as the mapping names it.
        table: String,
        /// What is missing or of another type.
        message: String,
    },
    /// The source would let us do more than read, or what it says could be read on the way.
    #[error("{0}")]
    Unsafe(String),
    /// What came was not made to be read: a workbook or a body that unpacks to more than the limits allow.
    #[error("{place} is refused: {message}")]
    Bomb {
        /// File or address, as the mapping names it.
        place: String,
        /// Which limit it exceeds.
        message: String,
    },
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
