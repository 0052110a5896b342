//! One value, masked in its own shape.
//!
//! | value | stays | changes |
//! |---|---|---|
//! | JWT | header, times in the payload | every other value of the payload, the signature |
//! | UUID | version and variant | the other digits |
//! | email | last label of the domain | every word before it |
//! | phone number | country code, separators, leading zero | the other digits |
//! | another number of 7 to 19 digits | separators, leading zero | the other digits, as one number |
//! | IP address | family, port | the address |
//! | ISO date | the time after it | the date, to another real one |
//! | anything else | what is no letter or digit, and the length | emails, phone numbers, JWTs, UUIDs and addresses in it as above, each other word by itself |
//!
//! In a word, letters stay letters of their case and alphabet, digits digits, and a word of hexadecimal digits one of such digits; a number keeps
//! being one without leading zeros.
//!
//! **Invariant**: the shape of a mask is that of its value, in that a mask would be masked by the same row; within a shape it is a
//! permutation, so no two values share a mask. The mask does not depend on where the value was found.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::civil::Date;
use regex::Regex;

use crate::mask::{MaskKey, body, number, permutation::permute};

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGIT: &[u8] = b"0123456789";

/// Dates are mapped among these days: 1900-01-01 to 2099-12-31.
const FIRST_DAY: Date = Date::constant(1900, 1, 1);
const DAYS: u32 = 73_049;

/// Looks for an image of the same kind at most so often; each look finds one with a chance of a quarter at least.
const LOOKS: usize = 1_000;

pub(super) const EMAIL: &str = r"[\p{L}\p{N}._%+-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,}";
pub(super) const PHONE: &str = r"\+\d(?:[ ().\-\u{a0}]{0,3}\d){6,14}|\(\d{3}\) ?\d{3}[ .-]\d{4}\b|\b\d{3}[ .-]\d{3}[ .-]\d{4}\b|\b00[1-9](?:[ ()/.-]{0,3}\d){8,12}\b|\b0[1-9]\d{0,3}[ /-](?:\d{6,8}|\d{3,4}[ -]?\d{3,4})\b|\b0[1-9](?:[ .-]\d\d){4}\b|\b0[1-9]\d{0,3}(?: \d{2,4}){3,4}\b";
pub(super) const JWT: &str = r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*";

static WHOLE_EMAIL: LazyLock<Regex> = LazyLock::new(|| whole(EMAIL));
static WHOLE_JWT: LazyLock<Regex> = LazyLock::new(|| whole(JWT));

/// What has a shape of its own within a longer value.
static SHAPED: LazyLock<Regex> = LazyLock::new(|| {
    let uuid = r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b";
    let address = r"\b\d{1,3}(?:\.\d{1,3}){3}\b";
    Regex::new(&format!("{JWT}|{uuid}|{EMAIL}|{address}|{PHONE}"))
        .expect("the patterns are constants")
});

/// Begins of values that say how the rest is meant.
const SCHEMES: [&str; 4] = ["mailto:", "tel:", "sip:", "sms:"];

fn whole(pattern: &str) -> Regex {
    Regex::new(&format!("^(?:{pattern})$")).expect("the pattern is a constant")
}

/// `value` masked.
pub(super) fn mask(key: &MaskKey, value: &str) -> String {
    let trimmed = value.trim();
    if trimmed.len() < value.len() && !trimmed.is_empty() {
        return value.replacen(trimmed, &mask(key, trimmed), 1);
    }
    let scheme = SCHEMES
        .iter()
        .map(|scheme| value.split_at_checked(scheme.len()).unwrap_or(("", value)))
        .zip(SCHEMES)
        .find(|((begin, _), scheme)| begin.eq_ignore_ascii_case(scheme));
    if let Some(((scheme, rest), _)) = scheme {
        return scheme.to_owned() + &mask(key, rest);
    }
    if value.starts_with("eyJ")
        && WHOLE_JWT.is_match(value)
        && let Some(masked) = jwt(key, value)
    {
        return masked;
    }
    if let Some(masked) = uuid(key, value)
        .or_else(|| address(key, value))
        .or_else(|| date(key, value))
    {
        return masked;
    }
    if value.contains('@') && WHOLE_EMAIL.is_match(value) {
        let label = value.rfind('.').unwrap_or(value.len());
        return words(key, &value[..label]) + &value[label..];
    }
    if number::is_grouped(value) {
        return number::grouped(key, value);
    }
    parts(key, value)
}

