//! The text of a mapping file, and the checks that make a [`Mapping`] of it.
//!
//! Every value keeps its span until it is checked, so that a fault is reported at its line.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{
    AsOf, DataFile, FieldMapping, ItemMapping, MAX_FIELDS, MAX_FILES, MAX_ITEMS, Mapping, Origin,
    fingerprint,
};
use crate::error::MappingError;
use crate::number::known_currency;
use crate::value::{FieldKind, parse_as_of};

const DEFAULT_LINE_BYTES: usize = 1024 * 1024;
const DEFAULT_CELL_BYTES: usize = 32 * 1024;
const MOST_LINE_BYTES: usize = 16 * 1024 * 1024;
const MOST_COLUMN_BYTES: usize = 256;
const DEFAULT_ABSENT: [&str; 3] = ["", "N/A", "-"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMapping {
    source: RawSource,
    #[serde(default)]
    item: Vec<Spanned<RawItem>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    name: Spanned<String>,
    kind: Spanned<String>,
    paths: Spanned<Vec<Spanned<String>>>,
    encoding: Option<Spanned<String>>,
    subject: Spanned<String>,
    as_of: Spanned<RawAsOf>,
    absent: Option<Spanned<Vec<String>>>,
    max_line_bytes: Option<Spanned<usize>>,
    max_cell_bytes: Option<Spanned<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsOf {
    date: Option<Spanned<String>>,
    column: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawItem {
    code: Spanned<String>,
    fields: Spanned<Vec<Spanned<RawField>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    name: Spanned<String>,
    column: Spanned<String>,
    r#type: Spanned<String>,
    #[serde(default)]
    required: bool,
    max_length: Option<Spanned<usize>>,
    unit: Option<Spanned<String>>,
    currency: Option<Spanned<String>>,
}

/// Turns offsets into places.
struct Checker<'a> {
    text: &'a str,
    path: &'a Path,
}

type Checked<T> = Result<T, MappingError>;

pub(super) fn parse(text: &str, path: &Path) -> Checked<Mapping> {
    let checker = Checker { text, path };
    let raw: RawMapping = toml::from_str(text).map_err(|e| checker.syntax(&e))?;
    let source = &raw.source;
    let mapping = Mapping {
        name: checker.source_name(&source.name)?,
        origin: checker.origin(source)?,
        subject: checker.column("source.subject", &source.subject)?,
        as_of: checker.as_of(&source.as_of)?,
        absent: checker.absent(source.absent.as_ref())?,
        items: checker.items(&raw.item)?,
        fingerprint: fingerprint(&[text.as_bytes()]),
    };
    Ok(mapping)
}

impl Checker<'_> {
    fn fault(&self, field: &str, offset: usize, message: impl Into<String>) -> MappingError {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        MappingError {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or("").chars().count() + 1,
            field: field.to_owned(),
            message: message.into(),
        }
    }

    fn refuse<T, U>(&self, field: &str, at: &Spanned<U>, message: impl Into<String>) -> Checked<T> {
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

    fn origin(&self, source: &RawSource) -> Checked<Origin> {
        if source.kind.get_ref() != "csv" {
            return self.refuse("source.kind", &source.kind, "the kinds are: csv");
        }
        if let Some(encoding) = &source.encoding
            && encoding.get_ref() != "utf-8"
        {
            return self.refuse(
                "source.encoding",
                encoding,
                "only utf-8 is read; convert the file first",
            );
        }
        let max_line_bytes = self.limit(
            "source.max_line_bytes",
            source.max_line_bytes.as_ref(),
            DEFAULT_LINE_BYTES,
        )?;
        Ok(Origin::Csv {
            files: self.files(&source.paths)?,
            max_line_bytes,
            max_cell_bytes: self.limit(
                "source.max_cell_bytes",
                source.max_cell_bytes.as_ref(),
                DEFAULT_CELL_BYTES,
            )?,
        })
    }

    fn files(&self, paths: &Spanned<Vec<Spanned<String>>>) -> Checked<Vec<DataFile>> {
        if !(1..=MAX_FILES).contains(&paths.get_ref().len()) {
            let message = format!("names 1 to {MAX_FILES} files");
            return self.refuse("source.paths", paths, message);
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let mut seen = BTreeSet::new();
        let mut files = Vec::new();
        for path in paths.get_ref() {
            let name = path.get_ref();
            if name.is_empty() || name.len() > 4096 || name.contains('\0') {
                return self.refuse("source.paths", path, "this is no path");
            }
            if !seen.insert(name) {
                return self.refuse("source.paths", path, "the file is named twice");
            }
            files.push(DataFile {
                name: name.clone(),
                path: folder.join(name),
            });
        }
        Ok(files)
    }

    fn limit(&self, field: &str, value: Option<&Spanned<usize>>, default: usize) -> Checked<usize> {
        match value {
            None => Ok(default),
            Some(value) if (1..=MOST_LINE_BYTES).contains(value.get_ref()) => Ok(*value.get_ref()),
            Some(value) => {
                let message = format!("is between 1 and {MOST_LINE_BYTES} bytes");
                self.refuse(field, value, message)
            }
        }
    }

    fn column(&self, field: &str, column: &Spanned<String>) -> Checked<String> {
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

    fn items(&self, items: &[Spanned<RawItem>]) -> Checked<Vec<ItemMapping>> {
        if items.is_empty() {
            let message = "there is no item: a source without one gives nothing";
            return Err(self.fault("item", self.text.len(), message));
        }
        if let Some(item) = items.get(MAX_ITEMS) {
            return self.refuse("item", item, format!("at most {MAX_ITEMS} items"));
        }
        let mut codes = BTreeSet::new();
        let mut checked = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = format!("item[{}]", index + 1);
            let item = item.get_ref();
            let code_at = format!("{at}.code");
            let code = self.snake(&code_at, &item.code, 32)?;
            if !codes.insert(code.clone()) {
                return self.refuse(&code_at, &item.code, "this item is mapped twice");
            }
            let fields = self.fields(&at, &item.fields)?;
            checked.push(ItemMapping { code, fields });
        }
        Ok(checked)
    }

    fn fields(
        &self,
        item: &str,
        fields: &Spanned<Vec<Spanned<RawField>>>,
    ) -> Checked<Vec<FieldMapping>> {
        let list = fields.get_ref();
        if !(1..=MAX_FIELDS).contains(&list.len()) {
            let message = format!("an item has 1 to {MAX_FIELDS} fields");
            return self.refuse(&format!("{item}.fields"), fields, message);
        }
        let mut names = BTreeSet::new();
        let mut checked = Vec::new();
        for (index, field) in list.iter().enumerate() {
            let at = format!("{item}.fields[{}]", index + 1);
            let field = self.field(&at, field.get_ref())?;
            if !names.insert(field.name.clone()) {
                let name = &list[index].get_ref().name;
                return self.refuse(&format!("{at}.name"), name, "this field is named twice");
            }
            checked.push(field);
        }
        Ok(checked)
    }

    fn field(&self, at: &str, field: &RawField) -> Checked<FieldMapping> {
        let kind = self.kind(at, field)?;
        if let Some(length) = &field.max_length {
            let at = format!("{at}.max_length");
            if kind != FieldKind::Text {
                return self.refuse(&at, length, "only text has a max_length");
            }
            if *length.get_ref() == 0 {
                return self.refuse(&at, length, "is at least 1");
            }
        }
        Ok(FieldMapping {
            name: self.snake(&format!("{at}.name"), &field.name, 64)?,
            column: self.column(&format!("{at}.column"), &field.column)?,
            kind,
            required: field.required,
            max_length: field.max_length.as_ref().map(|length| *length.get_ref()),
        })
    }

    fn kind(&self, at: &str, field: &RawField) -> Checked<FieldKind> {
        let name = field.r#type.get_ref().as_str();
        if let Some(unit) = &field.unit {
            let at = format!("{at}.unit");
            if name != "decimal" {
                return self.refuse(&at, unit, "only decimal has a unit");
            }
            if !(1..=32).contains(&unit.get_ref().len()) {
                return self.refuse(&at, unit, "a unit has 1 to 32 bytes");
            }
        }
        if let Some(currency) = &field.currency {
            let at = format!("{at}.currency");
            if name != "money" {
                return self.refuse(&at, currency, "only money has a currency");
            }
            if !known_currency(currency.get_ref()) {
                let message = "is an ISO 4217 code such as CNY";
                return self.refuse(&at, currency, message);
            }
        }
        Ok(match name {
            "text" => FieldKind::Text,
            "integer" => FieldKind::Integer,
            "decimal" => FieldKind::Decimal {
                unit: field.unit.as_ref().map(|unit| unit.get_ref().clone()),
            },
            "date" => FieldKind::Date,
            "money" => FieldKind::Money {
                currency: field
                    .currency
                    .as_ref()
                    .map_or("CNY", |currency| currency.get_ref())
                    .to_owned(),
            },
            _ => {
                return self.refuse(
                    &format!("{at}.type"),
                    &field.r#type,
                    "the types are: text, integer, decimal, date, money",
                );
            }
        })
    }

    /// `snake_case` ASCII that starts with a letter.
    fn snake(&self, field: &str, name: &Spanned<String>, most: usize) -> Checked<String> {
        let text = name.get_ref();
        let fits = (1..=most).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !fits {
            let message =
                format!("has 1 to {most} lower-case letters, digits and '_', a letter first");
            return self.refuse(field, name, message);
        }
        Ok(text.clone())
    }
}
