//! The mapping file: how the columns of a source become items.
//!
//! ```toml
//! [source]
//! name = "jiangsu-register"
//! kind = "csv"                              # csv, xlsx, postgres, mysql or http
//! paths = ["jiangsu.csv"]                   # relative to this file
//! subject = "统一社会信用代码"               # column of the subject's code
//! as_of = { date = "2026-06-30" }           # or { column = "…" }
//!
//! [[related]]                               # many rows a subject, joined by its code
//! name = "holders"
//! paths = ["holders.csv"]
//! subject = "企业代码"
//!
//! [[item]]                                  # a record: one row of the main table
//! code = "business_registration"
//! fields = [
//!   { name = "name", column = "企业名称", type = "text", required = true, max_length = 200 },
//!   { name = "established", column = "注册日期", type = "date" },
//!   { name = "status", column = "登记状态", type = "text" },
//! ]
//! [item.values.status]                      # the register's codes in the catalogue's
//! "存续" = "active"
//! "注销" = "deregistered"
//!
//! [[item]]                                  # a list: every row that is about the subject
//! code = "shareholders"
//! list = true
//! from = "holders"
//! order_by = ["-paid", "name"]              # '-': largest first
//! fields = [
//!   { name = "name", column = "股东", type = "text", required = true },
//!   { name = "paid", column = "实缴", type = "money" },
//! ]
//! ```
//!
//! What each kind of source takes is in docs/data-sources.md. Unknown keys are refused, and every fault is
//! named with line and field. Only columns named here are ever used. Not here: reading the data.

mod items;
mod origin;

pub(crate) use origin::{SUBJECT_PLACE, is_local};

mod raw;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::Date;

use crate::error::{Error, MappingError};
use crate::secret::SecretPlace;
use crate::value::FieldKind;

/// Largest mapping file, in bytes.
pub const MAX_MAPPING_BYTES: u64 = 256 * 1024;
/// Most data files of one source.
pub const MAX_FILES: usize = 256;
/// Most items of one source.
pub const MAX_ITEMS: usize = 64;
/// Most fields of one item.
pub const MAX_FIELDS: usize = 64;
/// Most values that one field translates.
pub const MAX_VALUES: usize = 1_000;
/// Most related tables of one source.
pub const MAX_RELATED: usize = 16;
/// Entries of a list where the mapping names no other number.
pub const DEFAULT_ENTRIES: usize = 200;
/// Most entries that a list may be allowed.
pub const MAX_ENTRIES: usize = 2_000;

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
    /// Tables with many rows a subject, in order.
    pub related: Vec<Related>,
    /// The items, in order.
    pub items: Vec<ItemMapping>,
    /// Tells this text of the mapping from others, in checkpoints.
    pub(crate) fingerprint: u64,
}

/// Where the main rows of a source lie, one row a subject; one variant an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// CSV files with a header each, read in this order.
    Csv {
        /// At least one.
        files: Vec<DataFile>,
        /// How their text is encoded; that of related files too.
        encoding: Encoding,
        /// Longest line, in bytes.
        max_line_bytes: usize,
        /// Longest cell, in bytes.
        max_cell_bytes: usize,
    },
    /// A sheet of an Excel workbook (.xlsx, ISO/IEC 29500), whose first row is the header.
    Xlsx {
        /// The workbook; related sheets are of the same one.
        file: DataFile,
        /// The sheet's name.
        sheet: String,
        /// Longest cell, in bytes.
        max_cell_bytes: usize,
        /// Most bytes that the workbook may unpack to.
        max_unpacked_bytes: u64,
    },
    /// A table or view of PostgreSQL.
    Postgres(Database),
    /// A table or view of MySQL or MariaDB.
    MySql(Database),
    /// An interface over HTTP that answers in JSON.
    Http(Endpoint),
}

impl Origin {
    /// The kind's name in mapping files.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::Xlsx { .. } => "xlsx",
            Self::Postgres(_) => "postgres",
            Self::MySql(_) => "mysql",
            Self::Http(_) => "http",
        }
    }
}

