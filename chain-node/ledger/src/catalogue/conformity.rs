//! Whether an item's JSON is what its schema says, and if not, where and why.
//!
//! Sources look before they register, so that they register what others can read; agents look after they have
//! verified, and say so in the report. Nothing is dropped for not conforming: what a source registered is what
//! the bank reads. Faults name places, never content: they may go into a log.

use std::fmt;

use crate::catalogue::{
    field::{Currency, Field, FieldKind},
    item::{ENTRIES, ItemSchema, Shape},
    json::{Json, NotCanonical},
    number::Decimal,
};

/// The most faults that are named.
pub const MAX_FAULTS: usize = 32;

/// The longest name of a member that no field has, in characters; what is longer is cut.
const MAX_SHOWN: usize = 32;

/// What does not conform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conformity {
    /// The first [`MAX_FAULTS`] faults, in the order of the fields.
    pub faults: Vec<Fault>,
    /// Whether there are more.
    pub more: bool,
}

impl Conformity {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }
}

/// One thing that does not conform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `amount`, `entries[3].amount`; empty for the item as a whole. No field but one whose name the
    /// catalogue does not know is named by what the record says.
    pub path: String,
    /// What.
    pub what: What,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(out, "{}", self.what)
        } else {
            write!(out, "{}: {}", self.path, self.what)
        }
    }
}

/// What can be wrong with an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// It is no canonical JSON, and nothing further was looked at.
    #[error("{0}")]
    NotCanonical(NotCanonical),
    /// It is another kind of value than the schema says.
    #[error("must be {wanted}, is {got}")]
    Type {
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        got: &'static str,
    },
    /// It is text, and not of the type's form.
    #[error("must be {0}")]
    Form(&'static str),
    /// A field that must be there is not.
    #[error("is missing")]
    Missing,
    /// The schema has no such member.
    #[error("is not in the schema")]
    Unknown,
    /// A list has more entries than it may.
    #[error("may have at most {max} entries, has {got}")]
    TooMany {
        /// The most.
        max: u32,
        /// How many there are.
        got: usize,
    },
    /// A text is longer than it may be.
    #[error("may have at most {max} characters, has {got}")]
    TooLong {
        /// The most characters.
        max: u32,
        /// How many there are.
        got: usize,
    },
    /// A text has control characters.
    #[error("has control characters")]
    Control,
    /// A number is outside its range.
    #[error("is out of range")]
    Range,
    /// A decimal has another unit.
    #[error("has another unit than the schema says")]
    Unit,
    /// An amount has another currency.
    #[error("has another currency than the schema says")]
    Currency,
    /// A code is none of the field's.
    #[error("is none of the codes of the schema")]
    Code,
}

impl What {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotCanonical(_) => "NOT_CANONICAL",
            Self::Type { .. } => "TYPE",
            Self::Form(_) => "FORM",
            Self::Missing => "MISSING",
            Self::Unknown => "UNKNOWN_FIELD",
            Self::TooMany { .. } => "TOO_MANY_ENTRIES",
            Self::TooLong { .. } => "TOO_LONG",
            Self::Control => "CONTROL_CHARACTER",
            Self::Range => "RANGE",
            Self::Unit => "UNIT",
            Self::Currency => "CURRENCY",
            Self::Code => "UNKNOWN_CODE",
        }
    }
}

/// Holds an item's canonical JSON against its schema. The work is in proportion to the bytes, whatever they are.
pub fn check(schema: &ItemSchema, canonical: &[u8]) -> Conformity {
    match Json::read(canonical) {
        Ok(json) => check_value(schema, &json),
        Err(fault) => {
            let mut faults = Faults::default();
            faults.add("", What::NotCanonical(fault));
            faults.0
        }
    }
}

/// [`check`] for an item that was read already.
pub fn check_value(schema: &ItemSchema, item: &Json<'_>) -> Conformity {
    let mut faults = Faults::default();
    match schema.shape {
        Shape::Record => record(schema, item, "", &mut faults),
        Shape::List { max_entries, .. } => {
            let Json::Object(members) = item else {
                faults.wanted("", "an object", item);
                return faults.0;
            };
            for (name, value) in members {
                match (&**name, value) {
                    (ENTRIES, Json::List(entries)) => {
                        list(schema, entries, max_entries, &mut faults);
                    }
                    (ENTRIES, other) => faults.wanted(ENTRIES, "an array", other),
                    (unknown, _) => faults.add(&shown("", unknown), What::Unknown),
                }
            }
            if item.member(ENTRIES).is_none() {
                faults.add(ENTRIES, What::Missing);
            }
        }
    }
    faults.0
}

#[derive(Default)]
struct Faults(Conformity);

impl Faults {
    fn add(&mut self, path: &str, what: What) {
        if self.0.faults.len() < MAX_FAULTS {
            self.0.faults.push(Fault {
                path: path.to_owned(),
                what,
            });
        } else {
            self.0.more = true;
        }
    }

    fn wanted(&mut self, path: &str, wanted: &'static str, got: &Json<'_>) {
        let got = got.kind();
        self.add(path, What::Type { wanted, got });
    }

    /// No further fault would be named.
    fn is_full(&self) -> bool {
        self.0.more
    }
}

/// The path of a member that the schema does not have: its name as it is, cut, and without what would disturb
/// whoever reads it.
fn shown(parent: &str, name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '?'
        }
    };
    let mut cut: String = name.chars().take(MAX_SHOWN).map(plain).collect();
    if name.chars().nth(MAX_SHOWN).is_some() {
        cut.push('…');
    }
    format!("{parent}{cut}")
}

