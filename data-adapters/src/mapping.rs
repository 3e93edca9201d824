//! The mapping file: how the columns of a source become items.
//!
//! ```toml
//! [source]
//! name = "jiangsu-register"
//! kind = "csv"
//! paths = ["jiangsu.csv"]                   # relative to this file
//! subject = "统一社会信用代码"               # column of the subject's code
//! as_of = { date = "2026-06-30" }           # or { column = "…" }
//!
//! [[item]]
//! code = "business_registration"
//! fields = [
//!   { name = "name", column = "企业名称", type = "text", required = true, max_length = 200 },
//!   { name = "established", column = "注册日期", type = "date" },
//! ]
//! ```
//!
//! Unknown keys are refused, and every fault is named with line and field. Only columns named here are
//! ever used. Not here: reading the data.

mod raw;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use time::Date;

use crate::error::{Error, MappingError};
use crate::value::FieldKind;

/// Largest mapping file, in bytes.
pub const MAX_MAPPING_BYTES: u64 = 256 * 1024;
/// Most data files of one source.
pub const MAX_FILES: usize = 256;
/// Most items of one source.
pub const MAX_ITEMS: usize = 64;
/// Most fields of one item.
pub const MAX_FIELDS: usize = 64;

/// A checked mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Name of the source: 1–32 lower-case ASCII letters, digits and inner `-`, as source ids on the ledger.
    pub name: String,
    /// Where the rows lie.
    pub origin: Origin,
    /// Column of the subject's code.
    pub subject: String,
    /// Where the as-of date comes from.
    pub as_of: AsOf,
    /// Cells that mean "no value".
    pub absent: Vec<String>,
    /// The items, in order.
    pub items: Vec<ItemMapping>,
    /// Tells this text of the mapping from others, in checkpoints.
    pub(crate) fingerprint: u64,
}

/// Where the rows of a source lie; one variant an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// CSV files, UTF-8, with a header each, read in this order.
    Csv {
        /// At least one.
        files: Vec<DataFile>,
        /// Longest line, in bytes.
        max_line_bytes: usize,
        /// Longest cell, in bytes.
        max_cell_bytes: usize,
    },
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// As the mapping names it; this is what reports show.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Where the as-of date comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AsOf {
    /// The same for all rows.
    Fixed(Date),
    /// A column of type date; required in every row.
    Column(String),
}

/// One item of the mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemMapping {
    /// Item code of the catalogue: `snake_case` ASCII, 1–32 characters.
    pub code: String,
    /// At least one. A row where all of them are empty has no such item.
    pub fields: Vec<FieldMapping>,
}

/// One field of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMapping {
    /// Name within the item: `snake_case` ASCII, 1–64 characters.
    pub name: String,
    /// Column it is read from.
    pub column: String,
    /// Its type.
    pub kind: FieldKind,
    /// Whether a row without it is bad.
    pub required: bool,
    /// Longest text, in characters.
    pub max_length: Option<usize>,
}

impl Mapping {
    /// Reads and checks a mapping file; paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Limit`] for a file over [`MAX_MAPPING_BYTES`], [`Error::Mapping`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(MAX_MAPPING_BYTES + 1).read_to_string(&mut text))
            .map_err(Error::io(path))?;
        if text.len() as u64 > MAX_MAPPING_BYTES {
            return Err(Error::Limit {
                what: format!("bytes in {}", path.display()),
                limit: MAX_MAPPING_BYTES,
            });
        }
        Ok(Self::parse(&text, path)?)
    }

    /// Checks a mapping's text. `path` names it in errors, and its folder is where relative paths start.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn parse(text: &str, path: &Path) -> Result<Self, MappingError> {
        raw::parse(text, path)
    }
}

/// FNV-1a, 64 bits: tells versions apart, and is no defence against anyone.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in (part.len() as u64).to_le_bytes().iter().chain(*part) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}
