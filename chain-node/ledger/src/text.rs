//! Free text of transactions, and the search for plain unified social credit codes in whatever a
//! transaction says.
//!
//! A block is never taken back, so what must not be on the ledger must be refused before it is a
//! transaction: [`Text`], the names of [`crate::ids`] and all fields of fixed length are made only
//! of values in which no plain code is found.
//!
//! A code (GB 32100-2015) is 18 letters and digits whose last follows from the others, so one in 31
//! stretches of that alphabet passes for one. What counts as a code is therefore
//!
//! - 18 letters and digits that stand alone, if the check character is right;
//! - any 18 of a longer run, if the check character is right and places 3 to 8, the code of an
//!   administrative division, are digits. A run is searched at every place, for a code is most
//!   easily overlooked where something was written right before or after it. The digits keep words
//!   out. A run of exactly 64 hexadecimal digits is a digest or a key id, and is left alone;
//! - groups that make up 18 letters and digits together, apart by blanks, hyphens or the like, under
//!   the same two conditions.
//!
//! Letters count in both cases and in full width. Some numbers that are no codes are refused so,
//! such as one in 31 identity numbers of persons, which have no place here either; whoever wrote
//! one is told which field it is in. Not found is what someone hides on purpose: who can choose
//! text can encode anything.

use std::{fmt, ops::Deref, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    ids::PurposeCode,
    malformed::{Malformed, Problem},
    uscc::{USCC_ALPHABET, USCC_LENGTH, Uscc},
};

/// Hexadecimal digits of a digest or of a key id.
const DIGEST_DIGITS: usize = 64;

/// Places of a code, from 0, that hold the code of an administrative division (GB/T 2260).
const DIVISION: std::ops::Range<usize> = 2..8;

/// Text of `MIN` to `MAX` bytes that has no control characters and shows no plain unified social
/// credit code. Borsh reads back what was written from a checked value.
#[derive(
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MIN: usize, const MAX: usize>(String);

/// A name that people read: of an organisation, a source, an item or a purpose.
pub type DisplayName = Text<1, 128>;

/// Why something was done, in somebody's own words.
pub type Grounds = Text<1, 512>;

/// Branch of an institution; empty where none is meant.
pub type Branch = Text<0, 64>;

/// Where a gateway listens; empty for none.
pub type Endpoint = Text<0, 256>;

/// What a refused attempt gave as its purpose; no code of the catalogue need have that form.
pub type StatedPurpose = Text<0, 32>;

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses a field.
    ///
    /// # Errors
    /// When it is too short or too long, has a control character, or shows a plain code.
    pub fn parse(field: &str, value: &str) -> Result<Self, Malformed> {
        check(field, value, MIN, MAX).map(|()| Self(value.to_owned()))
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Text<MIN, MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Text<MIN, MAX> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Debug for Text<MIN, MAX> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

impl<const MIN: usize, const MAX: usize> FromStr for Text<MIN, MAX> {
    type Err = Malformed;
    fn from_str(value: &str) -> Result<Self, Malformed> {
        Self::parse("text", value)
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<String> for Text<MIN, MAX> {
    type Error = Malformed;
    fn try_from(value: String) -> Result<Self, Malformed> {
        value.parse()
    }
}

impl<const MIN: usize, const MAX: usize> From<Text<MIN, MAX>> for String {
    fn from(text: Text<MIN, MAX>) -> String {
        text.0
    }
}

/// A code of the catalogue is a purpose that may be stated.
impl From<&PurposeCode> for StatedPurpose {
    fn from(code: &PurposeCode) -> Self {
        Self(code.as_str().to_owned())
    }
}

impl<const MAX: usize> Default for Text<0, MAX> {
    fn default() -> Self {
        Self(String::new())
    }
}

/// Whether a field holds `min..=max` bytes of text without control characters and plain codes.
pub(crate) fn check(field: &str, value: &str, min: usize, max: usize) -> Result<(), Malformed> {
    let problem = if value.len() < min {
        Problem::Required
    } else if value.len() > max {
        Problem::TooLong {
            max,
            got: value.len(),
        }
    } else if value.chars().any(char::is_control) {
        Problem::Format("text without control characters")
    } else if shows_code(value) {
        Problem::PlainCode
    } else {
        return Ok(());
    };
    Err(Malformed::new(field, problem))
}

/// Whether a text shows a plain code, by the rules of this module.
pub(crate) fn shows_code(text: &str) -> bool {
    // No character takes less than a byte.
    if text.len() < USCC_LENGTH {
        return false;
    }
    let mut phrase = Phrase::default();
    for character in text.chars() {
        match kind(character) {
            Kind::Letter(letter) => phrase.letters.push(letter),
            Kind::Gap => phrase.part(),
            Kind::Nothing => {}
            Kind::End => {
                if std::mem::take(&mut phrase).shows_code() {
                    return true;
                }
            }
        }
    }
    phrase.shows_code()
}

/// Whether the bytes of a field show a plain code in capitals, as they do when somebody fills up a
/// code to a digest's length. In random bytes the alphabet alone rules it out: (31/256)^18 < 10^-16.
pub(crate) fn bytes_show_code(bytes: &[u8]) -> bool {
    let mut end = USCC_LENGTH;
    while let Some(window) = bytes.get(end.saturating_sub(USCC_LENGTH)..end) {
        // Past the last byte that no code has, nothing need be looked at again.
        match window.iter().rposition(|byte| !is_of_alphabet(*byte)) {
            Some(foreign) => end += foreign + 1,
            None if is_code(window) => return true,
            None => end += 1,
        }
    }
    false
}

/// What a character means to the search.
enum Kind {
    /// A letter or digit, as a capital of ASCII.
    Letter(u8),
    /// Something that people put between groups of digits.
    Gap,
    /// Something that nobody sees.
    Nothing,
    /// Anything else: no code goes on beyond it.
    End,
}

fn kind(character: char) -> Kind {
    let narrow = match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character)
        }
        other => other,
    };
    match narrow {
        'a'..='z' | 'A'..='Z' | '0'..='9' => {
            u8::try_from(narrow.to_ascii_uppercase()).map_or(Kind::End, Kind::Letter)
        }
        '-' | '_' | '.' | '/' | '·' | '・' | '•' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {
            Kind::Gap
        }
        // Soft hyphen, zero-width characters, marks of direction, byte order mark.
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{feff}' => Kind::Nothing,
        other if other.is_whitespace() => Kind::Gap,
        _ => Kind::End,
    }
}

