//! JSON as it was written: borrowed from the answer's bytes, numbers kept as text, members in order.
//!
//! **Invariant**: accepts what RFC 8259 accepts, up to [`DEPTH`] levels, and refuses an object that repeats a key: what such an object means
//! depends on its reader, so it is never called equal to another by structure. Numbers are equal by exact decimal value (`1`, `1.0`, `10e-1`).
//! It deliberately does not go through binary floating point, which would call two different large ids equal.

mod number;

use std::{borrow::Cow, fmt};

pub use number::Number;

/// Deeper documents are refused: each level costs stack.
pub const DEPTH: usize = 128;

/// Room for so many members is made at once: rows and answers have a dozen.
const MEMBERS: usize = 16;

/// A JSON value. Two objects are equal whatever the order of their members.
#[derive(Clone, Debug)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number<'a>),
    /// A string.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object: members in their order, no key twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Why bytes are not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {message}")]
pub struct NotJson {
    /// Where.
    pub offset: usize,
    /// What is wrong there.
    pub message: &'static str,
}

impl PartialEq for Json<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(key, value)| other.get(key).is_some_and(|known| known == value))
            }
            _ => false,
        }
    }
}
impl Eq for Json<'_> {}

impl<'a> Json<'a> {
    /// The member `key` of an object.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(known, _)| known == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value at a JSON pointer (RFC 6901).
    pub fn pointer(&self, pointer: &str) -> Option<&Json<'a>> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut value = self;
        for step in pointer.strip_prefix('/')?.split('/') {
            let step = if step.contains('~') {
                Cow::Owned(step.replace("~1", "/").replace("~0", "~"))
            } else {
                Cow::Borrowed(step)
            };
            value = match value {
                Self::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                other => other.get(&step)?,
            };
        }
        Some(value)
    }

    /// `null`, `boolean`, `number`, `string`, `array` or `object`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

impl fmt::Display for Json<'_> {
    /// Compact JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |f: &mut fmt::Formatter<'_>, text: &str| {
            f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
        };
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => f.write_str(number.text()),
            Self::String(text) => quoted(f, text),
            Self::Array(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (at, (key, value)) in members.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    quoted(f, key)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

/// `bytes` without a byte order mark of UTF-8: a reader of JSON may ignore one (RFC 8259, 8.1).
pub(crate) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Reads one JSON document, behind a byte order mark or not.
///
/// # Errors
/// Where and why `bytes` are not JSON, or not JSON with one meaning.
pub fn parse(bytes: &[u8]) -> Result<Json<'_>, NotJson> {
    let text = std::str::from_utf8(bytes).map_err(|error| NotJson {
        offset: error.valid_up_to(),
        message: "not UTF-8",
    })?;
    parse_text(text)
}

/// Reads one JSON document that is known to be text.
///
/// # Errors
/// As [`parse`].
pub fn parse_text(text: &str) -> Result<Json<'_>, NotJson> {
    let mut parser = Parser {
        text,
        at: text.len() - unmarked(text.as_bytes()).len(),
    };
    parser.space();
    let value = parser.value(0)?;
    parser.space();
    if parser.at < text.len() {
        return parser.fail("more after the document");
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn fail<T>(&self, message: &'static str) -> Result<T, NotJson> {
        Err(NotJson {
            offset: self.at,
            message,
        })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        // Compact documents have none, which the first byte tells.
        if rest.first().is_some_and(|byte| *byte <= b' ') {
            let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            self.at += rest.iter().take_while(blank).count();
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, NotJson> {
        if depth > DEPTH {
            return self.fail("nested too deeply");
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => self.fail("expected a value"),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, NotJson> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        self.fail("expected a value")
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, NotJson> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                _ => return self.fail("expected `,` or `]`"),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, NotJson> {
        self.at += 1;
        let mut members = Vec::with_capacity(MEMBERS);
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.fail("expected a key");
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return self.fail("expected `:`");
            }
            self.at += 1;
            self.space();
            let value = self.value(depth + 1)?;
            members.push((key, value));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    if repeats(&members) {
                        return self.fail("an object repeats a key");
                    }
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                _ => return self.fail("expected `,` or `}`"),
            }
        }
    }

    fn number(&mut self) -> Result<Json<'a>, NotJson> {
        let begin = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
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
        Ok(Json::Number(Number::from_text(&self.text[begin..self.at])))
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == begin {
            return self.fail("expected a digit");
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, NotJson> {
        self.at += 1;
        let mut begin = self.at;
        let mut owned: Option<String> = None;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let Some(length) = special(rest) else {
                return self.fail("a string without an end");
            };
            self.at += length;
            match rest[length] {
                b'"' => {
                    let tail = &self.text[begin..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(tail),
                        Some(text) => Cow::Owned(text + tail),
                    });
                }
                b'\\' => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[begin..self.at]);
                    self.at += 1;
                    let decoded = self.escape()?;
                    owned.get_or_insert_default().push(decoded);
                    begin = self.at;
                }
                _ => return self.fail("a control character in a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, NotJson> {
        let Some(byte) = self.peek() else {
            return self.fail("a string without an end");
        };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex4()?;
                let code = match high {
                    0xd800..0xdc00 => {
                        if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                            return self.fail("half a surrogate pair");
                        }
                        self.at += 2;
                        let low = self.hex4()?;
                        if !(0xdc00..0xe000).contains(&low) {
                            return self.fail("half a surrogate pair");
                        }
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    }
                    code => code,
                };
                match char::from_u32(code) {
                    Some(decoded) => decoded,
                    None => return self.fail("half a surrogate pair"),
                }
            }
            _ => return self.fail("an unknown escape"),
        })
    }

    fn hex4(&mut self) -> Result<u32, NotJson> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let code = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(code) = code else {
            return self.fail("expected four hexadecimal digits");
        };
        self.at += 4;
        Ok(code)
    }
}

/// Where the first byte is that ends a plain stretch of a string: a quote, a backslash or a control character. Eight bytes are looked at together.
fn special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest bit that is set is that of the first such byte; above it there may be others that are none.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let found = control | quote | zero(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    Some(bytes.len() - rest.len() + at)
}

fn repeats(members: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    // Small objects, nearly all, are cheaper to search than to sort.
    if members.len() <= 16 {
        return members
            .iter()
            .enumerate()
            .any(|(at, (key, _))| members[..at].iter().any(|(known, _)| known == key));
    }
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests;
