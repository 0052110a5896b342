//! Values that name something: ids, keys, session and anti-forgery tokens, where requests and answers carry them.
//!
//! **Invariant**: a value has the same identity wherever it stands: in a path, a query, a header, a cookie, a form or a JSON document.
//! It deliberately leaves alone what only looks like data: dates, words, counts. A short number is a name only together with what it numbers
//! (`order 7`), because `7` is many things.

use std::{borrow::Cow, ops::Range};

use crate::capture::{Headers, Request, decoded, header};

/// Longer values are documents, not names.
const LONGEST: usize = 4_096;
/// Shorter values need a telling name to be taken for one.
const SHORTEST_OPAQUE: usize = 8;
/// Numbers with fewer digits are names only beside what they number.
const SHORT_DIGITS: usize = 8;
/// What wraps a list without saying what it lists.
const WRAPPERS: [&str; 7] = [
    "data", "items", "results", "content", "records", "list", "rows",
];
/// Headers that carry no name: of the connection, of the client's software, of time, or of a tracer.
const SILENT: [&str; 27] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expires",
    "host",
    "last-modified",
    "origin",
    "referer",
    "server",
    "traceparent",
    "transfer-encoding",
    "user-agent",
    "via",
    "x-request-id",
    "age",
    "keep-alive",
    "request-id",
    "server-timing",
    "tracestate",
    "x-correlation-id",
    "x-trace-id",
];

/// A value's identity: itself, or for a short number itself and what it numbers. `None` for what names nothing.
///
/// `name` is the key, parameter or header it stands under; `within` is what the request is about: the last word of its path.
pub(crate) fn identity<'t>(text: &'t str, name: &str, within: &str) -> Option<Cow<'t, str>> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let telling = telling(name);
    if digits && text.len() < SHORT_DIGITS {
        return telling.then(|| Cow::Owned(format!("{} {text}", numbered(name, within))));
    }
    let word = matches!(text, "true" | "false" | "null");
    let known = (telling && !word && text.bytes().all(token_byte)) || (!digits && opaque(text));
    known.then_some(Cow::Borrowed(text))
}

/// Whether a key says that its value names something.
fn telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = ["id", "uuid", "guid", "key", "ref", "reference", "etag"];
    let holds = ["token", "csrf", "xsrf", "nonce", "session", "cursor"];
    ends.iter().any(|end| name.ends_with(end)) || holds.iter().any(|part| name.contains(part))
}

/// What a number under `name` numbers: `order` for `order_id` and for `id` within `orders`.
fn numbered(name: &str, within: &str) -> String {
    let name = name.to_ascii_lowercase();
    let stem = ["_id", "-id", "id"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(&name);
    let stem = if stem.is_empty() { within } else { stem };
    let stem = stem.to_ascii_lowercase();
    stem.strip_suffix('s').unwrap_or(&stem).to_owned()
}

/// Whether a value looks invented: long enough, with digits among its letters, and no date.
fn opaque(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < SHORTEST_OPAQUE || !bytes.iter().all(|byte| token_byte(*byte)) {
        return false;
    }
    let digit = bytes.iter().any(u8::is_ascii_digit);
    let letter = bytes.iter().any(u8::is_ascii_alphabetic);
    let long = bytes.len() >= 20 && bytes.iter().any(u8::is_ascii_uppercase);
    let dated = bytes.len() >= 10
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[5..7].iter().all(u8::is_ascii_digit)
        && bytes[7] == b'-';
    letter && (digit || long) && !dated
}

fn token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.+/=:~%\"".contains(&byte)
}

/// What a path is about: its last segment that is no id (`/orders/7` is about `orders`).
pub(crate) fn subject(path: &str) -> &str {
    path.rsplit('/')
        .find(|part| !part.is_empty() && !numbers(part))
        .unwrap_or_default()
}

fn numbers(segment: &str) -> bool {
    segment.bytes().all(|byte| byte.is_ascii_digit()) || opaque(segment)
}

/// What a JSON member named `id` is about: its parent's key, or for a wrapper the request's subject.
pub(crate) fn within<'n>(parent: Option<&'n str>, subject: &'n str) -> &'n str {
    match parent {
        Some(parent)
            if !WRAPPERS.contains(&parent) && !parent.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            parent
        }
        _ => subject,
    }
}

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

/// The values in `name=value&..`.
fn parameters(spots: &mut Vec<Spot>, text: &str, start: usize, within: &str) {
    let mut at = start;
    for pair in text.split('&') {
        if let Some((name, value)) = pair.split_once('=') {
            let value_at = at + name.len() + 1;
            spot(spots, value, value_at, name, within, Writing::Percent);
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

/// The values in a header.
pub(crate) fn in_header(name: &str, value: &str) -> Vec<Spot> {
    let mut spots = Vec::new();
    if let Some((at, text)) = header_value(name, value) {
        spot(&mut spots, text, at, name, "", Writing::Plain);
    }
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

/// The scalars of a JSON text, each under the key before it. A text that is no JSON gives what can be read of it.
fn json(spots: &mut Vec<Spot>, text: &str, subject: &str) {
    let bytes = text.as_bytes();
    let mut key = "";
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
                    spot(spots, inner, start, key, subject, Writing::JsonString);
                }
            }
            b'-' | b'0'..=b'9' => {
                let number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let length = bytes[at..].iter().take_while(|byte| number(byte)).count();
                let raw = &text[at..at + length];
                spot(spots, raw, at, key, subject, Writing::JsonNumber);
                at += length;
            }
            _ => at += 1,
        }
    }
}

/// The identities of all values in a request.
pub(crate) fn in_request(request: &Request, mut each: impl FnMut(&str)) {
    let subject = subject(request.path()).to_owned();
    for spot in in_target(request.origin_form()) {
        each(&spot.identity);
    }
    for (name, value) in &request.headers {
        if name.eq_ignore_ascii_case("cookie") {
            for (_, value) in cookies(value) {
                each(value);
            }
        }
        for spot in in_header(name, value) {
            each(&spot.identity);
        }
    }
    if let Some(body) = request.body.whole()
        && let Ok(body) = decoded(&request.headers, body)
    {
        for spot in in_body(&request.headers, &body, &subject) {
            each(&spot.identity);
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
    fn names_are_told_from_data() {
        let check = |text: &str, name: &str, expect: Option<&str>| {
            assert_eq!(
                identity(text, name, "orders").as_deref(),
                expect,
                "{name} {text}"
            );
        };
        check("7", "id", Some("order 7"));
        check("7", "customer_id", Some("customer 7"));
        check("7", "count", None);
        check(
            "bk-f8f7240e855d7691",
            "anything",
            Some("bk-f8f7240e855d7691"),
        );
        check("pending", "state", None);
        check("abc", "csrf_token", Some("abc"));
        check("true", "session", None);
        check("2026-12-17T16:00:00-05:00", "time", None);
        check("1767225601364", "at", None);
        check("patient0@example.org", "email", None);
        check("", "id", None);
    }

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
