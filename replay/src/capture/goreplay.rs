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

use std::{collections::BTreeMap, collections::VecDeque, io::Read};

use memchr::memmem::Finder;

use crate::capture::{
    Body, CaptureError, Fault, Flag, Record, Request, Skipped, SkippedKind,
    input::Input,
    message,
    open::io_error,
    pairing::{Half, Pairing, ResponseHalf},
    session,
};

/// The separator of records.
pub(crate) const SEPARATOR: &[u8] = "\n🐵🙈🙉\n".as_bytes();

/// A quiet connection of this long is a new session: ports are used again.
const SESSION_GAP_NS: u64 = 120_000_000_000;

/// How many connections' last use is remembered.
const SESSIONS: usize = 100_000;

/// Reads `.gor` as a stream of records.
#[derive(Debug)]
pub struct GoReplay<R: Read> {
    name: String,
    input: Input<R>,
    finder: Finder<'static>,
    pairing: Pairing,
    ready: VecDeque<Record>,
    connections: BTreeMap<String, (u64, u32)>,
    done: bool,
}

struct Meta<'a> {
    kind: u8,
    id: &'a str,
    ts_ns: u64,
    latency_ns: Option<u64>,
}

impl<R: Read> GoReplay<R> {
    pub(crate) fn new(name: &str, input: Input<R>) -> Self {
        Self {
            name: name.to_owned(),
            input,
            finder: Finder::new(SEPARATOR),
            pairing: Pairing::default(),
            ready: VecDeque::new(),
            connections: BTreeMap::new(),
            done: false,
        }
    }

    pub(crate) fn into_input(self) -> Input<R> {
        self.input
    }

    /// Reads one record of the file and takes what the pairing lets go of.
    fn advance(&mut self) -> Result<(), CaptureError> {
        let place = self.input.offset();
        let piece = self
            .input
            .next_piece(&self.finder)
            .map_err(|error| io_error(&self.name, place, &error))?;
        let Some(piece) = piece else {
            self.done = true;
            self.pairing.finish(&mut self.ready);
            return Ok(());
        };
        let (offset, terminated) = (piece.offset, piece.terminated);
        let mut bytes = piece.bytes;
        let mut closed = terminated;
        if !terminated {
            // The last line of monkeys may lack its line feed; blank lines after the last record mean nothing.
            if let Some(stripped) = bytes.strip_suffix(&SEPARATOR[..SEPARATOR.len() - 1]) {
                (bytes, closed) = (stripped, true);
            } else if bytes.trim_ascii().is_empty() {
                return Ok(());
            }
        }
        let skipped = |kind, reason| {
            Record::Skipped(Skipped {
                offset,
                kind,
                reason,
            })
        };
        // A record must never depend on blank lines that an editor left before it.
        while let Some(rest) = bytes.strip_prefix(b"\n") {
            bytes = rest;
        }
        let half = match record(bytes) {
            Ok(Some(half)) => half,
            Ok(None) => {
                let reason = "the answer of an earlier replay (type 3)".to_owned();
                self.ready
                    .push_back(skipped(SkippedKind::ReplayedResponse, reason));
                return Ok(());
            }
            Err(reason) => {
                self.ready
                    .push_back(skipped(SkippedKind::Malformed, reason));
                return Ok(());
            }
        };
        let half = mark(half, closed);
        if !closed && half.body_is_cut() {
            return Err(CaptureError {
                file: self.name.clone(),
                place: format!("byte {offset}"),
                found: "the end of the file within a record's body".to_owned(),
                expected: "the whole body and the separator line".to_owned(),
                fault: Fault::Truncated,
            });
        }
        let half = self.with_session(half);
        self.pairing.push(offset, half, &mut self.ready);
        Ok(())
    }

    /// Names the connection and the session of a request.
    fn with_session(&mut self, half: Half) -> Half {
        let Half::Request {
            id,
            ts_ns,
            request,
            flags,
            ..
        } = half
        else {
            return half;
        };
        let conn = (id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then(|| id[..16].to_owned());
        let session = match &conn {
            Some(conn) => {
                if self.connections.len() > SESSIONS {
                    let old = ts_ns.saturating_sub(SESSION_GAP_NS);
                    self.connections.retain(|_, (last, _)| *last >= old);
                }
                let (last, era) = self.connections.entry(conn.clone()).or_insert((ts_ns, 0));
                if ts_ns.saturating_sub(*last) > SESSION_GAP_NS {
                    *era += 1;
                }
                *last = ts_ns.max(*last);
                Some(format!("{conn}-{era}"))
            }
            None => session::of_headers(&request.headers),
        };
        Half::Request {
            id,
            ts_ns,
            request,
            flags,
            conn,
            session,
        }
    }
}

impl<R: Read> Iterator for GoReplay<R> {
    type Item = Result<Record, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(Ok(record));
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.advance() {
                self.done = true;
                return Some(Err(error));
            }
        }
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

/// One record; `None` for the answer of an earlier replay.
fn record(bytes: &[u8]) -> Result<Option<Half>, String> {
    let end = memchr::memchr(b'\n', bytes).ok_or("a record without a meta line")?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| "a meta line that is not text")?;
    let meta = meta(line)?;
    let payload = &bytes[end + 1..];
    match meta.kind {
        1 => {
            let message = message::parse(payload, |_| false)?;
            let (method, rest) = message.start.split_once(' ').unwrap_or_default();
            let (target, version) = rest.rsplit_once(' ').unwrap_or_default();
            let Some(version) = version.strip_prefix("HTTP/") else {
                return Err(format!("{:?} is no request line", message.start));
            };
            Ok(Some(Half::Request {
                id: meta.id.to_owned(),
                ts_ns: meta.ts_ns,
                request: Request {
                    method: method.to_owned(),
                    target: target.to_owned(),
                    version: version.to_owned(),
                    headers: message.headers,
                    body: message.body,
                },
                flags: message.flags,
                conn: None,
                session: None,
            }))
        }
        2 => {
            let bodiless = |start: &str| matches!(status(start), Some(204 | 304));
            let message = message::parse(payload, bodiless)?;
            let status = status(&message.start)
                .ok_or_else(|| format!("{:?} is no status line", message.start))?;
            Ok(Some(Half::Response(ResponseHalf {
                id: meta.id.to_owned(),
                ts_ns: meta.ts_ns,
                receive_ns: meta.latency_ns.unwrap_or(0),
                status,
                headers: message.headers,
                body: message.body,
                flags: message.flags,
            })))
        }
        _ => Ok(None),
    }
}

fn status(start: &str) -> Option<u16> {
    start
        .strip_prefix("HTTP/")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()
        .filter(|status| (100..1000).contains(status))
}

fn mark(mut half: Half, closed: bool) -> Half {
    if !closed {
        half.flags_mut().push(Flag::Unterminated);
    }
    half
}

impl Half {
    fn body_is_cut(&self) -> bool {
        let body = match self {
            Self::Request { request, .. } => &request.body,
            Self::Response(response) => &response.body,
        };
        matches!(body, Body::Truncated { .. })
    }
}
