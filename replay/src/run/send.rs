//! A captured request as one that can be sent to a target.
//!
//! **Invariant**: what belongs to the captured connection (framing, hop-by-hop headers, the host's name) is not repeated; all else is.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri, header};

use crate::capture::Request;

/// Headers of a connection or of its framing: the client writes its own. `Expect` would stall a replay.
const NOT_REPEATED: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// `request` for the target at `base` (`http://name:port`), under the name `host` if a rule wants another; `None` if it is not valid HTTP, or
/// is `CONNECT`, which is no request to a service.
pub(super) fn prepare(
    base: &str,
    request: &Request,
    host: Option<&str>,
) -> Option<http::Request<Bytes>> {
    let target = request.origin_form();
    let uri = uri(base, target)?;
    let mut prepared = http::Request::new(request.body.whole()?.clone());
    *prepared.method_mut() = Method::from_bytes(request.method.as_bytes()).ok()?;
    if prepared.method() == Method::CONNECT {
        return None;
    }
    *prepared.uri_mut() = uri;
    if let Some(host) = host {
        let host = HeaderValue::from_str(host).ok()?;
        prepared.headers_mut().insert(header::HOST, host);
    }
    for (name, value) in &request.headers {
        if name.starts_with(':')
            || NOT_REPEATED
                .iter()
                .any(|one| one.eq_ignore_ascii_case(name))
        {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        prepared.headers_mut().append(name, value);
    }
    Some(prepared)
}

fn uri(base: &str, target: &str) -> Option<Uri> {
    let base = base.trim_end_matches('/');
    // `OPTIONS *` has no path; it is asked of the root.
    let target = if target == "*" { "/" } else { target };
    let target = target.split('#').next().unwrap_or(target);
    let whole = format!("{base}{target}");
    whole.parse().ok().or_else(|| {
        // Recorders keep what clients wrote, spaces and pipes included; an encoded one means the same.
        let encoded: String = target
            .bytes()
            .map(|byte| match byte {
                b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            })
            .collect();
        format!("{base}{encoded}").parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Body;

    fn request(target: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            method: "GET".into(),
            target: target.into(),
            version: "1.1".into(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: Body::EMPTY,
        }
    }

    #[test]
    fn targets_become_uris_of_the_target_host() {
        let check = |target: &str, uri: &str| {
            let prepared = prepare("http://new:81/", &request(target, &[]), None).expect("HTTP");
            assert_eq!(prepared.uri().to_string(), uri);
        };
        check("/a?b=c", "http://new:81/a?b=c");
        check("http://old/a", "http://new:81/a");
        check("*", "http://new:81/");
        check("/a b|c", "http://new:81/a%20b%7Cc");
    }

    #[test]
    fn the_connections_headers_are_left_behind() {
        let headers = [
            ("Host", "old"),
            ("Content-Length", "9"),
            ("Cookie", "a=b"),
            ("X-Two", "1"),
            ("x-two", "2"),
        ];
        let prepared = prepare("http://new:81", &request("/", &headers), None).expect("HTTP");
        let names: Vec<_> = prepared.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["cookie", "x-two"]);
        assert_eq!(prepared.headers().get_all("x-two").iter().count(), 2);
        let broken = request("/", &[("a", "b\nc")]);
        assert!(prepare("http://new:81", &broken, None).is_none());
        let named = prepare(
            "http://new:81",
            &request("/", &headers),
            Some("shop.example"),
        );
        assert_eq!(named.expect("HTTP").headers()["host"], "shop.example");
    }
}
