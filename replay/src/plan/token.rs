//! Values that name something: ids, keys, session and anti-forgery tokens.
//!
//! **Invariant**: a value has the same identity wherever it stands: in a path, a query, a header, a cookie, a form or a JSON document.
//! It deliberately leaves alone what only looks like data: dates, words, counts. A short number is a name only together with what it numbers
//! (`order 7`), because `7` is many things.

use std::borrow::Cow;

/// Longer values are documents, not names.
const LONGEST: usize = 4_096;
/// Shorter values need a telling name to be taken for one.
pub(super) const SHORTEST_OPAQUE: usize = 8;
/// Numbers with fewer digits are names only beside what they number.
const SHORT_DIGITS: usize = 8;
/// What wraps a list without saying what it lists.
const WRAPPERS: [&str; 7] = [
    "data", "items", "results", "content", "records", "list", "rows",
];
/// Parts of the names of values that are good for a while only.
const PASSING: [&str; 6] = ["token", "csrf", "xsrf", "nonce", "session", "cursor"];
/// Headers that carry no name: of the connection, of the client's software, of time, or of a tracer.
pub(super) const SILENT: [&str; 27] = [
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
    let ends = [
        "id",
        "uuid",
        "guid",
        "key",
        "ref",
        "reference",
        "number",
        "etag",
    ];
    let one = name.strip_suffix('s').unwrap_or(&name);
    ends.iter().any(|end| one.ends_with(end)) || PASSING.iter().any(|part| name.contains(part))
}

/// Whether a key says that its value is good for a while only, and made anew for each who asks.
pub(crate) fn is_passing(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let page = ["next", "prev", "continuation", "etag"];
    PASSING.iter().chain(&page).any(|part| name.contains(part))
}

/// What a number under `name` numbers: `order` for `order_id` and for `id` within `orders`.
fn numbered(name: &str, within: &str) -> String {
    let name = name.to_ascii_lowercase();
    let stem = ["_id", "-id", "id", "_ids", "-ids", "ids"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(&name);
    let stem = if stem.is_empty() { within } else { stem };
    singular(&stem.to_ascii_lowercase()).into_owned()
}

/// `order` for `orders`, `category` for `categories`, `address` for `addresses`. It need not be English, only the same for the one and the many.
fn singular(word: &str) -> Cow<'_, str> {
    if let Some(stem) = word.strip_suffix("ies") {
        return Cow::Owned(format!("{stem}y"));
    }
    let hissing = ["sses", "xes", "ches", "shes"];
    if hissing.iter().any(|end| word.ends_with(end)) {
        return Cow::Borrowed(&word[..word.len() - 2]);
    }
    if word.ends_with("ss") {
        return Cow::Borrowed(word);
    }
    Cow::Borrowed(word.strip_suffix('s').unwrap_or(word))
}

/// Whether a value looks invented: long enough, with digits among its letters, and no date.
pub(super) fn opaque(text: &str) -> bool {
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

pub(super) fn token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.+/=:~%\"".contains(&byte)
}

/// What a path is about: its last segment that is no id (`/orders/7` is about `orders`).
pub(crate) fn subject(path: &str) -> &str {
    path.rsplit('/')
        .find(|part| !part.is_empty() && !numbers(part))
        .unwrap_or_default()
}

/// Whether a segment of a path says which one is meant, and not what: `7`, `ord-1`, `A100`, and not `orders` or `v1`.
pub(super) fn numbers(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digit = bytes.iter().any(u8::is_ascii_digit);
    let parted = |byte: &u8| b"-_:.~".contains(byte) || byte.is_ascii_uppercase();
    let short = digit && bytes.iter().any(parted) && bytes.iter().all(|byte| token_byte(*byte));
    bytes.iter().all(u8::is_ascii_digit) || short || opaque(segment)
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
        check("7", "item_ids", Some("item 7"));
        check("7", "category_id", Some("category 7"));
        check("A-100", "orderNumber", Some("A-100"));
        check("abc", "csrf_token", Some("abc"));
        check("true", "session", None);
        check("2026-12-17T16:00:00-05:00", "time", None);
        check("1767225601364", "at", None);
        check("patient0@example.org", "email", None);
        check("", "id", None);
    }

    #[test]
    fn one_of_many_has_the_name_of_the_one() {
        for (many, one) in [
            ("orders", "order"),
            ("categories", "category"),
            ("addresses", "address"),
            ("address", "address"),
            ("boxes", "box"),
            ("cases", "case"),
        ] {
            assert_eq!((&*singular(many), &*singular(one)), (one, one));
        }
    }

    #[test]
    fn a_path_is_about_its_last_word() {
        let check = |path: &str, expect: &str| assert_eq!(subject(path), expect, "{path}");
        check("/orders/7", "orders");
        check("/v1/orders/ord-1/lines/A100", "lines");
        check("/v2/orders/", "orders");
        check("/orders/9f3a11bb22:cancel", "orders");
        check("/oauth2", "oauth2");
    }
}
