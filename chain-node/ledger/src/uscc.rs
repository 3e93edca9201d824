//! The unified social credit code (统一社会信用代码) of GB 32100-2015: parsing and its check character.
//!
//! A plain code never reaches the ledger: subjects appear there as keyed pseudonyms. This type exists
//! so that the parties who do see the code (agents, data-holding nodes) refuse a mistyped one before a
//! pseudonym is derived from it, and so that it does not slip into a log line: there is no `Display`,
//! no serialisation, and `Debug` is redacted. Reading it takes a visible call to [`Uscc::expose`].
//!
//! Not here: whether a code was ever issued, and what its region digits mean.

use std::fmt;
use std::str::FromStr;

/// Characters in a code (GB 32100-2015, clause 4).
pub const USCC_LENGTH: usize = 18;

/// The 31 characters in the order of their values 0–30: digits, then capitals without I, O, S, V, Z
/// (GB 32100-2015, table 2).
pub const USCC_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

/// Weights 3^(i-1) mod 31 of the positions i = 1..=17 (GB 32100-2015, table 3).
const WEIGHTS: [u32; USCC_LENGTH - 1] = [
    1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28,
];

/// A unified social credit code whose alphabet and check character are right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uscc([u8; USCC_LENGTH]);

/// Why a text is not a unified social credit code.
///
/// The messages name positions and single characters, never the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsccError {
    /// The number of characters is wrong.
    #[error(
        "a unified social credit code has 18 characters (17 without its check character), got {got}"
    )]
    Length {
        /// Characters (not bytes) found.
        got: usize,
    },
    /// A character is none of the 31.
    #[error("character {character:?} at position {position} does not occur in unified social credit codes{}", hint(*.character))]
    Alphabet {
        /// Place of the first offender, counted from 1.
        position: usize,
        /// The offender.
        character: char,
    },
    /// The last character does not follow from the first seventeen.
    #[error(
        "the check character (position 18) should be {expected:?} for the seventeen before it, found {found:?}"
    )]
    CheckCharacter {
        /// What GB 32100-2015 computes.
        expected: char,
        /// What the text has.
        found: char,
    },
}

impl Uscc {
    /// Completes the first seventeen characters with their check character.
    ///
    /// # Errors
    /// [`UsccError::Length`] unless there are exactly 17, [`UsccError::Alphabet`] for a foreign character.
    pub fn from_base17(base: &str) -> Result<Self, UsccError> {
        let values = values::<{ USCC_LENGTH - 1 }>(base)?;
        let mut code = [0; USCC_LENGTH];
        for (place, value) in code.iter_mut().zip(values) {
            *place = character(value);
        }
        code[USCC_LENGTH - 1] = character(check_value(&values));
        Ok(Self(code))
    }

    /// The plain code. The name is a reminder that the result must not be logged or sent to the ledger.
    #[must_use]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII of the alphabet gets into a Uscc")
    }
}

impl FromStr for Uscc {
    type Err = UsccError;

    /// Strict: no trimming, no change of case, no look-alike replacement.
    fn from_str(text: &str) -> Result<Self, UsccError> {
        let values = values::<USCC_LENGTH>(text)?;
        let (base, check) = values.split_at(USCC_LENGTH - 1);
        let (expected, found) = (check_value(base), check[0]);
        if expected != found {
            return Err(UsccError::CheckCharacter {
                expected: char::from(character(expected)),
                found: char::from(character(found)),
            });
        }
        Ok(Self(values.map(character)))
    }
}

impl TryFrom<&str> for Uscc {
    type Error = UsccError;

    fn try_from(text: &str) -> Result<Self, UsccError> {
        text.parse()
    }
}

impl fmt::Debug for Uscc {
    /// The first two characters (who registered, and what kind of body it is), nothing that identifies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uscc({}…)", &self.expose()[..2])
    }
}

/// The values of exactly `N` characters.
fn values<const N: usize>(text: &str) -> Result<[u32; N], UsccError> {
    let got = text.chars().count();
    if got != N {
        return Err(UsccError::Length { got });
    }
    let mut values = [0; N];
    for (place, (index, character)) in values.iter_mut().zip(text.chars().enumerate()) {
        *place = value(character).ok_or(UsccError::Alphabet {
            position: index + 1,
            character,
        })?;
    }
    Ok(values)
}

fn value(character: char) -> Option<u32> {
    (0..)
        .zip(USCC_ALPHABET)
        .find(|(_, known)| char::from(**known) == character)
        .map(|(value, _)| value)
}

fn character(value: u32) -> u8 {
    USCC_ALPHABET[value as usize]
}

/// 31 − (Σ mod 31), where 31 counts as 0 (GB 32100-2015, annex A).
fn check_value(base: &[u32]) -> u32 {
    let sum: u32 = base.iter().zip(WEIGHTS).map(|(v, w)| v * w).sum();
    (31 - sum % 31) % 31
}

