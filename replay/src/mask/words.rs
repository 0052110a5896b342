//! Words of a text, and what may be told from their letters.
//!
//! **Invariant**: a word with accents is one word, whether they are written as marks of their own or not.

use std::borrow::Cow;

use unicode_normalization::{
    IsNormalized, UnicodeNormalization, char::is_combining_mark, is_nfc_quick,
};

/// A word of a text: where it stands.
pub(super) type Word<'t> = (usize, &'t str);

/// The words of a text: runs of letters and digits. What a percent sign escapes is no part of one.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut begin = at + text[at..].find(is_part)?;
        while begin > 0 && is_escape(&text.as_bytes()[begin - 1..]) {
            begin += 2;
            begin += text[begin..].find(is_part)?;
        }
        let length = text[begin..].find(|c: char| !is_part(c));
        at = length.map_or(text.len(), |length| begin + length);
        Some((begin, &text[begin..at]))
    })
}

/// The pieces of a word: letters and digits apart, and letters cut before a capital that follows a small one.
pub(super) fn pieces(word: &str) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &word[at..];
        let mut before = rest.chars().next()?;
        let cut = rest.char_indices().skip(1).find(|(_, next)| {
            let turns = is_letter(before) != is_letter(*next)
                || (before.is_lowercase() && next.is_uppercase());
            before = *next;
            turns
        });
        let length = cut.map_or(rest.len(), |(length, _)| length);
        at += length;
        Some((at - length, &rest[..length]))
    })
}

/// Whether a percent-escaped byte stands first. Nobody writes one in both cases: `%Ad` begins a word.
fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit()
        && low.is_ascii_hexdigit()
        && !(high.is_ascii_uppercase() && low.is_ascii_lowercase()))
}

/// Whether `c` stands in a word.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || (!c.is_ascii() && is_combining_mark(c))
}

/// A letter, or a mark on one.
pub(super) fn is_letter(c: char) -> bool {
    c.is_alphabetic() || (!c.is_ascii() && is_combining_mark(c))
}

/// A word with its accents in its letters.
pub(super) fn composed(word: &str) -> Cow<'_, str> {
    if word.is_ascii() || is_nfc_quick(word.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(word);
    }
    Cow::Owned(word.nfc().collect())
}

/// Whether a word is of a script that writes no blanks between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese; or Korean, whose particles follow
/// names without one.
pub(super) fn is_unspaced(word: &str) -> bool {
    !word.is_empty()
        && word.chars().all(|c| {
            matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}'
                | '\u{3005}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
        })
}
