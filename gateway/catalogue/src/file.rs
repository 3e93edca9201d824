//! A catalogue file's shape. Every key must be known; what is left out has the value named here.

use serde::Deserialize;
use xinqiao_ledger::{
    catalogue::{Catalogue, field::MAX_INTEGER},
    wire::{self, catalogue_field::Type, catalogue_item},
};

use crate::Error;

/// A catalogue file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueFile {
    version: u32,
    groups: Vec<NamedFile>,
    purposes: Vec<NamedFile>,
    items: Vec<ItemFile>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedFile {
    code: String,
    name_zh: String,
    name_en: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemFile {
    code: String,
    name_zh: String,
    name_en: String,
    group: String,
    /// Ten more than the item's before it in its group, if not given.
    place: Option<u32>,
    shape: ShapeFile,
    #[serde(default)]
    key: Vec<String>,
    fresh_days: u32,
    keep_days: u32,
    sensitivity: SensitivityFile,
    /// For extensions only.
    #[serde(default)]
    owner: String,
    fields: Vec<FieldFile>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum ShapeFile {
    Record(RecordWord),
    List(ListFile),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordWord {
    Record,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFile {
    list: u32,
    exhaustive: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SensitivityFile {
    Public,
    Commercial,
    Sensitive,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldFile {
    name: String,
    zh: String,
    en: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    sensitive: bool,
    r#type: TypeWord,
    max_chars: Option<u32>,
    min: Option<BoundFile>,
    max: Option<BoundFile>,
    unit: Option<String>,
    currency: Option<String>,
    values: Option<Vec<[String; 3]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TypeWord {
    Text,
    Integer,
    Decimal,
    Money,
    Date,
    Code,
}

/// Whole numbers are written as such, decimals and amounts as the text that records have.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum BoundFile {
    Integer(i64),
    Text(String),
}

/// How many characters a text may have if nothing is said.
pub(crate) const DEFAULT_CHARS: u32 = 200;

/// How far apart places are that nobody chose.
pub(crate) const PLACES: u32 = 10;

impl CatalogueFile {
    /// The catalogue that it describes.
    ///
    /// # Errors
    /// With the item and field that the ledger would refuse.
    pub fn into_catalogue(self) -> Result<Catalogue, Error> {
        let mut items = Vec::with_capacity(self.items.len());
        let mut last: Vec<(String, u32)> = Vec::new();
        for item in self.items {
            let before = last.iter().rposition(|(group, _)| *group == item.group);
            let next = before.map_or(PLACES, |at| last[at].1.saturating_add(PLACES));
            let place = item.place.unwrap_or(next);
            match before {
                Some(at) => last[at].1 = place,
                None => last.push((item.group.clone(), place)),
            }
            items.push(item.into_wire(place)?);
        }
        items.sort_by(|left, right| left.code.cmp(&right.code));
        let mut purposes: Vec<_> = (self.purposes.into_iter())
            .map(|purpose| wire::CataloguePurpose {
                code: purpose.code,
                name_zh: purpose.name_zh,
                name_en: purpose.name_en,
            })
            .collect();
        purposes.sort_by(|left, right| left.code.cmp(&right.code));
        let wire = wire::Catalogue {
            version: self.version,
            items,
            purposes,
            groups: (self.groups.into_iter())
                .map(|group| wire::CatalogueGroup {
                    code: group.code,
                    name_zh: group.name_zh,
                    name_en: group.name_en,
                })
                .collect(),
        };
        Catalogue::try_from(&wire).map_err(|fault| Error::located(fault, &wire))
    }
}

impl ItemFile {
    fn into_wire(self, place: u32) -> Result<wire::CatalogueItem, Error> {
        let fields = (self.fields.into_iter())
            .map(|field| field.into_wire(&self.code))
            .collect::<Result<_, _>>()?;
        Ok(wire::CatalogueItem {
            code: self.code,
            name_zh: self.name_zh,
            name_en: self.name_en,
            group: self.group,
            place,
            shape: Some(match self.shape {
                ShapeFile::Record(RecordWord::Record) => {
                    catalogue_item::Shape::Record(wire::RecordShape {})
                }
                ShapeFile::List(list) => catalogue_item::Shape::List(wire::ListShape {
                    max_entries: list.list,
                    exhaustive: list.exhaustive,
                }),
            }),
            fields,
            key: self.key,
            fresh_days: self.fresh_days,
            keep_days: self.keep_days,
            sensitivity: match self.sensitivity {
                SensitivityFile::Public => wire::Sensitivity::Public,
                SensitivityFile::Commercial => wire::Sensitivity::Commercial,
                SensitivityFile::Sensitive => wire::Sensitivity::Sensitive,
            }
            .into(),
            owner: self.owner,
        })
    }
}

impl FieldFile {
    fn into_wire(self, item: &str) -> Result<wire::CatalogueField, Error> {
        let place = format!("item {item:?}, field {:?}", self.name);
        let wrong = |name: &str, form| Error::Content {
            place: format!("{place}: {name}"),
            problem: xinqiao_ledger::malformed::Problem::Format(form),
        };
        // A limit that its type does not have would be believed in and never hold.
        use TypeWord::{Code, Decimal, Integer, Money, Text};
        for (name, given, takes) in [
            ("max_chars", self.max_chars.is_some(), &[Text][..]),
            ("min", self.min.is_some(), &[Integer, Decimal, Money]),
            ("max", self.max.is_some(), &[Integer, Decimal, Money]),
            ("unit", self.unit.is_some(), &[Integer, Decimal]),
            ("currency", self.currency.is_some(), &[Money]),
            ("values", self.values.is_some(), &[Code]),
        ] {
            if given && !takes.contains(&self.r#type) {
                return Err(wrong(name, "left out for a field of that type"));
            }
        }
        let whole = |name: &str, bound: Option<BoundFile>, other: i64| match bound {
            None => Ok(other),
            Some(BoundFile::Integer(value)) => Ok(value),
            Some(BoundFile::Text(_)) => Err(wrong(name, "a whole number")),
        };
        let number = |name: &str, bound: Option<BoundFile>| match bound {
            None => Ok(String::new()),
            Some(BoundFile::Text(value)) => Ok(value),
            Some(BoundFile::Integer(_)) => Err(wrong(name, "text, such as \"0.00\"")),
        };
        let unit = self.unit.unwrap_or_default();
        let kind = match self.r#type {
            Text => Type::Text(wire::TextType {
                max_chars: self.max_chars.unwrap_or(DEFAULT_CHARS),
            }),
            Integer => Type::Integer(wire::IntegerType {
                min: whole("min", self.min, 0)?,
                max: whole("max", self.max, MAX_INTEGER)?,
                unit,
            }),
            Decimal => Type::Decimal(wire::DecimalType {
                unit,
                min: number("min", self.min)?,
                max: number("max", self.max)?,
            }),
            Money => Type::Money(wire::MoneyType {
                currency: self.currency.unwrap_or_default(),
                min: number("min", self.min)?,
                max: number("max", self.max)?,
            }),
            TypeWord::Date => Type::Date(wire::DateType {}),
            Code => Type::Code(wire::CodeType {
                values: (self.values.into_iter().flatten())
                    .map(|[code, name_zh, name_en]| wire::CodeValue {
                        code,
                        name_zh,
                        name_en,
                    })
                    .collect(),
            }),
        };
        Ok(wire::CatalogueField {
            name: self.name,
            name_zh: self.zh,
            name_en: self.en,
            required: self.required,
            sensitive: self.sensitive,
            r#type: Some(kind),
        })
    }
}