/// What has a shape of its own as if it stood alone, and each word around it by itself.
fn parts(key: &MaskKey, value: &str) -> String {
    let shaped = |byte: u8| byte.is_ascii_digit() || byte == b'@' || byte == b'.';
    if !value.bytes().any(shaped) {
        return words(key, value);
    }
    let (mut masked, mut at) = (String::with_capacity(value.len()), 0);
    for found in SHAPED.find_iter(value) {
        let whole = found.as_str();
        if whole.len() == value.len() {
            break;
        }
        masked.push_str(&words(key, &value[at..found.start()]));
        masked.push_str(&mask(key, whole));
        at = found.end();
    }
    masked + &words(key, &value[at..])
}

/// Each word masked by itself.
pub(super) fn words(key: &MaskKey, text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(from) = rest.find(char::is_alphanumeric) {
        masked.push_str(&rest[..from]);
        rest = &rest[from..];
        let to = rest
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(rest.len());
        masked.push_str(&word(key, &rest[..to]));
        rest = &rest[to..];
    }
    masked + rest
}

fn word(key: &MaskKey, word: &str) -> String {
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits(key, word);
    }
    if let Some(kind) = kind(word) {
        return by_alphabet(key, word, kind);
    }
    let places: Vec<(Vec<char>, u32)> = word.chars().map(place).collect();
    let radices: Vec<u32> = places.iter().map(|(set, _)| length(set)).collect();
    let mut at: Vec<u32> = places.iter().map(|(_, at)| *at).collect();
    permute(key, b"letters", &mut at, &radices);
    places
        .iter()
        .zip(at)
        .map(|((set, _), at)| set[at as usize])
        .collect()
}

/// A number of so many digits that begins with a zero has one before it as phone numbers have where they are not dialed from abroad.
const TRUNK: usize = 8;

/// Only digits: the first stays a zero or none, so that numbers stay numbers.
pub(super) fn digits(key: &MaskKey, text: &str) -> String {
    if text.len() >= TRUNK
        && let Some(rest) = text.strip_prefix('0')
    {
        return "0".to_owned() + &digits(key, rest);
    }
    let zero = text.starts_with('0');
    let values = text.bytes().enumerate().map(|(at, byte)| {
        let value = u32::from(byte - b'0');
        match at {
            0 if zero => (0, 1),
            0 => (value - 1, 9),
            _ => (value, 10),
        }
    });
    let (mut values, radices): (Vec<u32>, Vec<u32>) = values.unzip();
    permute(
        key,
        if zero { b"zero" } else { b"digits" },
        &mut values,
        &radices,
    );
    if !zero {
        values[0] += 1;
    }
    values
        .into_iter()
        .filter_map(|value| char::from_digit(value, 10))
        .collect()
}

/// The kind of a word of ASCII letters and digits that has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    hexadecimal: bool,
    case: Case,
    /// Whether there are letters behind the first character: without, nothing tells a word that begins with a capital from one in capitals.
    letters: bool,
}

/// Where a word has capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
    /// The first letter, which is the first character, and no other.
    First,
    Mixed,
}

fn kind(word: &str) -> Option<Kind> {
    let has = |test: fn(&u8) -> bool| word.bytes().any(|byte| test(&byte));
    if !word.is_ascii() || !has(u8::is_ascii_digit) || !has(u8::is_ascii_alphabetic) {
        return None;
    }
    let rest_is_lower = !word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let case = match (has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase)) {
        (true, false) => Case::Lower,
        (false, _) => Case::Upper,
        (true, true) if rest_is_lower => Case::First,
        (true, true) => Case::Mixed,
    };
    Some(Kind {
        hexadecimal: case != Case::Mixed && word.bytes().all(|byte| byte.is_ascii_hexdigit()),
        case,
        letters: word.bytes().skip(1).any(|byte| byte.is_ascii_alphabetic()),
    })
}

