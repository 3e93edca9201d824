//! Data adapters: where records lie, and how they become items in canonical form.
//!
//! ```text
//! mapping file ──▶ Mapping ──▶ CsvSource (later: SQL, HTTP) : Source
//!                                  │ scan   every subject, every bad row, checkpoints
//!                                  ▼ fetch  one subject
//!                            SubjectRecord { uscc, as_of, items: code + RFC 8785 bytes }
//! ```
//!
//! Plain codes and raw records pass through here and nowhere into messages: those show shapes
//! ([`mask()`]). Not here: pseudonyms, salts, digests, registration, delivery.

pub mod check;
pub mod conformance;
mod csv_file;
mod error;
pub mod generate;
pub mod mapping;
mod mask;
mod number;
mod record;
mod row;
mod source;
mod value;

pub use csv_file::CsvSource;
pub use error::{Error, MappingError};
pub use mapping::Mapping;
pub use mask::mask;
pub use record::{Item, MAX_ITEM_BYTES, SubjectRecord};
pub use source::{
    BadRow, Checkpoint, DescribedField, DescribedItem, Description, FetchError, Fetching, Reason,
    Scan, Scanned, Source, Warning,
};
pub use value::FieldKind;

/// Opens the source that a mapping describes, with the adapter it names.
///
/// # Errors
/// Whatever keeps the source from being read; bad rows are no error.
pub fn open(mapping: Mapping) -> Result<Box<dyn Source>, Error> {
    match &mapping.origin {
        mapping::Origin::Csv { .. } => Ok(Box::new(CsvSource::open(mapping)?)),
    }
}
