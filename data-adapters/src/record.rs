//! What a source says about one subject: items in canonical form.
//!
//! Nothing here is hashed or salted; that is the data-holding node's work.

use serde_json::{Map, Value};
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
    #[must_use]
    pub fn new(code: &str, fields: &Map<String, Value>) -> Self {
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
pub(crate) fn canonical(fields: &Map<String, Value>) -> Vec<u8> {
    const WRITABLE: &str = "text, integers and null always have a canonical form";
    if !fields.iter().all(is_plain) {
        return serde_json_canonicalizer::to_vec(fields).expect(WRITABLE);
    }
    let mut written = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut written, fields).expect(WRITABLE);
    written
}

/// Bytes that most records do with.
const USUAL: usize = 256;

/// Whether `serde_json` writes a member as RFC 8785 wants it, which it does several times as fast as a library that
/// knows all of it: it escapes texts alike (§3.2.2.2), and its maps are in the order of bytes, which is that of UTF-16
/// (§3.2.3) among ASCII names. Of numbers it takes those that it writes digit by digit (§3.2.2.3).
fn is_plain((name, value): (&String, &Value)) -> bool {
    const EXACT: u64 = (1 << 53) - 1;
    name.is_ascii()
        && match value {
            Value::Null | Value::Bool(_) | Value::String(_) => true,
            Value::Number(number) => {
                let size = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
                size.is_some_and(|size| size <= EXACT)
            }
            Value::Object(fields) => fields.iter().all(is_plain),
            Value::Array(_) => false,
        }
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
    fn the_short_way_and_the_library_write_the_same_bytes() {
        let controls: String = (0..0x20).filter_map(char::from_u32).collect();
        let texts = [
            "",
            "上海\u{2028}\u{10ffff}",
            "\"\\/\u{7f}\u{80}é",
            &controls,
        ];
        let numbers = [0_i64, 1, -1, 9_007_199_254_740_991, -9_007_199_254_740_991];
        let odd = serde_json::json!({
            "float": 1.5, "large": 9_007_199_254_740_993_i64, "tiny": 1e-7, "whole": 5.0, "list": [{"b": 1, "a": [2.5]}],
            "\u{e000}": 1, "\u{10000}": 2, "é": 3,
        });
        let mut fields = odd.as_object().unwrap().clone();
        for (name, value) in (texts
            .iter()
            .map(|text| (format!("t{text}"), Value::from(*text))))
        .chain(numbers.map(|number| (format!("n{number}"), Value::from(number))))
        .chain([
            ("none".to_owned(), Value::Null),
            ("yes".to_owned(), Value::from(true)),
        ]) {
            fields.insert(name, value);
        }
        let check = |fields: &Map<String, Value>| {
            let library = serde_json_canonicalizer::to_vec(fields).unwrap();
            let own = canonical(fields);
            assert_eq!(
                String::from_utf8_lossy(&own),
                String::from_utf8_lossy(&library)
            );
        };
        check(&fields);
        let mut plain = 0;
        for (name, value) in &fields {
            let mut alone = Map::new();
            alone.insert(name.clone(), value.clone());
            alone.insert("zz".to_owned(), Value::Object(alone.clone()));
            alone.insert("A_1".to_owned(), Value::from("x"));
            plain += usize::from(alone.iter().all(is_plain));
            check(&alone);
        }
        assert_eq!(
            plain, 9,
            "texts without other than ASCII in their names, numbers, null and true"
        );
    }

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
