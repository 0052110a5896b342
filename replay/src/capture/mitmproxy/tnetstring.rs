//! Tnetstrings, in which mitmproxy writes: `<decimal length>:<payload><tag>`.
//!
//! | tag | payload |
//! |---|---|
//! | `,` | bytes |
//! | `;` | UTF-8 text |
//! | `#` | a whole number |
//! | `^` | a floating number |
//! | `!` | `true` or `false` |
//! | `~` | nothing: null |
//! | `]` | values, one after the other |
//! | `}` | keys and values, in turn |
//!
//! **Invariant**: nothing outside the bytes that are given is read, and nesting is bounded.

/// A flow nests about six deep.
const DEPTH: u32 = 64;

/// A length has at most this many digits.
pub(super) const DIGITS: usize = 12;

/// A value, borrowed from its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Bytes(&'a [u8]),
    Text(&'a str),
    Int(i64),
    Float(f64),
    Bool(bool),
    Null,
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The value of `name` in a dictionary.
    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        let Self::Dict(pairs) = self else {
            return None;
        };
        let (_, value) = pairs
            .iter()
            .find(|(key, _)| key.bytes() == Some(name.as_bytes()))?;
        Some(value)
    }

    /// Bytes or text, as bytes.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// Bytes or text, as text: what is no UTF-8 is taken for Latin-1.
    pub(super) fn text(&self) -> Option<String> {
        let bytes = self.bytes()?;
        Some(match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        })
    }

    /// A number of either kind.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }
}

/// The length that `bytes` begin with, and how many bytes it takes with its colon.
pub(super) fn length(bytes: &[u8]) -> Option<(u64, usize)> {
    let digits = bytes
        .iter()
        .take(DIGITS + 1)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let padded = digits > 1 && bytes[0] == b'0';
    if digits == 0 || digits > DIGITS || padded || bytes.get(digits) != Some(&b':') {
        return None;
    }
    let length = std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
    Some((length, digits + 1))
}

/// The value of `payload`, whose tag is `tag`.
///
/// # Errors
/// For people: what is wrong with it.
pub(super) fn value(payload: &[u8], tag: u8) -> Result<Value<'_>, String> {
    tagged(payload, tag, DEPTH)
}

fn tagged(payload: &[u8], tag: u8, depth: u32) -> Result<Value<'_>, String> {
    let text = || std::str::from_utf8(payload).map_err(|_| "text that is not UTF-8".to_owned());
    Ok(match tag {
        b',' => Value::Bytes(payload),
        b';' => Value::Text(text()?),
        b'#' => Value::Int(text()?.parse().map_err(|_| "a whole number that is none")?),
        b'^' => Value::Float(text()?.parse().map_err(|_| "a number that is none")?),
        b'!' => match payload {
            b"true" => Value::Bool(true),
            b"false" => Value::Bool(false),
            _ => return Err("a boolean that is neither true nor false".to_owned()),
        },
        b'~' if payload.is_empty() => Value::Null,
        b']' | b'}' if depth == 0 => return Err(format!("values nested deeper than {DEPTH}")),
        b']' => Value::List(all(payload, depth - 1)?),
        b'}' => {
            let values = all(payload, depth - 1)?;
            if !values.len().is_multiple_of(2) {
                return Err("a key without a value".to_owned());
            }
            let mut values = values.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (values.next(), values.next()) {
                pairs.push((key, value));
            }
            Value::Dict(pairs)
        }
        tag => {
            return Err(format!(
                "tag {:?}, expected one of , ; # ^ ! ~ ] }}",
                char::from(tag)
            ));
        }
    })
}

fn all(mut payload: &[u8], depth: u32) -> Result<Vec<Value<'_>>, String> {
    let mut values = Vec::new();
    while !payload.is_empty() {
        let (count, head) = length(payload).ok_or("a value without a length")?;
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_add(head));
        let end = end
            .filter(|end| *end < payload.len())
            .ok_or("a length beyond the value that holds it")?;
        values.push(tagged(&payload[head..end], payload[end], depth)?);
        payload = &payload[end + 1..];
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_is_read() {
        let payload = b"1:a,2:\xc3\xa9;2:-5#3:1.5^4:true!0:~4:1:1#]";
        let Ok(Value::List(values)) = value(payload, b']') else {
            panic!("a list")
        };
        let expected = [
            Value::Bytes(b"a"),
            Value::Text("é"),
            Value::Int(-5),
            Value::Float(1.5),
            Value::Bool(true),
            Value::Null,
            Value::List(vec![Value::Int(1)]),
        ];
        assert_eq!(values, expected);
        let dict = value(b"1:k;1:v,", b'}').expect("a dictionary");
        assert_eq!(dict.get("k").and_then(Value::text).as_deref(), Some("v"));
    }

    #[test]
    fn what_is_damaged_says_so() {
        for (payload, tag) in [
            (&b"5:a,"[..], b']'),
            (b"1:a", b']'),
            (b"1:k;", b'}'),
            (b"x", b'#'),
            (b"maybe", b'!'),
            (b"a", b'~'),
            (b"\xff", b';'),
            (b"", b'?'),
        ] {
            assert!(value(payload, tag).is_err(), "{payload:?}");
        }
        assert_eq!(length(b"012:"), None);
        assert_eq!(length(b"1234567890123:"), None);
        assert_eq!(length(b"12:"), Some((12, 3)));
        let mut deep = b"0:]".to_vec();
        for _ in 0..100 {
            deep = [deep.len().to_string().as_bytes(), b":", &deep, b"]"].concat();
        }
        let (count, head) = length(&deep).expect("a length");
        let inner = &deep[head..head + usize::try_from(count).expect("small")];
        assert!(value(inner, b']').expect_err("deep").contains("deeper"));
    }
}
