//! Values of masked fields, to be found again in other text.
//!
//! **Invariant**: only digests are kept, seeded with the key, and at most [`LIMIT`] of them; that there were more is said. A word that may as
//! well be an ordinary one (lower case, and short or a word of the interface) is not found.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::mask::{
    digests::Digests,
    number,
    words::{self, Word, pieces, words},
};

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

/// So many words of the interface are kept: far above what one has, and a hostile one ends.
const INTERFACE: usize = 1 << 14;

/// Numbers are spelled in at most so many groups.
const GROUPS: usize = 8;

/// A number may have so many digits of a country code or trunk prefix before those that were learned.
const PREFIX: usize = 5;

/// Names in scripts that write no blanks are looked for from two characters on, up to this many.
const UNSPACED: std::ops::RangeInclusive<usize> = 2..=8;

/// What names end in when something is theirs, or when they are several: English, German and Scandinavian.
const ENDINGS: [&str; 5] = ["s", "es", "n", "en", "sche"];

/// What was learned.
#[derive(Clone, Debug)]
pub(super) struct Known {
    seed: u64,
    /// Digests of words, and what these are. A single word that is a value is its own first word, and is kept once.
    digests: Digests,
    /// Digests of words that members and parameters are named with: in lower case these are no one's name.
    interface: BTreeSet<u64>,
    /// The lengths of numbers that were learned, and of names in scripts without blanks, a bit each: other lengths are not looked up.
    numbers: u32,
    unspaced: u32,
    full: bool,
}

/// A whole value.
const WHOLE: u8 = 1;
/// The first word of a whole value: nearly all text has none.
const HEAD: u8 = 2;
/// A part of a name.
const PART_OF_NAME: u8 = 4;

