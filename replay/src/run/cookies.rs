//! The cookies of one session, as the target sets them (RFC 6265, sections 5.1 to 5.4).
//!
//! **Invariant**: a captured cookie is sent only while the target has not said otherwise: what it sets replaces the captured value, what it
//! expires is left out. `Secure` is deliberately not enforced: a capture of an `https` service is often replayed over `http`, inside one machine.

use std::collections::BTreeMap;

use crate::{plan::spots, run::bindings::Replaced};

/// More cookies than any server sets for a session; RFC 6265 asks clients for at least 50 a domain.
const MOST: usize = 180;

/// The cookies of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Jar(Vec<Cookie>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    /// The host that set it, or the domain that it named.
    domain: String,
    host_only: bool,
    path: String,
    /// In seconds since 1970; `None` for the session's end.
    expires_s: Option<i64>,
}

impl Jar {
    /// Takes a `Set-Cookie` header of an answer to a request for `path` at `host` (as captured: the target stands for it).
    pub(super) fn set(&mut self, header: &str, host: &str, path: &str, now_s: i64) {
        let Some((name, value)) = header
            .split(';')
            .next()
            .and_then(|pair| pair.split_once('='))
        else {
            return;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            return;
        }
        let attributes: BTreeMap<String, &str> = header
            .split(';')
            .skip(1)
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
            .collect();
        let host = bare(host);
        let domain = attributes
            .get("domain")
            .map(|domain| domain.trim_start_matches('.').to_ascii_lowercase())
            .filter(|domain| domain_matches(&host, domain));
        let age = attributes
            .get("max-age")
            .and_then(|age| age.parse::<i64>().ok());
        let expires_s = match age {
            Some(age) => Some(now_s.saturating_add(age)),
            None => attributes.get("expires").and_then(|date| seconds(date)),
        };
        let path = match attributes.get("path") {
            Some(path) if path.starts_with('/') => (*path).to_owned(),
            _ => default_path(path).to_owned(),
        };
        let cookie = Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            host_only: domain.is_none(),
            domain: domain.unwrap_or(host),
            path,
            expires_s,
        };
        self.0.retain(|known| !known.same(&cookie));
        self.0.push(cookie);
        if self.0.len() > MOST {
            self.0.remove(0);
        }
    }

    /// The `Cookie` header of a request: the captured cookies with the target's values, then what else the target set. `None` for none.
    pub(super) fn header(
        &self,
        captured: Option<&str>,
        replaced: &Replaced<'_>,
        host: &str,
        path: &str,
        now_s: i64,
    ) -> Option<String> {
        let host = bare(host);
        let fits = |cookie: &&Cookie| cookie.fits(&host, path);
        let mut fitting: Vec<&Cookie> = self.0.iter().filter(fits).collect();
        // Longer paths come first (section 5.4).
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, value) in captured.into_iter().flat_map(spots::cookies) {
            let mut own = fitting.iter().filter(|cookie| cookie.name == name);
            let before = taken.entry(name).or_default();
            // Of several with one name, each takes the place of the one that stood there.
            match (own.clone().next(), own.nth(*before)) {
                (Some(_), Some(cookie)) if !cookie.expired(now_s) => {
                    pairs.push((name, &cookie.value));
                }
                (Some(_), _) => {}
                // What the target did not set, but the recorded service did, no client would have.
                (None, _) => match replaced.get(value) {
                    Some(live) => pairs.extend(live.map(|live| (name, live))),
                    None => pairs.push((name, value)),
                },
            }
            *before += 1;
        }
        let own = fitting
            .iter()
            .filter(|cookie| !cookie.expired(now_s))
            .filter(|cookie| !pairs.iter().any(|(name, _)| *name == cookie.name));
        let own: Vec<(&str, &str)> = own
            .map(|cookie| (cookie.name.as_str(), cookie.value.as_str()))
            .collect();
        pairs.extend(own);
        let texts: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

impl Cookie {
    fn same(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }

    fn expired(&self, now_s: i64) -> bool {
        self.expires_s.is_some_and(|expires| expires <= now_s)
    }

    fn fits(&self, host: &str, path: &str) -> bool {
        let domain = if self.host_only {
            self.domain == host
        } else {
            domain_matches(host, &self.domain)
        };
        domain && path_matches(path, &self.path)
    }
}

