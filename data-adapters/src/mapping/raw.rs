//! The text of a mapping file, and the checks that make a [`Mapping`] of it.
//!
//! Every value keeps its span until it is checked, so that a fault is reported at its line. Here are the
//! shapes and what all kinds of source have; what is a kind's own is in `origin`, items are in `items`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{AsOf, Mapping, fingerprint};
use crate::error::MappingError;
use crate::value::parse_as_of;

const MOST_COLUMN_BYTES: usize = 256;
const DEFAULT_ABSENT: [&str; 3] = ["", "N/A", "-"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMapping {
    source: RawSource,
    #[serde(default)]
    related: Vec<Spanned<RawRelated>>,
    #[serde(default)]
    item: Vec<Spanned<RawItem>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    name: Spanned<String>,
    pub(super) kind: Spanned<String>,
    pub(super) paths: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) sheet: Option<Spanned<String>>,
    pub(super) table: Option<Spanned<String>>,
    pub(super) encoding: Option<Spanned<String>>,
    subject: Spanned<String>,
    as_of: Spanned<RawAsOf>,
    absent: Option<Spanned<Vec<String>>>,
    pub(super) max_line_bytes: Option<Spanned<usize>>,
    pub(super) max_cell_bytes: Option<Spanned<usize>>,
    pub(super) max_unpacked_bytes: Option<Spanned<usize>>,
    pub(super) database: Option<Spanned<RawDatabase>>,
    pub(super) http: Option<Spanned<RawHttp>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDatabase {
    pub(super) url_file: Option<Spanned<String>>,
    pub(super) url_env: Option<Spanned<String>>,
    pub(super) ca_file: Option<Spanned<String>>,
    pub(super) max_connections: Option<Spanned<usize>>,
    pub(super) acquire_timeout_ms: Option<Spanned<usize>>,
    pub(super) statement_timeout_ms: Option<Spanned<usize>>,
    pub(super) stall_timeout_ms: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) allow_writable_role: bool,
    #[serde(default)]
    pub(super) allow_insecure_transport: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub(super) scan_url: Spanned<String>,
    pub(super) fetch_url: Spanned<String>,
    pub(super) ca_file: Option<Spanned<String>>,
    pub(super) auth: Option<Spanned<RawAuth>>,
    pub(super) paging: Spanned<RawPaging>,
    pub(super) records: Option<Spanned<String>>,
    pub(super) record: Option<Spanned<String>>,
    pub(super) timeout_ms: Option<Spanned<usize>>,
    pub(super) deadline_ms: Option<Spanned<usize>>,
    pub(super) max_concurrent: Option<Spanned<usize>>,
    pub(super) max_body_bytes: Option<Spanned<usize>>,
    pub(super) max_depth: Option<Spanned<usize>>,
    pub(super) max_values: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) allow_insecure_transport: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuth {
    pub(super) bearer_file: Option<Spanned<String>>,
    pub(super) bearer_env: Option<Spanned<String>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) password_file: Option<Spanned<String>>,
    pub(super) password_env: Option<Spanned<String>>,
    pub(super) header: Option<Spanned<String>>,
    pub(super) key_file: Option<Spanned<String>>,
    pub(super) key_env: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPaging {
    pub(super) by: Spanned<String>,
    pub(super) parameter: Option<Spanned<String>>,
    pub(super) first: Option<Spanned<u64>>,
    pub(super) next: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRelated {
    pub(super) name: Spanned<String>,
    pub(super) paths: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) sheet: Option<Spanned<String>>,
    pub(super) table: Option<Spanned<String>>,
    pub(super) array: Option<Spanned<String>>,
    pub(super) subject: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsOf {
    date: Option<Spanned<String>>,
    column: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawItem {
    pub(super) code: Spanned<String>,
    pub(super) list: Option<Spanned<bool>>,
    pub(super) from: Option<Spanned<String>>,
    pub(super) latest_by: Option<Spanned<String>>,
    pub(super) order_by: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) max_entries: Option<Spanned<usize>>,
    pub(super) fields: Spanned<Vec<Spanned<RawField>>>,
    #[serde(default)]
    pub(super) values: BTreeMap<Spanned<String>, Spanned<RawValues>>,
}

/// The catalogue's codes by the register's.
pub(super) type RawValues = BTreeMap<Spanned<String>, Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub(super) name: Spanned<String>,
    pub(super) column: Spanned<String>,
    pub(super) r#type: Spanned<String>,
    #[serde(default)]
    pub(super) required: bool,
    pub(super) max_length: Option<Spanned<usize>>,
    pub(super) unit: Option<Spanned<String>>,
    pub(super) currency: Option<Spanned<String>>,
    pub(super) unlisted: Option<Spanned<String>>,
}

/// Turns offsets into places.
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    pub(super) path: &'a Path,
}

pub(super) type Checked<T> = Result<T, MappingError>;

