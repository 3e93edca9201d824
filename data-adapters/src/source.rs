//! The [`Source`] trait: all that a data-holding node knows about where records lie.
//!
//! **Fetch** is asynchronous, because it happens while an order waits and most sources are over a
//! network; an adapter whose work blocks (files: one seek, one line) moves it off the executor itself. It
//! must be polled inside a tokio runtime. Dropping it abandons it: what it held (a connection, a permit) is
//! free again.
//!
//! **Scan** is a blocking iterator, because its consumer hashes what it pulls and belongs on a blocking
//! thread anyway. Adapters over a network have a thread of their own that does their waiting, so that a scan
//! may be pulled from anywhere.
//!
//! **Live data.** Files are indexed, and a fetch of a file that changed since is refused ([`FetchError::Changed`])
//! until it was read anew. A database or an interface has no such moment: its fetch reads what is there now, and
//! whoever compares it with the registered digest sees whether it is what was registered. The holder does
//! so with every part before it delivers anything.
//!
//! Not here: pseudonyms, salts, digests, and whether anyone may ask.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;

use xinqiao_ledger::uscc::{Uscc, UsccError};

use crate::error::Error;
use crate::mapping::{Mapping, Rows};
use crate::record::SubjectRecord;

/// The answer to a fetch, on its way.
pub type Fetching<'a> =
    Pin<Box<dyn Future<Output = Result<SubjectRecord, FetchError>> + Send + 'a>>;

/// A pass over all subjects. An `Err` ends it; bad rows do not.
pub type Scan = Box<dyn Iterator<Item = Result<Scanned, Error>> + Send>;

/// Where one data source's records lie, and how they are read.
///
/// Contract (checked by [`crate::conformance`]): a scan yields every subject exactly once and reports
/// every other row; `fetch` of a scanned subject gives the same bytes; two scans of unchanged data give
/// the same sequence; resuming from any checkpoint gives exactly what followed it. Good related rows give no
/// step of their own: they are in their subject's record.
pub trait Source: Send + Sync {
    /// What this source is, for people and for progress bars.
    fn describe(&self) -> Description;

    /// One subject's record.
    fn fetch<'a>(&'a self, uscc: &Uscc) -> Fetching<'a>;

    /// All subjects, in constant memory, from the start or from where an earlier scan of the same data
    /// stopped.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when `from` is of other data; whatever keeps the source from being read.
    fn scan(&self, from: Option<&Checkpoint>) -> Result<Scan, Error>;

    /// Takes note of data that changed underneath. Until then `fetch` from files refuses changed data
    /// ([`FetchError::Changed`]) rather than serve what was never registered. A source that is always read
    /// live checks that tables and columns still are as mapped.
    ///
    /// # Errors
    /// Whatever keeps the source from being read; the earlier state stays in force.
    fn refresh(&self) -> Result<(), Error>;
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The name given in the mapping.
    pub name: String,
    /// Adapter: `csv`, `xlsx`, `postgres`, `mysql` or `http`.
    pub kind: &'static str,
    /// Subjects that can be fetched, when the source knows without a scan.
    pub subjects: Option<u64>,
    /// Rows that a scan will report as bad, by reason, when the source knows without a scan.
    pub bad_rows: Option<BTreeMap<Reason, u64>>,
    /// The items it can hold, in the order of the mapping.
    pub items: Vec<DescribedItem>,
}

impl Description {
    /// What a mapping says of it, without any count.
    pub(crate) fn of(mapping: &Mapping) -> Self {
        let items = mapping.items.iter().map(|item| DescribedItem {
            code: item.code.clone(),
            is_list: matches!(item.rows, Rows::List { .. }),
            fields: item
                .fields
                .iter()
                .map(|field| DescribedField {
                    name: field.name.clone(),
                    column: field.column.clone(),
                    kind: field.kind.name(),
                    required: field.required,
                    codes: (field.values.as_ref())
                        .map(|values| values.codes.values().cloned().collect()),
                })
                .collect(),
        });
        Self {
            name: mapping.name.clone(),
            kind: mapping.origin.kind(),
            subjects: None,
            bad_rows: None,
            items: items.collect(),
        }
    }
}

/// One item that a source can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedItem {
    /// Item code of the catalogue.
    pub code: String,
    /// Whether it is a list of entries.
    pub is_list: bool,
    /// Its declared fields.
    pub fields: Vec<DescribedField>,
}

/// One declared field of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedField {
    /// Name within the item.
    pub name: String,
    /// Column it is read from.
    pub column: String,
    /// `text`, `integer`, `decimal`, `date` or `money`.
    pub kind: &'static str,
    /// Whether a row without it is bad.
    pub required: bool,
    /// The catalogue's codes that its values are translated into, if they are.
    pub codes: Option<Vec<String>>,
}

/// One step of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// A subject, or a row that gives none.
    pub row: Result<SubjectRecord, BadRow>,
    /// Fields that were left empty because their value could not be read.
    pub warnings: Vec<Warning>,
    /// Resuming from here yields what follows this row.
    pub after: Checkpoint,
}