/// Groups of letters and digits with nothing but gaps between them.
#[derive(Default)]
struct Phrase {
    letters: Vec<u8>,
    /// Where each group but the first begins.
    parts: Vec<usize>,
}

impl Phrase {
    /// The next letter begins another group.
    fn part(&mut self) {
        let at = self.letters.len();
        if at > 0 && self.parts.last() != Some(&at) {
            self.parts.push(at);
        }
    }

    fn shows_code(self) -> bool {
        if self.letters.len() < USCC_LENGTH {
            return false;
        }
        let mut bounds = vec![0];
        bounds.extend(&self.parts);
        if bounds.last() != Some(&self.letters.len()) {
            bounds.push(self.letters.len());
        }
        let alone = bounds
            .windows(2)
            .any(|group| run_shows_code(&self.letters[group[0]..group[1]]));
        alone
            || bounds.iter().any(|start| {
                bounds.binary_search(&(start + USCC_LENGTH)).is_ok()
                    && is_divided_code(&self.letters[*start..start + USCC_LENGTH])
            })
    }
}

/// Whether one run of letters and digits is a code or holds one.
fn run_shows_code(run: &[u8]) -> bool {
    match run.len() {
        USCC_LENGTH => is_code(run),
        DIGEST_DIGITS if run.iter().all(u8::is_ascii_hexdigit) => false,
        _ => run.windows(USCC_LENGTH).any(is_divided_code),
    }
}

/// Whether 18 letters have the digits of a division and the right check character.
fn is_divided_code(letters: &[u8]) -> bool {
    letters[DIVISION].iter().all(u8::is_ascii_digit) && is_code(letters)
}

/// Whether 18 letters are of a code's alphabet and have the right check character.
fn is_code(letters: &[u8]) -> bool {
    std::str::from_utf8(letters).is_ok_and(|code| code.parse::<Uscc>().is_ok())
}

