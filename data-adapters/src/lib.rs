//! Data adapters: where records lie, and how they become items in canonical form.
//!
//! ```text
//! mapping file ──▶ Mapping ──▶ files (CSV, xlsx) · PostgreSQL · MySQL · HTTP : Source
//!                                  │ scan   every subject, every bad row, checkpoints
//!                                  ▼ fetch  one subject
//!                            SubjectRecord { uscc, as_of, items: code + RFC 8785 bytes }
//! ```
//!
//! Every adapter gives text cells; what they mean, how related rows become lists, and what is wrong with them is
//! decided in one place for all (`row`, `assemble`). Plain codes and raw records pass through here and nowhere
//! into messages: those show shapes ([`mask()`]). Not here: pseudonyms, salts, digests, registration, delivery.

mod assemble;
pub mod check;
pub mod conformance;
mod error;
mod files;
pub mod generate;
mod http;
mod json;
pub mod mapping;
mod mask;
mod number;
mod position;
mod record;
mod row;
pub mod secret;
mod source;
mod sql;
mod tls;
mod value;
mod workers;

pub use error::{Error, MappingError};
pub use files::FileSource;
pub use http::HttpSource;
pub use mapping::Mapping;
pub use mask::mask;
pub use record::{Item, MAX_ITEM_BYTES, SubjectRecord};
pub use source::{
    BadRow, Checkpoint, DescribedField, DescribedItem, Description, FetchError, Fetching, Reason,
    Scan, Scanned, Source, Warning,
};
pub use sql::SqlSource;
pub use value::FieldKind;

/// What an adapter is given besides its mapping.
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// Encrypts the checkpoints of live sources, which hold the last subject's code. Whoever wants to resume
    /// in another process gives the same key there. Without one it is random, and checkpoints live as long as
    /// the source.
    pub checkpoint_key: Option<[u8; 32]>,
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = self.checkpoint_key.is_some();
        write!(f, "OpenOptions {{ checkpoint_key: {given} }}")
    }
}

/// Opens the source that a mapping describes, with the adapter it names. Blocks.
///
/// # Errors
/// Whatever keeps the source from being read; bad rows are no error.
pub fn open(mapping: Mapping) -> Result<Box<dyn Source>, Error> {
    open_with(mapping, &OpenOptions::default())
}

/// As [`open`], with options.
///
/// # Errors
/// As [`open`].
pub fn open_with(mapping: Mapping, options: &OpenOptions) -> Result<Box<dyn Source>, Error> {
    match &mapping.origin {
        mapping::Origin::Csv { .. } | mapping::Origin::Xlsx { .. } => {
            Ok(Box::new(FileSource::open(mapping)?))
        }
        mapping::Origin::Postgres(_) | mapping::Origin::MySql(_) => {
            Ok(Box::new(SqlSource::open(mapping, options)?))
        }
        mapping::Origin::Http(_) => Ok(Box::new(HttpSource::open(mapping, options)?)),
    }
}
