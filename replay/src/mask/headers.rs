//! Headers, each as its name says it is written: credentials, cookies, URLs, lists of addresses.
//!
//! **Invariant**: what tells a reader how to read a header (schemes, names of cookies, their attributes, separators) stays; values do not.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use regex::Regex;

use crate::mask::{masker::Masker, target};

/// Where the next of several joined cookies begins: a comma that a name and `=` follow, which no date of an `Expires` has (RFC 6265, 3).
static NEXT_COOKIE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\r?\n[ \t]*|,[ \t]*(?:[\w!#$%&'*+.^`|~-]+)=").expect("the pattern is a constant")
});

/// What may be said of a cookie that a server sets (RFC 6265bis, 5.6); anything else beside one is another.
const ATTRIBUTES: [&str; 9] = [
    "expires",
    "max-age",
    "domain",
    "path",
    "secure",
    "httponly",
    "samesite",
    "partitioned",
    "priority",
];

/// The value of the header of this name, which is in lower case.
pub(super) fn value(masker: &mut Masker, name: &str, value: &str) -> String {
    match name {
        "authorization" | "proxy-authorization" => credentials(masker, value),
        "cookie" => cookies(masker, value),
        "set-cookie" => set_cookies(masker, value),
        "location" | "content-location" | "referer" => target::url(masker, value),
        "link" => target::links(masker, value),
        "forwarded" if masker.rules.is_header(name) => forwarded(masker, value),
        // What a proxy writes as a list is a list of values.
        _ if masker.rules.is_header(name) => {
            let parts: Vec<String> = value.split(',').map(|part| masker.field(part)).collect();
            parts.join(",")
        }
        "host" | "content-length" | "date" | "content-type" => value.to_owned(),
        _ => masker.changed(value).unwrap_or_else(|| value.to_owned()),
    }
}

fn credentials(masker: &mut Masker, value: &str) -> String {
    let Some((scheme, secret)) = value.split_once(' ') else {
        return masker.field(value);
    };
    if scheme.eq_ignore_ascii_case("basic")
        && let Some(plain) = STANDARD
            .decode(secret.trim())
            .ok()
            .and_then(|plain| String::from_utf8(plain).ok())
        && let Some((user, password)) = plain.split_once(':')
    {
        let masked = format!("{}:{}", masker.field(user), masker.field(password));
        return format!("{scheme} {}", STANDARD.encode(masked));
    }
    format!("{scheme} {}", masker.field(secret))
}

fn cookies(masker: &mut Masker, value: &str) -> String {
    let cookies = value.split(';').map(|one| cookie(masker, one));
    cookies.collect::<Vec<_>>().join(";")
}

fn cookie(masker: &mut Masker, cookie: &str) -> String {
    match cookie.split_once('=') {
        Some((name, value)) if !masker.rules.is_kept(name) => {
            format!("{name}={}", masker.field(value))
        }
        None if !cookie.trim().is_empty() && !masker.rules.is_kept(cookie) => masker.field(cookie),
        _ => cookie.to_owned(),
    }
}

/// Some exporters join the cookies of several headers with line feeds, some proxies with commas.
fn set_cookies(masker: &mut Masker, value: &str) -> String {
    let (mut masked, mut rest) = (String::with_capacity(value.len()), value);
    while let Some(next) = NEXT_COOKIE.find(rest) {
        // The separator alone: a name that follows is the next cookie's.
        let blanks = next
            .as_str()
            .trim_start_matches([',', '\r', '\n', ' ', '\t']);
        let end = next.end() - blanks.len();
        masked.push_str(&set_cookie(masker, &rest[..next.start()]));
        masked.push_str(&rest[next.start()..end]);
        rest = &rest[end..];
    }
    masked + &set_cookie(masker, rest)
}

fn set_cookie(masker: &mut Masker, value: &str) -> String {
    let parts = value.split(';').enumerate().map(|(at, part)| {
        let (name, of) = part.split_once('=').unwrap_or((part, ""));
        let name = name.trim().to_ascii_lowercase();
        match name.as_str() {
            "path" if at > 0 => {
                let head = part.len() - of.len();
                part[..head].to_owned() + &target::url(masker, of)
            }
            known if at > 0 && ATTRIBUTES.contains(&known) => part.to_owned(),
            _ => cookie(masker, part),
        }
    });
    parts.collect::<Vec<_>>().join(";")
}

/// The addresses of a `Forwarded` (RFC 7239, 4); protocol and host are no one's.
fn forwarded(masker: &mut Masker, value: &str) -> String {
    let mut masked = String::with_capacity(value.len());
    for part in value.split_inclusive([',', ';']) {
        let bare = part.strip_suffix([',', ';']).unwrap_or(part);
        match bare.split_once('=') {
            Some((name, node))
                if ["for", "by"].contains(&name.trim().to_ascii_lowercase().as_str()) =>
            {
                masked.push_str(name);
                masked.push('=');
                let inner = node.trim().trim_matches('"');
                let from = node.find(inner).unwrap_or(0);
                masked.push_str(&node[..from]);
                if inner.eq_ignore_ascii_case("unknown") || inner.is_empty() {
                    masked.push_str(inner);
                } else {
                    masked.push_str(&masker.field(inner));
                }
                masked.push_str(&node[from + inner.len()..]);
            }
            Some((name, _))
                if ["proto", "host"].contains(&name.trim().to_ascii_lowercase().as_str()) =>
            {
                masked.push_str(bare);
            }
            Some((name, other)) => {
                masked.push_str(name);
                masked.push('=');
                masked.push_str(&masker.field(other));
            }
            None if bare.trim().is_empty() => masked.push_str(bare),
            None => masked.push_str(&masker.field(bare)),
        }
        masked.push_str(&part[bare.len()..]);
    }
    masked
}
