//! Where requests carry values that name something: the place of each, so that another can be written exactly there.
//!
//! **Invariant**: spots come in the order of their places; where one lies within another, the wider one comes first.

use std::{borrow::Cow, ops::Range};

use super::token::{
    SHORTEST_OPAQUE, SILENT, identity, numbers, opaque, subject, token_byte, within,
};
use crate::capture::{Headers, Request, decoded, header};

/// A value in a text, by its place: what replaces it goes exactly there.
pub(crate) struct Spot {
    /// Where it stands.
    pub(crate) range: Range<usize>,
    /// Its identity.
    pub(crate) identity: String,
    /// How a value is written there.
    pub(crate) writing: Writing,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// As it is.
    Plain,
    /// Percent-encoded.
    Percent,
    /// Inside the quotes of a JSON string.
    JsonString,
    /// As a JSON number.
    JsonNumber,
}

/// The values in a request target (or a URL).
pub(crate) fn in_target(target: &str) -> Vec<Spot> {
    let mut spots = Vec::new();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some((path.len() + 1, query))),
        None => (target, None),
    };
    let mut before = "";
    let mut at = 0;
    for part in path.split('/') {
        let name = if numbers(part) { "id" } else { "" };
        spot(&mut spots, part, at, name, before, Writing::Percent);
        if !part.is_empty() && !numbers(part) {
            before = part;
        }
        at += part.len() + 1;
    }
    if let Some((at, query)) = query {
        parameters(&mut spots, query, at, before);
    }
    spots
}

/// The values in `name=value&..`, and those of a list.
fn parameters(spots: &mut Vec<Spot>, text: &str, start: usize, within: &str) {
    let mut at = start;
    for pair in text.split('&') {
        if let Some((name, value)) = pair.split_once('=') {
            let mut value_at = at + name.len() + 1;
            for one in value.split(',') {
                spot(spots, one, value_at, name, within, Writing::Percent);
                value_at += one.len() + 1;
            }
        }
        at += pair.len() + 1;
    }
}

fn spot(spots: &mut Vec<Spot>, raw: &str, at: usize, name: &str, within: &str, writing: Writing) {
    let text = match writing {
        Writing::Percent => percent_decoded(raw),
        Writing::JsonString if raw.contains('\\') => {
            match serde_json::from_str::<String>(&format!("\"{raw}\"")) {
                Ok(text) => Cow::Owned(text),
                Err(_) => return,
            }
        }
        _ => Cow::Borrowed(raw),
    };
    if let Some(identity) = identity(&text, name, within) {
        spots.push(Spot {
            range: at..at + raw.len(),
            identity: identity.into_owned(),
            writing,
        });
    }
    for (from, word) in parts(raw, writing) {
        if opaque(word) {
            spots.push(Spot {
                range: at + from..at + from + word.len(),
                identity: word.to_owned(),
                writing,
            });
        }
    }
}

/// The words within a value, if it is more than one, and their places: `9f3a11bb22` in `/orders/9f3a11bb22`, `9f3a11bb22.json` and
/// `orders('9f3a11bb22')`. None of them has an escape.
fn parts(raw: &str, writing: Writing) -> impl Iterator<Item = (usize, &str)> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    let several = raw.len() > SHORTEST_OPAQUE && !bytes.iter().all(|byte| word_byte(*byte));
    std::iter::from_fn(move || {
        while several && at < bytes.len() {
            let word = bytes[at..].iter().take_while(|byte| word_byte(**byte));
            let from = at;
            let length = word.count();
            at += length;
            // What is escaped is no part of a word, nor is the escape.
            at += match (bytes.get(at), writing) {
                (Some(b'%'), Writing::Percent) => 3,
                (Some(b'\\'), Writing::JsonString) if bytes.get(at + 1) == Some(&b'u') => 6,
                (Some(b'\\'), Writing::JsonString) => 2,
                _ => 1,
            };
            if length >= SHORTEST_OPAQUE {
                return raw.get(from..from + length).map(|word| (from, word));
            }
        }
        None
    })
}

fn word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether a header may carry a name, and how its value is split: credentials after their scheme.
pub(crate) fn header_value<'v>(name: &str, value: &'v str) -> Option<(usize, &'v str)> {
    let name = name.to_ascii_lowercase();
    if SILENT.contains(&name.as_str()) || name == "cookie" || name.starts_with(':') {
        return None;
    }
    match value.split_once(' ') {
        Some((scheme, rest)) if name == "authorization" => Some((scheme.len() + 1, rest)),
        _ => Some((0, value)),
    }
}

/// The values in a header: what credentials and conditions say names something, whatever it looks like.
pub(crate) fn in_header(name: &str, value: &str) -> Vec<Spot> {
    let mut spots = Vec::new();
    let Some((at, text)) = header_value(name, value) else {
        return spots;
    };
    let conditions = ["if-match", "if-none-match", "if-range"];
    if conditions
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    {
        for tag in text.split(',') {
            let from = at + (tag.as_ptr() as usize - text.as_ptr() as usize);
            let blank = tag.len() - tag.trim_start().len();
            spot(
                &mut spots,
                tag.trim(),
                from + blank,
                "etag",
                "",
                Writing::Plain,
            );
        }
        return spots;
    }
    let credentials = name.eq_ignore_ascii_case("authorization") && at > 0;
    let name = if credentials { "token" } else { name };
    spot(&mut spots, text, at, name, "", Writing::Plain);
    spots
}