fn is_of_alphabet(byte: u8) -> bool {
    USCC_ALPHABET.contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code that its owner publishes.
    const CODE: &str = "91350100M000100Y43";

    #[track_caller]
    fn check(shows: bool, text: &str) {
        assert_eq!(shows_code(text), shows, "{text}");
        let parsed = Grounds::parse("reason", text).map_err(|fault| fault.problem.code());
        let wanted = if shows { Err("USCC_EXPOSED") } else { Ok(text) };
        assert_eq!(parsed.as_deref().map_err(|code| *code), wanted, "{text}");
    }

    #[test]
    fn a_code_is_found_however_people_write_it() {
        for text in [
            CODE,
            "91350100m000100y43",
            "９１３５０１００Ｍ０００１００Ｙ４３",
            "９１３５０１００ｍ０００１００ｙ４３",
            "欠缴税款，统一社会信用代码91350100M000100Y43，逾期未整改",
            "统一社会信用代码：91350100M000100Y43。",
            "USCC91350100M000100Y43",
            "USCC 91350100M000100Y43",
            "x91350100M000100Y43x",
            "191350100M000100Y43",
            "91350100M000100Y431",
            "https://gateway.example/91350100M000100Y43?all",
            "\"91350100M000100Y43\"",
            // In groups.
            "9135 0100 M000 100Y 43",
            "9135-0100-M000-100Y-43",
            "91 350100 M000100Y4 3",
            "91-350100-M000100Y-43",
            "91_350100_m000100y_43",
            "91.350100.M000100Y4.3",
            "91/350100/M000100Y4/3",
            "91·350100·M000100Y4·3",
            "91\u{2014}350100\u{2013}M000100Y4\u{2212}3",
            "9 1 3 5 0 1 0 0 M 0 0 0 1 0 0 Y 4 3",
            "9135  0100 -- M000\u{3000}100Y\u{a0}43",
            "code 9135 0100 M000 100Y 43 of the debtor",
            // With what nobody sees in between.
            "91350100\u{200b}M000100Y43",
            "\u{feff}91350100M\u{ad}000100Y43",
            // Others that were published, and one whose check character is 0.
            "91110000600037341L",
            "91110000802100433B",
            "91310000MA1FL00030 left",
            // Alone, the check character is enough.
            "000000000000000000",
            "AAAAAAAAAAAAAAAAAK",
        ] {
            check(true, text);
        }
    }

    #[test]
    fn what_is_no_code_is_let_through() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for text in [
            "x",
            "逾期未整改",
            "江苏示范银行股份有限公司苏州分行",
            "The paper exchange department wrecked the ledger at a quarter to nine",
            "https://gateway.js-bureau.example:7443",
            "https://[2001:0db8:85a3:0000:0000:8a2e:0370:7334]:443",
            "550e8400-e29b-41d4-a716-446655440000",
            "2026-01-05 10:30 to 2026-03-07 18:00",
            "021-12345678, 0512-87654321",
            "sh-tax-electronic-bureau-of-2026",
            // One character is wrong, missing, or none of the alphabet.
            "91350100M000100Y44",
            "91350100M000100Y4",
            "9135O100M000100Y43",
            // What stands between ends it.
            "91350100,M000100Y43",
            "91350100（M000100Y43）",
            "91350100码M000100Y43",
            // No division, and not alone.
            "AAAAAAAAAAAAAAAAAKA",
            "AAAA AAAA AAAA AAAAAK",
            // A digest in both cases, whatever is in it.
            digest,
            &digest.to_uppercase(),
            &format!("document {digest}."),
            &format!("{CODE:0<64}").replace(['M', 'Y'], "C"),
        ] {
            check(false, text);
        }
    }

    /// Each place of a code matters: no other character there makes it one.
    #[test]
    fn a_mistyped_code_is_none() {
        for at in 0..USCC_LENGTH {
            for other in USCC_ALPHABET {
                let mut typed = CODE.as_bytes().to_vec();
                typed[at] = *other;
                let typed = String::from_utf8(typed).unwrap();
                check(typed == CODE, &typed);
                check(typed == CODE, &typed.to_lowercase());
            }
        }
    }

    #[test]
    fn a_code_within_hexadecimal_digits_that_are_no_digest_is_found() {
        let code = Uscc::from_base17("91350100000100000").unwrap();
        let hexadecimal = |code: &str| code.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(hexadecimal(code.expose()));
        for length in USCC_LENGTH..80 {
            let run = format!("{:f<length$}", code.expose());
            check(length != DIGEST_DIGITS, &run);
        }
    }

    #[test]
    fn bytes_that_hold_a_code_are_found_wherever_it_lies() {
        for length in USCC_LENGTH..40 {
            for at in 0..=length - USCC_LENGTH {
                for filling in [0, b' ', b'0', b'A', 0xff] {
                    let mut bytes = vec![filling; length];
                    bytes[at..at + USCC_LENGTH].copy_from_slice(CODE.as_bytes());
                    assert!(bytes_show_code(&bytes), "{bytes:?}");
                    bytes[at + 9] = b'-';
                    assert!(!bytes_show_code(&bytes[at..at + USCC_LENGTH]), "{bytes:?}");
                }
            }
        }
        assert!(!bytes_show_code(&[]) && !bytes_show_code(&CODE.as_bytes()[..17]));
        for number in 0..10_000_u32 {
            let digest = xinqiao_crypto::sm3(&number.to_be_bytes());
            assert!(!bytes_show_code(digest.as_bytes()));
        }
    }

    #[test]
    fn text_is_bounded_and_has_no_control_characters() {
        for (text, code) in [
            ("", "FIELD_REQUIRED"),
            (&*"a".repeat(129), "FIELD_TOO_LONG"),
            ("line\nfeed", "FIELD_FORMAT"),
            ("\u{7f}", "FIELD_FORMAT"),
        ] {
            let fault = DisplayName::parse("name", text).unwrap_err();
            assert_eq!((fault.field.as_str(), fault.problem.code()), ("name", code));
        }
        assert_eq!(Branch::parse("branch", ""), Ok(Branch::default()));
        assert!(DisplayName::parse("name", &"a".repeat(128)).is_ok());
    }

    #[test]
    fn a_fault_does_not_repeat_the_code() {
        let fault = DisplayName::parse("name", CODE).unwrap_err();
        assert!(!format!("{fault} {fault:?}").contains(&CODE[..8]));
        let fault = Branch::try_from(CODE.to_owned()).unwrap_err();
        assert!(!format!("{fault} {fault:?}").contains(&CODE[..8]));
    }
}