fn bare(host: &str) -> String {
    let host = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) {
            name
        } else {
            host
        }
    });
    host.to_ascii_lowercase()
}

/// Section 5.1.3; an address is never a subdomain.
fn domain_matches(host: &str, domain: &str) -> bool {
    let address = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    host == domain
        || (!address
            && host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.')))
}

/// Section 5.1.4.
fn path_matches(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) if at > 0 => &path[..at],
        _ => "/",
    }
}

/// An HTTP date, also with the dashes of old servers.
fn seconds(date: &str) -> Option<i64> {
    let date = date.replace('-', " ");
    let time = jiff::fmt::rfc2822::parse(&date).ok()?;
    Some(time.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(headers: &[&str]) -> Jar {
        let mut jar = Jar::default();
        for header in headers {
            jar.set(header, "shop.example:8080", "/cart/lines", 1_000);
        }
        jar
    }

    fn sent(jar: &Jar, captured: &str, host: &str, path: &str) -> Option<String> {
        let captured = (!captured.is_empty()).then_some(captured);
        jar.header(captured, &Replaced::new(), host, path, 1_500)
    }

    #[test]
    fn what_the_target_sets_replaces_what_was_captured() {
        let jar = jar(&[
            "sid=live; Path=/; HttpOnly",
            "gone=x; Path=/; Max-Age=0",
            "new=1; Path=/cart",
        ]);
        let check = |captured: &str, path: &str, expect: &str| {
            assert_eq!(
                sent(&jar, captured, "shop.example", path).as_deref(),
                Some(expect)
            );
        };
        check(
            "theme=dark; sid=old; gone=y",
            "/cart",
            "theme=dark; sid=live; new=1",
        );
        check("sid=old", "/", "sid=live");
        check("", "/cart/lines", "new=1; sid=live");
        assert_eq!(sent(&Jar::default(), "", "shop.example", "/"), None);
    }

    #[test]
    fn cookies_of_one_name_and_two_paths_are_two() {
        let jar = jar(&["a=1; Path=/", "a=2; Path=/cart", "a=3; Path=/"]);
        let at = |path: &str| sent(&jar, "", "shop.example", path);
        assert_eq!(at("/cart").as_deref(), Some("a=2; a=3"));
        assert_eq!(at("/").as_deref(), Some("a=3"));
        let captured = sent(&jar, "a=x; b=1; a=y", "shop.example", "/cart");
        assert_eq!(captured.as_deref(), Some("a=2; b=1; a=3"));
        let captured = sent(&jar, "a=x; a=y", "shop.example", "/");
        assert_eq!(captured.as_deref(), Some("a=3"));
    }

    #[test]
    fn domain_path_and_expiry_are_kept() {
        let check = |header: &str, host: &str, path: &str, expect: bool| {
            let jar = jar(&[header]);
            assert_eq!(
                sent(&jar, "", host, path).is_some(),
                expect,
                "{header} {host} {path}"
            );
        };
        check("a=1", "shop.example", "/cart/x", true);
        check("a=1", "shop.example", "/cartoon", false);
        check("a=1", "www.shop.example", "/cart", false);
        check("a=1; Domain=.example", "other.example", "/cart", true);
        check("a=1; Domain=elsewhere.net", "elsewhere.net", "/cart", false);
        check("a=1; Max-Age=400", "shop.example", "/cart", false);
        check("a=1; Max-Age=501", "shop.example", "/cart", true);
        check(
            "a=1; Expires=Thu, 01 Jan 1970 00:20:00 GMT",
            "shop.example",
            "/cart",
            false,
        );
        check(
            "a=1; Expires=Fri, 01-Jan-2100 00:20:00 GMT",
            "shop.example",
            "/cart",
            true,
        );
        check("a=1; Expires=tomorrow", "shop.example", "/cart", true);
    }

    #[test]
    fn a_value_of_another_session_is_bound_as_well() {
        let replaced: Replaced<'_> = [("old-12345", Some("live-9")), ("old-67890", None)].into();
        let header = |captured| Jar::default().header(Some(captured), &replaced, "h", "/", 0);
        assert_eq!(header("sid=old-12345").as_deref(), Some("sid=live-9"));
        // One that the target did not set is not sent.
        assert_eq!(header("a=1; sid=old-67890").as_deref(), Some("a=1"));
        assert_eq!(header("sid=old-67890"), None);
    }
}