/// A row that gives no record. The message shows shapes, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// File, sheet, table or interface, as the mapping names it.
    pub file: String,
    /// Line in the file or row of the sheet, from 1 (the header); of a table the row's number, from 1, in the
    /// order of subjects' codes; of an interface the record's number, from 1, in the order of its pages.
    pub line: u64,
    /// Stable code of what is wrong.
    pub reason: Reason,
    /// What is wrong, for people.
    pub message: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}",
            self.file, self.line, self.reason, self.message
        )
    }
}

/// A value that could not be read where the field may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Item code.
    pub item: String,
    /// Field name.
    pub field: String,
    /// Column it was read from.
    pub column: String,
    /// The value's shape, see [`crate::mask()`].
    pub shape: String,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// Why a row gives no record.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable code, for scripts and reports.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

reasons! {
    /// The subject's code has not 18 characters.
    UsccLength = "uscc_length",
    /// The subject's code has a character that codes do not have.
    UsccAlphabet = "uscc_alphabet",
    /// The subject's code fails its check character.
    UsccCheckCharacter = "uscc_check_character",
    /// An earlier good row of this source is about the same subject.
    DuplicateSubject = "duplicate_subject",
    /// A value is not of the field's type.
    WrongType = "wrong_type",
    /// A value is not in its field's table of values, and the mapping does not keep such values.
    UnlistedValue = "unlisted_value",
    /// A required field is empty.
    MissingRequired = "missing_required",
    /// A value is longer than its field's `max_length`.
    TooLong = "too_long",
    /// No item has any value.
    NoItems = "no_items",
    /// The row has more or fewer cells than the header.
    ColumnCount = "column_count",
    /// A quoted cell does not end on its line.
    UnclosedQuote = "unclosed_quote",
    /// The line is not UTF-8.
    InvalidUtf8 = "invalid_utf8",
    /// The line holds a NUL byte.
    Nul = "nul",
    /// A mapped cell holds a control character.
    ControlCharacter = "control_character",
    /// A cell is over the limit in bytes.
    CellTooLong = "cell_too_long",
    /// The line is over the limit in bytes.
    LineTooLong = "line_too_long",
    /// One item's canonical form is over its limit in bytes. Of a list, only the list is left out.
    ItemTooLarge = "item_too_large",
    /// A list has more entries than the mapping allows; the subject's record goes without that item.
    TooManyEntries = "too_many_entries",
    /// A related row is about a subject that has no good row in the main table.
    UnknownSubject = "unknown_subject",
    /// The bytes are not of the declared encoding.
    InvalidEncoding = "invalid_encoding",
    /// A cell of a workbook holds an error such as `#REF!`.
    CellError = "cell_error",
    /// An interface gave a subject after one with a larger code, so nobody can tell whether it came before.
    OutOfOrder = "out_of_order",
    /// What stands where a subject or an entry belongs is no JSON object.
    NotAnObject = "not_an_object",
}

impl Reason {
    /// Whether the subject's code itself is bad.
    #[must_use]
    pub fn is_bad_uscc(self) -> bool {
        matches!(
            self,
            Self::UsccLength | Self::UsccAlphabet | Self::UsccCheckCharacter
        )
    }
}

impl From<&UsccError> for Reason {
    fn from(error: &UsccError) -> Self {
        match error {
            UsccError::Length { .. } => Self::UsccLength,
            UsccError::Alphabet { .. } => Self::UsccAlphabet,
            UsccError::CheckCharacter { .. } => Self::UsccCheckCharacter,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A position in a scan, opaque to who keeps it: printable ASCII of at most
/// [`Checkpoint::MAX_LENGTH`] bytes, holding no value of any row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint(String);

impl Checkpoint {
    /// Longest checkpoint, in bytes.
    pub const MAX_LENGTH: usize = 4096;

    /// For adapters; whoever keeps checkpoints parses them from text.
    pub(crate) fn new(text: String) -> Self {
        debug_assert!(text.len() <= Self::MAX_LENGTH && text.is_ascii());
        Self(text)
    }

    /// The text to keep.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    /// Checks the form only; the source that resumes checks the rest.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > Self::MAX_LENGTH || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Checkpoint {
                reason: "it is not a checkpoint's text".to_owned(),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// Why a fetch gives no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The source has no good row about this subject.
    #[error("the source holds no record of this subject")]
    NotFound,
    /// The data is not what was indexed; nothing of it is served before a refresh.
    #[error("{file} changed since it was indexed; refresh the source")]
    Changed {
        /// File as the mapping names it.
        file: String,
    },
    /// The data cannot be read now; trying again may help.
    #[error("the source is unavailable: {0}")]
    Unavailable(String),
    /// The source has a row about this subject, and it gives no record.
    #[error("the source's row about this subject is bad: {reason}: {message}")]
    Bad {
        /// Stable code of what is wrong.
        reason: Reason,
        /// What is wrong, in shapes.
        message: String,
    },
    /// A table or column that the mapping names is gone or of another type.
    #[error("the source's tables are not as mapped: {0}")]
    Schema(String),
    /// The answer was larger or deeper than the limits allow.
    #[error("the source's answer is refused: {0}")]
    Bomb(String),
}