/// How the bytes of a file are text. Reading is strict: what cannot be decoded makes its row bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// GB 18030, of which GBK and GB 2312 are parts.
    Gb18030,
}

/// A name in a database: of a table (with or without its schema), checked and never spliced unquoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Schema (PostgreSQL) or database (MySQL); none: the connection's own.
    pub schema: Option<String>,
    /// The table or view.
    pub table: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

/// A database and how it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Where the connection's URL is kept.
    pub url: SecretPlace,
    /// Certificates (PEM) of whoever issued the server's, where the public ones did not: the connection is then under
    /// TLS, and the server verified by one of these, by its name too unless the URL asks for less.
    pub ca_file: Option<PathBuf>,
    /// The main table.
    pub table: TableName,
    /// Connections for fetches at once; a scan takes one more a table.
    pub max_connections: u32,
    /// Longest wait for a connection.
    pub acquire_timeout: Duration,
    /// Longest run of one statement of a fetch, enforced by the server.
    pub statement_timeout: Duration,
    /// Longest wait of a scan for its next row; the first includes the server's sorting.
    pub stall_timeout: Duration,
    /// Longest cell, in bytes; no more of it ever leaves the server.
    pub max_cell_bytes: usize,
    /// Go on although the role could write to the tables.
    pub allow_writable_role: bool,
    /// Go on without TLS that verifies the server, although the server is on another machine.
    pub allow_insecure_transport: bool,
}

/// An HTTP interface and how it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Gives all subjects page by page, in the order of their codes.
    pub scan_url: String,
    /// Gives one subject; `{subject}` stands for its code.
    pub fetch_url: String,
    /// Certificates (PEM) of whoever issues the server's, instead of the public issuers.
    pub ca_file: Option<PathBuf>,
    /// What to show as who we are.
    pub auth: Auth,
    /// How pages follow each other.
    pub paging: Paging,
    /// JSON pointer (RFC 6901) to the array of subjects in a page; empty: the page itself.
    pub records: String,
    /// JSON pointer to the subject in the answer to a fetch; empty: the answer itself.
    pub record: String,
    /// Longest wait for one answer, from connecting to its last byte.
    pub timeout: Duration,
    /// Longest time one page of a scan, or one fetch, may take with all its tries.
    pub deadline: Duration,
    /// Fetches under way at once.
    pub max_concurrent: usize,
    /// Longest body, in bytes.
    pub max_body_bytes: usize,
    /// Deepest nesting of a body.
    pub max_depth: usize,
    /// Most values (of any type) in a body.
    pub max_values: usize,
    /// Longest cell, in bytes.
    pub max_cell_bytes: usize,
    /// Go on with `http://` although the server is on another machine.
    pub allow_insecure_transport: bool,
}

/// How requests are authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(SecretPlace),
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// User name.
        user: String,
        /// Where the password is kept.
        password: SecretPlace,
    },
    /// A key in a header of its own.
    Header {
        /// The header's name.
        name: String,
        /// Where the key is kept.
        value: SecretPlace,
    },
}

/// How pages of an HTTP scan follow each other. A scan is over at a page without records; with a cursor or a
/// link, also where there is no next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paging {
    /// A query parameter counts pages.
    Page {
        /// Its name.
        parameter: String,
        /// The first page's number.
        first: u64,
    },
    /// A query parameter takes what the page before gave.
    Cursor {
        /// Its name; the first page is asked for without it.
        parameter: String,
        /// JSON pointer to the next cursor.
        next: String,
    },
    /// The page before gives the next one's address, of the same origin.
    Link {
        /// JSON pointer to it; none: the `Link` header with `rel="next"` (RFC 8288).
        next: Option<String>,
    },
}

/// A table with any number of rows a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// What items call it.
    pub name: String,
    /// Where its rows lie.
    pub place: RelatedPlace,
}

