//! What sources say differently about one item.
//!
//! Records are held against each other field by field, and only those that are about the same, by the key fields
//! of the catalogue: tax of 2024 does not contradict tax of 2025. Lists are compared entry by entry in the same
//! way, so an order of entries is no difference. An entry that one source has and another has not is a
//! contradiction only where the catalogue says that every source is meant to have all (shareholders), as courts
//! of two provinces have different judgments. A source that says nothing about a field contradicts nobody.
//!
//! Texts are alike when they differ in blanks or in full and half width alone, as `上海(集团)` and `上海（集团）`
//! do: registers write both. They are shown as they are.

use std::collections::BTreeMap;

use xinqiao_ledger::{
    catalogue::{
        item::{ENTRIES, ItemSchema, Shape},
        json::Json,
    },
    ids::FieldName,
};

/// The most conflicts of one item that are named.
pub const MAX_CONFLICTS: usize = 64;

/// The longest JSON that a conflict repeats, in bytes; of what is longer, a beginning is shown.
pub const MAX_SHOWN: usize = 4_096;

/// How many characters of what is longer are shown.
const BEGINNING: usize = 500;

/// Something that sources say differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The key fields of the record, as canonical JSON; empty where there is but one record.
    pub about: String,
    /// The field; none when it is about whether there is such an entry at all.
    pub field: Option<FieldName>,
    /// Each source, by its place in what was compared, with what it says as canonical JSON. Several values as an
    /// array, when a list has several entries about the same.
    pub values: Vec<(usize, Option<String>)>,
}

/// The conflicts between versions of an item, in the order of records and fields, and whether there are more than
/// [`MAX_CONFLICTS`]. A version that is no canonical JSON, or of another shape, is left out.
pub fn conflicts(schema: &ItemSchema, versions: &[(usize, &Json<'_>)]) -> (Vec<Conflict>, bool) {
    let mut found = Found::default();
    let mut compared = Vec::new();
    let mut groups: Vec<Group<'_, '_>> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (version, json) in versions {
        let Some(records) = records(schema, json) else {
            continue;
        };
        compared.push(*version);
        for record in records {
            let at = *known.entry(about(schema, record)).or_insert_with(|| {
                groups.push(Group::default());
                groups.len() - 1
            });
            groups[at].0.push((*version, record));
        }
    }
    let exhaustive = matches!(
        schema.shape,
        Shape::List {
            exhaustive: true,
            ..
        }
    );
    for group in &groups {
        if exhaustive {
            group.missing(schema, &compared, &mut found);
        }
        group.fields(schema, &mut found);
        if found.more {
            break;
        }
    }
    (found.conflicts, found.more)
}

#[derive(Default)]
struct Found {
    conflicts: Vec<Conflict>,
    more: bool,
}

impl Found {
    fn add(&mut self, conflict: Conflict) {
        if self.conflicts.len() < MAX_CONFLICTS {
            self.conflicts.push(conflict);
        } else {
            self.more = true;
        }
    }
}

/// The records of one version; `None` when it is of another shape.
fn records<'a, 'j>(schema: &ItemSchema, json: &'a Json<'j>) -> Option<Vec<&'a Json<'j>>> {
    let records: Vec<_> = match schema.shape {
        Shape::Record => vec![json],
        Shape::List { .. } => match json.member(ENTRIES)? {
            Json::List(entries) => entries.iter().collect(),
            _ => return None,
        },
    };
    let objects = records
        .iter()
        .all(|record| matches!(record, Json::Object(_)));
    objects.then_some(records)
}

/// What a record is about, as text that those about the same share. Entries without a key are about themselves.
fn about(schema: &ItemSchema, record: &Json<'_>) -> String {
    if schema.key.is_empty() {
        return match schema.shape {
            Shape::Record => String::new(),
            Shape::List { .. } => alike(record),
        };
    }
    let values = schema.key.iter().map(|name| said(record, name));
    let values = values.map(|value| value.map_or_else(|| "null".to_owned(), alike));
    // JSON values in a row are told apart by their own syntax.
    values.collect::<Vec<_>>().join(",")
}

/// What a record says of a field.
fn said<'a, 'j>(record: &'a Json<'j>, name: &FieldName) -> Option<&'a Json<'j>> {
    record
        .member(name.as_str())
        .filter(|value| !value.is_absent())
}

/// Canonical JSON in which what counts as alike is the same.
fn alike(value: &Json<'_>) -> String {
    value
        .to_string()
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            other => other,
        })
        .collect()
}

