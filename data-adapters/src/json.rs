//! JSON (RFC 8259) from strangers: read within limits, numbers kept as they are written.
//!
//! A general reader would turn `1234567890123456.78` into the nearest float, which is another amount, and has no
//! limit to how many values a body may hold. Here depth, number of values and bytes are counted while they are
//! read, before anything is allocated for what is beyond. A member that occurs twice is refused: readers disagree
//! on which one counts.

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    /// Members in the order of the text.
    Object(Vec<(String, Json)>),
}

/// How much a text may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Arrays and objects within each other.
    pub(crate) depth: usize,
    /// Values of any type, and members' names.
    pub(crate) values: usize,
}

/// Why a text is not read. No message repeats any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// Not JSON.
    #[error("byte {0} is where it stops being JSON")]
    Syntax(usize),
    /// An object names a member twice.
    #[error("a member occurs twice in one object, before byte {0}")]
    Duplicate(usize),
    /// Deeper than allowed.
    #[error("it is nested deeper than {0} levels")]
    Depth(usize),
    /// More values than allowed.
    #[error("it holds more than {0} values")]
    Values(usize),
}

impl JsonError {
    /// Whether it is too much rather than wrong.
    pub(crate) fn is_bomb(self) -> bool {
        matches!(self, Self::Depth(_) | Self::Values(_))
    }
}

/// Reads one text.
pub(crate) fn parse(text: &[u8], limits: Limits) -> Result<Json, JsonError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut parser = Parser {
        text,
        at: 0,
        limits,
        depth: 0,
        values: 0,
    };
    let value = parser.value()?;
    parser.blanks();
    if parser.at < text.len() {
        return Err(parser.syntax());
    }
    Ok(value)
}

impl Json {
    /// What a JSON pointer (RFC 6901) points at.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |value, token| {
            value.step(&token.replace("~1", "/").replace("~0", "~"))
        })
    }

    /// A member's name, or a JSON pointer where it begins with `/`.
    pub(crate) fn named(&self, name: &str) -> Option<&Self> {
        if name.starts_with('/') {
            self.at(name)
        } else {
            self.step(name)
        }
    }

    fn step(&self, token: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(name, _)| name == token)
                .map(|(_, v)| v),
            Self::Array(values) => {
                let plain = token == "0" || !token.starts_with(['0', '+']);
                plain.then(|| values.get(token.parse::<usize>().ok()?))?
            }
            _ => None,
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    limits: Limits,
    depth: usize,
    values: usize,
}

