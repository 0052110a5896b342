//! Charsets of bodies: which can be looked into.
//!
//! **Invariant**: what is read as text is text in that charset, or bytes that no charset was named for; two and four bytes a character are
//! not read, whether a mark, the media type or the zeros in them tell.
//! It deliberately converts nothing: a masked body keeps its charset.

/// How a body's characters stand in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// UTF-8, or what has none.
    Utf8,
    /// A byte a character, the first half of them ASCII.
    Single,
}

/// Charsets of one byte a character, by the begin of their name.
const SINGLE: [&str; 6] = [
    "iso-8859-",
    "latin",
    "windows-125",
    "cp125",
    "koi8-",
    "macintosh",
];

/// Below so many bytes, zeros say nothing of a charset.
const TELLING: usize = 8;

impl Charset {
    /// The charset of `bytes` of this media type; `None` if they cannot be looked into.
    pub(super) fn of(media: &str, bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || wide(bytes) {
            return None;
        }
        let media = media.to_ascii_lowercase();
        let named = media.split_once("charset=").map(|(_, named)| {
            let named = named.split(';').next().unwrap_or(named);
            named.trim().trim_matches(['"', '\''])
        });
        if let Some(named) = named
            && SINGLE.iter().any(|begin| named.starts_with(begin))
        {
            return Some(Self::Single);
        }
        let known = matches!(
            named,
            None | Some("" | "utf-8" | "utf8" | "us-ascii" | "ascii" | "binary")
        );
        // Many senders name a charset and write UTF-8 all the same.
        (known || std::str::from_utf8(bytes).is_ok()).then_some(Self::Utf8)
    }
}

/// The characters of bytes that are one each, as Latin-1 has them: other charsets of one byte have letters and others at nearly the same places.
pub(super) fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes of such characters.
pub(super) fn bytes(characters: &str) -> Vec<u8> {
    characters
        .chars()
        .map(|c| u8::try_from(c as u32).unwrap_or(b'?'))
        .collect()
}

/// Whether bytes that are no UTF-8 are text all the same: nothing but blanks below the first letters.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| *byte >= b' ' || b"\t\n\r\x0c".contains(byte))
}

/// Whether most bytes at the even or at the odd places are zeros, and few at the others: Latin text of two bytes a character. Of four bytes,
/// three in four are zeros.
fn wide(bytes: &[u8]) -> bool {
    if bytes.len() < TELLING {
        return false;
    }
    let mut zeros = [0_usize; 2];
    for (at, byte) in bytes.iter().enumerate() {
        zeros[at % 2] += usize::from(*byte == 0);
    }
    let half = bytes.len() / 2;
    let [few, many] = {
        zeros.sort_unstable();
        zeros
    };
    let two = many * 4 >= half * 3 && few * 4 <= half;
    let four = many * 10 >= half * 9 && few * 10 >= half * 4 && few * 10 <= half * 6;
    two || four
}
