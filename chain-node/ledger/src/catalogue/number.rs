//! Exact decimals and amounts as canonical text, compared without floats.
//!
//! ```text
//! decimal:  -? ( 0 | [1-9][0-9]* ) ( . [0-9]* [1-9] )?           "0", "-12.5"
//! amount:   -? ( 0 | [1-9][0-9]* ) . [0-9]{2} ( [0-9]* [1-9] )?  "1000.00", "0.125"
//! ```
//!
//! At most 30 digits, and no negative zero: each number has one text. Data adapters write these forms.

use std::{cmp::Ordering, fmt};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    malformed::{Malformed, Problem},
    text::shows_code,
};

/// The most digits of a number.
pub const MAX_DIGITS: usize = 30;

/// How many decimal places an amount has at least.
const AMOUNT_PLACES: usize = 2;

/// A number in the canonical form of a decimal or of an amount. Borsh reads back what was written from a
/// checked value.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Decimal(String);

impl Decimal {
    /// Reads a decimal in its canonical form.
    pub fn new(text: &str) -> Option<Self> {
        is_canonical(text, 0).then(|| Self(text.to_owned()))
    }

    /// Reads an amount in its canonical form.
    pub fn amount(text: &str) -> Option<Self> {
        is_canonical(text, AMOUNT_PLACES).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses a bound that may be left empty.
    pub(super) fn bound(
        field: &str,
        text: &str,
        read: fn(&str) -> Option<Self>,
        form: &'static str,
    ) -> Result<Option<Self>, Malformed> {
        if text.is_empty() {
            return Ok(None);
        }
        // Eighteen digits may be a code.
        if shows_code(text) {
            return Err(Malformed::new(field, Problem::PlainCode));
        }
        let malformed = || Malformed::new(field, Problem::Format(form));
        read(text).map(Some).ok_or_else(malformed)
    }

    /// Compares by value: whole numbers of the same length without a zero before them compare as their texts do,
    /// and so do fractions without zeros after them.
    pub fn compare(&self, other: &Self) -> Ordering {
        let (negative, whole, fraction) = self.parts();
        let (other_negative, other_whole, other_fraction) = other.parts();
        let magnitude = (whole.len(), whole, fraction);
        let other_magnitude = (other_whole.len(), other_whole, other_fraction);
        match (negative, other_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude.cmp(&other_magnitude),
            (true, true) => other_magnitude.cmp(&magnitude),
        }
    }

    fn parts(&self) -> (bool, &str, &str) {
        let (negative, digits) = match self.0.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, &*self.0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        (negative, whole, fraction.trim_end_matches('0'))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

fn is_canonical(text: &str, places: usize) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return false,
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let zero = digits.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    !whole.is_empty()
        && all_digits(whole)
        && all_digits(fraction)
        && whole.len() + fraction.len() <= MAX_DIGITS
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.len() >= places
        && (fraction.len() == places || !fraction.ends_with('0'))
        && !(zero && text.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_text() {
        for (text, decimal, amount) in [
            ("0", true, false),
            ("0.00", false, true),
            ("-0", false, false),
            ("-0.00", false, false),
            ("12", true, false),
            ("12.5", true, false),
            ("12.50", false, true),
            ("12.505", true, true),
            ("12.500", false, false),
            ("-12.50", false, true),
            ("-0.01", true, true),
            ("012", false, false),
            ("00.50", false, false),
            (".5", false, false),
            ("5.", false, false),
            ("1e5", false, false),
            ("1,000.00", false, false),
            ("+1", false, false),
            ("--1", false, false),
            ("1.2.3", false, false),
            ("１", false, false),
            ("", false, false),
            ("-", false, false),
            ("123456789012345678901234567890", true, false),
            ("1234567890123456789012345678901", false, false),
            ("1234567890123456789012345678.90", false, true),
        ] {
            assert_eq!(Decimal::new(text).is_some(), decimal, "{text}");
            assert_eq!(Decimal::amount(text).is_some(), amount, "{text}");
        }
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let ascending = [
            "-1000", "-999.5", "-999", "-0.1", "-0.01", "0", "0.01", "0.1", "0.11", "9", "10",
            "10.01", "999", "1000",
        ];
        let numbers: Vec<_> = ascending
            .iter()
            .map(|text| Decimal::new(text).unwrap())
            .collect();
        for (left, one) in numbers.iter().enumerate() {
            for (right, other) in numbers.iter().enumerate() {
                assert_eq!(one.compare(other), left.cmp(&right), "{one} {other}");
            }
        }
        let (amount, decimal) = (Decimal::amount("1.50"), Decimal::new("1.5"));
        assert_eq!(amount.unwrap().compare(&decimal.unwrap()), Ordering::Equal);
    }
}
