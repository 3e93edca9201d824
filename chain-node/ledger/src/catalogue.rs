//! The item and purpose catalogue: versioned data, never an enumeration.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ItemCode, PurposeCode},
    malformed::{Malformed, Problem, ascending, ranged},
    text::DisplayName,
    wire,
};

/// Something with a code and its names in both languages.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
pub struct Named<C> {
    /// The code.
    pub code: C,
    /// Chinese name.
    pub name_zh: DisplayName,
    /// English name.
    pub name_en: DisplayName,
}

/// What reports may hold and what they may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Catalogue {
    /// Version, from 1 without gaps.
    pub version: u32,
    /// Items in ascending order of codes.
    pub items: Vec<Named<ItemCode>>,
    /// Purposes in ascending order of codes.
    pub purposes: Vec<Named<PurposeCode>>,
}

impl Catalogue {
    /// The item of that code.
    pub fn item(&self, code: &ItemCode) -> Option<&Named<ItemCode>> {
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
}

impl TryFrom<&wire::Catalogue> for Catalogue {
    type Error = Malformed;

    fn try_from(wire: &wire::Catalogue) -> Result<Self, Malformed> {
        let items = ascending("items", &wire.items, 1, 256, |field, item| {
            Ok(Named {
                code: ItemCode::parse(&format!("{field}.code"), &item.code)?,
                name_zh: DisplayName::parse(&format!("{field}.name_zh"), &item.name_zh)?,
                name_en: DisplayName::parse(&format!("{field}.name_en"), &item.name_en)?,
            })
        })?;
        let purposes = ascending("purposes", &wire.purposes, 1, 64, |field, purpose| {
            Ok(Named {
                code: PurposeCode::parse(&format!("{field}.code"), &purpose.code)?,
                name_zh: DisplayName::parse(&format!("{field}.name_zh"), &purpose.name_zh)?,
                name_en: DisplayName::parse(&format!("{field}.name_en"), &purpose.name_en)?,
            })
        })?;
        // Ascending entries may still share a code and differ in a name.
        if items.windows(2).any(|pair| pair[0].code == pair[1].code) {
            return Err(Malformed::new("items", Problem::NotAscending));
        }
        if purposes.windows(2).any(|pair| pair[0].code == pair[1].code) {
            return Err(Malformed::new("purposes", Problem::NotAscending));
        }
        Ok(Self {
            version: ranged("version", wire.version, 1, u64::from(u32::MAX))?,
            items,
            purposes,
        })
    }
}

impl From<&Catalogue> for wire::Catalogue {
    fn from(catalogue: &Catalogue) -> Self {
        Self {
            version: catalogue.version,
            items: catalogue
                .items
                .iter()
                .map(|item| wire::CatalogueItem {
                    code: item.code.to_string(),
                    name_zh: item.name_zh.to_string(),
                    name_en: item.name_en.to_string(),
                })
                .collect(),
            purposes: catalogue
                .purposes
                .iter()
                .map(|purpose| wire::CataloguePurpose {
                    code: purpose.code.to_string(),
                    name_zh: purpose.name_zh.to_string(),
                    name_en: purpose.name_en.to_string(),
                })
                .collect(),
        }
    }
}
