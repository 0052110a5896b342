//! Headers, compared by name: multiple values in order, cookies one by one, and those that differ between any two runs left out.
//!
//! **Invariant**: a header is left out by its exact name only, never by a part of it. Of validators and dates ([`VOLATILE_VALUES`]) the presence
//! is still compared. The value of a cookie that looks like a token is compared by bijection, as all values that services invent.

use std::borrow::Cow;

use crate::{
    capture::{Headers, header},
    diff::{
        DifferenceKind,
        ledger::{Ledger, Location},
    },
    json::Json,
    rules::instant,
};

/// Headers that differ between any two services, or any two runs of one: connection and framing, time, tracing, and the content coding, which is
/// undone before bodies are compared. Sorted.
const VOLATILE: [&str; 28] = [
    "age",
    "alt-svc",
    "cf-ray",
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "keep-alive",
    "request-id",
    "server",
    "server-timing",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "via",
    "x-amz-request-id",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-correlation-id",
    "x-powered-by",
    "x-request-id",
    "x-response-time",
    "x-runtime",
    "x-served-by",
    "x-timer",
    "x-trace-id",
];

/// Headers whose values name a moment or a state of one machine, but whose presence is part of the contract. Sorted.
const VOLATILE_VALUES: [&str; 3] = ["etag", "expires", "last-modified"];

/// Headers that are lists of words: neither their order, nor case, nor the blanks between them mean anything (RFC 9110, 9111). Sorted.
const LISTS: [&str; 6] = [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "allow",
    "cache-control",
    "vary",
];

/// Whether another value of this header means nothing: it would be no mistake to find.
pub(crate) fn is_volatile(name: &str) -> bool {
    VOLATILE.binary_search(&name).is_ok() || VOLATILE_VALUES.binary_search(&name).is_ok()
}

/// A cookie's value of at least so many characters may be a token.
const TOKEN: usize = 16;
/// Sessions have names of at least so many characters.
const SESSION: usize = 8;
/// So many capitals behind small letters are more than a name of several words has.
const RISES: usize = 5;

/// Two cookies that expire within so many seconds of each other, counted from their answers, expire alike.
const EXPIRY_S: f64 = 5.0;

