//! The characters of a body: which encoding it is in, whether it begins with a byte order mark, and the text that it then is.
//!
//! JSON is UTF-8 without a mark (RFC 8259, 8.1); a reader may ignore a mark, and many do not. So a side that writes a mark, or another encoding than
//! the other side, differs even where the text is the same.
//!
//! **Invariant**: where two bodies give the same text and no difference of encoding, a reader that follows the standards reads the same in both.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

use crate::{capture::header, run::Answer};

/// A body as text, and how it was written.
pub(crate) struct Characters<'b> {
    pub(crate) text: Cow<'b, str>,
    encoding: &'static Encoding,
    mark: bool,
    ascii: bool,
}

impl<'b> Characters<'b> {
    /// By the byte order mark, else, for JSON, as UTF-8 where the bytes are UTF-8; else by the declared character set or as UTF-8. `None` if the
    /// bytes are no text.
    pub(crate) fn of(answer: &Answer, body: &'b [u8]) -> Option<Self> {
        let media = header(&answer.headers, "content-type").unwrap_or_default();
        let (encoding, length) = match Encoding::for_bom(body) {
            Some((encoding, length)) => (encoding, length),
            None => (declared(media).unwrap_or(UTF_8), 0),
        };
        let (mark, bytes) = (length > 0, &body[length..]);
        let utf8 = |text: &'b str| Self {
            text: Cow::Borrowed(text),
            encoding: UTF_8,
            mark,
            ascii: text.is_ascii(),
        };
        // A declared character set has no effect on JSON (RFC 8259, 11); it is believed where the bytes are no UTF-8.
        let by_standard = encoding == UTF_8 || (!mark && is_json(media) && !wide(encoding));
        if by_standard && let Ok(text) = std::str::from_utf8(bytes) {
            return Some(utf8(text));
        }
        if encoding == UTF_8 {
            return None;
        }
        let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
        Some(Self {
            ascii: !wide(encoding) && text.is_ascii(),
            text,
            encoding,
            mark,
        })
    }

    /// Whether both are written in one way: pure ASCII is the same in UTF-8 and all that extend it.
    pub(super) fn written_as(&self, other: &Characters<'_>) -> bool {
        let plain = |one: &Characters<'_>| one.ascii && !one.mark;
        (self.encoding == other.encoding && self.mark == other.mark)
            || (plain(self) && plain(other))
            // A body without a character is in no encoding; that the other one has some is another difference.
            || (!self.mark && !other.mark && self.text.is_empty() != other.text.is_empty())
    }

    /// How it was written, for people and rules: `UTF-8`, `UTF-8 with a byte order mark`, `windows-1252`.
    pub(super) fn writing(&self) -> String {
        let mark = if self.mark {
            " with a byte order mark"
        } else {
            ""
        };
        format!("{}{mark}", self.encoding.name())
    }
}

/// Whether a media type is JSON's.
pub(super) fn is_json(media: &str) -> bool {
    let kind = media.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase().contains("json")
}

/// Whether ASCII text has other bytes in it.
fn wide(encoding: &'static Encoding) -> bool {
    !encoding.is_ascii_compatible()
}

/// The character set that a media type declares.
fn declared(media: &str) -> Option<&'static Encoding> {
    let mut parameters = media
        .split(';')
        .skip(1)
        .filter_map(|part| part.split_once('='));
    let (_, label) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Encoding::for_label(label.trim().trim_matches('"').as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(media: &str) -> Answer {
        Answer {
            status: 200,
            headers: vec![("content-type".into(), media.into())],
            body: bytes::Bytes::new(),
        }
    }

    #[test]
    fn character_sets_are_undone() {
        let check = |media: &str, body: &[u8], expect: Option<(&str, &str)>| {
            let answer = answer(media);
            let found = Characters::of(&answer, body);
            let found = found.map(|one| (one.text.to_string(), one.writing()));
            let found = found.as_ref().map(|(text, how)| (&**text, &**how));
            assert_eq!(found, expect, "{media} {body:?}");
        };
        let latin = "text/plain; charset=iso-8859-1";
        check(latin, b"caf\xe9", Some(("café", "windows-1252")));
        check(
            "text/plain; charset=\"utf-8\"",
            "café".as_bytes(),
            Some(("café", "UTF-8")),
        );
        check(
            "text/plain",
            b"\xff\xfec\0",
            Some(("c", "UTF-16LE with a byte order mark")),
        );
        check(
            "text/plain",
            b"\xef\xbb\xbfc",
            Some(("c", "UTF-8 with a byte order mark")),
        );
        check("text/plain", b"\xff", None);
        check("text/plain; charset=nothing", b"a", Some(("a", "UTF-8")));
        // JSON is UTF-8 whatever is declared, where it can be.
        let json = "application/json; charset=iso-8859-1";
        check(json, "\"é\"".as_bytes(), Some(("\"é\"", "UTF-8")));
        check(json, b"\"\xe9\"", Some(("\"é\"", "windows-1252")));
        let wide = "application/json; charset=utf-16";
        check(wide, b"1\0", Some(("1", "UTF-16LE")));
    }

    #[test]
    fn ascii_is_the_same_in_what_extends_it() {
        let check = |one: (&str, &[u8]), other: (&str, &[u8]), same: bool| {
            let (left, right) = (answer(one.0), answer(other.0));
            let a = Characters::of(&left, one.1).expect("a text");
            let b = Characters::of(&right, other.1).expect("a text");
            assert_eq!(a.written_as(&b), same, "{one:?} {other:?}");
            assert_eq!(b.written_as(&a), same, "{other:?} {one:?}");
        };
        let (plain, latin) = ("text/plain", "text/plain; charset=latin1");
        check((plain, b"a"), (latin, b"a"), true);
        check((plain, b"a"), (latin, b"\xe9"), false);
        check((latin, b"a"), (latin, b"\xe9"), true);
        check((plain, b"a"), (plain, b"\xef\xbb\xbfa"), false);
        check((plain, b""), (plain, b"\xef\xbb\xbf"), false);
        check((plain, b""), (latin, b"\xe9"), true);
        check((plain, b"a"), (plain, b"\xfe\xff\0a"), false);
    }
}