impl Parser<'_> {
    fn syntax(&self) -> JsonError {
        JsonError::Syntax(self.at + 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn count(&mut self) -> Result<(), JsonError> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(JsonError::Values(self.limits.values));
        }
        Ok(())
    }

    fn value(&mut self) -> Result<Json, JsonError> {
        self.count()?;
        self.blanks();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.syntax()),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Json, JsonError>,
    ) -> Result<Json, JsonError> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(JsonError::Depth(self.limits.depth));
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.syntax());
        }
        self.at += word.len();
        Ok(value)
    }

    /// After a value: whether another one follows.
    fn goes_on(&mut self, end: u8) -> Result<bool, JsonError> {
        self.blanks();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.syntax()),
        }
    }

    fn is_empty(&mut self, end: u8) -> bool {
        self.blanks();
        let empty = self.peek() == Some(end);
        self.at += usize::from(empty);
        empty
    }

    fn array(&mut self) -> Result<Json, JsonError> {
        let mut values = Vec::new();
        if !self.is_empty(b']') {
            loop {
                values.push(self.value()?);
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        Ok(Json::Array(values))
    }

    fn object(&mut self) -> Result<Json, JsonError> {
        let mut members: Vec<(String, Json)> = Vec::new();
        if !self.is_empty(b'}') {
            loop {
                self.count()?;
                self.blanks();
                if self.peek() != Some(b'"') {
                    return Err(self.syntax());
                }
                let name = self.string()?;
                self.blanks();
                if self.peek() != Some(b':') {
                    return Err(self.syntax());
                }
                self.at += 1;
                members.push((name, self.value()?));
                if !self.goes_on(b'}')? {
                    break;
                }
            }
        }
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(JsonError::Duplicate(self.at + 1));
        }
        Ok(Json::Object(members))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.syntax());
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            // No leading zeros.
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]);
        Ok(Json::Number(text.into_owned()))
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
                .ok_or_else(|| self.syntax())?;
            let piece = std::str::from_utf8(&rest[..plain])
                .map_err(|e| JsonError::Syntax(self.at + e.valid_up_to() + 1))?;
            text.push_str(piece);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(self.syntax()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let escaped = self.peek().ok_or_else(|| self.syntax())?;
        self.at += 1;
        Ok(match escaped {
            b'"' | b'\\' | b'/' => char::from(escaped),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = match first {
                    0xd800..=0xdbff => {
                        if !self.text[self.at..].starts_with(b"\\u") {
                            return Err(self.syntax());
                        }
                        self.at += 2;
                        let second = self.hex()?;
                        if !(0xdc00..=0xdfff).contains(&second) {
                            return Err(self.syntax());
                        }
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    other => other,
                };
                char::from_u32(code).ok_or_else(|| self.syntax())?
            }
            _ => return Err(self.syntax()),
        })
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        let code = code.ok_or_else(|| self.syntax())?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        depth: 4,
        values: 20,
    };

    fn number(text: &str) -> Json {
        Json::Number(text.to_owned())
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        for text in ["0", "-0", "1234567890123456.78", "1e5", "12.50", "-3E-2"] {
            assert_eq!(parse(text.as_bytes(), LIMITS), Ok(number(text)), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_stops_being() {
        for (text, wanted) in [
            (&b""[..], JsonError::Syntax(1)),
            (b"01", JsonError::Syntax(2)),
            (b"1.", JsonError::Syntax(3)),
            (b"+1", JsonError::Syntax(1)),
            (b"NaN", JsonError::Syntax(1)),
            (b"nul", JsonError::Syntax(1)),
            (b"[1,]", JsonError::Syntax(4)),
            (b"[1 2]", JsonError::Syntax(4)),
            (b"{\"a\":1,}", JsonError::Syntax(8)),
            (b"{a:1}", JsonError::Syntax(2)),
            (b"{\"a\" 1}", JsonError::Syntax(6)),
            (b"\"a", JsonError::Syntax(2)),
            (b"\"a\nb\"", JsonError::Syntax(3)),
            (b"\"\\x\"", JsonError::Syntax(4)),
            (b"\"\\ud800\"", JsonError::Syntax(8)),
            (b"\"\\udc00\"", JsonError::Syntax(8)),
            (b"\"\xff\"", JsonError::Syntax(2)),
            (b"1 x", JsonError::Syntax(3)),
            (b"{\"a\":1,\"a\":2}", JsonError::Duplicate(14)),
            (b"[[[[[1]]]]]", JsonError::Depth(4)),
            (
                b"[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
                JsonError::Values(20),
            ),
        ] {
            assert_eq!(
                parse(text, LIMITS),
                Err(wanted),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_built() {
        let deep = "[".repeat(50_000_000);
        assert_eq!(parse(deep.as_bytes(), LIMITS), Err(JsonError::Depth(4)));
        let wide = format!("[{}0]", "0,".repeat(10_000_000));
        assert_eq!(parse(wide.as_bytes(), LIMITS), Err(JsonError::Values(20)));
    }

    #[test]
    fn pointers_find_what_they_name() {
        let text = r#" {"a":{"b/c":[1,"\u4f01\ud840\udc00\n"],"m~n":null},"":true,"x":"y"} "#;
        let value = parse(text.as_bytes(), LIMITS).expect("it is JSON");
        for (pointer, wanted) in [
            ("/a/b~1c/0", Some(number("1"))),
            ("/a/b~1c/1", Some(Json::Text("企𠀀\n".to_owned()))),
            ("/a/m~0n", Some(Json::Null)),
            ("/", Some(Json::Bool(true))),
            ("/x", Some(Json::Text("y".to_owned()))),
            ("/a/b~1c/2", None),
            ("/a/b~1c/00", None),
            ("/a/b~1c/-", None),
            ("/x/0", None),
        ] {
            assert_eq!(value.at(pointer), wanted.as_ref(), "{pointer}");
        }
        assert_eq!(value.at(""), Some(&value));
        assert_eq!(value.named("x"), value.at("/x"));
    }
}
