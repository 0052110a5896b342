//! Values of masked fields, to be found again in other text.
//!
//! **Invariant**: only digests are kept, seeded with the key, and at most [`LIMIT`] of them; that there were more is said. A word that may as
//! well be an ordinary one (lower case and short) is not learned.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::digests::Digests;

/// So many digests are kept: 8 bytes each, about 9 MiB.
const LIMIT: usize = 1 << 20;

/// A value of more words is text, not a name.
const WORDS: usize = 8;

/// Single words of lower-case letters are learned from this length on.
const ORDINARY: usize = 6;

/// Digits alone are learned from this length on.
const NUMBER: usize = 7;

/// Parts of a name are learned from this length on.
const PART: usize = 3;

/// Names that other letters stand beside are looked for from this length on.
const GLUED: usize = 4;

/// What names end in when something is theirs, or when they are several: English, German and Scandinavian.
const ENDINGS: [&str; 5] = ["s", "es", "n", "en", "sche"];

/// What was learned.
#[derive(Clone, Debug)]
pub(super) struct Known {
    seed: u64,
    /// Digests of words, and what these are. A single word that is a value is its own first word, and is kept once.
    digests: Digests,
    full: bool,
}

/// A whole value.
const WHOLE: u8 = 1;
/// The first word of a whole value: nearly all text has none.
const HEAD: u8 = 2;
/// A part of a name.
const PART_OF_NAME: u8 = 4;

/// A word of a text: where it stands.
type Word<'t> = (usize, &'t str);