/// The cookies of a `Cookie` header: name and value.
pub(crate) fn cookies(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
}

/// The values in a body: a JSON document, a form, or the invented-looking words of any other text.
pub(crate) fn in_body(headers: &Headers, body: &[u8], subject: &str) -> Vec<Spot> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Vec::new();
    };
    let mut spots = Vec::new();
    let media = header(headers, "content-type").unwrap_or_default();
    if text.trim_start().starts_with(['{', '[']) {
        json(&mut spots, text, subject);
    } else if media.contains("x-www-form-urlencoded") {
        parameters(&mut spots, text, 0, subject);
    } else {
        for (at, word) in words(text) {
            spot(&mut spots, word, at, "", subject, Writing::Plain);
        }
    }
    spots
}

/// The words of a text that could be values, with their places.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = text.as_ptr() as usize;
    text.split(|c: char| !c.is_ascii() || c == '"' || !token_byte(c as u8))
        .filter(|word| word.len() >= SHORTEST_OPAQUE)
        .map(move |word| (word.as_ptr() as usize - start, word))
}

/// The scalars of a JSON text, each under the key before it and within the one around that. A text that is no JSON gives what can be read of it.
fn json(spots: &mut Vec<Spot>, text: &str, subject: &str) {
    let bytes = text.as_bytes();
    let mut key = "";
    // The keys under which the open objects stand; what is in an array stands under the array's.
    let mut open: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let start = at + 1;
                let mut end = start;
                while end < bytes.len() && bytes[end] != b'"' {
                    end += 1 + usize::from(bytes[end] == b'\\');
                }
                let end = end.min(bytes.len());
                let Some(inner) = text.get(start..end) else {
                    return;
                };
                at = end + 1;
                let after = text.get(at..).unwrap_or_default().trim_start();
                if after.starts_with(':') {
                    key = inner;
                } else {
                    let about = within(parent(&open), subject);
                    spot(spots, inner, start, key, about, Writing::JsonString);
                }
            }
            b'{' => {
                open.push(key);
                key = "";
                at += 1;
            }
            b'}' => {
                key = open.pop().unwrap_or_default();
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let length = bytes[at..].iter().take_while(|byte| number(byte)).count();
                let raw = &text[at..at + length];
                let about = within(parent(&open), subject);
                spot(spots, raw, at, key, about, Writing::JsonNumber);
                at += length;
            }
            _ => at += 1,
        }
    }
}

/// The key under which the innermost object stands.
fn parent<'k>(open: &[&'k str]) -> Option<&'k str> {
    open.last().copied().filter(|key| !key.is_empty())
}

/// The identities of all values in a request, and of each whether it is a cookie's.
pub(crate) fn in_request(request: &Request, mut each: impl FnMut(&str, bool)) {
    let subject = subject(request.path()).to_owned();
    for spot in in_target(request.origin_form()) {
        each(&spot.identity, false);
    }
    for (name, value) in &request.headers {
        if name.eq_ignore_ascii_case("cookie") {
            for (name, value) in cookies(value) {
                if let Some(identity) = identity(value, name, "") {
                    each(&identity, true);
                }
            }
        }
        for spot in in_header(name, value) {
            each(&spot.identity, false);
        }
    }
    if let Some(body) = request.body.whole()
        && let Ok(body) = decoded(&request.headers, body)
    {
        for spot in in_body(&request.headers, &body, &subject) {
            each(&spot.identity, false);
        }
    }
}

/// `%41` is `A`; what is no such escape stays.
pub(crate) fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_where_they_stand() {
        let check = |spots: Vec<Spot>, text: &str, expect: &[(&str, &str)]| {
            let found: Vec<(&str, &str)> = spots
                .iter()
                .map(|spot| (&text[spot.range.clone()], spot.identity.as_str()))
                .collect();
            assert_eq!(found, expect, "{text}");
        };
        let target = "/orders/7/lines/ab%3Acd1234?page=2&token=xyz";
        let in_path = [
            ("7", "order 7"),
            ("ab%3Acd1234", "ab:cd1234"),
            ("xyz", "xyz"),
        ];
        check(in_target(target), target, &in_path);
        let body = r#"{"order_id":7,"n":7,"note":"a \"b\"","lines":[{"id":"l-1"}],"key":"k\/1"}"#;
        let in_json = [("7", "order 7"), ("l-1", "l-1"), ("k\\/1", "k/1")];
        check(
            in_body(&Vec::new(), body.as_bytes(), "orders"),
            body,
            &in_json,
        );
        let form = "csrf=a%2Fb&name=x";
        let media = vec![(
            "content-type".into(),
            "application/x-www-form-urlencoded".into(),
        )];
        check(
            in_body(&media, form.as_bytes(), ""),
            form,
            &[("a%2Fb", "a/b")],
        );
        let credentials = "Bearer eyJ0.eyJ1";
        check(
            in_header("Authorization", credentials),
            credentials,
            &[("eyJ0.eyJ1", "eyJ0.eyJ1")],
        );
    }

    #[test]
    fn broken_json_gives_what_can_be_read() {
        for text in [
            "{",
            "{\"",
            "{\"id\":\"x\\",
            "[1,",
            "{\"id\":-",
            "{\"é\":\"\\u12\"}",
        ] {
            let _ = in_body(&Vec::new(), text.as_bytes(), "");
        }
    }
}
