//! A request's URL in the form that a capture keeps: path and query, with the authority in `Host`.
//!
//! **Invariant**: path and query stay as they were recorded, byte for byte; only scheme, authority and fragment are taken off.

use crate::capture::{Headers, header};

/// Path and query, and the authority where there is one.
pub(crate) fn split(url: &str) -> (String, Option<&str>) {
    let url = url.split('#').next().unwrap_or(url);
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest,
        _ => return (rooted(url), None),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    (rooted(target), Some(host).filter(|host| !host.is_empty()))
}

fn rooted(target: &str) -> String {
    if target.is_empty() || target.starts_with('?') {
        return format!("/{target}");
    }
    target.to_owned()
}

/// Adds a `Host` where there is none.
pub(crate) fn set_host(headers: &mut Headers, authority: Option<&str>) {
    if let Some(authority) = authority
        && header(headers, "host").is_none()
    {
        headers.insert(0, ("Host".to_owned(), authority.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        let check = |url: &str, target: &str, host: Option<&str>| {
            assert_eq!(split(url), (target.to_owned(), host), "{url}");
        };
        check(
            "https://u:p@h:8/a?b=http://c#d",
            "/a?b=http://c",
            Some("h:8"),
        );
        check("http://h", "/", Some("h"));
        check("http://h?x=1", "/?x=1", Some("h"));
        check("/a?u=http://x/y", "/a?u=http://x/y", None);
        check("", "/", None);
    }
}
