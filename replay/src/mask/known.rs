//! Values of masked fields, to be found again in other text.
//!
//! **Invariant**: only digests are kept, seeded with the key, and at most [`LIMIT`] of them; that there were more is said. A word that may as
//! well be an ordinary one (lower case and short) is not learned.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So many digests are kept: 8 bytes each in a tree, about 32 MiB.
const LIMIT: usize = 1 << 20;

/// A value of more words is text, not a name.
const WORDS: usize = 8;

/// Single words of lower-case letters are learned from this length on.
const ORDINARY: usize = 6;

/// Digits alone are learned from this length on.
const NUMBER: usize = 7;

/// Parts of a name are learned from this length on.
const PART: usize = 3;

/// What was learned.
#[derive(Clone, Debug)]
pub(super) struct Known {
    seed: u64,
    whole: BTreeSet<u64>,
    /// First words of whole values: nearly all text has none.
    heads: BTreeSet<u64>,
    parts: BTreeSet<u64>,
    full: bool,
}

/// A word of a text: where it stands.
type Word<'t> = (usize, &'t str);

impl Known {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            whole: BTreeSet::new(),
            heads: BTreeSet::new(),
            parts: BTreeSet::new(),
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
        if self.whole.len() + self.parts.len() >= LIMIT {
            self.full = true;
            return;
        }
        let head = self.digest(&words[..1]);
        self.heads.insert(head);
        let whole = self.digest(&words);
        self.whole.insert(whole);
        let name = words.len() > 1
            && words
                .iter()
                .all(|(_, word)| word.chars().all(char::is_alphabetic));
        if name {
            for word in &words {
                if word.1.chars().count() >= PART && word.1.starts_with(char::is_uppercase) {
                    let part = self.digest(&[*word]);
                    self.parts.insert(part);
                }
            }
        }
    }

    /// Whether there was more to learn than is kept.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Where learned values stand in `text`, the longest first at each place.
    pub(super) fn find(&self, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        if self.whole.is_empty() {
            return found;
        }
        let words: Vec<Word<'_>> = words(text).collect();
        let mut at = 0;
        while at < words.len() {
            let length = self.length(text, &words[at..]);
            if length > 0 {
                let (last, word) = words[at + length - 1];
                found.push((words[at].0, last + word.len()));
            }
            at += length.max(1);
        }
        found
    }

    /// How many of the first words are a learned value.
    fn length(&self, text: &str, words: &[Word<'_>]) -> usize {
        let head = self.digest(&words[..1]);
        if self.heads.contains(&head) {
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
                .find(|length| self.whole.contains(&self.digest(&words[..*length])));
            if let Some(longest) = longest {
                return longest;
            }
        }
        let capital = words[0].1.starts_with(char::is_uppercase);
        usize::from(capital && self.parts.contains(&head))
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
        check("?q=Ada%20Lovelace", &["Ada%20Lovelace"]);
        check("https%3A%2F%2Fh%2FLovelace%2Fb", &["Lovelace"]);
        check("%C3%A9%Ada 100%Lovelace %2", &["Ada", "Lovelace"]);
    }
}
