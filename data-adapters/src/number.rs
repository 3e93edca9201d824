//! Exact decimal numbers and amounts of money out of the notations that sources really use.
//!
//! No floats anywhere: two nodes, and two versions of this program, must produce the same bytes.
//! Nothing is rounded; a notation that can be read in two ways is not read at all.

use std::cmp::Ordering;
use std::fmt::Write as _;

/// Most digits a number may have.
const MAX_DIGITS: usize = 30;

/// A decimal number: `mantissa` × 10^-`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    mantissa: u128,
    scale: u32,
}

/// An amount in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Money {
    /// In the currency's main unit, at least two places.
    pub(crate) amount: String,
    /// ISO 4217.
    pub(crate) currency: String,
}

impl Decimal {
    /// `-1,234.50`, `1234.5`, `１２３`: optional sign, digits plain or grouped by three, optional fraction.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text: String = text.trim().chars().map(narrow).collect();
        let (number, rest) = Self::take(&text)?;
        rest.is_empty().then_some(number)
    }

    /// Reads a number off the front of `text` (already narrowed); gives back what follows it.
    fn take(text: &str) -> Option<(Self, &str)> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = text
            .find(|c: char| !(c.is_ascii_digit() || c == ',' || c == '.'))
            .unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (number, ""),
        };
        let mut groups = whole.split(',');
        let first = groups.next()?;
        if first.is_empty() || (whole.contains(',') && first.len() > 3) {
            return None;
        }
        let mut digits = first.to_owned();
        for group in groups {
            if group.len() != 3 {
                return None;
            }
            digits.push_str(group);
        }
        digits.push_str(fraction);
        if digits.len() > MAX_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some((
            Self {
                negative,
                mantissa: digits.parse().ok()?,
                scale: u32::try_from(fraction.len()).ok()?,
            },
            rest,
        ))
    }

    /// × 10^`power`, exactly.
    fn shifted(self, power: u32) -> Option<Self> {
        let absorbed = power.min(self.scale);
        Some(Self {
            mantissa: self
                .mantissa
                .checked_mul(10_u128.checked_pow(power - absorbed)?)?,
            scale: self.scale - absorbed,
            ..self
        })
    }

    /// Without leading zeros, without trailing zeros beyond `places`, without a negative zero.
    pub(crate) fn canonical(self, places: u32) -> String {
        let (mut mantissa, mut scale) = (self.mantissa, self.scale);
        while scale > places && mantissa.is_multiple_of(10) {
            mantissa /= 10;
            scale -= 1;
        }
        let pad = places.saturating_sub(scale) as usize;
        let digits = format!("{mantissa:0width$}", width = scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        let mut text = String::new();
        if self.negative && mantissa != 0 {
            text.push('-');
        }
        text.push_str(whole);
        if !fraction.is_empty() || pad > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, ".{fraction}{}", "0".repeat(pad));
        }
        text
    }

    /// By size; nothing is before everything.
    pub(crate) fn compare(a: Option<Self>, b: Option<Self>) -> Ordering {
        let (Some(a), Some(b)) = (a, b) else {
            return a.is_some().cmp(&b.is_some());
        };
        let negative = |it: Self| it.negative && it.mantissa != 0;
        match (negative(a), negative(b)) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => a.compare_size(b),
            (true, true) => b.compare_size(a),
        }
    }

    /// By size without the sign: whole parts of up to 30 digits, then fractions as text, nothing is scaled up.
    fn compare_size(self, other: Self) -> Ordering {
        let parts = |it: Self| {
            let digits = format!("{:0width$}", it.mantissa, width = it.scale as usize + 1);
            let (whole, fraction) = digits.split_at(digits.len() - it.scale as usize);
            let whole = whole.trim_start_matches('0').to_owned();
            let fraction = fraction.trim_end_matches('0').to_owned();
            (whole.len(), whole, fraction)
        };
        parts(self).cmp(&parts(other))
    }

    /// As an integer that JSON (RFC 8785, section 3.2.2.3) carries exactly.
    pub(crate) fn integer(self) -> Option<i64> {
        const LARGEST: u128 = (1 << 53) - 1;
        if self.scale != 0 || self.mantissa > LARGEST {
            return None;
        }
        let value = i64::try_from(self.mantissa).ok()?;
        Some(if self.negative { -value } else { value })
    }
}

