//! What is wrapped within text: URLs, what is percent-encoded, JSON, base64.
//!
//! Each is unwrapped, what is inside is masked as if it stood alone, and wrapped again as it was.
//!
//! **Invariant**: a wrapping in which nothing is masked keeps its bytes.

use base64::{
    Engine,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::mask::{
    body,
    encoding::{self, Plus, respelled},
    masker::Masker,
    target,
    text::Find,
};

/// Base64 of fewer characters is not looked into: any word may be that.
const NESTED: usize = 16;

/// So many times may JSON begin in a text and be none: a text of open brackets is read no more often than that.
const FALSE_BEGINS: usize = 16;

/// URLs, and words in which something is percent-encoded.
pub(super) fn urls(masker: &mut Masker, text: &str, finds: &mut Vec<Find>) {
    // Found before; what is added here lies behind one another.
    let documents = finds.len();
    let apart = |c: char| c.is_whitespace() || "\"'<>\\`{}|".contains(c);
    let mut at = 0;
    while let Some(hit) = next_wrapping(text, at) {
        let before = &text[at..hit];
        let from = hit - before.rsplit(apart).next().map_or(0, str::len);
        let to = hit + text[hit..].find(apart).unwrap_or(text.len() - hit);
        at = to;
        let from = from + opening(&text[from..to]);
        let run = &text[from..to];
        let url = run.contains("://");
        if overlap(&finds[..documents], from, to) {
            continue;
        }
        // `see=https://h/x`: a URL begins with the letters before its colon.
        let scheme = run.find("://").map_or(0, |colon| {
            let before = run[..colon]
                .trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "+.-".contains(c));
            before.len()
        });
        let whole = run.len() == text.len();
        let masked = masker.within(|masker| match () {
            () if url => {
                let (before, url) = run.split_at(scheme);
                // What stands before a URL may be another, or a name and its value.
                let before = match before {
                    "" => String::new(),
                    before => masker.text(before).into_owned(),
                };
                before + &target::url(masker, url)
            }
            () if run.starts_with('/') || run.contains('?') => target::url(masker, run),
            () if run.contains(['=', '&']) || !whole => target::form(masker, run),
            () => respelled(run, Plus::Plus, |plain| masker.changed(plain)).into_owned(),
        });
        if let Some(masked) = masked
            && masked != run
        {
            finds.push(Find::written(from, from + run.len(), masked));
        }
    }
    finds.sort_by_key(|find| find.from);
}

/// Where, from `at` on, the end of a scheme or something percent-encoded is.
fn next_wrapping(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b':', b'%', &bytes[at..])
        .map(|hit| at + hit)
        .find(|hit| match bytes[*hit] {
            b':' => bytes[*hit..].starts_with(b"://"),
            _ => encoding::is_escape(&bytes[*hit..]),
        })
}

/// Brackets that open before a URL are no part of it.
fn opening(run: &str) -> usize {
    run.len() - run.trim_start_matches(['(', '[', ',', ';']).len()
}

/// JSON that something stands before or behind: a prefix against scripts, `data:` of an event, a call.
pub(super) fn documents(masker: &mut Masker, text: &str, finds: &mut Vec<Find>) {
    let (mut at, mut wrong) = (0, 0);
    while let Some(begin) = text[at..].find(['{', '[']).map(|begin| at + begin) {
        let inner = text[begin + 1..].trim_start();
        at = begin + 1;
        if !inner.starts_with(['"', '{', '[']) {
            continue;
        }
        if let Some(end) = body::end_of_document(text, begin) {
            let document = &text[begin..end];
            let masked = masker.within(|masker| body::json(document, masker));
            if let Some(Some(masked)) = masked {
                finds.push(Find::written(begin, end, masked));
                at = end;
                continue;
            }
        }
        wrong += 1;
        if wrong == FALSE_BEGINS {
            break;
        }
    }
}

/// Runs of base64 in text, such as the end of a `data:` URL.
pub(super) fn runs(masker: &mut Masker, text: &str, finds: &mut Vec<Find>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let begin = at;
        while at < bytes.len() && BASE64[usize::from(bytes[at])] {
            at += 1;
        }
        let mut end = at;
        // All but the last word of a text has something behind it.
        at += 1;
        if end - begin < NESTED {
            continue;
        }
        end += bytes[end..]
            .iter()
            .take(2)
            .take_while(|byte| **byte == b'=')
            .count();
        if overlap(finds, begin, end) {
            continue;
        }
        if let Some(masked) = base64(masker, &text[begin..end]) {
            let place = finds.partition_point(|find| find.from < begin);
            finds.insert(place, Find::written(begin, end, masked));
        }
    }
}

/// Base64 of text, masked; `None` if it is none or nothing in it is masked.
pub(super) fn base64(masker: &mut Masker, content: &str) -> Option<String> {
    let line = content.find(['\r', '\n']).unwrap_or(content.len());
    let compact: String;
    let coded = if line < content.trim_end().len() {
        compact = content.split_ascii_whitespace().collect();
        compact.as_str()
    } else {
        content.trim_end()
    };
    let bare = coded.trim_end_matches('=');
    let shaped = bare.len() >= NESTED && bare.len() % 4 != 1 && bare.chars().all(is_base64);
    if !shaped {
        return None;
    }
    let coder = coder(bare, coded.len() > bare.len());
    let plain = String::from_utf8(coder.decode(coded).ok()?).ok()?;
    if plain.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let masked = masker.within(|masker| masker.document(&plain))?;
    if masked == plain {
        return None;
    }
    let coded = coder.encode(masked);
    Some(rewrapped(&coded, content, line))
}

fn coder(text: &str, padded: bool) -> GeneralPurpose {
    let alphabet: &Alphabet = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true)
        .with_encode_padding(padded);
    GeneralPurpose::new(alphabet, config)
}

/// `coded` in lines as long as the first one of `content`.
fn rewrapped(coded: &str, content: &str, line: usize) -> String {
    let trailing = &content[content.trim_end().len()..];
    if line >= content.trim_end().len() {
        return coded.to_owned() + trailing;
    }
    let rest = &content[line..];
    let end = &rest[..rest.len() - rest.trim_start().len()];
    let mut wrapped = String::with_capacity(content.len());
    let mut rest = coded;
    while rest.len() > line {
        let (one, more) = rest.split_at(line);
        wrapped.push_str(one);
        wrapped.push_str(end);
        rest = more;
    }
    wrapped + rest + trailing
}

/// Whether a byte is a character of base64, of either alphabet.
const BASE64: [bool; 256] = {
    let mut known = [false; 256];
    let alphabets = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";
    let mut at = 0;
    while at < alphabets.len() {
        known[alphabets[at] as usize] = true;
        at += 1;
    }
    known
};

fn is_base64(c: char) -> bool {
    c.is_ascii() && BASE64[c as usize]
}

/// Whether anything between `from` and `to` was found before; `finds` are in order.
fn overlap(finds: &[Find], from: usize, to: usize) -> bool {
    let first = finds.partition_point(|find| find.to <= from);
    finds.get(first).is_some_and(|find| find.from < to)
}
