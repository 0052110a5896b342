//! Numbers that people write in groups: of phones, of cards, of whatever else has many digits.
//!
//! **Invariant**: the mask of a number is that of its digits, however they are grouped, and of a phone number that of the digits behind its
//! country code, however that is written: `+49 30 1234567`, `+49 (0)30 1234567`, `0049301234567` and `030 1234567` agree in what they share.

use std::{fmt::Write as _, sync::LazyLock};

use regex::Regex;

use crate::mask::{MaskKey, value::digits};

/// A shorter one is masked word by word; a longer one is no number that people write.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=19;

/// Country codes of two digits (ITU-T E.164); 1 and 7 stand alone, and all others have three.
const TWO_DIGITS: [u8; 41] = [
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56,
    57, 58, 60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93,
];

/// A trunk prefix that is not dialed from abroad.
const TRUNK: &str = "(0)";

static GROUPED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\+?\(?\d+(?:[ ().\-/\u{a0}]{1,3}\d+)*$").expect("the pattern is a constant")
});

/// Whether `text` is one number and nothing else.
pub(super) fn is_grouped(text: &str) -> bool {
    let count = text.bytes().filter(u8::is_ascii_digit).count();
    DIGITS.contains(&count) && GROUPED.is_match(text)
}

/// A number masked as one, its separators where they were.
pub(super) fn grouped(key: &MaskKey, text: &str) -> String {
    let head = head(text);
    let (kept, rest) = text.split_at(head);
    let plain: String = rest.chars().filter(char::is_ascii_digit).collect();
    let image = digits(key, &plain);
    let mut image = image.chars();
    let mut masked = kept.to_owned();
    for c in rest.chars() {
        let _ = masked.write_char(if c.is_ascii_digit() {
            image.next().unwrap_or(c)
        } else {
            c
        });
    }
    masked
}

/// The digits of a number that stay the same when it is dialed from elsewhere: none of a country code, no trunk prefix.
pub(super) fn national(text: &str) -> String {
    let rest = &text[head(text)..];
    let plain: String = rest.chars().filter(char::is_ascii_digit).collect();
    plain.trim_start_matches('0').to_owned()
}

/// The length of what stands before the national digits, `(0)` included.
fn head(text: &str) -> usize {
    let digit = |(_, c): &(usize, char)| c.is_ascii_digit();
    let digits: Vec<(usize, char)> = text.char_indices().filter(digit).take(5).collect();
    let plain: String = digits.iter().map(|(_, c)| *c).collect();
    let count = text.bytes().filter(u8::is_ascii_digit).count();
    let before = if text.starts_with('+') {
        0
    } else if plain.starts_with("00") && !plain.starts_with("000") && count > 9 {
        2
    } else {
        return 0;
    };
    let kept = before + country(&plain[before..]);
    let end = digits.get(kept - 1).map_or(text.len(), |(at, _)| at + 1);
    let rest = &text[end..];
    let blank = rest.len() - rest.trim_start_matches([' ', '\u{a0}']).len();
    if rest[blank..].starts_with(TRUNK) {
        return end + blank + TRUNK.len();
    }
    end
}

/// How many of the first digits are a country code.
fn country(digits: &str) -> usize {
    let two = digits.get(..2).and_then(|two| two.parse().ok());
    let length = match two {
        Some(10..=19 | 70..=79) => 1,
        Some(94 | 95 | 98) => 2,
        Some(two) if TWO_DIGITS.contains(&two) => 2,
        _ => 3,
    };
    length.min(digits.len())
}

/// Whether `text` is the number of a payment card: of an issuer's range, with a right check digit (ISO/IEC 7812-1).
pub(super) fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let issuer = digits
        .iter()
        .take(4)
        .fold(0, |number, digit| number * 10 + digit);
    if !(13..=19).contains(&digits.len()) || !matches!(issuer, 2221..=2720 | 3000..=6999) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_number_however_it_is_spelled() {
        let key = MaskKey::new(b"a key for tests, no secret").expect("a key");
        let same = |spellings: &[&str]| {
            let images: Vec<String> = spellings
                .iter()
                .map(|spelling| {
                    assert!(is_grouped(spelling), "{spelling}");
                    let image = grouped(&key, spelling);
                    assert_eq!(image.len(), spelling.len());
                    national(&image)
                })
                .collect();
            assert!(
                images.iter().all(|image| *image == images[0]),
                "{spellings:?} -> {images:?}"
            );
            assert_ne!(images[0], national(spellings[0]));
        };
        same(&["+353 1 234 5678", "+35312345678", "+353-1-234-5678"]);
        same(&[
            "+49 30 1234567",
            "+49 (0)30 1234567",
            "0049 30 1234567",
            "0049301234567",
            "030 1234567",
            "0301234567",
        ]);
        same(&["+1 202 555 0142", "(202) 555-0142", "2025550142"]);
        same(&["4111 1111 1111 1111", "4111111111111111"]);
        assert!(!is_grouped("17") && !is_grouped("a 2025550142") && !is_grouped("1,000,000"));
    }

    #[test]
    fn cards_have_a_check_digit() {
        for card in [
            "4111111111111111",
            "3782 822463 10005",
            "5555-5555-5555-4444",
        ] {
            assert!(is_card(card), "{card}");
        }
        for other in ["4111111111111112", "1700000000000000000", "2025550142"] {
            assert!(!is_card(other), "{other}");
        }
    }
}
