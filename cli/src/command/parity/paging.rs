//! The next page of a listing: a `Link` header (RFC 8288), a member that holds a URL, or a cursor.
//!
//! **Invariant**: a listing ends only where its page says nothing of another one. What a page says and nobody here understands is an error, never
//! an end.

use http::{HeaderMap, HeaderValue, header::LINK};
use rehearsal_replay::json::Json;

use super::http::encoded;

/// Where answers say that there is more: a URL, or the start of one.
const MORE: [&str; 7] = [
    "/next",
    "/next/href",
    "/links/next",
    "/links/next/href",
    "/_links/next/href",
    "/next_url",
    "/paging/next",
];
/// Where they say it by a cursor, and the parameter that takes it.
const CURSORS: [(&str, &str); 4] = [
    ("/next_cursor", "cursor"),
    ("/nextCursor", "cursor"),
    ("/next_page_token", "page_token"),
    ("/nextPageToken", "pageToken"),
];
/// Where they say only that there is more.
const FLAGS: [&str; 8] = [
    "/has_more",
    "/hasMore",
    "/has_next",
    "/hasNext",
    "/has_next_page",
    "/meta/has_more",
    "/paging/has_more",
    "/pagination/has_more",
];

/// Where they say how many rows there are in all, how many pages, and which page this is.
const TOTALS: [&str; 8] = [
    "/total",
    "/total_count",
    "/totalCount",
    "/count",
    "/meta/total",
    "/meta/total_count",
    "/paging/total",
    "/pagination/total",
];
const PAGES: [&str; 6] = [
    "/total_pages",
    "/totalPages",
    "/pages",
    "/meta/total_pages",
    "/paging/total_pages",
    "/pagination/total_pages",
];
/// The same in headers.
const TOTAL_HEADERS: [&str; 3] = ["x-total-count", "x-total", "total-count"];
const PAGE_HEADERS: [&str; 2] = ["x-total-pages", "x-page-count"];

/// Whether the last page, `rows` rows and `pages` pages in, agrees that this is all, where it says how much there is.
///
/// # Errors
/// What it says of rows or pages that were not read: found and expected.
pub(super) fn complete(
    headers: &HeaderMap,
    json: &Json<'_>,
    rows: u64,
    pages: u64,
) -> Result<(), String> {
    let said = |names: &[&str], paths: &[&str]| {
        let header = names.iter().find_map(|name| {
            let value: u64 = headers.get(*name)?.to_str().ok()?.trim().parse().ok()?;
            Some((format!("the header {name}"), value))
        });
        header.or_else(|| {
            paths.iter().find_map(|path| match json.pointer(path)? {
                Json::Number(number) => Some(((*path).to_owned(), number.text().parse().ok()?)),
                _ => None,
            })
        })
    };
    let all = [
        (said(&TOTAL_HEADERS, &TOTALS), rows, "rows"),
        (said(&PAGE_HEADERS, &PAGES), pages, "pages"),
    ];
    for (said, read, what) in all {
        if let Some((place, total)) = said
            && total > read
        {
            return Err(format!(
                "found {read} {what} and {total} in all at {place}, expected a Link header, a URL at /next or a cursor at /next_cursor for the rest"
            ));
        }
    }
    Ok(())
}

/// Where the next page is, relative to this one; `None` at the end.
///
/// # Errors
/// What the page says of another one that cannot be followed: found and expected.
pub(super) fn following(headers: &HeaderMap, json: &Json<'_>) -> Result<Option<String>, String> {
    for value in headers.get_all(LINK) {
        if let Some(target) = linked(value)? {
            return Ok(Some(target.to_owned()));
        }
    }
    for path in MORE {
        if let Some(more) = text(json, path)? {
            return Ok(Some(more));
        }
    }
    for (path, parameter) in CURSORS {
        if let Some(cursor) = text(json, path)? {
            return Ok(Some(format!("?{parameter}={}", encoded(&cursor))));
        }
    }
    let more = |path: &&&str| json.pointer(path) == Some(&Json::Bool(true));
    match FLAGS.iter().find(more) {
        Some(path) => Err(format!(
            "found true at {path} and no next page, expected a Link header, a URL at /next or a cursor at /next_cursor"
        )),
        None => Ok(None),
    }
}

/// What a member says of the next page.
fn text(json: &Json<'_>, path: &str) -> Result<Option<String>, String> {
    match json.pointer(path) {
        None | Some(Json::Null | Json::Bool(false)) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.to_string()).filter(|text| !text.is_empty())),
        Some(Json::Object(members)) if members.iter().any(|(key, _)| key == "href") => Ok(None),
        Some(other) => Err(format!(
            "found a JSON {} at {path}, expected the next page as a text",
            other.kind()
        )),
    }
}

/// The target of the header's link to the next page.
fn linked(value: &HeaderValue) -> Result<Option<&str>, String> {
    let none = "expected <URL>; rel=\"next\"";
    let text = value
        .to_str()
        .map_err(|_| format!("found a Link header that is not ASCII, {none}"))?;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return Ok(None);
        }
        let link = rest.strip_prefix('<').and_then(|link| link.split_once('>'));
        let (target, after) = link.ok_or_else(|| {
            let at = text.len() - rest.len();
            format!("found a Link header that is none from byte {at} on, {none}")
        })?;
        let (parameters, others) = after.split_at(unquoted(after, ','));
        if is_next(parameters) {
            return Ok(Some(target.trim()));
        }
        rest = others;
    }
}