/// Permutes words of one kind among themselves: an image of another kind is permuted again until one is of this kind. But for capitals anywhere,
/// a word in capitals has the image of the same word without.
fn by_alphabet(key: &MaskKey, word: &str, kind: Kind) -> String {
    match kind.case {
        Case::Lower | Case::Mixed => among(key, word, kind),
        Case::Upper => lower(key, word).to_ascii_uppercase(),
        Case::First => {
            let mut image = lower(key, word);
            image[..1].make_ascii_uppercase();
            image
        }
    }
}

fn lower(key: &MaskKey, word: &str) -> String {
    let word = word.to_ascii_lowercase();
    match kind(&word) {
        Some(kind) => among(key, &word, kind),
        None => word,
    }
}

fn among(key: &MaskKey, word: &str, wanted: Kind) -> String {
    let letters = match (wanted.hexadecimal, wanted.case) {
        (true, _) => LOWER[..6].to_vec(),
        (false, Case::Mixed) => [LOWER, UPPER].concat(),
        (false, _) => LOWER.to_vec(),
    };
    let both = if wanted.letters {
        [DIGIT, &letters].concat()
    } else {
        DIGIT.to_vec()
    };
    // A first letter that may be a capital elsewhere stays a letter.
    let first = match word.as_bytes().first() {
        _ if wanted.case == Case::Mixed => &both,
        Some(first) if first.is_ascii_digit() => &DIGIT.to_vec(),
        _ => &letters,
    };
    let alphabet = |at: usize| if at == 0 { first } else { &both };
    let radices: Vec<u32> = (0..word.len())
        .map(|at| u32::try_from(alphabet(at).len()).unwrap_or(u32::MAX))
        .collect();
    let position = |(at, byte): (usize, u8)| {
        let place = alphabet(at).iter().position(|known| *known == byte);
        u32::try_from(place.unwrap_or(0)).unwrap_or(0)
    };
    let mut places: Vec<u32> = word.bytes().enumerate().map(position).collect();
    for _ in 0..LOOKS {
        permute(key, b"mixed", &mut places, &radices);
        let image: String = places
            .iter()
            .enumerate()
            .map(|(at, place)| char::from(alphabet(at)[*place as usize]))
            .collect();
        if kind(&image) == Some(wanted) {
            return image;
        }
    }
    word.to_owned()
}

/// The characters that may stand for `c`, and its place among them. Case is kept, and upper and lower case have the same places.
fn place(c: char) -> (Vec<char>, u32) {
    let ascii = [LOWER, UPPER, DIGIT]
        .into_iter()
        .find(|set| c.is_ascii() && set.contains(&(c as u8)));
    let set: Vec<char> = match (ascii, c) {
        (Some(set), _) => set.iter().map(|byte| char::from(*byte)).collect(),
        (None, '\u{4e00}'..='\u{9fa5}') => ('\u{4e00}'..='\u{9fa5}').collect(),
        (None, '\u{ac00}'..='\u{d7a3}') => ('\u{ac00}'..='\u{d7a3}').collect(),
        (None, _) => {
            // Sixty-four characters share all but the last byte of their UTF-8, so the length stays.
            let block = c as u32 & !0x3f;
            let alike = |other: &char| {
                other.is_alphabetic() == c.is_alphabetic()
                    && other.is_alphanumeric()
                    && other.is_uppercase() == c.is_uppercase()
                    && other.is_lowercase() == c.is_lowercase()
            };
            (block..block + 64)
                .filter_map(char::from_u32)
                .filter(alike)
                .collect()
        }
    };
    let at = set.iter().position(|known| *known == c).unwrap_or(0);
    (set, u32::try_from(at).unwrap_or(0))
}