impl Ledger<'_> {
    /// Writes down what differs between two answers' headers.
    pub(super) fn headers(&mut self, legacy: &Headers, candidate: &Headers) {
        let bound = self.binds_headers();
        if legacy == candidate && !bound {
            for (name, value) in legacy {
                if !is_volatile(name) && name != "set-cookie" {
                    self.alike(Location::Header(name), value);
                }
            }
            return;
        }
        for (at, (name, _)) in legacy.iter().chain(candidate).enumerate() {
            let mut before = legacy.iter().chain(candidate).take(at);
            if VOLATILE.binary_search(&name.as_str()).is_ok()
                || before.any(|(known, _)| known == name)
            {
                continue;
            }
            if name == "set-cookie" {
                self.cookies(legacy, candidate);
            } else {
                self.header(name, values(legacy, name), values(candidate, name), bound);
            }
        }
    }

    fn header(
        &mut self,
        name: &str,
        a: Option<Cow<'_, str>>,
        b: Option<Cow<'_, str>>,
        bound: bool,
    ) {
        let location = Location::Header(name);
        if let (Some(a), Some(b), true) = (&a, &b, bound)
            && let Some((rule, kind)) = self.binding(location)
        {
            let (a, b) = (
                Json::String(a.as_ref().into()),
                Json::String(b.as_ref().into()),
            );
            return self.bound((Some(rule), kind), location, &a, &b);
        }
        let same = match (&a, &b) {
            (Some(a), Some(b)) if a == b => {
                if !is_volatile(name) {
                    self.alike(location, a);
                }
                true
            }
            (Some(a), Some(b)) => {
                (name == "content-type" && media(a) == media(b))
                    || (LISTS.binary_search(&name).is_ok() && list(a) == list(b))
                    || (VOLATILE_VALUES.binary_search(&name).is_ok() && is_weak(a) == is_weak(b))
            }
            _ => false,
        };
        if !same {
            let (a, b) = (a.map(Json::String), b.map(Json::String));
            self.differ(DifferenceKind::Header, location, a.as_ref(), b.as_ref());
        }
    }

    fn cookies(&mut self, legacy: &Headers, candidate: &Headers) {
        let (a, b) = (cookies(legacy), cookies(candidate));
        let dates = (date(legacy), date(candidate));
        let twins = twins(&a, &b);
        for (cookie, twin) in a.iter().zip(&twins) {
            self.cookie(Some(cookie), twin.map(|at| &b[at]), dates);
        }
        for (at, cookie) in b.iter().enumerate() {
            if !twins.contains(&Some(at)) {
                self.cookie(None, Some(cookie), dates);
            }
        }
    }

    fn cookie(
        &mut self,
        legacy: Option<&Cookie<'_>>,
        candidate: Option<&Cookie<'_>>,
        dates: (Option<f64>, Option<f64>),
    ) {
        let value = |cookie: &Cookie<'_>| Json::String(cookie.value.to_owned().into());
        let (Some(a), Some(b)) = (legacy, candidate) else {
            let name = legacy.or(candidate).map_or("", |cookie| cookie.name);
            let (a, b) = (legacy.map(value), candidate.map(value));
            let location = Location::Cookie(name, None);
            return self.differ(DifferenceKind::Header, location, a.as_ref(), b.as_ref());
        };
        let location = Location::Cookie(a.name, None);
        let (left, right) = (value(a), value(b));
        if let Some((rule, kind)) = self.binding(location) {
            self.bound((Some(rule), kind), location, &left, &right);
        } else if is_token(a.value) && is_token(b.value) || are_sessions(a, b) {
            let kind = self.bindings.kind(&format!("cookie {}", a.name));
            self.bound((None, kind), location, &left, &right);
        } else if a.value != b.value {
            self.differ(DifferenceKind::Header, location, Some(&left), Some(&right));
        } else {
            self.alike(location, a.value);
        }
        for (name, own) in &a.attributes {
            let other = b.attributes.iter().find(|(known, _)| known == name);
            let same = other.is_some_and(|(_, other)| {
                own == other || (name == "expires" && expire_alike(own, other, dates))
            });
            if !same {
                self.attribute(a.name, name, Some(own), other.map(|(_, value)| *value));
            }
        }
        for (name, own) in &b.attributes {
            if !a.attributes.iter().any(|(known, _)| known == name) {
                self.attribute(a.name, name, None, Some(own));
            }
        }
    }

    fn attribute(&mut self, cookie: &str, name: &str, a: Option<&str>, b: Option<&str>) {
        let value = |text: Option<&str>| text.map(|text| Json::String(text.to_owned().into()));
        let (a, b) = (value(a), value(b));
        let location = Location::Cookie(cookie, Some(name));
        self.differ(DifferenceKind::Header, location, a.as_ref(), b.as_ref());
    }
}

/// All values of a header, in order.
fn values<'h>(headers: &'h Headers, name: &str) -> Option<Cow<'h, str>> {
    let mut values = headers.iter().filter(|(known, _)| known == name);
    let mut joined = Cow::Borrowed(values.next()?.1.as_str());
    for (_, value) in values {
        joined = Cow::Owned(format!("{joined}, {value}"));
    }
    Some(joined)
}

/// A media type without what is only spelling: case, quotes, the order of parameters and blanks around them, and of JSON that it is in UTF-8, which
/// it always is (RFC 8259).
fn media(value: &str) -> Vec<String> {
    let mut parts = value
        .split(';')
        .map(|part| part.trim().to_ascii_lowercase().replace('"', ""))
        .map(|part| {
            if is_utf8(&part) {
                "charset=utf-8".to_owned()
            } else {
                part
            }
        });
    let kind = parts.next().unwrap_or_default();
    let is_json = kind.ends_with("json");
    let mut media: Vec<String> = parts
        .filter(|part| !(part.is_empty() || is_json && is_utf8(part)))
        .collect();
    media.sort();
    media.insert(0, kind);
    media
}

