//! Invented values inside longer texts: an id within an address, a reference within a message.
//!
//! **Invariant**: only words that could be ids are taken for renamed ones: letters with digits, long numbers, or whole segments of an
//! address. "17 items" beside "42 items" is a difference, even if 17 and 42 are each other's partners as ids.
//! It deliberately does not know the partners; it says which words would have to be.

use xxhash_rust::xxh3::xxh3_64;

/// Longer texts are not looked into.
const LONGEST: usize = 64 << 10;

/// So many renamed words in a text are looked up.
const MOST: usize = 256;

/// In an address that both sides have alike, a number of so many digits is an id.
const NUMBER: usize = 5;

/// A word with a digit and a letter could be an id from so many characters on, one without a letter from so many.
const LETTERED: usize = 3;
const LONG: usize = 8;

/// The words that differ between two texts that are alike otherwise; `None` if they are not, or if a word that differs could not be an id.
pub(super) fn renamed<'t>(legacy: &'t str, candidate: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
    if legacy.len().max(candidate.len()) > LONGEST {
        return None;
    }
    let (a_address, b_address) = (is_address(legacy), is_address(candidate));
    let (mut a, mut b) = (pieces(legacy), pieces(candidate));
    let mut renamed = Vec::new();
    loop {
        match (a.next(), b.next()) {
            (None, None) => return (!renamed.is_empty()).then_some(renamed),
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                let words = is_word(a) && is_word(b);
                let ids = (a_address || could_be_an_id(a)) && (b_address || could_be_an_id(b));
                if !words || !ids || renamed.len() >= MOST {
                    return None;
                }
                if !renamed.contains(&(a, b)) {
                    renamed.push((a, b));
                }
            }
            _ => return None,
        }
    }
}

/// The words of a text that stands on both sides alike that could only be ids. Within addresses these are longer numbers too, but not the host and
/// its port; a shorter number may as well be a page, a year or a version.
pub(super) fn references(text: &str) -> impl Iterator<Item = &str> {
    let address = is_address(text);
    let text = if text.len() > LONGEST {
        ""
    } else if address && let Some((_, after)) = text.split_once("://") {
        after.find('/').map_or("", |path| &after[path..])
    } else {
        text
    };
    Words { text, at: 0 }.filter_map(move |word| {
        let enough = match (word.letter, address) {
            (true, _) => LETTERED,
            (false, true) if word.number => NUMBER,
            (false, _) => LONG,
        };
        (word.digit && word.text.len() >= enough).then_some(word.text)
    })
}

/// A word, and what is in it.
struct Word<'t> {
    text: &'t str,
    /// An ASCII digit.
    digit: bool,
    /// An ASCII letter.
    letter: bool,
    /// Nothing but digits.
    number: bool,
}

/// The words of a text, each byte looked at once: nearly all texts of nearly all answers go through here.
struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Words<'t> {
    type Item = Word<'t>;

    fn next(&mut self) -> Option<Word<'t>> {
        let bytes = self.text.as_bytes();
        let begin = self.at + bytes[self.at..].iter().position(|byte| of_a_word(*byte))?;
        let mut kinds = 0;
        let mut end = begin;
        while let Some(byte) = bytes.get(end) {
            let kind = KINDS[usize::from(*byte)];
            if kind == 0 {
                break;
            }
            kinds |= kind;
            end += 1;
        }
        self.at = end;
        Some(Word {
            text: &self.text[begin..end],
            digit: kinds & DIGIT != 0,
            letter: kinds & LETTER != 0,
            number: kinds == DIGIT,
        })
    }
}

/// A word, told from all others.
pub(super) fn digest(word: &str) -> u64 {
    xxh3_64(word.as_bytes())
}

const DIGIT: u8 = 1;
const LETTER: u8 = 2;
/// A hyphen, an underscore, and every byte beyond ASCII.
const JOINT: u8 = 4;

/// What a byte is in a word; 0 if it ends one.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    loop {
        kinds[byte as usize] = if byte.is_ascii_digit() {
            DIGIT
        } else if byte.is_ascii_alphabetic() {
            LETTER
        } else if byte == b'-' || byte == b'_' || byte >= 0x80 {
            JOINT
        } else {
            0
        };
        if byte == 255 {
            break kinds;
        }
        byte += 1;
    }
};

fn of_a_word(byte: u8) -> bool {
    KINDS[usize::from(byte)] != 0
}

fn is_word(piece: &str) -> bool {
    piece.as_bytes().first().copied().is_some_and(of_a_word)
}

fn is_address(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://")
}

fn could_be_an_id(word: &str) -> bool {
    let digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    digit && word.len() >= if letter { LETTERED } else { LONG }
}

/// Words, and what stands between them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.as_bytes().first()?;
        let word = of_a_word(first);
        let end = rest.bytes().position(|byte| of_a_word(byte) != word);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_within_texts_are_found() {
        let check = |a: &str, b: &str, expect: Option<&[(&str, &str)]>| {
            assert_eq!(renamed(a, b).as_deref(), expect, "{a} {b}");
        };
        check("/things/a-1", "/things/x-9", Some(&[("a-1", "x-9")]));
        check(
            "/things/17/parts",
            "/things/42/parts",
            Some(&[("17", "42")]),
        );
        check(
            "https://h/t?id=a1b&n=2",
            "https://h/t?id=c2d&n=2",
            Some(&[("a1b", "c2d")]),
        );
        check(
            "order bk-1 was made",
            "order bk-9 was made",
            Some(&[("bk-1", "bk-9")]),
        );
        check("17 items", "42 items", None);
        check("order one", "order two", None);
        check("/things/a-1", "/v1/things/x-9", None);
        check("a-1, a-1 é", "b-2, b-2 é", Some(&[("a-1", "b-2")]));
        check("same", "same", None);
        check("10000001", "10000002", Some(&[("10000001", "10000002")]));
    }

    #[test]
    fn words_that_could_only_be_ids_are_found() {
        let check = |text: &str, expect: &[&str]| {
            let found: Vec<&str> = references(text).collect();
            assert_eq!(found, expect, "{text}");
        };
        check("/orders/1000051", &["1000051"]);
        check("/orders/17?page=2&year=2026", &[]);
        check("https://host8000:18080/t/a1b#10001", &["a1b", "10001"]);
        check("http://10001.example", &[]);
        check("order bk-1 of 1000051 items", &["bk-1"]);
        check("order 10000051", &["10000051"]);
    }
}
