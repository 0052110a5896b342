//! Percent-encoding that is undone and done again as it was.
//!
//! **Invariant**: what is not masked keeps its bytes: a character that was escaped is escaped again, in the same case, and a `+` that
//! meant a blank is one again. Bytes that are no UTF-8 are read as Latin-1, a character each, and are such bytes again.

use std::{borrow::Cow, fmt::Write as _};

use crate::mask::charset;

/// How a byte was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    Plain,
    Lower,
    Upper,
    Plus,
}

/// `text` with its decoded form given to `mask`, and written as before.
pub(super) fn respelled(
    text: &str,
    plus: Plus,
    mask: impl FnOnce(&str) -> Option<String>,
) -> Cow<'_, str> {
    let (bytes, spellings) = decoded(text, plus);
    let masked = match std::str::from_utf8(&bytes) {
        Ok(plain) => mask(plain).map(String::into_bytes),
        Err(_) => mask(&charset::characters(&bytes)).map(|masked| charset::bytes(&masked)),
    };
    let Some(masked) = masked else {
        return Cow::Borrowed(text);
    };
    let aligned = masked.len() == bytes.len();
    let mut spelled = String::with_capacity(text.len());
    for (at, byte) in masked.into_iter().enumerate() {
        let spelling = if aligned {
            spellings[at]
        } else {
            Spelling::Plain
        };
        let same = aligned && bytes[at] == byte;
        match spelling {
            Spelling::Plus if byte == b' ' => spelled.push('+'),
            Spelling::Plain
                if byte.is_ascii_alphanumeric()
                    || b"-._~@:".contains(&byte)
                    || (same && byte.is_ascii()) =>
            {
                spelled.push(char::from(byte));
            }
            Spelling::Lower => {
                let _ = write!(spelled, "%{byte:02x}");
            }
            _ => {
                let _ = write!(spelled, "%{byte:02X}");
            }
        }
    }
    Cow::Owned(spelled)
}

/// What `+` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plus {
    /// Itself, as in paths.
    Plus,
    /// A blank, as in forms and queries.
    Blank,
}

/// Whether anything in `text` is escaped.
pub(super) fn is_escaped(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'%', bytes).any(|at| is_escape(&bytes[at..]))
}

/// Whether an escape stands first.
pub(super) fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn decoded(text: &str, plus: Plus) -> (Vec<u8>, Vec<Spelling>) {
    let bytes = text.as_bytes();
    let (mut plain, mut spellings) = (
        Vec::with_capacity(bytes.len()),
        Vec::with_capacity(bytes.len()),
    );
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| Some((u8::from_str_radix(digits, 16).ok()?, digits)));
        let (byte, spelling, width) = match escaped {
            Some((byte, digits)) => {
                let lower = digits.bytes().any(|digit| digit.is_ascii_lowercase());
                (
                    byte,
                    if lower {
                        Spelling::Lower
                    } else {
                        Spelling::Upper
                    },
                    3,
                )
            }
            None if bytes[at] == b'+' && plus == Plus::Blank => (b' ', Spelling::Plus, 1),
            None => (bytes[at], Spelling::Plain, 1),
        };
        plain.push(byte);
        spellings.push(spelling);
        at += width;
    }
    (plain, spellings)
}

/// The decoded form, for looking names up.
pub(super) fn plain(text: &str) -> String {
    String::from_utf8_lossy(&decoded(text, Plus::Blank).0).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_masked_is_spelled_as_before() {
        let check = |text: &str, plus, expect: &str| {
            let upper = |plain: &str| Some(plain.replace("ada", "xyz"));
            assert_eq!(respelled(text, plus, upper), expect);
        };
        check("ada%40example.org", Plus::Plus, "xyz%40example.org");
        check("ada+l%2c", Plus::Blank, "xyz+l%2c");
        check("ada+l%2C", Plus::Plus, "xyz+l%2C");
        check("%61da", Plus::Plus, "%78yz");
        check("100%/ada", Plus::Plus, "100%/xyz");
        check("ada+R%E9n", Plus::Blank, "xyz+R%E9n");
        assert_eq!(respelled("%ff", Plus::Plus, |_| None), "%ff");
        assert!(is_escaped("a%2f") && !is_escaped("100% a") && !is_escaped("%2"));
        assert_eq!(
            respelled("ada", Plus::Plus, |_| Some("a b".repeat(2))),
            "a%20ba%20b"
        );
    }
}