fn list(schema: &ItemSchema, entries: &[Json<'_>], max: u32, faults: &mut Faults) {
    if entries.len() > max as usize {
        let got = entries.len();
        faults.add(ENTRIES, What::TooMany { max, got });
    }
    for (at, entry) in entries.iter().enumerate() {
        if faults.is_full() {
            return;
        }
        record(schema, entry, &format!("{ENTRIES}[{at}]."), faults);
    }
}

fn record(schema: &ItemSchema, record: &Json<'_>, parent: &str, faults: &mut Faults) {
    let Json::Object(members) = record else {
        let path = parent.trim_end_matches('.');
        faults.wanted(path, "an object", record);
        return;
    };
    for field in &schema.fields {
        let value = record.member(field.name.as_str());
        match value.filter(|value| !value.is_absent()) {
            None if field.required => {
                faults.add(&format!("{parent}{}", field.name), What::Missing);
            }
            None => {}
            Some(value) => {
                if let Some(what) = value_fault(field, value) {
                    faults.add(&format!("{parent}{}", field.name), what);
                }
            }
        }
    }
    for (name, _) in members {
        if faults.is_full() {
            return;
        }
        if schema.field(name).is_none() {
            faults.add(&shown(parent, name), What::Unknown);
        }
    }
}

/// What is wrong with a value that is there.
fn value_fault(field: &Field, value: &Json<'_>) -> Option<What> {
    let fault = match &field.kind {
        FieldKind::Text { max_chars } => text_fault(*max_chars, value),
        FieldKind::Integer { min, max, .. } => match value {
            Json::Integer(number) if (min..=max).contains(&number) => Ok(()),
            Json::Integer(_) => Err(What::Range),
            Json::Number(_) => Err(What::Form("a whole number within ±9007199254740991")),
            other => Err(another("a number", other)),
        },
        FieldKind::Decimal { unit, min, max } => {
            decimal_fault(unit, (min.as_ref(), max.as_ref()), value)
        }
        FieldKind::Money { currency, min, max } => {
            money_fault(*currency, (min.as_ref(), max.as_ref()), value)
        }
        FieldKind::Date => match value.text() {
            Some(text) if is_date(text) => Ok(()),
            Some(_) => Err(What::Form("a day such as 2026-06-30")),
            None => Err(another("text", value)),
        },
        FieldKind::Code(codes) => match value.text() {
            Some(text) if codes.iter().any(|known| known.code.as_str() == text) => Ok(()),
            Some(_) => Err(What::Code),
            None => Err(another("text", value)),
        },
    };
    fault.err()
}

fn another(wanted: &'static str, value: &Json<'_>) -> What {
    let got = value.kind();
    What::Type { wanted, got }
}

fn text_fault(max: u32, value: &Json<'_>) -> Result<(), What> {
    let text = value.text().ok_or_else(|| another("text", value))?;
    let got = text.chars().count();
    if got > max as usize {
        return Err(What::TooLong { max, got });
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(What::Control);
    }
    Ok(())
}

type Bounds<'a> = (Option<&'a Decimal>, Option<&'a Decimal>);

fn bounded((min, max): Bounds<'_>, number: &Decimal) -> Result<(), What> {
    let low = min.is_some_and(|min| number.compare(min).is_lt());
    let high = max.is_some_and(|max| number.compare(max).is_gt());
    if low || high {
        Err(What::Range)
    } else {
        Ok(())
    }
}

/// The two members of an object that has no others.
fn pair<'a, 'j>(value: &'a Json<'j>, names: [&str; 2]) -> Option<[&'a Json<'j>; 2]> {
    match value {
        Json::Object(members) => match &members[..] {
            [(first, one), (second, other)] if *first == names[0] && *second == names[1] => {
                Some([one, other])
            }
            _ => None,
        },
        _ => None,
    }
}

fn decimal_fault(unit: &str, bounds: Bounds<'_>, value: &Json<'_>) -> Result<(), What> {
    let number = if unit.is_empty() {
        value.text().ok_or_else(|| another("text", value))?
    } else {
        let form = "an object of unit and value";
        let [said, number] = pair(value, ["unit", "value"]).ok_or_else(|| match value {
            Json::Object(_) => What::Form(form),
            other => another(form, other),
        })?;
        if said.text() != Some(unit) {
            return Err(What::Unit);
        }
        number.text().ok_or(What::Form(form))?
    };
    let number = Decimal::new(number).ok_or(What::Form(
        "a decimal such as 1234.5, without needless zeros",
    ))?;
    bounded(bounds, &number)
}

fn money_fault(
    currency: Option<Currency>,
    bounds: Bounds<'_>,
    value: &Json<'_>,
) -> Result<(), What> {
    let form = "an object of amount and currency";
    let [amount, said] = pair(value, ["amount", "currency"]).ok_or_else(|| match value {
        Json::Object(_) => What::Form(form),
        other => another(form, other),
    })?;
    let said = said.text().and_then(Currency::new);
    let said = said.ok_or(What::Form("in a currency of three capitals (ISO 4217)"))?;
    if currency.is_some_and(|currency| currency != said) {
        return Err(What::Currency);
    }
    let amount = amount.text().and_then(Decimal::amount);
    let amount = amount.ok_or(What::Form("an amount such as 1234.50"))?;
    bounded(bounds, &amount)
}

/// Whether a text is a day of the years 1800 to 2199, as `2026-06-30`.
pub fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to).unwrap_or(b"x");
        digits.iter().try_fold(0_u32, |number, byte| {
            byte.is_ascii_digit()
                .then(|| number * 10 + u32::from(byte - b'0'))
        })
    };
    let (10, Some(b'-'), Some(b'-')) = (bytes.len(), bytes.get(4), bytes.get(7)) else {
        return false;
    };
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    (1800..2200).contains(&year) && (1..=days).contains(&day)
}
