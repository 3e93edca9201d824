//! What a source says about one subject: items in canonical form.
//!
//! Nothing here is hashed or salted; that is the data-holding node's work.

use serde::Serialize;
use time::Date;
use xinqiao_ledger::uscc::Uscc;

/// Longest canonical form of one item, in bytes.
pub const MAX_ITEM_BYTES: usize = 256 * 1024;

/// All items that one source holds about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectRecord {
    /// Whom the items are about.
    pub uscc: Uscc,
    /// The day for which the source vouches; not before 1970-01-01.
    pub as_of: Date,
    /// In the order of the mapping; each code at most once; never empty.
    pub items: Vec<Item>,
}

impl SubjectRecord {
    /// The as-of date in days since 1970-01-01, as the ledger counts it.
    #[must_use]
    pub fn as_of_day(&self) -> u32 {
        let day = i64::from(self.as_of.to_julian_day()) - i64::from(UNIX_EPOCH_JULIAN_DAY);
        u32::try_from(day).unwrap_or(0)
    }
}

const UNIX_EPOCH_JULIAN_DAY: i32 = 2_440_588;

/// One item of the catalogue, as the source holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// Item code of the catalogue: `snake_case` ASCII, 1–32 characters.
    pub code: String,
    /// RFC 8785 (JCS) bytes. A record is a JSON object holding exactly the declared fields, an absent one as
    /// `null`; a list is `{"entries":[…]}` of such objects.
    pub canonical: Vec<u8>,
}

impl Item {
    /// Canonicalises `fields` per RFC 8785.
    pub(crate) fn new(code: &str, fields: &impl Serialize) -> Self {
        Self {
            code: code.to_owned(),
            canonical: canonical(fields),
        }
    }

    /// A list of entries that are canonical each.
    pub(crate) fn list<'e>(code: &str, entries: impl Iterator<Item = &'e [u8]>) -> Self {
        let mut canonical = LIST_HEAD.to_vec();
        for (index, entry) in entries.enumerate() {
            if index > 0 {
                canonical.push(b',');
            }
            canonical.extend_from_slice(entry);
        }
        canonical.extend_from_slice(LIST_TAIL);
        Self {
            code: code.to_owned(),
            canonical,
        }
    }
}

const LIST_HEAD: &[u8] = b"{\"entries\":[";
const LIST_TAIL: &[u8] = b"]}";

/// RFC 8785 bytes.
pub(crate) fn canonical(value: &impl Serialize) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value)
        .expect("text, integers and null always have a canonical form")
}

impl std::fmt::Debug for Item {
    /// Code and size: the content is a raw record and stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Item({}, {} bytes)", self.code, self.canonical.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_1970() {
        let uscc = "91350100M000100Y43".parse().expect("published code");
        for (date, day) in [
            (time::macros::date!(1970 - 01 - 01), 0),
            (time::macros::date!(2019 - 12 - 31), 18_261),
            (time::macros::date!(2026 - 06 - 30), 20_634),
        ] {
            let record = SubjectRecord {
                uscc,
                as_of: date,
                items: Vec::new(),
            };
            assert_eq!(record.as_of_day(), day, "{date}");
        }
    }
}
