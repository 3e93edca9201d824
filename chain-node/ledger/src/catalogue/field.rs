//! One field of an item: its labels, and what values look like.
//!
//! | type | canonical form of a value (RFC 8785) |
//! |---|---|
//! | text | string of at most so many characters, none of them a control character but line feeds |
//! | integer | number within ±(2⁵³ − 1) |
//! | decimal | string `"1234.5"`; with a unit the object `{"unit":"kWh","value":"1234.5"}` |
//! | money | object `{"amount":"10000000.00","currency":"CNY"}` |
//! | date | string `"2026-06-30"`, of the years 1800 to 2199 |
//! | code | string, one of the field's codes |
//!
//! Any of them may be `null`, or left out, when the field is not required. Data adapters write these forms.

use std::cmp::Ordering;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    catalogue::{Named, number::Decimal, once},
    ids::FieldName,
    malformed::{Malformed, Problem, list, ranged, required},
    text::{DisplayName, Text},
    wire::{self, catalogue_field::Type},
};

/// The greatest whole number that RFC 8785 carries exactly.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// The most characters of a text.
pub const MAX_CHARS: u32 = 10_000;

/// The most codes of a field.
pub const MAX_CODES: usize = 64;

/// A unit; empty for none.
pub type Unit = Text<0, 32>;

/// A code that a field may have, as records have it.
pub type ValueCode = Text<1, 32>;

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Field {
    /// Its name in JSON.
    pub name: FieldName,
    /// Chinese label.
    pub name_zh: DisplayName,
    /// English label.
    pub name_en: DisplayName,
    /// Whether a record must have it.
    pub required: bool,
    /// Whether samples and logs mask it.
    pub sensitive: bool,
    /// What values look like.
    pub kind: FieldKind,
}

/// What values look like.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FieldKind {
    /// Text.
    Text {
        /// The most characters (Unicode scalar values).
        max_chars: u32,
    },
    /// A whole number.
    Integer {
        /// The least value.
        min: i64,
        /// The greatest.
        max: i64,
        /// What it counts, for people.
        unit: Unit,
    },
    /// An exact decimal.
    Decimal {
        /// The unit that values have; with none a value is a string.
        unit: Unit,
        /// The least value.
        min: Option<Decimal>,
        /// The greatest.
        max: Option<Decimal>,
    },
    /// An amount of money.
    Money {
        /// The currency that amounts have (ISO 4217); none for any.
        currency: Option<Currency>,
        /// The least amount.
        min: Option<Decimal>,
        /// The greatest.
        max: Option<Decimal>,
    },
    /// A day.
    Date,
    /// One of these codes.
    Code(Vec<Named<ValueCode>>),
}

/// A currency's three capitals (ISO 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Reads three capitals.
    pub fn new(text: &str) -> Option<Self> {
        let code = <[u8; 3]>::try_from(text.as_bytes()).ok()?;
        (code.iter().all(u8::is_ascii_uppercase)).then_some(Self(code))
    }

    /// The three capitals.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FieldKind {
    /// The type's name, as catalogue files and mappings have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Integer { .. } => "integer",
            Self::Decimal { .. } => "decimal",
            Self::Money { .. } => "money",
            Self::Date => "date",
            Self::Code(_) => "code",
        }
    }

    fn parse(field: &str, wire: &Type) -> Result<Self, Malformed> {
        let at = |name: &str| format!("{field}.{name}");
        Ok(match wire {
            Type::Text(text) => Self::Text {
                max_chars: ranged(&at("text.max_chars"), text.max_chars, 1, MAX_CHARS.into())?,
            },
            Type::Integer(integer) => {
                let unit = Unit::parse(&at("integer.unit"), &integer.unit)?;
                for (name, value) in [("integer.min", integer.min), ("integer.max", integer.max)] {
                    if value.unsigned_abs() > MAX_INTEGER.unsigned_abs() {
                        let form = Problem::Format("within ±9007199254740991");
                        return Err(Malformed::new(at(name), form));
                    }
                }
                ordered(&at("integer.max"), integer.min.cmp(&integer.max))?;
                Self::Integer {
                    min: integer.min,
                    max: integer.max,
                    unit,
                }
            }
            Type::Decimal(decimal) => {
                let form = "a decimal such as -12.5, of at most 30 digits and no needless zeros";
                let bound = |name: &str, text| Decimal::bound(&at(name), text, Decimal::new, form);
                let unit = Unit::parse(&at("decimal.unit"), &decimal.unit)?;
                let min = bound("decimal.min", &decimal.min)?;
                let max = bound("decimal.max", &decimal.max)?;
                between(&at("decimal.max"), min.as_ref(), max.as_ref())?;
                Self::Decimal { unit, min, max }
            }
            Type::Money(money) => {
                let form = "an amount such as -12.50, of at most 30 digits";
                let bound =
                    |name: &str, text| Decimal::bound(&at(name), text, Decimal::amount, form);
                let min = bound("money.min", &money.min)?;
                let max = bound("money.max", &money.max)?;
                between(&at("money.max"), min.as_ref(), max.as_ref())?;
                let currency = match &*money.currency {
                    "" => None,
                    code => Some(Currency::new(code).ok_or_else(|| {
                        let form = Problem::Format("three capitals of ISO 4217");
                        Malformed::new(at("money.currency"), form)
                    })?),
                };
                Self::Money { currency, min, max }
            }
            Type::Date(_) => Self::Date,
            Type::Code(codes) => {
                let name = at("code.values");
                let codes = list(&name, &codes.values, 1, MAX_CODES, |field, value| {
                    let code = ValueCode::parse(&format!("{field}.code"), &value.code);
                    Named::parse(field, code, &value.name_zh, &value.name_en)
                })?;
                once(&name, codes.iter().map(|value| &value.code))?;
                Self::Code(codes)
            }
        })
    }
}