impl Money {
    /// Reads `1,000(万元人民币)`, `20万人民币`, `100(万元(美元))`, `USD 1,200.50`, `¥3000`, `0.002万`.
    /// `default_currency` is meant when none is named.
    pub(crate) fn parse(text: &str, default_currency: &str) -> Option<Self> {
        // Parentheses and blanks only decorate the unit.
        let narrowed: String = text.chars().map(narrow).collect();
        let narrowed = narrowed.trim();
        let (named, number) = leading_currency(narrowed);
        let (number, unit) = Decimal::take(number)?;
        let unit: String = unit
            .chars()
            .filter(|c| !matches!(c, '(' | ')') && !c.is_whitespace())
            .collect();
        let (power, unit) = multiplier(&unit);
        let trailing = trailing_currency(unit)?;
        let currency = match (named, trailing) {
            (Some(a), Some(b)) if a != b => return None,
            (a, b) => a.or(b).unwrap_or(default_currency),
        };
        Some(Self {
            amount: number.shifted(power)?.canonical(2),
            currency: currency.to_owned(),
        })
    }
}

/// Currencies by the names that Chinese registers use for them.
const CURRENCIES: &[(&str, &[&str])] = &[
    ("CNY", &["人民币", "人民币元", "CNY", "RMB"]),
    ("USD", &["美元", "美金", "USD"]),
    ("HKD", &["港元", "港币", "香港元", "HKD"]),
    ("EUR", &["欧元", "EUR"]),
    ("JPY", &["日元", "日本元", "JPY"]),
    ("GBP", &["英镑", "GBP"]),
    ("CHF", &["瑞士法郎", "CHF"]),
    ("AUD", &["澳元", "澳大利亚元", "AUD"]),
    ("CAD", &["加元", "加拿大元", "CAD"]),
    ("SGD", &["新加坡元", "SGD"]),
    ("KRW", &["韩元", "韩国元", "KRW"]),
    ("TWD", &["新台币", "台币", "TWD"]),
    ("MOP", &["澳门元", "MOP"]),
];

/// Whether `code` is an ISO 4217 code this module knows.
pub(crate) fn known_currency(code: &str) -> bool {
    CURRENCIES.iter().any(|(known, _)| *known == code)
}

fn currency_named(name: &str) -> Option<&'static str> {
    CURRENCIES
        .iter()
        .find(|(_, names)| names.contains(&name))
        .map(|(code, _)| *code)
}

fn leading_currency(text: &str) -> (Option<&'static str>, &str) {
    if let Some(rest) = text.strip_prefix('¥') {
        return (Some("CNY"), rest.trim_start());
    }
    let end = text
        .find(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | ' '))
        .unwrap_or(0);
    match currency_named(&text[..end]) {
        Some(code) => (Some(code), text[end..].trim_start()),
        None => (None, text),
    }
}

fn multiplier(unit: &str) -> (u32, &str) {
    for (word, power) in [("千万", 7), ("百万", 6), ("亿", 8), ("万", 4)] {
        if let Some(rest) = unit.strip_prefix(word) {
            return (power, rest);
        }
    }
    (0, unit)
}

/// `None`: not a unit of money. `Some(None)`: a unit that names no currency.
fn trailing_currency(unit: &str) -> Option<Option<&'static str>> {
    let name = unit.strip_prefix('元').unwrap_or(unit);
    if name.is_empty() {
        return Some(None);
    }
    currency_named(name).map(Some)
}