fn length(set: &[char]) -> u32 {
    u32::try_from(set.len()).unwrap_or(u32::MAX).max(1)
}

/// A UUID: eight, four, four, four and twelve hexadecimal digits.
fn uuid(key: &MaskKey, text: &str) -> Option<String> {
    let dashes = [8, 13, 18, 23];
    let shaped = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| {
            if dashes.contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        });
    if !shaped {
        return None;
    }
    let upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
    // Version and variant.
    let free = |at: &usize| !dashes.contains(at) && *at != 14 && *at != 19;
    let mut values: Vec<u32> = (0..36)
        .filter(free)
        .filter_map(|at| char::from(text.as_bytes()[at]).to_digit(16))
        .collect();
    let radices = vec![16; values.len()];
    permute(key, b"uuid", &mut values, &radices);
    let mut values = values.into_iter();
    let image = text.chars().enumerate().map(|(at, c)| {
        if !free(&at) {
            return c;
        }
        let digit = values
            .next()
            .and_then(|value| char::from_digit(value, 16))
            .unwrap_or(c);
        if upper {
            digit.to_ascii_uppercase()
        } else {
            digit
        }
    });
    Some(image.collect())
}

fn address(key: &MaskKey, text: &str) -> Option<String> {
    if !text.contains(['.', ':']) {
        return None;
    }
    // Proxies write a port behind an address, and brackets around one of IPv6.
    if let Some((inner, port)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let inner = inner.contains(':').then(|| address(key, inner))??;
        return is_port(port).then(|| format!("[{inner}]{port}"));
    }
    if let Some((inner, port)) = text.split_once(':')
        && inner.contains('.')
        && is_port(&text[inner.len()..])
    {
        return Some(address(key, inner)? + ":" + port);
    }
    let masked = match text.parse().ok()? {
        IpAddr::V4(address) => {
            let mut octets = address.octets().map(u32::from);
            permute(key, b"ipv4", &mut octets, &[256; 4]);
            let [a, b, c, d] = octets.map(|octet| u8::try_from(octet).unwrap_or(0));
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => {
            let mut segments = address.segments().map(u32::from);
            permute(key, b"ipv6", &mut segments, &[65_536; 8]);
            IpAddr::V6(Ipv6Addr::from(
                segments.map(|segment| u16::try_from(segment).unwrap_or(0)),
            ))
        }
    };
    Some(masked.to_string())
}

/// Nothing, or a colon and a number.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An ISO date, with or without a time after it.
fn date(key: &MaskKey, text: &str) -> Option<String> {
    let (day, rest) = text.split_at_checked(10)?;
    let time = |byte: u8| byte.is_ascii_digit() || b"T :.,Z+-".contains(&byte);
    let timed = rest.starts_with(['T', ' ']) && rest.bytes().all(time);
    if !timed && !rest.is_empty() {
        return None;
    }
    let day: Date = day.parse().ok()?;
    let since = u32::try_from((day - FIRST_DAY).get_days())
        .ok()
        .filter(|days| *days < DAYS)?;
    // 272 squared is the least square that holds all days; images beyond them are permuted again.
    let mut at = [since / 272, since % 272];
    for _ in 0..LOOKS {
        permute(key, b"date", &mut at, &[272, 272]);
        let days = at[0] * 272 + at[1];
        if days < DAYS {
            let day = FIRST_DAY.checked_add(jiff::Span::new().days(days)).ok()?;
            return Some(format!("{day}{rest}"));
        }
    }
    None
}

/// A JWT whose payload can be read: it stays one that can.
fn jwt(key: &MaskKey, text: &str) -> Option<String> {
    let mut parts = text.splitn(3, '.');
    let (head, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let masked = body::every_value(key, &payload)?;
    Some(format!(
        "{head}.{}.{}",
        URL_SAFE_NO_PAD.encode(masked),
        words(key, signature)
    ))
}

#[cfg(test)]
mod tests;
