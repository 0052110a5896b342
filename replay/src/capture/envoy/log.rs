//! Envoy's access log in its default text: arrivals, targets and latencies, no bodies.
//!
//! ```text
//! [START_TIME] "METHOD PATH PROTOCOL" CODE FLAGS BYTES_RECEIVED BYTES_SENT DURATION UPSTREAM_TIME "X-FORWARDED-FOR" "USER-AGENT" "X-REQUEST-ID" "AUTHORITY" "UPSTREAM_HOST"
//! ```
//!
//! **Invariant**: a request that sent bytes has an unknown body; code 0 is a client that went away and has no response.

use std::{io::Read, sync::Arc};

use memchr::memmem::Finder;

use crate::capture::{
    Body, Exchange, Flag, Headers, Request, Response, SkippedKind,
    input::Input,
    open::io_error,
    parsed::{Next, Parsed, What},
    protocol, session, status, target, times,
};

/// Takes a log apart.
#[derive(Debug)]
pub(crate) struct EnvoyLog<R: Read> {
    name: Arc<str>,
    input: Input<R>,
    finder: Finder<'static>,
    line: u64,
}

impl<R: Read> EnvoyLog<R> {
    pub(crate) fn new(name: Arc<str>, input: Input<R>) -> Self {
        Self {
            name,
            input,
            finder: Finder::new(b"\n"),
            line: 0,
        }
    }

    pub(crate) fn input(&self) -> &Input<R> {
        &self.input
    }

    pub(crate) fn into_input(self) -> Input<R> {
        self.input
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            self.line += 1;
            let place = self.input.offset();
            let piece = self
                .input
                .next_piece(&self.finder)
                .map_err(|error| io_error(&self.name, place, &error))?;
            let Some(piece) = piece else {
                return Ok(None);
            };
            let what = if let Some(length) = piece.too_long {
                let reason = format!("a line of {length} bytes, above the limit of a record");
                What::Skipped(SkippedKind::TooLarge, reason)
            } else {
                let text = String::from_utf8_lossy(piece.bytes);
                let text = text.trim_start_matches('\u{feff}').trim();
                if text.is_empty() {
                    continue;
                }
                match exchange(text) {
                    Ok(exchange) => What::Exchange(Box::new(exchange)),
                    Err(reason) => What::Skipped(SkippedKind::Malformed, reason),
                }
            };
            return Ok(Some(Parsed {
                offset: piece.offset,
                line: Some(self.line),
                what,
            }));
        }
    }
}

/// The fields of a line: bare, in brackets or in quotes.
fn fields(mut text: &str) -> Option<Vec<&str>> {
    let mut fields = Vec::new();
    loop {
        text = text.trim_start();
        let Some(first) = text.chars().next() else {
            return Some(fields);
        };
        let (field, rest) = match first {
            '[' => text[1..].split_once(']')?,
            '"' => quoted(&text[1..])?,
            _ => text.split_once(' ').unwrap_or((text, "")),
        };
        fields.push(field);
        text = rest;
    }
}

/// Up to the quote that the end or another field follows: an agent's name may hold quotes.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let ends = |rest: &str| {
        let next = rest.strip_prefix(' ').map(|rest| rest.chars().next());
        rest.is_empty() || matches!(next, Some(None | Some('"' | '-' | '0'..='9')))
    };
    let mut quotes = text.match_indices('"').map(|(at, _)| at);
    let at = quotes.find(|at| ends(&text[at + 1..]))?;
    Some((&text[..at], &text[at + 1..]))
}

