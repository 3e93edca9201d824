//! What a source holds and what is wrong with it, as data, for a person who sets up a mapping.
//!
//! Works for any adapter. Shows shapes instead of values. Not here: how it is printed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::error::Error;
use crate::mapping::Mapping;
use crate::mask::mask;
use crate::source::{BadRow, Description, Reason, Source};

/// How much a report keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// Bad rows listed; all are counted.
    pub bad_rows: usize,
    /// Different shapes shown of one field.
    pub samples: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            bad_rows: 1000,
            samples: 3,
        }
    }
}

/// A source in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// What was checked.
    pub source: String,
    /// Adapter.
    pub kind: &'static str,
    /// Rows seen: subjects and bad rows.
    pub rows: u64,
    /// Rows that give a subject's record.
    pub subjects: u64,
    /// Rows that give none, by reason.
    pub bad: BTreeMap<Reason, u64>,
    /// The first bad rows, with file and line.
    pub bad_rows: Vec<BadRow>,
    /// The mapped items, in order.
    pub items: Vec<ItemReport>,
}

/// One item over all subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemReport {
    /// Item code.
    pub code: String,
    /// Subjects that have it.
    pub subjects: u64,
    /// Its fields.
    pub fields: Vec<FieldReport>,
}

/// One field over all subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldReport {
    /// Name within the item.
    pub name: String,
    /// Column it is read from.
    pub column: String,
    /// Its type.
    pub kind: &'static str,
    /// Subjects where it has a value.
    pub filled: u64,
    /// Subjects where a value was there and could not be read.
    pub unreadable: u64,
    /// Different shapes of canonical values, see [`crate::mask()`].
    pub samples: Vec<String>,
    /// Different shapes of unreadable values.
    pub unreadable_samples: Vec<String>,
}

impl CheckReport {
    /// Rows whose subject's code is bad.
    #[must_use]
    pub fn bad_usccs(&self) -> u64 {
        self.bad
            .iter()
            .filter(|(reason, _)| reason.is_bad_uscc())
            .map(|(_, count)| count)
            .sum()
    }
}

/// Opens the source of `mapping` and reads all of it.
///
/// # Errors
/// Whatever keeps the source from being read.
pub fn check(mapping: Mapping, options: &CheckOptions) -> Result<CheckReport, Error> {
    check_source(crate::open(mapping)?.as_ref(), options)
}

/// Reads all of an open source.
///
/// # Errors
/// Whatever breaks the scan off.
pub fn check_source(source: &dyn Source, options: &CheckOptions) -> Result<CheckReport, Error> {
    let mut report = CheckReport::empty(&source.describe());
    let mut seen = BTreeSet::new();
    for step in source.scan(None)? {
        let step = step?;
        report.rows += 1;
        match step.row {
            Err(bad) => {
                *report.bad.entry(bad.reason).or_insert(0) += 1;
                if report.bad_rows.len() < options.bad_rows {
                    report.bad_rows.push(bad);
                }
            }
            Ok(record) => {
                report.subjects += 1;
                for item in &record.items {
                    if let Some(counted) = report.items.iter_mut().find(|i| i.code == item.code) {
                        counted.add(&item.canonical, options);
                    }
                }
            }
        }
        for warning in step.warnings {
            if let Some(field) = report.field(&warning.item, &warning.field) {
                field.unreadable += 1;
                if field.unreadable_samples.len() < options.samples
                    && seen.insert((warning.item, warning.field, warning.shape.clone()))
                {
                    field.unreadable_samples.push(warning.shape);
                }
            }
        }
    }
    Ok(report)
}

impl CheckReport {
    fn empty(description: &Description) -> Self {
        let items = description.items.iter().map(|item| ItemReport {
            code: item.code.clone(),
            subjects: 0,
            fields: item
                .fields
                .iter()
                .map(|field| FieldReport {
                    name: field.name.clone(),
                    column: field.column.clone(),
                    kind: field.kind,
                    filled: 0,
                    unreadable: 0,
                    samples: Vec::new(),
                    unreadable_samples: Vec::new(),
                })
                .collect(),
        });
        Self {
            source: description.name.clone(),
            kind: description.kind,
            rows: 0,
            subjects: 0,
            bad: BTreeMap::new(),
            bad_rows: Vec::new(),
            items: items.collect(),
        }
    }

    fn field(&mut self, item: &str, field: &str) -> Option<&mut FieldReport> {
        self.items
            .iter_mut()
            .find(|i| i.code == item)?
            .fields
            .iter_mut()
            .find(|f| f.name == field)
    }
}

impl ItemReport {
    fn add(&mut self, canonical: &[u8], options: &CheckOptions) {
        self.subjects += 1;
        let Ok(object) = serde_json::from_slice::<Map<String, Value>>(canonical) else {
            return;
        };
        for field in &mut self.fields {
            let shape = match object.get(&field.name) {
                None | Some(Value::Null) => continue,
                Some(Value::String(text)) => mask(text),
                Some(Value::Object(parts)) => parts
                    .values()
                    .map(|part| part.as_str().map(mask).unwrap_or_default())
                    .collect::<Vec<_>>()
                    .join(" "),
                Some(other) => mask(&other.to_string()),
            };
            field.filled += 1;
            if field.samples.len() < options.samples && !field.samples.contains(&shape) {
                field.samples.push(shape);
            }
        }
    }
}
