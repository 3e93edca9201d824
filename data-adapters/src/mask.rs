//! Shows the shape of a value without the value, for messages and samples.
//!
//! A reader sees what is wrong with a column (`9,999(字字)` where a number was declared) and learns
//! nothing about the subject.

/// Characters of the shape that are shown.
const SHOWN: usize = 20;

/// Digits become `9`, Latin letters `X` or `x`, other letters `字`; ASCII punctuation stays.
/// At most the first 20 characters, then `…` and the full length.
#[must_use]
pub fn mask(value: &str) -> String {
    let mut shape: String = value.chars().take(SHOWN).map(mask_character).collect();
    let length = value.chars().count();
    if length > SHOWN {
        shape.push_str(&format!("… ({length} characters)"));
    }
    shape
}

fn mask_character(character: char) -> char {
    match character {
        c if c.is_numeric() => '9',
        c if c.is_ascii_uppercase() => 'X',
        c if c.is_ascii_lowercase() => 'x',
        c if c.is_ascii_punctuation() || c == ' ' => c,
        c if c.is_control() => '\u{fffd}',
        _ => '字',
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn the_shape_stays_and_the_value_goes() {
        for (value, shape) in [
            ("", ""),
            ("1,000(万元人民币)", "9,999(字字字字字)"),
            ("91350100M000100Y43", "99999999X999999X99"),
            ("2019-01-02", "9999-99-99"),
            ("Mahmood-uL", "Xxxxxxx-xX"),
            ("a\u{0}b", "x\u{fffd}x"),
            (
                "苏州工业园区星海街某某某某某某某某某某某号",
                "字字字字字字字字字字字字字字字字字字字字… (21 characters)",
            ),
        ] {
            assert_eq!(mask(value), shape, "{value}");
        }
    }
}
