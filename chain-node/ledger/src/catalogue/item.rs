//! One item of the catalogue: its shape and fields, and how it is to be treated.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    catalogue::{field::Field, once},
    ids::{FieldName, GroupCode, ItemCode, OrgId},
    malformed::{Malformed, Problem, list, ranged, required},
    member::wire_enum,
    text::DisplayName,
    wire::{self, catalogue_item},
};

/// The most fields of an item.
pub const MAX_FIELDS: usize = 64;

/// The most entries of a list.
pub const MAX_ENTRIES: u32 = 2_000;

/// The most fields that say what a record is about.
pub const MAX_KEY: usize = 4;

/// The one member of a list's JSON object.
pub const ENTRIES: &str = "entries";

/// What codes of extensions begin with.
pub const EXTENSION: &str = "x_";

wire_enum!(
    /// How much care an item takes.
    Sensitivity from Sensitivity {
        /// The law has it published.
        Public,
        /// The business of the enterprise and of those it deals with.
        Commercial,
        /// Might harm the enterprise or a person.
        Sensitive,
    }
);

/// Whether there is one record or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Shape {
    /// One record: `{…}`.
    Record,
    /// A list of records: `{"entries":[{…},…]}`.
    List {
        /// The most entries. 1 to [`MAX_ENTRIES`].
        max_entries: u32,
        /// Whether every source is meant to have all entries.
        exhaustive: bool,
    },
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ItemSchema {
    /// Its code.
    pub code: ItemCode,
    /// Chinese name.
    pub name_zh: DisplayName,
    /// English name.
    pub name_en: DisplayName,
    /// The group that it stands in.
    pub group: GroupCode,
    /// Its place there: smaller first, and of equal ones the code decides.
    pub place: u32,
    /// Whether there is one record or many.
    pub shape: Shape,
    /// The fields, in the order in which a report shows them. 1 to [`MAX_FIELDS`].
    pub fields: Vec<Field>,
    /// The fields that say what a record is about: only records that have the same are compared between
    /// sources. At most [`MAX_KEY`].
    pub key: Vec<FieldName>,
    /// How many days after its as-of date it counts as up to date.
    pub fresh_days: u32,
    /// How many days a recipient may keep it at most, whatever consent allows.
    pub keep_days: u32,
    /// How much care it takes.
    pub sensitivity: Sensitivity,
    /// Of an extension: the member that defines it and answers for it.
    pub owner: Option<OrgId>,
}

impl ItemSchema {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.as_str() == name)
    }

    /// Whether the item, of that as-of date, counts as out of date on a day. Both in days since 1970-01-01.
    pub fn is_stale(&self, as_of_day: u32, today: u32) -> bool {
        as_of_day.saturating_add(self.fresh_days) < today
    }

    pub(super) fn parse(field: &str, wire: &wire::CatalogueItem) -> Result<Self, Malformed> {
        let at = |name: &str| format!("{field}.{name}");
        let code = ItemCode::parse(&at("code"), &wire.code)?;
        let owner = match &*wire.owner {
            "" => None,
            owner => Some(OrgId::parse(&at("owner"), owner)?),
        };
        if owner.is_some() != code.as_str().starts_with(EXTENSION) {
            let form = "given for codes that begin with x_, and for no others";
            return Err(Malformed::new(at("owner"), Problem::Format(form)));
        }
        let shape = match required(&at("shape"), wire.shape.as_ref())? {
            catalogue_item::Shape::Record(wire::RecordShape {}) => Shape::Record,
            catalogue_item::Shape::List(list) => Shape::List {
                max_entries: ranged(
                    &at("list.max_entries"),
                    list.max_entries,
                    1,
                    MAX_ENTRIES.into(),
                )?,
                exhaustive: list.exhaustive,
            },
        };
        let fields = list(&at("fields"), &wire.fields, 1, MAX_FIELDS, Field::parse)?;
        once(&at("fields"), fields.iter().map(|field| &field.name))?;
        let key = list(&at("key"), &wire.key, 0, MAX_KEY, |place, name| {
            let name = FieldName::parse(place, name)?;
            if fields.iter().any(|field| field.name == name) {
                return Ok(name);
            }
            let form = Problem::Format("the name of one of the fields");
            Err(Malformed::new(place, form))
        })?;
        once(&at("key"), key.iter())?;
        Ok(Self {
            code,
            name_zh: DisplayName::parse(&at("name_zh"), &wire.name_zh)?,
            name_en: DisplayName::parse(&at("name_en"), &wire.name_en)?,
            group: GroupCode::parse(&at("group"), &wire.group)?,
            place: ranged(&at("place"), wire.place, 0, 9_999)?,
            shape,
            fields,
            key,
            fresh_days: ranged(&at("fresh_days"), wire.fresh_days, 1, 3_650)?,
            keep_days: ranged(&at("keep_days"), wire.keep_days, 1, 36_500)?,
            sensitivity: Sensitivity::parse(&at("sensitivity"), wire.sensitivity)?,
            owner,
        })
    }
}

impl From<&ItemSchema> for wire::CatalogueItem {
    fn from(item: &ItemSchema) -> Self {
        Self {
            code: item.code.to_string(),
            name_zh: item.name_zh.to_string(),
            name_en: item.name_en.to_string(),
            group: item.group.to_string(),
            place: item.place,
            shape: Some(match item.shape {
                Shape::Record => catalogue_item::Shape::Record(wire::RecordShape {}),
                Shape::List {
                    max_entries,
                    exhaustive,
                } => catalogue_item::Shape::List(wire::ListShape {
                    max_entries,
                    exhaustive,
                }),
            }),
            fields: item.fields.iter().map(Into::into).collect(),
            key: item.key.iter().map(ToString::to_string).collect(),
            fresh_days: item.fresh_days,
            keep_days: item.keep_days,
            sensitivity: item.sensitivity.to_wire(),
            owner: item
                .owner
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }
}
