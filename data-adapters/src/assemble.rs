//! Related rows to items: lists in their order, the latest of many, and the limit of entries.
//!
//! Every adapter collects a subject's rows here, so all make the same bytes of the same rows, in whatever order
//! they come. At most a list's limit of entries is kept, whatever a table holds. Not here: reading rows.

use std::cmp::Ordering;

use serde_json::{Map, Value};
use xinqiao_ledger::uscc::Uscc;

use crate::mapping::{ItemMapping, Mapping, Order, Rows};
use crate::number::Decimal;
use crate::record::{Item, SubjectRecord, canonical};
use crate::row::{Fault, MainRow, RelatedRow, check_size};
use crate::source::{Reason, Warning};
use crate::value::FieldKind;

/// The related rows of one subject.
#[derive(Debug)]
pub(crate) struct Collected {
    /// By the item's place in the mapping.
    items: Vec<Vec<Entry>>,
    /// How many entries each item has, kept or not.
    counts: Vec<usize>,
    warnings: Vec<Warning>,
}

#[derive(Debug)]
struct Entry {
    fields: Map<String, Value>,
    canonical: Vec<u8>,
}

/// A subject's record, and what was left out of it.
pub(crate) struct Assembled {
    pub(crate) uscc: Uscc,
    pub(crate) record: Result<SubjectRecord, Fault>,
    pub(crate) warnings: Vec<Warning>,
    /// Items that the record goes without.
    pub(crate) left_out: Vec<Fault>,
}

/// Most warnings that a subject's related rows give.
const MAX_WARNINGS: usize = 1000;

impl Collected {
    pub(crate) fn new(mapping: &Mapping) -> Self {
        Self {
            items: mapping.items.iter().map(|_| Vec::new()).collect(),
            counts: vec![0; mapping.items.len()],
            warnings: Vec::new(),
        }
    }

    /// Takes one good related row.
    pub(crate) fn add(&mut self, mapping: &Mapping, row: RelatedRow) {
        let room = MAX_WARNINGS.saturating_sub(self.warnings.len());
        self.warnings.extend(row.warnings.into_iter().take(room));
        for (index, fields) in row.entries {
            let item = &mapping.items[index];
            let entry = Entry {
                canonical: canonical(&fields),
                fields,
            };
            self.counts[index] += 1;
            let kept = &mut self.items[index];
            match &item.rows {
                // A list over its limit is left out whole, so what is beyond is only counted.
                Rows::List { max_entries, .. } if self.counts[index] <= *max_entries => {
                    kept.push(entry)
                }
                Rows::List { .. } => kept.clear(),
                Rows::Latest { by, .. } => {
                    let later = kept.first().is_none_or(|best| {
                        compare(&entry, best, item, *by, false)
                            .then_with(|| entry.canonical.cmp(&best.canonical))
                            .is_gt()
                    });
                    if later {
                        *kept = vec![entry];
                    }
                }
                // The layout of a related table knows no such item.
                Rows::Main => {}
            }
        }
    }

    /// Makes the record of a main row and its related rows.
    pub(crate) fn assemble(mut self, mapping: &Mapping, main: MainRow) -> Assembled {
        let uscc = main.uscc;
        let mut items = main.items;
        let mut left_out = Vec::new();
        for (index, mut entries) in self.items.into_iter().enumerate() {
            let mapped = &mapping.items[index];
            if self.counts[index] == 0 {
                continue;
            }
            let item = match &mapped.rows {
                Rows::Main => continue,
                Rows::Latest { .. } => match entries.pop() {
                    Some(entry) => Item {
                        code: mapped.code.clone(),
                        canonical: entry.canonical,
                    },
                    None => continue,
                },
                Rows::List {
                    order_by,
                    max_entries,
                    ..
                } => {
                    if self.counts[index] > *max_entries {
                        left_out.push(Fault::new(
                            Reason::TooManyEntries,
                            format!(
                                "item {} has {} entries, at most {max_entries}; the record goes \
                                 without it",
                                mapped.code, self.counts[index]
                            ),
                        ));
                        continue;
                    }
                    entries.sort_by(|a, b| in_order(a, b, mapped, order_by));
                    Item::list(&mapped.code, entries.iter().map(|e| e.canonical.as_slice()))
                }
            };
            match check_size(&item) {
                Ok(()) => items.push((index, item)),
                Err(fault) => left_out.push(fault),
            }
        }
        items.sort_by_key(|(index, _)| *index);
        let mut warnings = main.warnings;
        warnings.append(&mut self.warnings);
        let record = if items.is_empty() {
            let message = "no mapped column holds a value";
            Err(Fault::new(Reason::NoItems, message))
        } else {
            Ok(SubjectRecord {
                uscc,
                as_of: main.as_of,
                items: items.into_iter().map(|(_, item)| item).collect(),
            })
        };
        Assembled {
            uscc,
            record,
            warnings,
            left_out,
        }
    }
}

fn in_order(a: &Entry, b: &Entry, item: &ItemMapping, order_by: &[Order]) -> Ordering {
    order_by
        .iter()
        .map(|step| compare(a, b, item, step.field, step.descending))
        .find(|ordering| ordering.is_ne())
        .unwrap_or_else(|| a.canonical.cmp(&b.canonical))
}

/// By one field; entries without it come last, whichever the direction.
fn compare(a: &Entry, b: &Entry, item: &ItemMapping, field: usize, descending: bool) -> Ordering {
    let name = &item.fields[field].name;
    let value = |entry: &Entry| entry.fields.get(name).cloned().unwrap_or(Value::Null);
    match (value(a), value(b)) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (a, b) => {
            let ordering = compare_values(&item.fields[field].kind, &a, &b);
            if descending {
                ordering.reverse()
            } else {
                ordering
            }
        }
    }
}

/// Numbers by size, amounts by currency and then size, dates by day, text by its bytes.
fn compare_values(kind: &FieldKind, a: &Value, b: &Value) -> Ordering {
    let text = |value: &Value, key: &str| {
        let part = value.get(key).unwrap_or(value);
        part.as_str().unwrap_or_default().to_owned()
    };
    let number = |value: &Value, key: &str| Decimal::parse(&text(value, key));
    match kind {
        FieldKind::Integer => a.as_i64().cmp(&b.as_i64()),
        FieldKind::Decimal { .. } => Decimal::compare(number(a, "value"), number(b, "value")),
        FieldKind::Money { .. } => text(a, "currency")
            .cmp(&text(b, "currency"))
            .then_with(|| Decimal::compare(number(a, "amount"), number(b, "amount"))),
        FieldKind::Date | FieldKind::Text => text(a, "").cmp(&text(b, "")),
    }
}