/// What to tell someone about a character that people really type.
fn hint(character: char) -> &'static str {
    match character {
        'i' | 'o' | 's' | 'v' | 'z' => {
            " (codes are written in capitals, and without I, O, S, V and Z)"
        }
        'a'..='z' => " (codes are written in capitals; lower case is refused, not corrected)",
        'I' | 'O' | 'S' | 'V' | 'Z' => {
            " (I, O, S, V and Z are never used: perhaps 1, 0, 5, U or 2)"
        }
        '\u{ff01}'..='\u{ff5e}' => " (it is a full-width character)",
        c if c.is_whitespace() => " (blanks are not trimmed)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: Result<(), UsccError>) {
        let got: Result<Uscc, UsccError> = text.parse();
        assert_eq!(got.as_ref().map(|_| ()).map_err(|e| *e), wanted, "{text}");
        assert_eq!(Uscc::try_from(text), got);
        if let Ok(code) = got {
            assert_eq!(code.expose(), text);
            assert_eq!(Uscc::from_base17(&text[..17]), Ok(code));
        }
    }

    /// Codes that their owners publish, chosen for their check characters: digits, letters, 0.
    #[test]
    fn published_codes_are_accepted_and_completed() {
        for text in [
            "91350100M000100Y43",
            "91110000600037341L",
            "91330100799655058B",
            "9144030071526726XG",
            "914403001922038216",
            "91110000802100433B",
            // Σ ≡ 0 mod 31: 31 − 0 = 31 counts as 0.
            "91310000MA1FL00030",
            "000000000000000000",
        ] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn faults_are_named_with_their_place() {
        let alphabet = |position, character| {
            Err(UsccError::Alphabet {
                position,
                character,
            })
        };
        let wrong = |expected, found| Err(UsccError::CheckCharacter { expected, found });
        for (text, wanted) in [
            ("", Err(UsccError::Length { got: 0 })),
            ("91350100M000100", Err(UsccError::Length { got: 15 })),
            ("91350100M000100Y4", Err(UsccError::Length { got: 17 })),
            ("91350100M000100Y433", Err(UsccError::Length { got: 19 })),
            (" 91350100M000100Y43", Err(UsccError::Length { got: 19 })),
            ("91350100M000100Y4 ", alphabet(18, ' ')),
            ("91350100m000100Y43", alphabet(9, 'm')),
            ("91350100M000100y43", alphabet(16, 'y')),
            ("I1350100M000100Y43", alphabet(1, 'I')),
            ("9O350100M000100Y43", alphabet(2, 'O')),
            ("91Z50100M000100Y43", alphabet(3, 'Z')),
            ("913S0100M000100Y43", alphabet(4, 'S')),
            ("91350100V000100Y43", alphabet(9, 'V')),
            ("91350100M000100Y4V", alphabet(18, 'V')),
            ("９1350100M000100Y43", alphabet(1, '９')),
            ("91350100M0\u{0}0100Y43", alphabet(11, '\0')),
            ("91350100M000100Y4\u{1F600}", alphabet(18, '\u{1F600}')),
            // Eighteen bytes, but nine characters: characters count.
            ("ééééééééé", Err(UsccError::Length { got: 9 })),
            ("91350100M000100Y44", wrong('3', '4')),
            ("91350100M000100Y34", wrong('0', '4')),
            ("91310000MA1FL00031", wrong('0', '1')),
        ] {
            check(text, wanted);
        }
    }

    /// 31 is prime and no weight is 0 mod 31, so one wrong character always shows; the weights differ,
    /// so two neighbours that changed places show too.
    #[test]
    fn every_single_slip_and_every_swap_of_neighbours_is_caught() {
        let good = "91350100M000100Y43";
        for position in 0..USCC_LENGTH {
            for replacement in USCC_ALPHABET {
                let mut bytes = good.as_bytes().to_vec();
                if bytes[position] == *replacement {
                    continue;
                }
                bytes[position] = *replacement;
                let text = String::from_utf8(bytes).expect("ASCII");
                assert!(
                    matches!(text.parse::<Uscc>(), Err(UsccError::CheckCharacter { .. })),
                    "{text}"
                );
            }
        }
        for position in 0..USCC_LENGTH - 1 {
            let mut bytes = good.as_bytes().to_vec();
            bytes.swap(position, position + 1);
            let text = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(text.parse::<Uscc>().is_ok(), text == good, "{text}");
        }
    }

    #[test]
    fn the_weights_are_powers_of_three_mod_31() {
        let mut power = 1;
        for (position, weight) in WEIGHTS.iter().enumerate() {
            assert_eq!(*weight, power, "position {}", position + 1);
            power = power * 3 % 31;
        }
    }

    #[test]
    fn completing_takes_exactly_seventeen_known_characters() {
        for (base, wanted) in [
            ("91350100M000100Y", UsccError::Length { got: 16 }),
            ("91350100M000100Y43", UsccError::Length { got: 18 }),
            (
                "91350100M000100Yv",
                UsccError::Alphabet {
                    position: 17,
                    character: 'v',
                },
            ),
        ] {
            assert_eq!(Uscc::from_base17(base), Err(wanted), "{base}");
        }
    }

    #[test]
    fn hints_say_what_people_got_wrong() {
        for (character, hint) in [
            ('m', "lower case is refused"),
            ('o', "without I, O, S, V and Z"),
            ('O', "perhaps 1, 0, 5, U or 2"),
            ('９', "full-width"),
            ('\u{3000}', "not trimmed"),
        ] {
            let message = UsccError::Alphabet {
                position: 9,
                character,
            }
            .to_string();
            assert!(
                message.contains(hint) && message.contains("position 9"),
                "{message}"
            );
        }
    }

    #[test]
    fn debug_shows_two_characters_and_no_more() {
        let code: Uscc = "91350100M000100Y43".parse().expect("published code");
        assert_eq!(format!("{code:?}"), "Uscc(91…)");
        assert_eq!(format!("{:?}", Some(code)), "Some(Uscc(91…))");
    }
}
