//! Catalogues as TOML files that people write, read and vote on; and the first one, which this crate carries.
//!
//! ```text
//! text ──▶ CatalogueFile ──▶ Catalogue (the ledger's own, all limits checked) ──▶ text
//! ```
//!
//! The text decides nothing: comments, spacing and the order of keys do not change the catalogue. Not here: what
//! a next version may change (`xinqiao_ledger::catalogue::succession`), and reading or writing files.

mod file;
mod write;

pub use file::CatalogueFile;
pub use write::{tables, text};

use xinqiao_ledger::{
    catalogue::Catalogue,
    malformed::{Malformed, Problem},
};

/// The first catalogue, as a file.
pub const FIRST: &str = include_str!("../v1.toml");

/// The largest catalogue file, in bytes: a catalogue of 512 KiB with generous comments.
pub const MAX_TEXT: usize = 2 << 20;

/// Why a text is no catalogue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is too long to be read.
    #[error("a catalogue file has at most {MAX_TEXT} bytes, this one has {0}")]
    TooLong(usize),
    /// It is no TOML of a catalogue's form; the message has line and column.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// What it says is not what the ledger takes.
    #[error("{place}: {problem}")]
    Content {
        /// Which item and field, by their codes.
        place: String,
        /// What is wrong there.
        problem: Problem,
    },
}

/// Reads a catalogue file.
///
/// # Errors
/// With the line of what is no such file, or the item and field that the ledger would refuse.
pub fn parse(text: &str) -> Result<Catalogue, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::TooLong(text.len()));
    }
    toml::from_str::<CatalogueFile>(text)?.into_catalogue()
}

/// The first catalogue: 29 items.
///
/// # Errors
/// Never, as a test says; the text is a file, and reading a file can fail.
pub fn first() -> Result<Catalogue, Error> {
    parse(FIRST)
}

impl Error {
    /// Names items and fields by their codes: their places in the wire's order are not those in the file.
    fn located(fault: Malformed, wire: &xinqiao_ledger::wire::Catalogue) -> Self {
        let mut place = fault.field;
        let index = |path: &str, list: &str| -> Option<(usize, String)> {
            let (number, rest) = path
                .strip_prefix(list)?
                .strip_prefix('[')?
                .split_once(']')?;
            Some((
                number.parse().ok()?,
                rest.trim_start_matches('.').to_owned(),
            ))
        };
        if let Some((at, rest)) = index(&place, "items")
            && let Some(item) = wire.items.get(at)
        {
            place = match index(&rest, "fields") {
                Some((at, rest)) if item.fields.get(at).is_some() => {
                    format!(
                        "item {:?}, field {:?}: {rest}",
                        item.code, item.fields[at].name
                    )
                }
                _ => format!("item {:?}: {rest}", item.code),
            };
        } else if let Some((at, rest)) = index(&place, "purposes")
            && let Some(purpose) = wire.purposes.get(at)
        {
            place = format!("purpose {:?}: {rest}", purpose.code);
        } else if let Some((at, rest)) = index(&place, "groups")
            && let Some(group) = wire.groups.get(at)
        {
            place = format!("group {:?}: {rest}", group.code);
        }
        Self::Content {
            place,
            problem: fault.problem,
        }
    }
}

#[cfg(test)]
mod tests;
