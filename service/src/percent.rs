//! Percent-encoding of keys and ids, which may hold any printable character.
//!
//! **Invariant**: what comes out is a single path segment, query value or header value, and decodes to what went in.
//! It deliberately does not decode: the HTTP router does.

use std::fmt::Write;

/// `text` with everything but RFC 3986's unreserved characters encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(encode("a-1._~"), "a-1._~");
        assert_eq!(encode("Ä 7%/?"), "%C3%84%207%25%2F%3F");
    }
}