/// Full-width ASCII (digits, comma, parentheses) and its like to plain ASCII.
fn narrow(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character)
        }
        '\u{3000}' => ' ',
        '\u{ffe5}' => '¥',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_one_form() {
        for (text, wanted) in [
            ("0", Some("0")),
            ("-0.00", Some("0")),
            ("007", Some("7")),
            ("1.50", Some("1.5")),
            ("100", Some("100")),
            ("+12,345.6780", Some("12345.678")),
            ("-1,000", Some("-1000")),
            ("１２３．５", Some("123.5")),
            ("0.002", Some("0.002")),
            (
                "123456789012345678901234567890",
                Some("123456789012345678901234567890"),
            ),
            ("1234567890123456789012345678901", None),
            ("", None),
            ("-", None),
            (".5", None),
            ("5.", None),
            ("1.2.3", None),
            ("1,00", None),
            ("1234,567", None),
            (",100", None),
            ("1,2.5", None),
            ("1.5,000", None),
            ("1e5", None),
            ("NaN", None),
            ("0x10", None),
        ] {
            let got = Decimal::parse(text).map(|d| d.canonical(0));
            assert_eq!(got.as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn decimals_are_ordered_by_size() {
        let rising = [
            "-1000", "-2.5", "-2.45", "-0.1", "0", "0.09", "0.1", "2", "10", "10.01", "999",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                let got = Decimal::compare(Decimal::parse(a), Decimal::parse(b));
                assert_eq!(got, i.cmp(&j), "{a} {b}");
            }
        }
        let same = Decimal::compare(Decimal::parse("-0.00"), Decimal::parse("0"));
        assert_eq!(same, Ordering::Equal);
    }

    #[test]
    fn integers_are_those_json_carries_exactly() {
        for (text, wanted) in [
            ("9007199254740991", Some(9_007_199_254_740_991)),
            ("9007199254740992", None),
            ("-9,007,199,254,740,991", Some(-9_007_199_254_740_991)),
            ("1.0", None),
            ("12", Some(12)),
        ] {
            assert_eq!(
                Decimal::parse(text).and_then(Decimal::integer),
                wanted,
                "{text}"
            );
        }
    }

    #[test]
    fn money_is_read_in_the_notations_of_registers() {
        let cny = |amount| Some((amount, "CNY"));
        for (text, wanted) in [
            ("1,000(万元人民币)", cny("10000000.00")),
            ("20万人民币", cny("200000.00")),
            ("200万元人民币", cny("2000000.00")),
            ("5(万元)", cny("50000.00")),
            ("10（万元）", cny("100000.00")),
            ("100(万元(人民币))", cny("1000000.00")),
            ("33(万元（人民币）)", cny("330000.00")),
            ("100(万人民币元)", cny("1000000.00")),
            ("300(万)", cny("3000000.00")),
            ("15.8000(万元人民币)", cny("158000.00")),
            ("85,736.7635(万人民币元)", cny("857367635.00")),
            ("0.002万人民币", cny("20.00")),
            ("1,000,000(万元人民币)", cny("10000000000.00")),
            ("0(万元人民币)", cny("0.00")),
            ("3亿元", cny("300000000.00")),
            ("5百万元", cny("5000000.00")),
            ("1234.5", cny("1234.50")),
            ("1234.567元", cny("1234.567")),
            ("-12.30", cny("-12.30")),
            ("¥3,000", cny("3000.00")),
            ("￥ 3,000元", cny("3000.00")),
            ("RMB 12元", cny("12.00")),
            ("325(万香港元)", Some(("3250000.00", "HKD"))),
            ("800(万元(港币))", Some(("8000000.00", "HKD"))),
            ("1,058.0040(万美元)", Some(("10580040.00", "USD"))),
            ("USD 1,200.50", Some(("1200.50", "USD"))),
            ("USD 1,200.50万美元", Some(("12005000.00", "USD"))),
            ("1,000(万日元)", Some(("10000000.00", "JPY"))),
            ("165.2000(万瑞士法郎)", Some(("1652000.00", "CHF"))),
            // Not read, because there is more than one way to read it.
            ("60(元/万元)", None),
            ("USD 100人民币", None),
            ("1,00万元", None),
            ("约100万元", None),
            ("100万-200万", None),
            ("万元", None),
            ("", None),
            ("Mahmood", None),
            ("100万万元", None),
        ] {
            let got = Money::parse(text, "CNY");
            let got = got
                .as_ref()
                .map(|m| (m.amount.as_str(), m.currency.as_str()));
            assert_eq!(got, wanted, "{text}");
        }
        assert_eq!(
            Money::parse("100万", "USD").map(|m| m.currency),
            Some("USD".into())
        );
    }
}