/// The words of a list, sorted.
fn list(value: &str) -> Vec<String> {
    let mut words: Vec<String> = value
        .split(',')
        .map(|word| word.trim().to_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    words.sort();
    words
}

fn is_utf8(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        name.trim() == "charset" && matches!(value.trim(), "utf-8" | "utf8")
    })
}

fn is_weak(validator: &str) -> bool {
    validator.starts_with("W/")
}

/// One `Set-Cookie`.
struct Cookie<'h> {
    name: &'h str,
    value: &'h str,
    /// Names in lower case.
    attributes: Vec<(String, &'h str)>,
}

impl Cookie<'_> {
    fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value)
    }

    /// Whether a browser that has the one forgets it for the other (RFC 6265, 5.3).
    fn is_same(&self, other: &Cookie<'_>) -> bool {
        let domain = |cookie: &Cookie<'_>| {
            let domain = cookie.attribute("domain").unwrap_or_default();
            domain.trim_start_matches('.').to_ascii_lowercase()
        };
        self.name == other.name
            && self.attribute("path") == other.attribute("path")
            && domain(self) == domain(other)
    }
}

/// For each cookie of one side that of the other: the same one, else one of its name that belongs to no other.
fn twins(a: &[Cookie<'_>], b: &[Cookie<'_>]) -> Vec<Option<usize>> {
    let mut twins: Vec<Option<usize>> = a
        .iter()
        .map(|cookie| b.iter().position(|other| cookie.is_same(other)))
        .collect();
    for (at, cookie) in a.iter().enumerate() {
        if twins[at].is_none() {
            twins[at] = (0..b.len())
                .find(|twin| b[*twin].name == cookie.name && !twins.contains(&Some(*twin)));
        }
    }
    twins
}

/// The cookies that an answer sets; of one name, domain and path, the last, which is the one a browser keeps.
fn cookies(headers: &Headers) -> Vec<Cookie<'_>> {
    let mut cookies: Vec<Cookie<'_>> = Vec::new();
    for (_, line) in headers.iter().filter(|(name, _)| name == "set-cookie") {
        let mut parts = line.split(';').map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim(), value.trim())
        });
        let Some((name, value)) = parts.next() else {
            continue;
        };
        let cookie = Cookie {
            name,
            value,
            attributes: parts
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect(),
        };
        cookies.retain(|known| !known.is_same(&cookie));
        cookies.push(cookie);
    }
    cookies
}

/// What scripts may not read is no choice of a page's: a name for the session, of one length on both sides, whatever its letters.
fn are_sessions(a: &Cookie<'_>, b: &Cookie<'_>) -> bool {
    let hidden = |cookie: &Cookie<'_>| cookie.attributes.iter().any(|(name, _)| name == "httponly");
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let long = a.value.len() == b.value.len() && a.value.len() >= SESSION;
    long && hidden(a) && hidden(b) && plain(a.value) && plain(b.value)
}

/// Long, without blanks, and with digits: nobody's choice, and nobody's word.
fn is_token(value: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';');
    // Letters alone are a token where small and capital ones alternate as in no word.
    let rises = value.as_bytes().windows(2).filter(|two| {
        matches!(two, [small, capital] if small.is_ascii_lowercase() && capital.is_ascii_uppercase())
    });
    value.len() >= TOKEN
        && value.bytes().all(fits)
        && (value.bytes().any(|byte| byte.is_ascii_digit()) || rises.count() >= RISES)
}

fn seconds(text: &str) -> Option<f64> {
    // Cookies may still carry the dashes of the first specification (RFC 6265, 5.1.1).
    let read = instant(text, None).or_else(|| instant(&text.replace('-', " "), None));
    read.map(|instant| instant.as_second() as f64)
}

/// When an answer says it was made.
fn date(headers: &Headers) -> Option<f64> {
    seconds(header(headers, "date")?)
}

