//! Reading an item's canonical JSON (RFC 8785): no blanks, members in the order of their UTF-16 code units, each
//! once, the shortest escapes. What is not canonical is refused, so nothing is read in two ways.
//!
//! What arrives here was written by a stranger: depth and number of values are bounded, and no work is more than
//! in proportion to the bytes. A number that is no whole number within ±(2⁵³ − 1) is kept as it was written,
//! unchecked: no field of any item takes one.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

/// The deepest nesting; a list's entry with an amount takes four levels.
pub const MAX_DEPTH: usize = 8;

/// The most values in one text. A list of 2,000 entries with 64 plain fields has 130,002.
pub const MAX_VALUES: usize = 200_000;

/// The greatest whole number that is read as one.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A JSON value. Texts borrow from what was read where they have no escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number within ±(2⁵³ − 1).
    Integer(i64),
    /// Any other number, as it was written.
    Number(&'a str),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object, its members in ascending order of their names' UTF-16 code units.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads the canonical JSON of an item.
    ///
    /// # Errors
    /// With the place at which it is no JSON, not canonical, or beyond a limit.
    pub fn read(bytes: &'a [u8]) -> Result<Self, NotCanonical> {
        let at_byte = |at, why| NotCanonical { at, why };
        let text =
            std::str::from_utf8(bytes).map_err(|fault| at_byte(fault.valid_up_to(), Why::Utf8))?;
        let mut reader = Reader {
            text,
            at: 0,
            values: 0,
        };
        let value = reader.value(0)?;
        if reader.at == text.len() {
            Ok(value)
        } else {
            Err(reader.fault(Why::Trailing))
        }
    }

    /// The member of that name; `None` as well when this is no object.
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                let mut members = members.iter();
                members.find(|(key, _)| key == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether nothing is said: `null`, or empty text.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Null) || self.text() == Some("")
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Integer(_) | Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// The canonical JSON of it. Members that were put together by hand have to be in canonical order.
impl fmt::Display for Json<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Integer(value) => write!(out, "{value}"),
            Self::Number(number) => out.write_str(number),
            Self::Text(text) => write_text(text, out),
            Self::List(values) => {
                out.write_char('[')?;
                for (at, value) in values.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(out, "{comma}{value}")?;
                }
                out.write_char(']')
            }
            Self::Object(members) => {
                out.write_char('{')?;
                for (at, (name, value)) in members.iter().enumerate() {
                    out.write_str(if at > 0 { "," } else { "" })?;
                    write_text(name, out)?;
                    write!(out, ":{value}")?;
                }
                out.write_char('}')
            }
        }
    }
}

fn write_text(text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\u{8}' => out.write_str("\\b")?,
            '\t' => out.write_str("\\t")?,
            '\n' => out.write_str("\\n")?,
            '\u{c}' => out.write_str("\\f")?,
            '\r' => out.write_str("\\r")?,
            control @ '\0'..='\u{1f}' => write!(out, "\\u{:04x}", u32::from(control))?,
            other => out.write_char(other)?,
        }
    }
    out.write_char('"')
}

/// A text is not the canonical JSON of anything, or beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{why} at byte {at}")]
pub struct NotCanonical {
    /// The byte, from 0.
    pub at: usize,
    /// What is wrong there.
    pub why: Why,
}

