//! What a source holds and what is wrong with it, as data, for a person who sets up a mapping.
//!
//! Works for any adapter. Shows shapes instead of values. Not here: how it is printed.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::sync::Arc;

use serde_json::{Map, Value};
use xinqiao_ledger::catalogue::{Catalogue, conformity, item::ItemSchema};
use xinqiao_ledger::ids::ItemCode;

use crate::error::Error;
use crate::mapping::Mapping;
use crate::mask::mask;
use crate::source::{BadRow, Description, Reason, Source};

/// Most different ways of not conforming that are told apart, of one item.
const MAX_MISFITS: usize = 64;

/// How much a report keeps, and what items are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOptions {
    /// Bad rows listed; all are counted.
    pub bad_rows: usize,
    /// Different shapes shown of one field.
    pub samples: usize,
    /// The catalogue whose schemas items must conform to; none to leave that out.
    pub catalogue: Option<Arc<Catalogue>>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            bad_rows: 1000,
            samples: 3,
            catalogue: None,
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
    /// Whether it is a list.
    pub is_list: bool,
    /// Subjects that have it.
    pub subjects: u64,
    /// Entries of all its lists; of a record as many as subjects.
    pub entries: u64,
    /// Entries of its longest list.
    pub longest: u64,
    /// Its fields.
    pub fields: Vec<FieldReport>,
    /// What it comes to against the catalogue, if there is one.
    pub conformity: Option<ItemConformity>,
}

/// How an item of all subjects conforms to its schema in the catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemConformity {
    /// The catalogue has no such item: it cannot be registered.
    pub unknown: bool,
    /// Subjects whose item does not conform.
    pub subjects: u64,
    /// In which ways, by field and code of the fault.
    pub misfits: BTreeMap<(String, &'static str), Misfit>,
}

/// One way of not conforming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// How often.
    pub count: u64,
    /// What is wrong the first time. It shows no value.
    pub example: String,
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
    /// Subjects where it has a value; of a list, entries.
    pub filled: u64,
    /// Subjects where a value was there and could not be read.
    pub unreadable: u64,
    /// Different shapes of canonical values, see [`crate::mask()`]; harmless where a spreadsheet reads them.
    pub samples: Vec<String>,
    /// Different shapes of unreadable values.
    pub unreadable_samples: Vec<String>,
    /// Of a field whose values are translated: how often each of the catalogue's codes came out. Codes say nothing
    /// about a subject, so they are shown as they are.
    pub codes: Option<BTreeMap<String, u64>>,
    /// Values that the mapping does not list and keeps as they are.
    pub unlisted: u64,
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
    check_source(crate::open(mapping)?.as_ref(), options, &mut |_| {})
}

/// Reads all of an open source. `progress` is told what was counted, after every row.
///
/// # Errors
/// Whatever breaks the scan off.
pub fn check_source(
    source: &dyn Source,
    options: &CheckOptions,
    progress: &mut dyn FnMut(&CheckReport),
) -> Result<CheckReport, Error> {
    let mut report = CheckReport::empty(&source.describe());
    for item in &mut report.items {
        item.conformity = options.catalogue.as_ref().map(|catalogue| ItemConformity {
            unknown: schema(catalogue, &item.code).is_none(),
            ..ItemConformity::default()
        });
    }
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
                        counted.hold_against(options.catalogue.as_deref(), &item.canonical);
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
                    field.unreadable_samples.push(harmless(warning.shape));
                }
            }
        }
        progress(&report);
    }
    Ok(report)
}

impl CheckReport {
    fn empty(description: &Description) -> Self {
        let items = description.items.iter().map(|item| ItemReport {
            code: item.code.clone(),
            is_list: item.is_list,
            subjects: 0,
            entries: 0,
            longest: 0,
            conformity: None,
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
                    codes: (field.codes.as_ref())
                        .map(|codes| codes.iter().map(|code| (code.clone(), 0)).collect()),
                    unlisted: 0,
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

fn schema<'c>(catalogue: &'c Catalogue, code: &str) -> Option<&'c ItemSchema> {
    catalogue.item(&code.parse::<ItemCode>().ok()?)
}

/// `entries[3].amount` as `entries[].amount`: the same field in whatever entry.
fn field_of(path: &str) -> String {
    match (path.find('['), path.find(']')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", &path[..=open], &path[close..])
        }
        _ => path.to_owned(),
    }
}

impl ItemReport {
    /// Counts whether an item conforms to the catalogue, and how not.
    fn hold_against(&mut self, catalogue: Option<&Catalogue>, canonical: &[u8]) {
        let schema = catalogue.and_then(|catalogue| schema(catalogue, &self.code));
        let (Some(schema), Some(counted)) = (schema, &mut self.conformity) else {
            return;
        };
        let found = conformity::check(schema, canonical);
        counted.subjects += u64::from(!found.holds());
        for fault in found.faults {
            let key = (field_of(&fault.path), fault.what.code());
            let room = counted.misfits.len() < MAX_MISFITS;
            match counted.misfits.entry(key) {
                Entry::Occupied(mut known) => known.get_mut().count += 1,
                Entry::Vacant(new) if room => {
                    let example = fault.what.to_string();
                    new.insert(Misfit { count: 1, example });
                }
                Entry::Vacant(_) => {}
            }
        }
    }

    fn add(&mut self, canonical: &[u8], options: &CheckOptions) {
        self.subjects += 1;
        let Ok(object) = serde_json::from_slice::<Map<String, Value>>(canonical) else {
            return;
        };
        if !self.is_list {
            self.entries += 1;
            self.add_fields(&object, options);
            return;
        }
        let entries = object.get("entries").and_then(Value::as_array);
        let entries = entries.map_or(&[][..], Vec::as_slice);
        self.entries += entries.len() as u64;
        self.longest = self.longest.max(entries.len() as u64);
        for entry in entries.iter().filter_map(Value::as_object) {
            self.add_fields(entry, options);
        }
    }

    fn add_fields(&mut self, object: &Map<String, Value>, options: &CheckOptions) {
        for field in &mut self.fields {
            if let (Some(codes), Some(Value::String(text))) =
                (&mut field.codes, object.get(&field.name))
            {
                if let Some(count) = codes.get_mut(text) {
                    *count += 1;
                    field.filled += 1;
                    continue;
                }
                field.unlisted += 1;
            }
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
            if field.samples.len() < options.samples {
                let shape = harmless(shape);
                if !field.samples.contains(&shape) {
                    field.samples.push(shape);
                }
            }
        }
    }
}

/// Reports are pasted into spreadsheets, and those run what begins like a formula: such a shape gets an
/// apostrophe in front. A negative number is none.
fn harmless(shape: String) -> String {
    let formula = match shape.strip_prefix('-') {
        Some(rest) => !rest.starts_with(['9', '.']),
        None => shape.starts_with(['=', '+', '@']),
    };
    if formula { format!("'{shape}") } else { shape }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn what_begins_like_a_formula_is_shown_as_text() {
        for (shape, wanted) in [
            ("=xxx|' /X xxxx'!X9", "'=xxx|' /X xxxx'!X9"),
            ("+99", "'+99"),
            ("@XXX(9)", "'@XXX(9)"),
            ("-99.9", "-99.9"),
            ("-X9", "'-X9"),
            ("字字", "字字"),
            ("", ""),
        ] {
            assert_eq!(harmless(shape.to_owned()), wanted);
        }
    }
}
