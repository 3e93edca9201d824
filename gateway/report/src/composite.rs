//! What an institution's agent makes of the verified items of one query: the items in the catalogue's order, each
//! with every source's version, what is out of date, what does not conform, what contradicts, and what is missing.

use xinqiao_ledger::{
    catalogue::{
        Catalogue,
        conformity::{self, Conformity, Fault, What},
        item::ItemSchema,
        json::Json,
    },
    ids::ItemCode,
    wire::{self, ItemStatus},
};

use crate::compare::{self, Conflict};

/// One verified item from one source.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// Its code.
    pub item: &'a ItemCode,
    /// The part it came with.
    pub part: usize,
    /// Its as-of date, in days since 1970-01-01.
    pub as_of_day: u32,
    /// Its canonical JSON.
    pub json: &'a str,
}

/// What is to be said about one version beside its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Whether it was out of date.
    pub stale: bool,
    /// What does not conform.
    pub conformity: Conformity,
}

/// One item of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its code.
    pub code: ItemCode,
    /// How much of it came.
    pub status: ItemStatus,
    /// Its versions, by their places among all.
    pub versions: Vec<usize>,
    /// Parts that were to bring it and did not, by their places.
    pub failed: Vec<usize>,
    /// What its versions contradict each other in; values are by the versions' places among all.
    pub conflicts: Vec<Conflict>,
    /// Whether there are more conflicts.
    pub more_conflicts: bool,
}

/// What the versions of a report come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composite {
    /// A mark for each version, in their order.
    pub marks: Vec<Mark>,
    /// The items asked for, in the catalogue's order; those that it no longer has come last, by their codes.
    pub items: Vec<Item>,
}

/// Puts a report together. `parts` are the items that each part of the order was to bring, `missing` those that no source holds; `today` is in days since 1970-01-01.
pub fn compose(
    catalogue: &Catalogue,
    versions: &[Version<'_>],
    parts: &[&[ItemCode]],
    missing: &[ItemCode],
    today: u32,
) -> Composite {
    let read: Vec<_> = versions
        .iter()
        .map(|version| Json::read(version.json.as_bytes()))
        .collect();
    let marks = versions
        .iter()
        .zip(&read)
        .map(|(version, json)| match catalogue.item(version.item) {
            Some(schema) => Mark {
                stale: schema.is_stale(version.as_of_day, today),
                conformity: match json {
                    Ok(json) => conformity::check_value(schema, json),
                    Err(fault) => Conformity {
                        faults: vec![Fault {
                            path: String::new(),
                            what: What::NotCanonical(*fault),
                        }],
                        more: false,
                    },
                },
            },
            None => Mark::default(),
        })
        .collect();
    let mut codes: Vec<&ItemCode> = (parts.iter())
        .flat_map(|items| items.iter())
        .chain(versions.iter().map(|version| version.item))
        .chain(missing)
        .collect();
    codes.sort_by_cached_key(|code| {
        let rank = catalogue.item(code).map(|schema| catalogue.rank(schema));
        (rank.is_none(), rank, (*code).clone())
    });
    codes.dedup();
    let item = |code: &ItemCode| {
        let own: Vec<usize> = (versions.iter().enumerate())
            .filter(|(_, version)| version.item == code)
            .map(|(at, _)| at)
            .collect();
        let came = |part: usize| own.iter().any(|at| versions[*at].part == part);
        let failed = (parts.iter().enumerate())
            .filter(|(part, items)| items.contains(code) && !came(*part))
            .map(|(part, _)| part)
            .collect::<Vec<_>>();
        let comparable: Vec<_> = (own.iter())
            .filter_map(|at| read[*at].as_ref().ok().map(|json| (*at, json)))
            .collect();
        let (conflicts, more_conflicts) = match catalogue.item(code) {
            Some(schema) if comparable.len() > 1 => compare::conflicts(schema, &comparable),
            _ => (Vec::new(), false),
        };
        Item {
            code: code.clone(),
            status: match (own.is_empty(), failed.is_empty()) {
                (false, true) => ItemStatus::Complete,
                (false, false) => ItemStatus::Partial,
                (true, false) => ItemStatus::Failed,
                (true, true) => ItemStatus::NotHeld,
            },
            versions: own,
            failed,
            conflicts,
            more_conflicts,
        }
    };
    Composite {
        marks,
        items: codes.into_iter().map(item).collect(),
    }
}

/// A place as the wire has it; there are far fewer.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Mark {
    /// Sets what it says in a section.
    pub fn put(self, section: &mut wire::ReportSection) {
        section.stale = self.stale;
        section.more_faults = self.conformity.more;
        section.faults = (self.conformity.faults.into_iter())
            .map(|fault| wire::ItemFault {
                code: fault.what.code().to_owned(),
                message: fault.what.to_string(),
                path: fault.path,
            })
            .collect();
    }
}

impl Item {
    /// As the answer has it, with the names of the catalogue.
    pub fn into_wire(self, catalogue: &Catalogue) -> wire::ReportItem {
        let schema = catalogue.item(&self.code);
        let of = |text: fn(&ItemSchema) -> String| schema.map(text).unwrap_or_default();
        wire::ReportItem {
            name_zh: of(|schema| schema.name_zh.to_string()),
            name_en: of(|schema| schema.name_en.to_string()),
            group: of(|schema| schema.group.to_string()),
            item: self.code.to_string(),
            status: self.status.into(),
            sections: self.versions.into_iter().map(place).collect(),
            failed_parts: self.failed.into_iter().map(place).collect(),
            conflicts: (self.conflicts.into_iter())
                .map(|conflict| wire::ItemConflict {
                    about: conflict.about,
                    field: conflict.field.map(String::from).unwrap_or_default(),
                    values: (conflict.values.into_iter())
                        .map(|(version, json)| wire::ConflictingValue {
                            section: place(version),
                            json: json.unwrap_or_default(),
                        })
                        .collect(),
                })
                .collect(),
            more_conflicts: self.more_conflicts,
        }
    }
}

/// The part of a catalogue that rendering a report of these items takes.
pub fn excerpt(catalogue: &Catalogue, items: &[wire::ReportItem]) -> wire::Catalogue {
    let kept = |code: &ItemCode| items.iter().any(|item| item.item == code.as_str());
    wire::Catalogue::from(&Catalogue {
        items: (catalogue.items.iter())
            .filter(|schema| kept(&schema.code))
            .cloned()
            .collect(),
        version: catalogue.version,
        groups: catalogue.groups.clone(),
        purposes: catalogue.purposes.clone(),
    })
}