/// Whether a link's parameters say that it leads to the next page. Of several `rel` the first counts.
fn is_next(mut parameters: &str) -> bool {
    while !parameters.is_empty() {
        let (parameter, others) = parameters.split_at(unquoted(parameters, ';'));
        parameters = others.strip_prefix(';').unwrap_or(others);
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("rel") {
            let value = value.trim().trim_matches('"');
            let mut relations = value.split_ascii_whitespace();
            return relations.any(|relation| relation.eq_ignore_ascii_case("next"));
        }
    }
    false
}

/// Where `stop` first stands outside a quoted string, or the end.
fn unquoted(text: &str, stop: char) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == stop && !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// The URL that `more` means on the page `url`.
pub(super) fn absolute(url: &str, more: &str) -> String {
    if more.contains("://") && !more.starts_with(['/', '?']) {
        return more.to_owned();
    }
    let path = url.find("://").map_or(0, |at| at + 3);
    let origin = path + url[path..].find(['/', '?']).unwrap_or(url.len() - path);
    if more.starts_with('/') {
        return format!("{}{more}", &url[..origin]);
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let Some(added) = more.strip_prefix('?') else {
        let folder = base[path..].rfind('/').map(|at| &base[..=path + at]);
        return folder.map_or_else(
            || format!("{base}/{more}"),
            |folder| format!("{folder}{more}"),
        );
    };
    let name = added.split('=').next().unwrap_or(added);
    let kept = query
        .split('&')
        .filter(|part| !part.is_empty() && part.split('=').next() != Some(name));
    let parts: Vec<&str> = kept.chain([added]).collect();
    format!("{base}?{}", parts.join("&"))
}

#[cfg(test)]
mod tests {
    use rehearsal_replay::json::parse;

    use super::*;

    #[test]
    fn the_next_page_is_found_from_any_spelling() {
        let check = |more: &str, expect: &str| {
            assert_eq!(absolute("http://h:1/a/list?size=2&cursor=x", more), expect);
        };
        check("http://other/x", "http://other/x");
        check("/b?p=2", "http://h:1/b?p=2");
        check("/b?back=http://h/", "http://h:1/b?back=http://h/");
        check("?cursor=y", "http://h:1/a/list?size=2&cursor=y");
        check("list?p=2", "http://h:1/a/list?p=2");
        assert_eq!(absolute("http://h:1", "/b"), "http://h:1/b");
        assert_eq!(absolute("http://h:1", "b"), "http://h:1/b");
        assert_eq!(absolute("http://h:1?p=1", "/b"), "http://h:1/b");
    }

    fn found(links: &[&'static str], body: &str) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for link in links {
            headers.append(LINK, HeaderValue::from_static(link));
        }
        following(&headers, &parse(body.as_bytes()).expect("JSON"))
    }

    #[test]
    fn a_link_header_is_read_as_it_is_written() {
        let check = |link: &'static str, expect: Option<&str>| {
            assert_eq!(found(&[link], "[]").expect(link).as_deref(), expect);
        };
        check("</a,b?ids=1,2>; rel=next", Some("/a,b?ids=1,2"));
        check("</p,1>; rel=\"prev\", </p,3>; rel=\"next\"", Some("/p,3"));
        check(
            "</p1>; title=\"a, <b>; rel=next\"; rel=prev , </p3>; Rel=\"last NEXT\"",
            Some("/p3"),
        );
        check("</p>; rel=nextish", None);
        check("</p>; title=\"rel=next\"", None);
        check("</p>; rel=prev; rel=next", None);
        check("", None);
        assert_eq!(
            found(&["</p1>; rel=prev", "</p3>; rel=next"], "[]"),
            Ok(Some("/p3".to_owned()))
        );
        for bad in ["/p3; rel=next", "</p1>; rel=prev, </p3"] {
            assert!(found(&[bad], "[]").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_last_page_that_counts_more_than_was_read_is_none() {
        let check = |header: Option<(&'static str, &'static str)>, body: &str, fine: bool| {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, HeaderValue::from_static(value));
            }
            let told = complete(&headers, &parse(body.as_bytes()).expect("JSON"), 50, 2);
            assert_eq!(told.is_ok(), fine, "{header:?} {body}: {told:?}");
        };
        check(None, r#"{"rows":[]}"#, true);
        check(None, r#"{"total":50,"total_pages":2,"page":1}"#, true);
        check(None, r#"{"total":200,"page":0,"page_size":50}"#, false);
        check(None, r#"{"meta":{"total_count":51}}"#, false);
        check(None, r#"{"page":1,"total_pages":4}"#, false);
        check(None, r#"{"count":25}"#, true);
        check(Some(("x-total-count", "50")), "[]", true);
        check(Some(("x-total-count", "200")), "[]", false);
        check(Some(("x-total-pages", "3")), "[]", false);
    }

    #[test]
    fn a_page_that_has_more_is_never_the_last() {
        let check = |body: &str, expect: Option<&str>| {
            assert_eq!(found(&[], body).expect(body).as_deref(), expect);
        };
        check(r#"{"next":"/b"}"#, Some("/b"));
        check(r#"{"_links":{"next":{"href":"/b"}}}"#, Some("/b"));
        check(r#"{"links":{"next":{"href":"/b"}}}"#, Some("/b"));
        check(
            r#"{"next_cursor":"a b","has_more":true}"#,
            Some("?cursor=a%20b"),
        );
        check(r#"{"nextPageToken":"x"}"#, Some("?pageToken=x"));
        check(r#"{"next":null,"next_cursor":"","has_more":false}"#, None);
        for bad in [
            r#"{"has_more":true}"#,
            r#"{"has_more":true,"next_cursor":null}"#,
            r#"{"pagination":{"has_more":true}}"#,
            r#"{"next_cursor":5}"#,
            r#"{"next":{"page":3}}"#,
            r#"{"next":{"href":7}}"#,
        ] {
            assert!(found(&[], bad).is_err(), "{bad}");
        }
    }
}
