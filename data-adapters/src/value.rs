//! Field types of a mapping, and the one JSON form that each value has.
//!
//! | type | canonical form |
//! |---|---|
//! | text | string, blanks at both ends removed |
//! | integer | number, within ±(2⁵³ − 1) |
//! | decimal | string `"1234.5"`, or `{"unit","value"}` when the mapping names a unit |
//! | date | string `"2019-01-02"` |
//! | money | `{"amount":"10000000.00","currency":"CNY"}` |

use serde_json::{Value, json};
use time::{Date, Month};

use crate::number::{Decimal, Money};

/// The declared type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// Free text.
    Text,
    /// A whole number within ±(2⁵³ − 1), the range that RFC 8785 carries exactly.
    Integer,
    /// An exact decimal of at most 30 digits.
    Decimal {
        /// What it counts, such as `kWh`; becomes part of the value.
        unit: Option<String>,
    },
    /// A day: `2019-01-02`, `2019/1/2`, `20190102` or `2019年1月2日`, of the years 1800 to 2199.
    Date,
    /// An amount with its currency.
    Money {
        /// ISO 4217 code meant when the cell names no currency.
        currency: String,
    },
}

impl FieldKind {
    /// The name in mapping files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Decimal { .. } => "decimal",
            Self::Date => "date",
            Self::Money { .. } => "money",
        }
    }

    /// What a cell of this type looks like, for messages.
    pub(crate) fn wanted(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "a whole number within ±9007199254740991",
            Self::Decimal { .. } => "a decimal number such as 1,234.50",
            Self::Date => "a date such as 2019-01-02",
            Self::Money { .. } => "an amount such as 1,000(万元人民币) or 1234.50",
        }
    }

    /// The canonical JSON of a trimmed cell; `None` when it is not of this type.
    pub(crate) fn read(&self, cell: &str) -> Option<Value> {
        match self {
            Self::Text => Some(Value::from(cell)),
            Self::Integer => Decimal::parse(cell)?.integer().map(Value::from),
            Self::Decimal { unit: None } => Some(Value::from(Decimal::parse(cell)?.canonical(0))),
            Self::Decimal { unit: Some(unit) } => {
                Some(json!({ "value": Decimal::parse(cell)?.canonical(0), "unit": unit }))
            }
            Self::Date => Some(Value::from(format_date(parse_date(cell)?))),
            Self::Money { currency } => {
                let money = Money::parse(cell, currency)?;
                Some(json!({ "amount": money.amount, "currency": money.currency }))
            }
        }
    }
}

/// `2019-01-02`, `2019/1/2`, `20190102`, `2019年1月2日`.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let (year, month, day) = if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        (&text[..4], &text[4..6], &text[6..])
    } else if let Some((year, rest)) = text.split_once('年') {
        let (month, rest) = rest.split_once('月')?;
        (year, month, rest.strip_suffix('日')?)
    } else {
        let separator = if text.contains('-') { '-' } else { '/' };
        let mut parts = text.split(separator);
        let parts = (parts.next()?, parts.next()?, parts.next()?, parts.next());
        let (year, month, day, None) = parts else {
            return None;
        };
        (year, month, day)
    };
    let number = |digits: &str, most: usize| -> Option<u16> {
        let plain =
            (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().ok())?
    };
    if year.len() != 4 {
        return None;
    }
    let year = number(year, 4)?;
    if !(1800..2200).contains(&year) {
        return None;
    }
    let month = Month::try_from(u8::try_from(number(month, 2)?).ok()?).ok()?;
    let day = u8::try_from(number(day, 2)?).ok()?;
    Date::from_calendar_date(i32::from(year), month, day).ok()
}

/// An as-of date: the ledger counts its days from 1970-01-01.
pub(crate) fn parse_as_of(text: &str) -> Option<Date> {
    parse_date(text).filter(|date| date.year() >= 1970)
}

/// ISO 8601 calendar date.
pub(crate) fn format_date(date: Date) -> String {
    format!(
        "{:04}-{:02}-{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_one_form() {
        for (text, wanted) in [
            ("2019-01-02", Some("2019-01-02")),
            ("2019/1/2", Some("2019-01-02")),
            ("20190102", Some("2019-01-02")),
            ("2019年1月2日", Some("2019-01-02")),
            ("2020-02-29", Some("2020-02-29")),
            ("2019-02-29", None),
            ("2019-13-01", None),
            ("0000-00-00", None),
            ("1799-12-31", None),
            ("2200-01-01", None),
            ("19-01-02", None),
            ("2019-01-02 00:00:00", None),
            ("2019-1", None),
            ("2019-01-02-03", None),
            ("2019/01-02", None),
            ("+019-01-02", None),
            ("2019-+1-02", None),
            ("年月日", None),
            ("", None),
            ("12345678", None),
        ] {
            assert_eq!(
                parse_date(text).map(format_date).as_deref(),
                wanted,
                "{text}"
            );
        }
    }

    #[test]
    fn every_type_has_its_canonical_form() {
        let money = FieldKind::Money {
            currency: "CNY".into(),
        };
        let energy = FieldKind::Decimal {
            unit: Some("kWh".into()),
        };
        let plain = FieldKind::Decimal { unit: None };
        for (kind, cell, wanted) in [
            (&FieldKind::Text, "  x", Some(json!("  x"))),
            (&FieldKind::Integer, "1,024", Some(json!(1024))),
            (&FieldKind::Integer, "10.5", None),
            (&plain, "1,024.50", Some(json!("1024.5"))),
            (&energy, "12.0", Some(json!({"value": "12", "unit": "kWh"}))),
            (&FieldKind::Date, "2019/1/2", Some(json!("2019-01-02"))),
            (
                &money,
                "2万元",
                Some(json!({"amount": "20000.00", "currency": "CNY"})),
            ),
            (&money, "两万元", None),
        ] {
            assert_eq!(kind.read(cell), wanted, "{} {cell}", kind.name());
        }
    }
}
