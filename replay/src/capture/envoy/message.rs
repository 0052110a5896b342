//! One side of a tapped exchange: its headers and what the tap kept of its body.
//!
//! **Invariant**: a part that the tap cut, or that cannot be read, makes the body truncated, however much follows.

use bytes::Bytes;
use serde::Deserialize;

use crate::capture::{
    Body, Exchange, Flag, Headers, Request, Response, base64_text, header, lenient::Text,
    parsed::What, session, status, target, times,
};

/// Headers, and the body of a buffered trace.
#[derive(Deserialize)]
pub(super) struct Headed<'a> {
    #[serde(borrow, default)]
    headers: Vec<Pair<'a>>,
    #[serde(borrow, default)]
    body: Option<Part<'a>>,
    #[serde(borrow, default, alias = "headersReceivedTime")]
    headers_received_time: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Pair<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow, default)]
    value: Text<'a>,
    #[serde(borrow, default, alias = "rawValue")]
    raw_value: Option<Text<'a>>,
}

/// A body, or a chunk of one.
#[derive(Deserialize)]
pub(super) struct Part<'a> {
    #[serde(default)]
    truncated: bool,
    #[serde(borrow, default, alias = "asBytes")]
    as_bytes: Option<Text<'a>>,
    #[serde(borrow, default, alias = "asString")]
    as_string: Option<Text<'a>>,
}

/// One side.
#[derive(Debug, Default)]
pub(super) struct Side {
    headers: Headers,
    body: Vec<u8>,
    truncated: bool,
    ts_ns: Option<u64>,
}

impl Side {
    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| 80 + name.len() + value.len());
        self.body.len() + headers.sum::<usize>()
    }

    /// Takes headers, and a body that comes with them.
    ///
    /// # Errors
    /// For people: what is not base64 or no time.
    pub(super) fn head(&mut self, headed: Option<Headed<'_>>) -> Result<(), String> {
        let Some(headed) = headed else {
            return Ok(());
        };
        let mut read = Ok(());
        for Pair {
            key,
            value,
            raw_value,
        } in headed.headers
        {
            let value = match raw_value {
                Some(raw) if value.is_empty() => match decode(&raw) {
                    Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                    Err(error) => {
                        read = Err(error);
                        continue;
                    }
                },
                _ => value.0.into_owned(),
            };
            self.headers.push((key.0.into_owned(), value));
        }
        if let Some(text) = headed.headers_received_time.filter(|text| !text.is_empty()) {
            match times::iso(&text) {
                Some(ts_ns) => self.ts_ns = Some(ts_ns),
                None => read = Err(format!("{:?} is no time", &*text)),
            }
        }
        match headed.body {
            Some(part) => self.body(&part).and(read),
            None => read,
        }
    }

    /// Takes a body, or a chunk of it.
    ///
    /// # Errors
    /// For people: what is not base64.
    pub(super) fn body(&mut self, part: &Part<'_>) -> Result<(), String> {
        if !self.truncated {
            if let Some(text) = &part.as_string {
                self.body.extend_from_slice(text.as_bytes());
            }
            if let Some(text) = &part.as_bytes {
                let decoded = decode(text);
                self.truncated |= decoded.is_err();
                self.body.extend_from_slice(&decoded?);
            }
        }
        self.truncated |= part.truncated;
        Ok(())
    }

    fn pseudo(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    fn length(&self) -> Option<u64> {
        header(&self.headers, "content-length").and_then(|text| text.trim().parse().ok())
    }

    fn taken(self, bodiless: bool) -> (Headers, Body) {
        let length = self.length();
        let mut headers = self.headers;
        headers.retain(|(name, _)| !name.starts_with(':'));
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
        let bytes = Bytes::from(self.body);
        let short = length.is_some_and(|length| length > bytes.len() as u64);
        let body = match (self.truncated, short) {
            _ if bodiless => Body::EMPTY,
            // A tap that keeps no bodies writes none, and only the length tells.
            (false, true) if bytes.is_empty() => Body::Missing,
            (false, false) => Body::Whole(bytes),
            _ => Body::Truncated { bytes, length },
        };
        (headers, body)
    }

    /// The exchange of two sides.
    ///
    /// # Errors
    /// For people: what the request lacks, and a status that is none.
    pub(super) fn exchange(request: Self, response: Self) -> Result<What, String> {
        let pseudo = |name: &str| request.pseudo(name).map(ToOwned::to_owned);
        let method = pseudo(":method").ok_or("a request without :method")?;
        let path = pseudo(":path").ok_or("a request without :path")?;
        let authority = pseudo(":authority");
        let answered = match response.pseudo(":status") {
            Some(text) => status::read(text)?,
            None => 0,
        };
        let mut flags = Vec::new();
        let date = header(&response.headers, "date").and_then(times::http_date);
        let ts_ns = request
            .ts_ns
            .or(response.ts_ns)
            .or(date)
            .unwrap_or_else(|| {
                flags.push(Flag::TimeUnknown);
                0
            });
        let ended_ns = response.ts_ns.unwrap_or(ts_ns).max(ts_ns);
        let (mut headers, body) = request.taken(false);
        let (target, from_path) = target::split(&path);
        target::set_host(&mut headers, authority.as_deref().or(from_path));
        let response = (answered > 0).then(|| {
            let (headers, body) = response.taken(status::bodiless(&method, answered));
            Response {
                ts_ns: ended_ns,
                latency_ns: ended_ns - ts_ns,
                status: answered,
                headers,
                body,
            }
        });
        if response.is_none() {
            flags.push(Flag::Status0);
        }
        Ok(What::Exchange(Box::new(Exchange {
            seq: 0,
            ts_ns,
            conn: None,
            session: session::of_headers(&headers),
            request: Request {
                method,
                target,
                version: "1.1".to_owned(),
                headers,
                body,
            },
            response,
            flags,
        })))
    }
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    base64_text::decode(text).map_err(|error| format!("bytes that are not base64: {error}"))
}