fn exchange(text: &str) -> Result<Exchange, String> {
    let shown = || text.chars().take(60).collect::<String>();
    let fields =
        fields(text).ok_or_else(|| format!("{:?}: a quote or bracket is not closed", shown()))?;
    let field = |at: usize| {
        fields
            .get(at)
            .copied()
            .filter(|text| !matches!(*text, "-" | ""))
    };
    let number = |at: usize| field(at).and_then(|text| text.parse::<u64>().ok());
    let start = field(0).unwrap_or_default();
    let ts_ns = times::iso(start).ok_or_else(|| format!("{start:?} is no time"))?;
    let mut parts = field(1).unwrap_or_default().splitn(2, ' ');
    let method = parts.next().unwrap_or_default();
    let (url, protocol) = parts
        .next()
        .and_then(|rest| rest.rsplit_once(' '))
        .unwrap_or_default();
    let tokens = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !tokens || url.is_empty() {
        return Err(format!(
            "{:?} is no \"METHOD PATH PROTOCOL\"",
            fields.get(1).unwrap_or(&"")
        ));
    }
    let written = number(2).ok_or_else(|| format!("{:?} has no status code", shown()))?;
    let (received, sent) = (number(4), number(5));
    let latency_ns = number(6).unwrap_or(0).saturating_mul(1_000_000);
    let (target, authority) = target::split(url);
    let mut headers = Headers::new();
    for (at, name) in [
        (8, "X-Forwarded-For"),
        (9, "User-Agent"),
        (10, "X-Request-Id"),
    ] {
        if let Some(value) = field(at) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    target::set_host(&mut headers, field(11).or(authority));
    let code = (written > 0)
        .then(|| status::checked(written))
        .transpose()?;
    let response = code.map(|status| Response {
        ts_ns: ts_ns.saturating_add(latency_ns),
        latency_ns,
        status,
        headers: Headers::new(),
        body: if sent == Some(0) || status::bodiless(method, status) {
            Body::EMPTY
        } else {
            Body::Missing
        },
    });
    Ok(Exchange {
        seq: 0,
        ts_ns,
        conn: None,
        session: session::of_headers(&headers),
        flags: if response.is_none() {
            vec![Flag::Status0]
        } else {
            Vec::new()
        },
        request: Request {
            method: method.to_owned(),
            target,
            version: protocol::version(protocol).to_owned(),
            headers,
            body: match received {
                Some(0) => Body::EMPTY,
                None if matches!(method, "GET" | "HEAD" | "OPTIONS" | "DELETE") => Body::EMPTY,
                Some(_) | None => Body::Missing,
            },
        },
        response,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_line_is_read() {
        let line = r#"[2026-04-15T20:17:00.310Z] "POST /api/v1/locations?x=1 HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq "2.0" x" "cc21d9b0" "locations" "tcp://10.0.2.1:80""#;
        let exchange = exchange(line).expect("a line");
        assert_eq!(exchange.request.method, "POST");
        assert_eq!(exchange.request.target, "/api/v1/locations?x=1");
        assert_eq!(exchange.request.version, "2");
        assert_eq!(exchange.request.body, Body::Missing);
        let agent = crate::capture::header(&exchange.request.headers, "user-agent");
        assert_eq!(agent, Some("nsq \"2.0\" x"));
        assert_eq!(
            crate::capture::header(&exchange.request.headers, "host"),
            Some("locations")
        );
        let response = exchange.response.expect("a response");
        assert_eq!((response.status, response.latency_ns), (204, 226_000_000));
        assert_eq!(response.body, Body::EMPTY);
    }

    #[test]
    fn a_client_that_went_away_has_no_response_and_broken_lines_say_why() {
        let gone = exchange(
            r#"[2026-04-15T20:17:00.310Z] "GET / HTTP/1.1" 0 DC 0 0 5 - "-" "-" "-" "h" "-""#,
        );
        assert_eq!(gone.expect("a line").response, None);
        for line in [
            "[x] \"GET / HTTP/1.1\" 200",
            "[2026-04-15T20:17:00Z] \"GET",
            "[2026-04-15T20:17:00Z] \"-\" 0 - 0 0",
            "hello",
        ] {
            assert!(exchange(line).is_err(), "{line}");
        }
    }
}
