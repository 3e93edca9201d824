//! What a data source is: who runs it and which items it can hold.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ItemCode, OrgId, SourceId},
    malformed::{Malformed, ascending},
    text::DisplayName,
    wire,
};

/// A data source as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct DataSource {
    /// Its id.
    pub source: SourceId,
    /// The member that runs the data-holding node.
    pub operator: OrgId,
    /// Its name.
    pub name: DisplayName,
    /// Codes of the items that it can hold, ascending. 1 to 64.
    pub items: Vec<ItemCode>,
}

impl TryFrom<&wire::DataSource> for DataSource {
    type Error = Malformed;

    fn try_from(wire: &wire::DataSource) -> Result<Self, Malformed> {
        Ok(Self {
            source: SourceId::parse("source", &wire.source)?,
            operator: OrgId::parse("operator", &wire.operator)?,
            name: DisplayName::parse("name", &wire.name)?,
            items: ascending("items", &wire.items, 1, 64, |field, code| {
                ItemCode::parse(field, code)
            })?,
        })
    }
}

impl From<&DataSource> for wire::DataSource {
    fn from(source: &DataSource) -> Self {
        Self {
            source: source.source.to_string(),
            operator: source.operator.to_string(),
            name: source.name.to_string(),
            items: source.items.iter().map(ToString::to_string).collect(),
        }
    }
}