pub(super) fn parse(text: &str, path: &Path) -> Checked<Mapping> {
    let checker = Checker { text, path };
    let raw: RawMapping = toml::from_str(text).map_err(|e| checker.syntax(&e))?;
    let source = &raw.source;
    let name = checker.source_name(&source.name)?;
    let origin = checker.origin(source)?;
    let subject = checker.column("source.subject", &source.subject)?;
    let as_of = checker.as_of(&source.as_of)?;
    let absent = checker.absent(source.absent.as_ref())?;
    let related = checker.related(&raw.related, &origin)?;
    let items = checker.items(&raw.item, &related, &absent)?;
    for (index, table) in related.iter().enumerate() {
        if !items.iter().any(|item| item.rows.related() == Some(index)) {
            let at = format!("related[{}].name", index + 1);
            let name = &raw.related[index].get_ref().name;
            return checker.refuse(&at, name, format!("no item is read from {:?}", table.name));
        }
    }
    let mapping = Mapping {
        name,
        origin,
        subject,
        as_of,
        absent,
        related,
        items,
        fingerprint: fingerprint(&[text.as_bytes()]),
    };
    checker.names_fit(&mapping, &raw.item)?;
    Ok(mapping)
}

impl Checker<'_> {
    pub(super) fn fault(
        &self,
        field: &str,
        offset: usize,
        message: impl Into<String>,
    ) -> MappingError {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        MappingError {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or("").chars().count() + 1,
            field: field.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn refuse<T, U>(
        &self,
        field: &str,
        at: &Spanned<U>,
        message: impl Into<String>,
    ) -> Checked<T> {
        Err(self.fault(field, at.span().start, message))
    }

    /// TOML's own complaints: syntax, unknown or missing keys, a string where a list belongs.
    fn syntax(&self, error: &toml::de::Error) -> MappingError {
        let span = error.span().unwrap_or(0..0);
        let at = self.text.get(span.clone()).unwrap_or("");
        // The complained-of text when it is short enough to be a key or a value, else its table.
        let field = match at.lines().next().map(str::trim) {
            Some(line) if !line.is_empty() => line.chars().take(40).collect(),
            _ => "file".to_owned(),
        };
        self.fault(&field, span.start, error.message().trim())
    }

    fn source_name(&self, name: &Spanned<String>) -> Checked<String> {
        let text = name.get_ref();
        // The form of source ids on the ledger.
        let fits = (1..=32).contains(&text.len())
            && !text.starts_with('-')
            && !text.ends_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits {
            return self.refuse(
                "source.name",
                name,
                "a source's name has 1 to 32 lower-case letters, digits and inner '-'",
            );
        }
        Ok(text.clone())
    }

    pub(super) fn column(&self, field: &str, column: &Spanned<String>) -> Checked<String> {
        let text = column.get_ref();
        if text.is_empty() || text.len() > MOST_COLUMN_BYTES || text.chars().any(char::is_control) {
            let message = format!(
                "a column's name has 1 to {MOST_COLUMN_BYTES} bytes and no control characters"
            );
            return self.refuse(field, column, message);
        }
        Ok(text.clone())
    }

    fn as_of(&self, as_of: &Spanned<RawAsOf>) -> Checked<AsOf> {
        match as_of.get_ref() {
            RawAsOf {
                date: Some(date),
                column: None,
            } => match parse_as_of(date.get_ref()) {
                Some(date) => Ok(AsOf::Fixed(date)),
                None => self.refuse(
                    "source.as_of.date",
                    date,
                    "is a date such as 2026-06-30, not before 1970",
                ),
            },
            RawAsOf {
                date: None,
                column: Some(column),
            } => Ok(AsOf::Column(self.column("source.as_of.column", column)?)),
            _ => self.refuse(
                "source.as_of",
                as_of,
                "is either { date = \"2026-06-30\" } or { column = \"…\" }",
            ),
        }
    }

    fn absent(&self, absent: Option<&Spanned<Vec<String>>>) -> Checked<Vec<String>> {
        let Some(absent) = absent else {
            return Ok(DEFAULT_ABSENT.map(str::to_owned).to_vec());
        };
        let words = absent.get_ref();
        if words.len() > 32 || words.iter().any(|word| word.len() > 64) {
            return self.refuse(
                "source.absent",
                absent,
                "lists at most 32 words of at most 64 bytes",
            );
        }
        // An empty cell never is a value, listed or not.
        let mut words = words.clone();
        if !words.iter().any(String::is_empty) {
            words.push(String::new());
        }
        Ok(words)
    }

    /// Columns of a database must be names that can be quoted there; those of JSON, pointers or members.
    fn names_fit(&self, mapping: &Mapping, items: &[Spanned<RawItem>]) -> Checked<()> {
        for (index, (item, raw)) in mapping.items.iter().zip(items).enumerate() {
            for (place, field) in item.fields.iter().enumerate() {
                let at = format!("item[{}].fields[{}].column", index + 1, place + 1);
                let raw = raw.get_ref().fields.get_ref()[place].get_ref();
                self.column_of(&mapping.origin, &at, &field.column, raw.column.span().start)?;
            }
        }
        // The places of these two are lost by now; their names are enough.
        let start = self.text.find("subject").unwrap_or(0);
        self.column_of(&mapping.origin, "source.subject", &mapping.subject, start)?;
        if let AsOf::Column(column) = &mapping.as_of {
            let start = self.text.find("as_of").unwrap_or(0);
            self.column_of(&mapping.origin, "source.as_of.column", column, start)?;
        }
        Ok(())
    }
}