/// Both at once, both so long after their answers; or, where the answers carry no date, both deleted or both not.
fn expire_alike(legacy: &str, candidate: &str, dates: (Option<f64>, Option<f64>)) -> bool {
    const DELETED_S: f64 = 366.0 * 86_400.0;
    let (Some(a), Some(b)) = (seconds(legacy), seconds(candidate)) else {
        return false;
    };
    match dates {
        (Some(made_a), Some(made_b)) if a > DELETED_S && b > DELETED_S => {
            ((a - made_a) - (b - made_b)).abs() <= EXPIRY_S || legacy == candidate
        }
        _ => (a <= DELETED_S) == (b <= DELETED_S),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_for_the_search() {
        assert!(VOLATILE.is_sorted() && VOLATILE_VALUES.is_sorted() && LISTS.is_sorted());
    }

    #[test]
    fn media_types_are_compared_by_what_they_say() {
        let check =
            |a: &str, b: &str, same: bool| assert_eq!(media(a) == media(b), same, "{a} {b}");
        check(
            "Text/HTML; Charset=\"UTF-8\"",
            "text/html;charset=utf-8",
            true,
        );
        check("application/json", "application/json; charset=utf-8", true);
        check("application/json", "application/json; charset = UTF8", true);
        check(
            "application/json",
            "application/json; charset=iso-8859-1",
            false,
        );
        check("text/plain", "text/plain; charset=utf-8", false);
        check(
            "text/html;charset=utf8",
            "text/html; charset=\"UTF-8\"",
            true,
        );
        check("a/b; x=1; y=2", "a/b; y=2; x=1", true);
    }

    #[test]
    fn lists_of_words_are_sets() {
        let check = |a: &str, b: &str, same: bool| assert_eq!(list(a) == list(b), same, "{a} {b}");
        check("GET,HEAD", "head , GET", true);
        check("GET, HEAD", "GET", false);
        check("max-age=60,public", "Public, max-age=60", true);
        check("max-age=60", "max-age=61", false);
    }

    #[test]
    fn what_scripts_may_not_read_names_a_session() {
        let check = |a: &str, b: &str, expect: bool| {
            let set = |value: &str| vec![("set-cookie".to_owned(), value.to_owned())];
            let (a, b) = (set(a), set(b));
            assert_eq!(
                are_sessions(&cookies(&a)[0], &cookies(&b)[0]),
                expect,
                "{a:?} {b:?}"
            );
        };
        check(
            "sid=qwertyuiopas; HttpOnly",
            "sid=asdfghjklzxc; Path=/; HttpOnly",
            true,
        );
        check("sid=qwertyuiopas; HttpOnly", "sid=asdfghjklzxc", false);
        check("theme=darkdark", "theme=lightone", false);
        check(
            "sid=qwertyuiopas; HttpOnly",
            "sid=qwertyui; HttpOnly",
            false,
        );
        check("lang=english; HttpOnly", "lang=svenska; HttpOnly", false);
    }

    #[test]
    fn tokens_are_told_from_choices() {
        assert!(is_token("9f86d081884c7d659a2feaa0"));
        assert!(is_token("GsIUJCycQbaTkLmNoPqRsT") && !is_token("darkModeOnEveryPage"));
        assert!(
            !is_token("dark")
                && !is_token("a-rather-long-preference")
                && !is_token("a b 1 a b 1 a b 1")
        );
    }

    #[test]
    fn cookies_expire_alike_when_they_live_as_long() {
        let check = |a: &str, b: &str, dates, alike| {
            assert_eq!(expire_alike(a, b, dates), alike, "{a} {b}");
        };
        let (at, later) = (
            "Thu, 01 Jan 2026 10:00:00 GMT",
            "Thu, 01-Jan-2026 11:00:00 GMT",
        );
        check(at, later, (None, None), true);
        check(at, "Thu, 01 Jan 1970 00:00:00 GMT", (None, None), false);
        let made = 1_767_250_000.0;
        check(at, later, (Some(made), Some(made + 3_600.0)), true);
        check(at, later, (Some(made), Some(made + 1.0)), false);
        check(at, "never", (None, None), false);
    }
}