impl Known {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            digests: Digests::new(),
            full: false,
        }
    }

    /// Learns the value of a masked field.
    pub(super) fn learn(&mut self, value: &str) {
        let words: Vec<Word<'_>> = words(value).take(WORDS + 1).collect();
        if words.is_empty() || words.len() > WORDS {
            return;
        }
        if let [(_, word)] = words.as_slice() {
            let digits = word.bytes().all(|byte| byte.is_ascii_digit());
            let ordinary = word.chars().all(char::is_lowercase) && word.chars().count() < ORDINARY;
            if ordinary || (digits && word.len() < NUMBER) || word.chars().count() < PART {
                return;
            }
        }
        if self.digests.len() >= LIMIT {
            self.full |= !self.is(&words, WHOLE);
            return;
        }
        self.add(&words[..1], HEAD);
        self.add(&words, WHOLE);
        let name = words.len() > 1
            && words
                .iter()
                .all(|(_, word)| word.chars().all(char::is_alphabetic));
        if name {
            for word in &words {
                if word.1.chars().count() >= PART && word.1.starts_with(char::is_uppercase) {
                    self.add(&[*word], PART_OF_NAME);
                }
            }
        }
    }

    /// Learned values within a word that is none: behind or before digits (`Oberholzer42`), a capital (`drOberholzer`), or an ending
    /// (`Oberholzers`).
    fn glued(&self, (begin, word): Word<'_>, found: &mut Vec<(usize, usize)>) {
        for (at, piece) in pieces(word) {
            let from = begin + at;
            if piece.len() < word.len() && self.is_value(piece) {
                found.push((from, from + piece.len()));
                continue;
            }
            let stems = ENDINGS.iter().filter_map(|end| piece.strip_suffix(end));
            let capital = piece.starts_with(char::is_uppercase);
            if let Some(stem) = stems
                .into_iter()
                .find(|stem| capital && self.is_value(stem))
            {
                found.push((from, from + stem.len()));
            }
        }
    }

    /// Whether what other letters or digits stand beside is a learned value, and no ordinary word.
    fn is_value(&self, piece: &str) -> bool {
        let length = piece.chars().count();
        let known = || self.known(&[(0, piece)]);
        if piece.bytes().all(|byte| byte.is_ascii_digit()) {
            length >= NUMBER && known() & WHOLE != 0
        } else if piece.starts_with(char::is_uppercase) {
            length >= GLUED && known() & (WHOLE | PART_OF_NAME) != 0
        } else {
            length >= ORDINARY && known() & WHOLE != 0
        }
    }

    fn add(&mut self, words: &[Word<'_>], what: u8) {
        let digest = self.digest(words);
        self.digests.add(digest, what);
    }

    fn is(&self, words: &[Word<'_>], what: u8) -> bool {
        self.known(words) & what != 0
    }

    fn known(&self, words: &[Word<'_>]) -> u8 {
        self.digests.marks(self.digest(words)).unwrap_or(0)
    }

    /// Whether there was more to learn than is kept.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Where learned values stand in `text`, the longest first at each place.
    pub(super) fn find(&self, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        if self.digests.is_empty() {
            return found;
        }
        let words: Vec<Word<'_>> = words(text).collect();
        let mut at = 0;
        while at < words.len() {
            let length = self.length(text, &words[at..]);
            if length > 0 {
                let (last, word) = words[at + length - 1];
                found.push((words[at].0, last + word.len()));
            } else {
                self.glued(words[at], &mut found);
            }
            at += length.max(1);
        }
        found
    }

    /// How many of the first words are a learned value.
    fn length(&self, text: &str, words: &[Word<'_>]) -> usize {
        let head = self.known(&words[..1]);
        if head & HEAD != 0 {
            let mut most = words.len().min(WORDS);
            // Words of one value stand close together.
            for at in 1..most {
                let (before, word) = words[at - 1];
                let gap = &text[before + word.len()..words[at].0];
                if gap.len() > 3 || gap.contains('\n') {
                    most = at;
                    break;
                }
            }
            let longest = (1..=most)
                .rev()
                .find(|length| self.is(&words[..*length], WHOLE));
            if let Some(longest) = longest {
                return longest;
            }
        }
        let capital = words[0].1.starts_with(char::is_uppercase);
        usize::from(capital && head & PART_OF_NAME != 0)
    }

    fn digest(&self, words: &[Word<'_>]) -> u64 {
        let mut text = String::new();
        for (_, word) in words {
            text.extend(word.chars().flat_map(char::to_lowercase));
            text.push(' ');
        }
        xxh3_64_with_seed(text.as_bytes(), self.seed)
    }
}

/// The words of a text: runs of letters and digits. What a percent sign escapes is no part of one.
fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut begin = at + text[at..].find(char::is_alphanumeric)?;
        while begin > 0 && is_escape(&text.as_bytes()[begin - 1..]) {
            begin += 2;
            begin += text[begin..].find(char::is_alphanumeric)?;
        }
        let length = text[begin..].find(|c: char| !c.is_alphanumeric());
        at = length.map_or(text.len(), |length| begin + length);
        Some((begin, &text[begin..at]))
    })
}

/// The pieces of a word: letters and digits apart, and letters cut before a capital that follows a small one.
fn pieces(word: &str) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &word[at..];
        let mut before = rest.chars().next()?;
        let cut = rest.char_indices().skip(1).find(|(_, next)| {
            let turns = before.is_alphabetic() != next.is_alphabetic()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_text_whole_and_in_parts() {
        let mut known = Known::new(7);
        for value in [
            "Ada Lovelace",
            "tok-9f8e7d",
            "2025550142",
            "acme",
            "ok",
            "42",
            "Grace",
        ] {
            known.learn(value);
        }
        let check = |text: &str, expect: &[&str]| {
            let found: Vec<&str> = known
                .find(text)
                .iter()
                .map(|(from, to)| &text[*from..*to])
                .collect();
            assert_eq!(found, expect, "{text}");
        };
        check("Dear Ada Lovelace,", &["Ada Lovelace"]);
        check("ADA  LOVELACE called", &["ADA  LOVELACE"]);
        check("Mrs Lovelace, or Ada", &["Lovelace", "Ada"]);
        check("a lovelace is no name", &[]);
        check(
            "session tok-9f8e7d of 2025550142",
            &["tok-9f8e7d", "2025550142"],
        );
        check("Grace and acme ok 42", &["Grace"]);
        check("Ada\n\nLovelace", &["Ada", "Lovelace"]);
        check("the Lovelaces", &["Lovelace"]);
        check("Lovelaces Lovelacen Lovelacesche", &["Lovelace"; 3]);
        check("Lovelace42 and 7Lovelace", &["Lovelace"; 2]);
        check("mrsLovelace, AdaLovelace", &["Lovelace"; 2]);
        check("tel2025550142 and x12025550142", &["2025550142"]);
        check("Gracely graces lovelaces Adas", &[]);
        check("?q=Ada%20Lovelace", &["Ada%20Lovelace"]);
        check("https%3A%2F%2Fh%2FLovelace%2Fb", &["Lovelace"]);
        check("%C3%A9%Ada 100%Lovelace %2", &["Ada", "Lovelace"]);
    }
}
