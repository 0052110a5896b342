//! One recorded exchange, whatever format it was recorded in.
//!
//! **Invariant**: a body that is not wholly known says so; an empty body is known to be empty.
//! It deliberately keeps header names as they were written, and their order: a replay repeats what was sent.

use bytes::Bytes;

/// Header names and values in their order. Names keep their case.
pub type Headers = Vec<(String, String)>;

/// The first value of `name` among `headers`, whatever its case.
pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// A request and, where it was recorded, its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its place in the capture, from 0, in order of time.
    pub seq: u64,
    /// When the request was sent, in nanoseconds since the Unix epoch.
    pub ts_ns: u64,
    /// The connection it came on, where the format tells.
    pub conn: Option<String>,
    /// The client's session: a connection, or a digest of its cookie or credentials. Never the credential itself.
    pub session: Option<String>,
    /// The request.
    pub request: Request,
    /// The original response; `None` where it was not recorded.
    pub response: Option<Response>,
    /// What is odd about the record.
    pub flags: Vec<Flag>,
}

/// A recorded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The request target: path and query, or an absolute URI.
    pub target: String,
    /// The HTTP version: `1.1`.
    pub version: String,
    /// Headers in order.
    pub headers: Headers,
    /// The body after transfer decoding; a content coding (gzip) is kept.
    pub body: Body,
}

/// A recorded response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// When the whole response was there, in nanoseconds since the Unix epoch.
    pub ts_ns: u64,
    /// From request to response, in nanoseconds.
    pub latency_ns: u64,
    /// The status code.
    pub status: u16,
    /// Headers in order.
    pub headers: Headers,
    /// The body after transfer decoding; a content coding (gzip) is kept.
    pub body: Body,
}

/// A recorded body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// The recorder did not keep it.
    Missing,
    /// The recorder kept only its beginning.
    Truncated {
        /// What is there.
        bytes: Bytes,
        /// How long it should be, where that is known.
        length: Option<u64>,
    },
}

impl Body {
    /// A body known to be empty.
    pub const EMPTY: Self = Self::Whole(Bytes::new());

    /// The whole body, if the whole body is known.
    pub fn whole(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Missing | Self::Truncated { .. } => None,
        }
    }
}

impl Exchange {
    /// Flags it, once.
    pub(crate) fn flag(&mut self, flag: Flag) {
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }

    /// Flags what its bodies lack.
    pub(crate) fn flag_bodies(&mut self) {
        let bodies = [
            Some(&self.request.body),
            self.response.as_ref().map(|response| &response.body),
        ];
        let missing = bodies.contains(&Some(&Body::Missing));
        let truncated = bodies
            .iter()
            .any(|body| matches!(body, Some(Body::Truncated { .. })));
        if missing {
            self.flag(Flag::BodyMissing);
        }
        if truncated {
            self.flag(Flag::Truncated);
        }
    }
}

impl Request {
    /// The target's path, without scheme, authority and query.
    pub fn path(&self) -> &str {
        path_of(&self.target)
    }

    /// The target's path and query, without scheme and authority.
    pub fn origin_form(&self) -> &str {
        origin_form(&self.target)
    }
}

fn origin_form(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}

/// A request target's path, without scheme, authority and query.
pub(crate) fn path_of(target: &str) -> &str {
    let target = origin_form(target);
    target.split(['?', '#']).next().unwrap_or(target)
}

/// What is odd about a record. A flagged record is still replayed unless its body is not wholly known.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The record lacks its separator.
    Unterminated,
    /// A body is shorter than its head declares.
    Truncated,
    /// A body was not recorded.
    BodyMissing,
    /// Lines end in LF alone.
    LineFeedOnly,
    /// The blank line after the head is missing.
    NoBlankLine,
    /// The record came after a later one.
    OutOfOrder,
    /// The body is not as its head declares: a broken chunk, or a request that declares none.
    BadEncoding,
    /// The recorder saw no response: status 0 or none at all.
    Status0,
    /// The record has no time of its own; it stands where it was found.
    TimeUnknown,
    /// A body was above the reader's limit and was dropped.
    BodyTooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request {
        Request {
            method: "GET".into(),
            target: target.into(),
            version: "1.1".into(),
            headers: Vec::new(),
            body: Body::EMPTY,
        }
    }

    #[test]
    fn a_target_has_a_path_in_every_form() {
        let check = |target: &str, path: &str, origin: &str| {
            assert_eq!(request(target).path(), path, "{target}");
            assert_eq!(request(target).origin_form(), origin, "{target}");
        };
        check("/a/b?x=1", "/a/b", "/a/b?x=1");
        check("http://h:80/a?b", "/a", "/a?b");
        check("http://h", "/", "/");
        check("/go?to=http://x/y", "/go", "/go?to=http://x/y");
        check("*", "*", "*");
    }

    #[test]
    fn header_names_have_no_case() {
        let headers = vec![("X-A".to_owned(), "1".to_owned())];
        assert_eq!(header(&headers, "x-a"), Some("1"));
        assert_eq!(header(&headers, "x-b"), None);
    }
}