/// What keeps a text from being canonical JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// Something else was to come here; blanks among it.
    #[error("not canonical JSON")]
    Syntax,
    /// Something follows the value.
    #[error("something follows the value")]
    Trailing,
    /// Members are not in order, or one comes twice.
    #[error("members are not in canonical order, each once")]
    Order,
    /// An escape that is not the canonical one.
    #[error("not the canonical escape")]
    Escape,
    /// A number that is not written canonically.
    #[error("not a canonical number")]
    Number,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested too deeply")]
    Depth,
    /// More than [`MAX_VALUES`] values.
    #[error("too many values")]
    Values,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, why: Why) -> NotCanonical {
        NotCanonical { at: self.at, why }
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes past that byte, which must be next.
    fn expect(&mut self, byte: u8) -> Result<(), NotCanonical> {
        if self.next() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fault(Why::Syntax))
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, NotCanonical> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.fault(Why::Syntax))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, NotCanonical> {
        if depth > MAX_DEPTH {
            return Err(self.fault(Why::Depth));
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.fault(Why::Values));
        }
        match self.next() {
            Some(b'n') => self.word("null", Json::Null),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.fault(Why::Syntax)),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, NotCanonical> {
        self.expect(b'[')?;
        let mut values = Vec::new();
        if self.next() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.next() == Some(b']') {
                self.at += 1;
                return Ok(Json::List(values));
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, NotCanonical> {
        self.expect(b'{')?;
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        if self.next() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            let begin = self.at;
            let name = self.string()?;
            if let Some((last, _)) = members.last()
                && last.encode_utf16().ge(name.encode_utf16())
            {
                let why = Why::Order;
                return Err(NotCanonical { at: begin, why });
            }
            self.expect(b':')?;
            members.push((name, self.value(depth + 1)?));
            if self.next() == Some(b'}') {
                self.at += 1;
                return Ok(Json::Object(members));
            }
            self.expect(b',')?;
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, NotCanonical> {
        self.expect(b'"')?;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .bytes()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
                .ok_or_else(|| self.fault(Why::Syntax))?;
            if text.is_empty() {
                text = Cow::Borrowed(&rest[..plain]);
            } else {
                text.to_mut().push_str(&rest[..plain]);
            }
            self.at += plain;
            match self.next() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    text.to_mut().push(character);
                }
                _ => return Err(self.fault(Why::Escape)),
            }
        }
    }

    /// One of the escapes of RFC 8785, section 3.2.2.2: the two-character ones, and `\u00xx` in small letters for
    /// control characters that have none.
    fn escape(&mut self) -> Result<char, NotCanonical> {
        let rest = &self.text.as_bytes()[self.at..];
        let (length, character) = match rest.get(1) {
            Some(b'"') => (2, '"'),
            Some(b'\\') => (2, '\\'),
            Some(b'b') => (2, '\u{8}'),
            Some(b't') => (2, '\t'),
            Some(b'n') => (2, '\n'),
            Some(b'f') => (2, '\u{c}'),
            Some(b'r') => (2, '\r'),
            Some(b'u') => {
                let code = match rest.get(2..6) {
                    Some([b'0', b'0', high @ (b'0' | b'1'), low]) => {
                        let digit = match low {
                            b'0'..=b'9' => low - b'0',
                            b'a'..=b'f' => low - b'a' + 10,
                            _ => return Err(self.fault(Why::Escape)),
                        };
                        (high - b'0') * 16 + digit
                    }
                    _ => return Err(self.fault(Why::Escape)),
                };
                // These have escapes of two characters.
                if matches!(code, 0x8 | 0x9 | 0xa | 0xc | 0xd) {
                    return Err(self.fault(Why::Escape));
                }
                (6, char::from(code))
            }
            _ => return Err(self.fault(Why::Escape)),
        };
        self.at += length;
        Ok(character)
    }

    fn number(&mut self) -> Result<Json<'a>, NotCanonical> {
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let number = &rest[..length];
        let digits = number.strip_prefix('-').unwrap_or(number);
        let whole = digits.bytes().take_while(u8::is_ascii_digit).count();
        // `-0` is `0`, and no number begins with a zero that says nothing.
        if whole == 0 || (whole > 1 && digits.starts_with('0')) || number == "-0" {
            return Err(self.fault(Why::Number));
        }
        let negative = digits.len() < number.len();
        let value = match digits.parse::<u64>() {
            Ok(size) if size <= MAX_INTEGER => {
                let size = i64::try_from(size).map_err(|_| self.fault(Why::Number))?;
                Json::Integer(if negative { -size } else { size })
            }
            _ => Json::Number(number),
        };
        self.at += length;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Json<'_> {
        Json::Text(value.into())
    }

    #[test]
    fn canonical_json_is_read() {
        let member = |name: &'static str, value| (Cow::Borrowed(name), value);
        for (json, wanted) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("0", Json::Integer(0)),
            ("-9007199254740991", Json::Integer(-9_007_199_254_740_991)),
            ("9007199254740992", Json::Number("9007199254740992")),
            ("1.5", Json::Number("1.5")),
            ("1e+30", Json::Number("1e+30")),
            ("\"\"", text("")),
            ("\"信桥\"", text("信桥")),
            (
                "\"a\\\"\\\\\\n\\u001fb/\u{7f}\"",
                text("a\"\\\n\u{1f}b/\u{7f}"),
            ),
            ("[]", Json::List(vec![])),
            (
                "[1,[]]",
                Json::List(vec![Json::Integer(1), Json::List(vec![])]),
            ),
            ("{}", Json::Object(vec![])),
            (
                "{\"a\":1,\"b\":null}",
                Json::Object(vec![member("a", Json::Integer(1)), member("b", Json::Null)]),
            ),
            // By UTF-16: a character beyond the basic plane comes before U+FB33.
            (
                "{\"\u{1f600}\":1,\"\u{fb33}\":2}",
                Json::Object(vec![
                    member("\u{1f600}", Json::Integer(1)),
                    member("\u{fb33}", Json::Integer(2)),
                ]),
            ),
        ] {
            assert_eq!(wanted.to_string(), json);
            assert_eq!(Json::read(json.as_bytes()), Ok(wanted), "{json}");
        }
    }

    #[test]
    fn whatever_else_is_refused_with_its_place() {
        use Why::{Depth, Escape, Number, Order, Syntax, Trailing, Utf8, Values};
        let deep = "[".repeat(100_000);
        let deep_objects = "{\"a\":".repeat(100_000);
        let many = format!("[{}1]", "1,".repeat(MAX_VALUES));
        for (json, at, why) in [
            (&b""[..], 0, Syntax),
            (b" 1", 0, Syntax),
            (b"1 ", 1, Trailing),
            (b"1\n", 1, Trailing),
            (b"{} {}", 2, Trailing),
            (b"{\"a\": 1}", 5, Syntax),
            (b"{\"a\" :1}", 4, Syntax),
            (b"[1, 2]", 3, Syntax),
            (b"[1,]", 3, Syntax),
            (b"[1", 2, Syntax),
            (b"{\"a\":1,}", 7, Syntax),
            (b"{\"a\":1", 6, Syntax),
            (b"{a:1}", 1, Syntax),
            (b"{\"b\":1,\"a\":2}", 7, Order),
            (b"{\"a\":1,\"a\":2}", 7, Order),
            ("{\"\u{fb33}\":2,\"\u{1f600}\":1}".as_bytes(), 9, Order),
            (b"nul", 0, Syntax),
            (b"NaN", 0, Syntax),
            (b"Infinity", 0, Syntax),
            (b"'a'", 0, Syntax),
            (b"\"a", 1, Syntax),
            (b"\"a\nb\"", 2, Escape),
            (b"\"\\/\"", 1, Escape),
            (b"\"\\u0041\"", 1, Escape),
            (b"\"\\u000a\"", 1, Escape),
            (b"\"\\u001F\"", 1, Escape),
            (b"\"\\ud83d\\ude00\"", 1, Escape),
            (b"\"\\ud83d\"", 1, Escape),
            (b"\"\\u00", 1, Escape),
            (b"\"\xff\"", 1, Utf8),
            (b"\xed\xa0\x80", 0, Utf8),
            (b"-0", 0, Number),
            (b"01", 0, Number),
            (b"-", 0, Number),
            (b"-a", 0, Number),
            (b"+1", 0, Syntax),
            (b".5", 0, Syntax),
            (b"\xef\xbb\xbf{}", 0, Syntax),
            (deep.as_bytes(), 9, Depth),
            (deep_objects.as_bytes(), 45, Depth),
            (many.as_bytes(), 2 * MAX_VALUES - 1, Values),
        ] {
            let shown = String::from_utf8_lossy(&json[..json.len().min(40)]);
            assert_eq!(Json::read(json), Err(NotCanonical { at, why }), "{shown}");
        }
    }
}
