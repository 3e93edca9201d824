//! Values as people read them: amounts with grouped digits, codes by their names, dates, times.

use xinqiao_ledger::catalogue::{
    field::{Field, FieldKind},
    json::Json,
};

use crate::wording::{Html, Lang};

/// A value in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) html: Html,
    /// Class of the table cell: `num`, `raw`, or none.
    pub(crate) class: &'static str,
    /// Whether it takes much room.
    pub(crate) wide: bool,
}

/// How many characters fit into half of a page's width.
const HALF_PAGE: usize = 26;

/// A value by its field; what does not conform is shown as its JSON. Nothing said is an empty cell.
pub(crate) fn cell(field: &Field, value: Option<&Json<'_>>, lang: Lang) -> Cell {
    let Some(value) = value.filter(|value| !value.is_absent()) else {
        return Cell::default();
    };
    match read(field, value, lang) {
        Some((text, class)) => Cell {
            html: Html::text(&text),
            class,
            wide: text.chars().count() > HALF_PAGE,
        },
        None => raw(value),
    }
}

/// A value as its JSON.
pub(crate) fn raw(value: &Json<'_>) -> Cell {
    let text = value.to_string();
    Cell {
        html: Html::text(&text),
        class: "raw",
        wide: text.chars().count() > HALF_PAGE,
    }
}

/// A value as plain text.
pub(crate) fn plain(field: &Field, value: &Json<'_>, lang: Lang) -> String {
    read(field, value, lang).map_or_else(|| value.to_string(), |(text, _)| text)
}

fn read(field: &Field, value: &Json<'_>, lang: Lang) -> Option<(String, &'static str)> {
    Some(match (&field.kind, value) {
        (FieldKind::Text { .. } | FieldKind::Date, Json::Text(text)) => (text.to_string(), ""),
        (FieldKind::Integer { unit, .. }, Json::Integer(number)) => {
            // A year is no amount: its digits are not grouped.
            let digits = number.to_string();
            let grouped = if (1_900..2_200).contains(number) && unit.is_empty() {
                digits
            } else {
                grouped(&digits)
            };
            (with_unit(&grouped, unit), "num")
        }
        (FieldKind::Decimal { unit, .. }, Json::Text(number)) if unit.is_empty() => {
            (grouped(number), "num")
        }
        (FieldKind::Decimal { .. }, Json::Object(_)) => {
            let unit = value.member("unit")?.text()?;
            let number = value.member("value")?.text()?;
            (with_unit(&grouped(number), unit), "num")
        }
        (FieldKind::Money { .. }, Json::Object(_)) => {
            let amount = grouped(value.member("amount")?.text()?);
            let currency = value.member("currency")?.text()?;
            let text = match (currency, lang) {
                ("CNY", Lang::Zh | Lang::Both) => format!("{amount} 元"),
                ("USD", Lang::Zh | Lang::Both) => format!("{amount} 美元"),
                _ => format!("{currency} {amount}"),
            };
            (text, "num")
        }
        (FieldKind::Code(codes), Json::Text(code)) => {
            let known = codes.iter().find(|known| known.code.as_str() == code)?;
            (lang.plain(&known.name_zh, &known.name_en), "")
        }
        _ => return None,
    })
}

fn with_unit(number: &str, unit: &str) -> String {
    match unit {
        "" => number.to_owned(),
        "%" => format!("{number}%"),
        unit => format!("{number} {unit}"),
    }
}

/// `-1234567.50` as `-1,234,567.50`; whatever is no number stays as it is.
fn grouped(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("−", digits),
        None => ("", number),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (digits, String::new()),
    };
    if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{sign}{text}{fraction}")
}

/// A day from days since 1970-01-01 (proleptic Gregorian calendar).
pub(crate) fn day(days: u64) -> String {
    // Hinnant, "chrono-compatible low-level date algorithms": years that begin in March, eras of 400 of them.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// The day of a moment in China (UTC+8), from milliseconds since 1970-01-01 UTC.
pub(crate) fn date(ms: u64) -> String {
    day((ms / 1_000).saturating_add(8 * 3_600) / DAY_S)
}

/// A moment in the time of China (UTC+8), from milliseconds since 1970-01-01 UTC.
pub(crate) fn moment(ms: u64) -> String {
    let seconds = (ms / 1_000).saturating_add(8 * 3_600);
    let (days, of_day) = (seconds / DAY_S, seconds % DAY_S);
    let (hours, minutes) = (of_day / 3_600, of_day / 60 % 60);
    format!(
        "{} {hours:02}:{minutes:02}:{:02} (UTC+8)",
        day(days),
        of_day % 60
    )
}

/// A duration from microseconds.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0 => "–".to_owned(),
        1..10_000_000 => format!("{} ms", us.div_ceil(1_000)),
        _ => format!("{} s", us / 1_000_000),
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, text) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (10_957, "2000-01-01"),
            (11_016, "2000-02-29"),
            (20_634, "2026-06-30"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(day(days), text);
        }
        assert_eq!(moment(57_600_000), "1970-01-02 00:00:00 (UTC+8)");
    }

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.50", "−1,234,567.50"),
            ("12.3456", "12.3456"),
            ("1e9", "1e9"),
            ("", ""),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