/// Where related rows lie; the kind goes with the source's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelatedPlace {
    /// Further CSV files.
    Files {
        /// At least one.
        files: Vec<DataFile>,
        /// Column of the subject's code.
        subject: String,
    },
    /// Another sheet of the workbook.
    Sheet {
        /// Its name.
        sheet: String,
        /// Column of the subject's code.
        subject: String,
    },
    /// Another table or view of the database.
    Table {
        /// Its name.
        table: TableName,
        /// Column of the subject's code.
        subject: String,
    },
    /// An array inside the subject's JSON.
    Array {
        /// JSON pointer from the subject.
        pointer: String,
    },
}

impl Related {
    /// Column of the subject's code; an array inside the subject needs none.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        match &self.place {
            RelatedPlace::Files { subject, .. }
            | RelatedPlace::Sheet { subject, .. }
            | RelatedPlace::Table { subject, .. } => Some(subject),
            RelatedPlace::Array { .. } => None,
        }
    }
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
    /// Which rows it is made of.
    pub rows: Rows,
    /// At least one. A row where all of them are empty has no such item.
    pub fields: Vec<FieldMapping>,
}

/// Which rows an item is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// The subject's row of the main table.
    Main,
    /// The related row with the largest value of a field. Of equal ones, that with the larger canonical bytes.
    Latest {
        /// Place among [`Mapping::related`].
        related: usize,
        /// Place among the item's fields; that field is required.
        by: usize,
    },
    /// All related rows, as `{"entries":[…]}`.
    List {
        /// Place among [`Mapping::related`].
        related: usize,
        /// What entries are ordered by, before their canonical bytes.
        order_by: Vec<Order>,
        /// Most entries; a subject with more has no such item, and that is reported.
        max_entries: usize,
    },
}

impl Rows {
    /// Place among [`Mapping::related`] of the table it is read from; none: the main table.
    #[must_use]
    pub fn related(&self) -> Option<usize> {
        match self {
            Self::Main => None,
            Self::Latest { related, .. } | Self::List { related, .. } => Some(*related),
        }
    }
}

/// One step of ordering. Entries without a value come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Place among the item's fields.
    pub field: usize,
    /// Largest first.
    pub descending: bool,
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
    /// How the register's own codes are translated into the catalogue's, if they are.
    pub values: Option<ValueTable>,
}

/// What a register's codes are in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueTable {
    /// The catalogue's code by the register's. At least one.
    pub codes: BTreeMap<String, String>,
    /// A value that is not listed is kept as it is, instead of making its row bad.
    pub keep_unlisted: bool,
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

    /// The columns read from the main table (`None`) or a related one, each once, the subject's first.
    pub(crate) fn columns(&self, related: Option<usize>) -> Vec<&str> {
        let mut columns = Vec::new();
        match related {
            None => {
                columns.push(self.subject.as_str());
                if let AsOf::Column(column) = &self.as_of {
                    columns.push(column);
                }
            }
            Some(index) => columns.extend(self.related[index].subject()),
        }
        for item in self.items.iter().filter(|i| i.rows.related() == related) {
            columns.extend(item.fields.iter().map(|field| field.column.as_str()));
        }
        let mut seen = std::collections::BTreeSet::new();
        columns.retain(|column| seen.insert(*column));
        columns
    }

    /// Whether all that is read from a column are dates, so that a time of day there says nothing.
    pub(crate) fn only_dates(&self, related: Option<usize>, column: &str) -> bool {
        let as_of = related.is_none() && matches!(&self.as_of, AsOf::Column(c) if c == column);
        let mut kinds = self
            .items
            .iter()
            .filter(|item| item.rows.related() == related)
            .flat_map(|item| &item.fields)
            .filter(|field| field.column == column)
            .map(|field| field.kind == FieldKind::Date)
            .chain(as_of.then_some(true))
            .peekable();
        kinds.peek().is_some() && kinds.all(|date| date)
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