impl Known {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            digests: Digests::new(),
            interface: BTreeSet::new(),
            numbers: 0,
            unspaced: 0,
            full: false,
        }
    }

    /// Learns the value of a masked field.
    pub(super) fn learn(&mut self, value: &str) {
        if number::is_grouped(value) {
            self.learn_number(&number::national(value));
        }
        let words: Vec<Word<'_>> = words(value).take(WORDS + 1).collect();
        if words.is_empty() || words.len() > WORDS {
            return;
        }
        if let [(_, word)] = words.as_slice() {
            let digits = word.bytes().all(|byte| byte.is_ascii_digit());
            let ordinary = word.chars().all(char::is_lowercase) && word.chars().count() < ORDINARY;
            let short = word.chars().count() < PART && !words::is_unspaced(word);
            if ordinary || (digits && word.len() < NUMBER) || short {
                return;
            }
        }
        if self.digests.len() >= LIMIT {
            self.full |= !self.is(&words, WHOLE);
            return;
        }
        self.add(&words[..1], HEAD);
        self.add(&words, WHOLE);
        for (_, word) in &words {
            let length = word.chars().count();
            if words::is_unspaced(word) && UNSPACED.contains(&length) {
                self.unspaced |= 1 << length;
            }
        }
        let name = words.len() > 1
            && words
                .iter()
                .all(|(_, word)| word.chars().all(words::is_letter));
        if name {
            for word in &words {
                let long = word.1.chars().count() >= PART || words::is_unspaced(word.1);
                if long && !word.1.starts_with(char::is_lowercase) {
                    self.add(&[*word], PART_OF_NAME);
                }
            }
        }
    }

    fn learn_number(&mut self, digits: &str) {
        if digits.len() < NUMBER || self.digests.len() >= LIMIT {
            return;
        }
        self.numbers |= 1 << digits.len();
        self.add(&[(0, digits)], WHOLE | HEAD);
    }

    /// Learns the name of a member or parameter, of which an interface has few. One that no field is named like may be of someone.
    pub(super) fn learn_interface(&mut self, name: &str) {
        let ordinary = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !ordinary {
            return;
        }
        for (_, word) in words(name) {
            for (_, piece) in pieces(word) {
                if piece.len() >= ORDINARY && self.interface.len() < INTERFACE {
                    let digest = self.digest(&[(0, piece)]);
                    self.interface.insert(digest);
                }
            }
        }
    }

    /// Whether a word in lower case may be someone's name all the same.
    fn is_lower_name(&self, word: &str) -> bool {
        word.chars().count() >= ORDINARY && !self.interface.contains(&self.digest(&[(0, word)]))
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
            if let Some((from, to, length)) = self.number(text, &words[at..]) {
                found.push((from, to));
                at += length;
                continue;
            }
            let length = self.length(text, &words[at..]);
            if length > 0 {
                let (last, word) = words[at + length - 1];
                found.push((words[at].0, last + word.len()));
            } else if words::is_unspaced(words[at].1) {
                self.within(words[at], &mut found);
            } else {
                self.glued(words[at], &mut found);
            }
            at += length.max(1);
        }
        found
    }

    /// Where someone's name stands in the name of a member: several words, or one that is a part of a name and no word of the interface.
    pub(super) fn find_in_name(&self, name: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        if self.digests.is_empty() {
            return found;
        }
        let words: Vec<Word<'_>> = words(name).collect();
        let mut at = 0;
        while at < words.len() {
            let length = match self.length(name, &words[at..]) {
                1 if !self.is_lower_name(words[at].1) => 0,
                1 if !self.is(&words[at..=at], PART_OF_NAME) => 0,
                length => length,
            };
            if length > 0 {
                let (last, word) = words[at + length - 1];
                found.push((words[at].0, last + word.len()));
            }
            at += length.max(1);
        }
        found
    }

    /// A learned number that begins in the first word, in whatever groups it is written, and how many words that are.
    fn number(&self, text: &str, words: &[Word<'_>]) -> Option<(usize, usize, usize)> {
        let is_digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
        if self.numbers == 0 || !is_digits(words[0].1) {
            return None;
        }
        let (mut digits, mut groups) = (String::new(), 0);
        let mut ends = Vec::new();
        for (from, word) in words.iter().take(GROUPS).copied() {
            let apart = ends.last().map_or("", |(end, _)| &text[*end..from]);
            if apart.len() > 3
                || apart.contains(|c| !" ().-/\u{a0}".contains(c))
                || !is_digits(word)
            {
                break;
            }
            digits.push_str(word);
            groups += 1;
            ends.push((from + word.len(), digits.len()));
        }
        for (end, length) in ends.into_iter().rev() {
            let most = words[0].1.len().min(PREFIX + 1);
            for skip in 0..most {
                let part = &digits[skip..length];
                let looked_for = part.len() < 32 && self.numbers & 1 << part.len() != 0;
                if looked_for && self.is(&[(0, part)], WHOLE) {
                    return Some((words[0].0 + skip, end, groups));
                }
            }
            groups -= 1;
        }
        None
    }

    /// Names within a run of a script that writes no blanks.
    fn within(&self, (begin, word): Word<'_>, found: &mut Vec<(usize, usize)>) {
        if self.unspaced == 0 {
            return;
        }
        let places: Vec<usize> = word
            .char_indices()
            .map(|(at, _)| at)
            .chain([word.len()])
            .collect();
        let mut at = 0;
        while at + 1 < places.len() {
            let length = UNSPACED.rev().find(|length| {
                self.unspaced & 1 << length != 0
                    && places.get(at + length).is_some_and(|end| {
                        self.is(&[(0, &word[places[at]..*end])], WHOLE | PART_OF_NAME)
                    })
            });
            if let Some(length) = length {
                found.push((begin + places[at], begin + places[at + length]));
            }
            at += length.unwrap_or(1);
        }
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
        let word = words[0].1;
        let part = head & PART_OF_NAME != 0
            && (!word.starts_with(char::is_lowercase) || self.is_lower_name(word));
        usize::from(part)
    }

    fn digest(&self, words: &[Word<'_>]) -> u64 {
        let mut text = String::new();
        for (_, word) in words {
            text.extend(words::composed(word).chars().flat_map(char::to_lowercase));
            text.push(' ');
        }
        xxh3_64_with_seed(text.as_bytes(), self.seed)
    }
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
        check("a lovelace, or g.lovelace", &["lovelace"; 2]);
        check("an ada is no name", &[]);
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
        check(
            "20 2555 0142, x 202-555-0142 17",
            &["20 2555 0142", "202-555-0142"],
        );
        check(
            "+12025550142 001 (202) 555 0142",
            &["2025550142", "202) 555 0142"],
        );
        check("?q=Ada%20Lovelace", &["Ada%20Lovelace"]);
        check("https%3A%2F%2Fh%2FLovelace%2Fb", &["Lovelace"]);
        check("%C3%A9%Ada 100%Lovelace %2", &["Ada", "Lovelace"]);
    }
}