fn ordered(field: &str, order: Ordering) -> Result<(), Malformed> {
    if order.is_le() {
        return Ok(());
    }
    let form = Problem::Format("not less than the least");
    Err(Malformed::new(field, form))
}

fn between(field: &str, min: Option<&Decimal>, max: Option<&Decimal>) -> Result<(), Malformed> {
    match (min, max) {
        (Some(min), Some(max)) => ordered(field, min.compare(max)),
        _ => Ok(()),
    }
}

impl Field {
    pub(super) fn parse(field: &str, wire: &wire::CatalogueField) -> Result<Self, Malformed> {
        let at = |name: &str| format!("{field}.{name}");
        Ok(Self {
            name: FieldName::parse(&at("name"), &wire.name)?,
            name_zh: DisplayName::parse(&at("name_zh"), &wire.name_zh)?,
            name_en: DisplayName::parse(&at("name_en"), &wire.name_en)?,
            required: wire.required,
            sensitive: wire.sensitive,
            kind: FieldKind::parse(field, required(&at("type"), wire.r#type.as_ref())?)?,
        })
    }
}

fn text_of(bound: Option<&Decimal>) -> String {
    bound.map(ToString::to_string).unwrap_or_default()
}

impl From<&FieldKind> for Type {
    fn from(kind: &FieldKind) -> Self {
        match kind {
            FieldKind::Text { max_chars } => Self::Text(wire::TextType {
                max_chars: *max_chars,
            }),
            FieldKind::Integer { min, max, unit } => Self::Integer(wire::IntegerType {
                min: *min,
                max: *max,
                unit: unit.to_string(),
            }),
            FieldKind::Decimal { unit, min, max } => Self::Decimal(wire::DecimalType {
                unit: unit.to_string(),
                min: text_of(min.as_ref()),
                max: text_of(max.as_ref()),
            }),
            FieldKind::Money { currency, min, max } => Self::Money(wire::MoneyType {
                currency: currency.map_or_else(String::new, |code| code.as_str().to_owned()),
                min: text_of(min.as_ref()),
                max: text_of(max.as_ref()),
            }),
            FieldKind::Date => Self::Date(wire::DateType {}),
            FieldKind::Code(codes) => Self::Code(wire::CodeType {
                values: (codes.iter())
                    .map(|value| wire::CodeValue {
                        code: value.code.to_string(),
                        name_zh: value.name_zh.to_string(),
                        name_en: value.name_en.to_string(),
                    })
                    .collect(),
            }),
        }
    }
}

impl From<&Field> for wire::CatalogueField {
    fn from(field: &Field) -> Self {
        Self {
            name: field.name.to_string(),
            name_zh: field.name_zh.to_string(),
            name_en: field.name_en.to_string(),
            required: field.required,
            sensitive: field.sensitive,
            r#type: Some((&field.kind).into()),
        }
    }
}
