//! The catalogue of items and purposes: versioned data on the ledger, never an enumeration.
//!
//! | module | what it has |
//! |---|---|
//! | [`item`] | one item: its shape, its fields, how long it is fresh and may be kept |
//! | [`field`] | one field: its type, and what values of that type look like |
//! | [`number`] | exact decimals and amounts as text |
//! | [`json`] | reading canonical JSON, in bounded depth and size |
//! | [`conformity`] | whether an item's JSON is what its schema says |
//! | [`succession`] | what a next version may change |
//!
//! Files that people write catalogues in are not read here, and reports are not made here.

pub mod conformity;
pub mod field;
pub mod item;
pub mod json;
pub mod number;
pub mod succession;

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use prost::Message;

use crate::{
    catalogue::item::ItemSchema,
    ids::{GroupCode, ItemCode, PurposeCode},
    malformed::{Malformed, Problem, ascending, list, ranged},
    text::DisplayName,
    wire,
};

/// The most items.
pub const MAX_ITEMS: usize = 256;

/// The most purposes.
pub const MAX_PURPOSES: usize = 64;

/// The most groups.
pub const MAX_GROUPS: usize = 32;

/// The most bytes of a catalogue as a message: half of a transaction
/// ([`crate::tx::MAX_BODY_BYTES`]), so that a proposal has room for other changes beside it. Full counts of
/// everything at once would be far more; nobody reads a report of 256 items with 64 fields each.
pub const MAX_BYTES: usize = 512 << 10;

/// Something with a code and its names in both languages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Named<C> {
    /// The code.
    pub code: C,
    /// Chinese name.
    pub name_zh: DisplayName,
    /// English name.
    pub name_en: DisplayName,
}

impl<C> Named<C> {
    fn parse(
        field: &str,
        code: Result<C, Malformed>,
        name_zh: &str,
        name_en: &str,
    ) -> Result<Self, Malformed> {
        Ok(Self {
            code: code?,
            name_zh: DisplayName::parse(&format!("{field}.name_zh"), name_zh)?,
            name_en: DisplayName::parse(&format!("{field}.name_en"), name_en)?,
        })
    }
}

/// What reports may hold and what they may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Catalogue {
    /// Version, from 1 without gaps.
    pub version: u32,
    /// Groups in the order in which a report shows them.
    pub groups: Vec<Named<GroupCode>>,
    /// Items in ascending order of codes.
    pub items: Vec<ItemSchema>,
    /// Purposes in ascending order of codes.
    pub purposes: Vec<Named<PurposeCode>>,
}

impl Catalogue {
    /// The item of that code.
    pub fn item(&self, code: &ItemCode) -> Option<&ItemSchema> {
        self.items
            .binary_search_by(|item| item.code.cmp(code))
            .ok()
            .map(|at| &self.items[at])
    }

    /// The purpose of that code.
    pub fn purpose(&self, code: &PurposeCode) -> Option<&Named<PurposeCode>> {
        self.purposes
            .binary_search_by(|purpose| purpose.code.cmp(code))
            .ok()
            .map(|at| &self.purposes[at])
    }

    /// The group of that code.
    pub fn group(&self, code: &GroupCode) -> Option<&Named<GroupCode>> {
        self.groups.iter().find(|group| group.code == *code)
    }

    /// Where an item stands in a report: smaller comes first.
    pub fn rank(&self, item: &ItemSchema) -> (usize, u32, ItemCode) {
        let group = (self.groups.iter()).position(|group| group.code == item.group);
        (
            group.unwrap_or(self.groups.len()),
            item.place,
            item.code.clone(),
        )
    }

    /// The items in the order in which a report shows them.
    pub fn in_order(&self) -> Vec<&ItemSchema> {
        let mut items: Vec<_> = self.items.iter().collect();
        items.sort_by_cached_key(|item| self.rank(item));
        items
    }

    /// The codes of items, ascending.
    pub fn codes(&self) -> impl Iterator<Item = &ItemCode> {
        self.items.iter().map(|item| &item.code)
    }
}

impl TryFrom<&wire::Catalogue> for Catalogue {
    type Error = Malformed;

    fn try_from(wire: &wire::Catalogue) -> Result<Self, Malformed> {
        let got = wire.encoded_len();
        if got > MAX_BYTES {
            let max = MAX_BYTES;
            return Err(Malformed::new("catalogue", Problem::TooLong { max, got }));
        }
        let groups = list("groups", &wire.groups, 1, MAX_GROUPS, |field, group| {
            let code = GroupCode::parse(&format!("{field}.code"), &group.code);
            Named::parse(field, code, &group.name_zh, &group.name_en)
        })?;
        once("groups", groups.iter().map(|group| &group.code))?;
        let items = list("items", &wire.items, 1, MAX_ITEMS, ItemSchema::parse)?;
        let purposes = ascending(
            "purposes",
            &wire.purposes,
            1,
            MAX_PURPOSES,
            |field, purpose| {
                let code = PurposeCode::parse(&format!("{field}.code"), &purpose.code);
                Named::parse(field, code, &purpose.name_zh, &purpose.name_en)
            },
        )?;
        // Ascending purposes may still share a code and differ in a name.
        if items.windows(2).any(|pair| pair[0].code >= pair[1].code) {
            return Err(Malformed::new("items", Problem::NotAscending));
        }
        if purposes.windows(2).any(|pair| pair[0].code == pair[1].code) {
            return Err(Malformed::new("purposes", Problem::NotAscending));
        }
        for (at, item) in items.iter().enumerate() {
            if !groups.iter().any(|group| group.code == item.group) {
                let form = Problem::Format("the code of one of the groups");
                return Err(Malformed::new(format!("items[{at}].group"), form));
            }
        }
        Ok(Self {
            version: ranged("version", wire.version, 1, u64::from(u32::MAX))?,
            groups,
            items,
            purposes,
        })
    }
}

/// Whether no two are alike.
fn once<T: Ord>(field: &str, all: impl Iterator<Item = T>) -> Result<(), Malformed> {
    let mut seen = BTreeSet::new();
    for one in all {
        if !seen.insert(one) {
            return Err(Malformed::new(field, Problem::Repeated));
        }
    }
    Ok(())
}

impl From<&Catalogue> for wire::Catalogue {
    fn from(catalogue: &Catalogue) -> Self {
        Self {
            version: catalogue.version,
            groups: (catalogue.groups.iter())
                .map(|group| wire::CatalogueGroup {
                    code: group.code.to_string(),
                    name_zh: group.name_zh.to_string(),
                    name_en: group.name_en.to_string(),
                })
                .collect(),
            items: catalogue.items.iter().map(Into::into).collect(),
            purposes: (catalogue.purposes.iter())
                .map(|purpose| wire::CataloguePurpose {
                    code: purpose.code.to_string(),
                    name_zh: purpose.name_zh.to_string(),
                    name_en: purpose.name_en.to_string(),
                })
                .collect(),
        }
    }
}
