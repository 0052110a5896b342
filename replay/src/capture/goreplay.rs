//! GoReplay's `.gor`: records of a meta line and a raw HTTP/1.x message, each closed by a line of three monkeys.
//!
//! | part | form |
//! |---|---|
//! | record | meta LF payload LF monkeys LF |
//! | meta | `type SP id SP ts_ns [SP latency_ns]`; type 1 request, 2 original response, 3 replayed response |
//! | id | 24 hex digits (1.3 and later; the first 16 are the connection), 40 (older), or any token |
//!
//! **Invariant**: each record becomes half an exchange or a [`Skipped`] with its place; only a file that ends within a record is an error.
//! It deliberately reads neither GoReplay's Kafka JSON nor its middleware stream.

use std::{io::Read, sync::Arc};

use memchr::memmem::Finder;

use crate::capture::{
    Body, CaptureError, Exchange, Fault, Flag, Request, SkippedKind,
    input::Input,
    message,
    open::io_error,
    parsed::{Id, Next, Parsed, ResponseHalf, What},
    session, status,
};

/// The separator of records.
pub(crate) const SEPARATOR: &[u8] = "\n🐵🙈🙉\n".as_bytes();

/// Takes `.gor` apart.
#[derive(Debug)]
pub(crate) struct GoReplay<R: Read> {
    name: Arc<str>,
    input: Input<R>,
    finder: Finder<'static>,
}

struct Meta<'a> {
    kind: u8,
    id: &'a str,
    ts_ns: u64,
    latency_ns: Option<u64>,
}

impl<R: Read> GoReplay<R> {
    pub(crate) fn new(name: Arc<str>, input: Input<R>) -> Self {
        Self {
            name,
            input,
            finder: Finder::new(SEPARATOR),
        }
    }

    pub(crate) fn input(&self) -> &Input<R> {
        &self.input
    }

    pub(crate) fn into_input(self) -> Input<R> {
        self.input
    }

    /// The next record of the file.
    pub(crate) fn next(&mut self) -> Next {
        let place = self.input.offset();
        let piece = self
            .input
            .next_piece(&self.finder)
            .map_err(|error| io_error(&self.name, place, &error))?;
        let Some(piece) = piece else {
            return Ok(None);
        };
        let (offset, terminated) = (piece.offset, piece.terminated);
        let mut bytes = piece.bytes;
        let mut closed = terminated;
        if !terminated {
            // The last line of monkeys may lack its line feed; blank lines after the last record mean nothing.
            if let Some(stripped) = bytes.strip_suffix(&SEPARATOR[..SEPARATOR.len() - 1]) {
                (bytes, closed) = (stripped, true);
            } else if bytes.trim_ascii().is_empty() && piece.too_long.is_none() {
                return Ok(None);
            }
        }
        let parsed = |what| {
            Ok(Some(Parsed {
                offset,
                line: None,
                what,
            }))
        };
        if let Some(length) = piece.too_long {
            let reason = format!("a record of {length} bytes, above the limit of a record");
            return parsed(What::Skipped(SkippedKind::TooLarge, reason));
        }
        // A record must never depend on blank lines that an editor left before it.
        while let Some(rest) = bytes.strip_prefix(b"\n") {
            bytes = rest;
        }
        let mut what = match record(bytes) {
            Ok(what) => what,
            Err(reason) => What::Skipped(SkippedKind::Malformed, reason),
        };
        if !closed && mark(&mut what) {
            return Err(CaptureError {
                file: self.name.to_string(),
                place: format!("byte {offset}"),
                found: "the end of the file within a record's body".to_owned(),
                expected: "the whole body and the separator line".to_owned(),
                fault: Fault::Truncated,
            });
        }
        parsed(what)
    }
}

/// Whether `line` is a record's meta line: what detection goes by.
pub(crate) fn is_meta(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| meta(line).is_ok())
}

fn meta(line: &str) -> Result<Meta<'_>, String> {
    let shown = || line.chars().take(60).collect::<String>();
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut fields = line.split(' ').filter(|field| !field.is_empty());
    let (Some(kind), Some(id), Some(ts)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("meta line {:?} has fewer than 3 fields", shown()));
    };
    let kind = match kind {
        "1" => 1,
        "2" => 2,
        "3" => 3,
        _ => return Err(format!("meta line {:?} has no type 1, 2 or 3", shown())),
    };
    let ts_ns = ts
        .parse()
        .map_err(|_| format!("meta line {:?} has no time in nanoseconds", shown()))?;
    Ok(Meta {
        kind,
        id,
        ts_ns,
        latency_ns: fields.next().and_then(|field| field.parse().ok()),
    })
}

fn record(bytes: &[u8]) -> Result<What, String> {
    let end = memchr::memchr(b'\n', bytes).ok_or("a record without a meta line")?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| "a meta line that is not text")?;
    let meta = meta(line)?;
    let payload = &bytes[end + 1..];
    match meta.kind {
        1 => request(&meta, payload),
        2 => response(&meta, payload),
        _ => {
            let reason = "the answer of an earlier replay (type 3)".to_owned();
            Ok(What::Skipped(SkippedKind::ReplayedResponse, reason))
        }
    }
}

fn request(meta: &Meta<'_>, payload: &[u8]) -> Result<What, String> {
    let message = message::parse(payload, |_| false)?;
    let (method, rest) = message.start.split_once(' ').unwrap_or_default();
    let (target, version) = rest.rsplit_once(' ').unwrap_or_default();
    let Some(version) = version.strip_prefix("HTTP/") else {
        return Err(format!("{:?} is no request line", message.start));
    };
    let id = meta.id.as_bytes();
    let conn =
        (id.len() == 24 && id.iter().all(u8::is_ascii_hexdigit)).then(|| meta.id[..16].to_owned());
    let session = match conn {
        Some(_) => None,
        None => session::of_headers(&message.headers),
    };
    let exchange = Exchange {
        seq: 0,
        ts_ns: meta.ts_ns,
        conn,
        session,
        request: Request {
            method: method.to_owned(),
            target: target.to_owned(),
            version: version.to_owned(),
            headers: message.headers,
            body: message.body,
        },
        response: None,
        flags: message.flags,
    };
    Ok(What::Request(Id::new(meta.id), Box::new(exchange)))
}

fn response(meta: &Meta<'_>, payload: &[u8]) -> Result<What, String> {
    // Whether it answers a HEAD is known when its request is.
    let bodiless =
        |start: &str| status_of(start).is_some_and(|status| status::bodiless("", status));
    let message = message::parse(payload, bodiless)?;
    let status = status_of(&message.start)
        .ok_or_else(|| format!("{:?} is no status line", message.start))?;
    Ok(What::Response(Box::new(ResponseHalf {
        id: Id::new(meta.id),
        ts_ns: meta.ts_ns,
        receive_ns: meta.latency_ns.unwrap_or(0),
        status,
        headers: message.headers,
        body: message.body,
        flags: message.flags,
    })))
}

fn status_of(start: &str) -> Option<u16> {
    status::read(start.strip_prefix("HTTP/")?.split(' ').nth(1)?).ok()
}

/// Flags what lacks its separator, and says whether its body is cut.
fn mark(what: &mut What) -> bool {
    let (flags, body) = match what {
        What::Request(_, exchange) => (&mut exchange.flags, &exchange.request.body),
        What::Response(response) => (&mut response.flags, &response.body),
        What::Exchange(_) | What::Skipped(..) | What::SkippedBefore(..) => return false,
    };
    flags.push(Flag::Unterminated);
    matches!(body, Body::Truncated { .. })
}