fn shown(json: String) -> String {
    if json.len() <= MAX_SHOWN {
        return json;
    }
    let beginning: String = json.chars().take(BEGINNING).chain(['…']).collect();
    Json::Text(beginning.into()).to_string()
}

/// Records about the same, each with the version that it is of.
#[derive(Default)]
struct Group<'a, 'j>(Vec<(usize, &'a Json<'j>)>);

impl Group<'_, '_> {
    /// The key of its records, as JSON.
    fn about(&self, schema: &ItemSchema) -> String {
        let Some((_, record)) = self.0.first() else {
            return String::new();
        };
        if schema.key.is_empty() {
            return match schema.shape {
                Shape::Record => String::new(),
                Shape::List { .. } => shown(record.to_string()),
            };
        }
        let mut members: Vec<_> = schema
            .key
            .iter()
            .map(|name| {
                let value = said(record, name).cloned().unwrap_or(Json::Null);
                (name.as_str().into(), value)
            })
            .collect();
        // Names are ASCII: their order is that of their UTF-16 code units.
        members.sort_by(|left: &(std::borrow::Cow<'_, str>, _), right| left.0.cmp(&right.0));
        shown(Json::Object(members).to_string())
    }

    fn versions(&self) -> Vec<usize> {
        let mut versions: Vec<_> = self.0.iter().map(|(version, _)| *version).collect();
        versions.dedup();
        versions
    }

    /// That not all have such an entry.
    fn missing(&self, schema: &ItemSchema, compared: &[usize], found: &mut Found) {
        let have = self.versions();
        if have.len() == compared.len() {
            return;
        }
        let about = self.about(schema);
        let values = compared
            .iter()
            .map(|version| (*version, have.contains(version).then(|| about.clone())))
            .collect();
        found.add(Conflict {
            about,
            field: None,
            values,
        });
    }

    /// Fields that differ.
    fn fields(&self, schema: &ItemSchema, found: &mut Found) {
        let versions = self.versions();
        if versions.len() < 2 {
            return;
        }
        for field in &schema.fields {
            if schema.key.contains(&field.name) {
                continue;
            }
            let of = |version: usize| {
                let mut values: Vec<_> = (self.0.iter())
                    .filter(|(of, _)| *of == version)
                    .filter_map(|(_, record)| said(record, &field.name))
                    .collect();
                values.sort_by_cached_key(|value| alike(value));
                values.dedup_by_key(|value| alike(value));
                values
            };
            let values: Vec<_> = versions
                .iter()
                .map(|version| (*version, of(*version)))
                .collect();
            let mut forms = values.iter().filter(|(_, values)| !values.is_empty());
            let form =
                |values: &[&Json<'_>]| values.iter().map(|value| alike(value)).collect::<Vec<_>>();
            let Some(first) = forms.next().map(|(_, values)| form(values)) else {
                continue;
            };
            if forms.all(|(_, values)| form(values) == first) {
                continue;
            }
            let json = |values: &[&Json<'_>]| match values {
                [] => None,
                [one] => Some(shown(one.to_string())),
                more => Some(shown(
                    Json::List(more.iter().map(|one| (*one).clone()).collect()).to_string(),
                )),
            };
            found.add(Conflict {
                about: self.about(schema),
                field: Some(field.name.clone()),
                values: (values.iter())
                    .map(|(version, values)| (*version, json(values)))
                    .collect(),
            });
        }
    }
}
