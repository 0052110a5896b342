//! GoReplay's `.gor`: records of a meta line and a raw HTTP/1.x message, each closed by a line of three monkeys.
//!
//! | part | form |
//! |---|---|
//! | record | meta LF payload LF monkeys LF; a file that was converted has CR LF at all of these |
//! | meta | `type SP id SP ts_ns [SP latency_ns]`; type 1 request, 2 original response, 3 replayed response |
//! | id | 24 hex digits (1.3 and later; the first 16 are the connection), 40 (older), or any token |
//!
//! Where a separator is missing, the next meta line behind the end of a message begins a record all the same.
//!
//! **Invariant**: each record becomes half an exchange or a [`Skipped`] with its place, and so do bytes that belong to no message; only a file
//! that ends within a record is an error.
//! It deliberately reads neither GoReplay's Kafka JSON nor its middleware stream.

use std::{collections::VecDeque, io::Read, sync::Arc};

use memchr::memmem::Finder;

use crate::capture::{
    Body, CaptureError, Exchange, Fault, Flag, Request, SkippedKind,
    input::Input,
    message::{self, Framing},
    open::io_error,
    parsed::{Id, Next, Parsed, ResponseHalf, What},
    session, status,
};

/// The separator of records, without the line feed that ends it.
const SEPARATOR: &[u8] = "\n🐵🙈🙉".as_bytes();

/// Takes `.gor` apart.
#[derive(Debug)]
pub(crate) struct GoReplay<R: Read> {
    name: Arc<str>,
    input: Input<R>,
    finder: Finder<'static>,
    /// What a piece holds beyond its first record.
    waiting: VecDeque<Parsed>,
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
            waiting: VecDeque::new(),
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
        if let Some(parsed) = self.waiting.pop_front() {
            return Ok(Some(parsed));
        }
        let place = self.input.offset();
        let piece = self
            .input
            .next_record(&self.finder)
            .map_err(|error| io_error(&self.name, place, &error))?;
        let Some(piece) = piece else {
            return Ok(None);
        };
        if let Some(length) = piece.too_long {
            let reason = format!("a record of {length} bytes, above the limit of a record");
            return Ok(Some(Parsed {
                offset: piece.offset,
                line: None,
                what: What::Skipped(SkippedKind::TooLarge, reason),
            }));
        }
        let mut bytes = piece.bytes;
        // Blank lines after the last record mean nothing.
        if !piece.terminated && bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        if piece.terminated {
            // The carriage return of a separator that ends in CR LF.
            bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        } else {
            bytes = without_cut_separator(bytes);
        }
        let cut = records(bytes, piece.offset, piece.terminated, &mut self.waiting);
        if let Some(offset) = cut {
            return Err(CaptureError {
                file: self.name.to_string(),
                place: format!("byte {offset}"),
                found: "the end of the file within a record".to_owned(),
                expected: "the whole record and the separator line".to_owned(),
                fault: Fault::Truncated,
            });
        }
        Ok(self.waiting.pop_front())
    }
}

/// Takes the records of a piece apart: one, or more where separators are missing. Where the last is cut, if it is.
fn records(
    mut bytes: &[u8],
    mut offset: u64,
    closed: bool,
    waiting: &mut VecDeque<Parsed>,
) -> Option<u64> {
    let mut push = |offset, what| {
        waiting.push_back(Parsed {
            offset,
            line: None,
            what,
        });
    };
    // A record must never depend on blank lines that an editor left before it.
    while let [b'\n' | b'\r', rest @ ..] = bytes {
        (bytes, offset) = (rest, offset + 1);
    }
    loop {
        let (mut what, length) = match record(bytes) {
            Ok((what, length)) => (what, length),
            Err(reason) => {
                let line = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
                let next = next_meta(&bytes[line..]).map_or(bytes.len(), |next| line + next);
                (What::Skipped(SkippedKind::Malformed, reason), next)
            }
        };
        let (rest, end) = (&bytes[length..], offset + length as u64);
        let next = next_meta(rest);
        if next.is_none() && !closed && rest.trim_ascii().is_empty() && is_cut(&what, bytes) {
            return Some(offset);
        }
        if next.is_some() || !closed {
            flag(&mut what, Flag::Unterminated);
        }
        push(offset, what);
        let surplus = &rest[..next.unwrap_or(rest.len())];
        if !surplus.trim_ascii().is_empty() {
            let length = surplus.len();
            let reason =
                format!("{length} bytes behind a message, which its head does not tell of");
            push(end, What::Skipped(SkippedKind::Malformed, reason));
        }
        let next = next?;
        (bytes, offset) = (&rest[next..], end + next as u64);
    }
}

/// The file ended in its last separator: the record is whole.
fn without_cut_separator(bytes: &[u8]) -> &[u8] {
    let cut = (2..SEPARATOR.len()).rev();
    cut.map(|length| &SEPARATOR[..length])
        .find_map(|begin| bytes.strip_suffix(begin))
        .unwrap_or(bytes)
}

/// Where the first line is that can only be a meta line: a start line of HTTP follows it.
fn next_meta(bytes: &[u8]) -> Option<usize> {
    let begins = memchr::memchr_iter(b'\n', bytes).map(|at| at + 1);
    std::iter::once(0).chain(begins).find(|at| {
        let mut lines = bytes[*at..].split(|byte| *byte == b'\n');
        matches!(bytes.get(*at), Some(b'1'..=b'3'))
            && lines.next().is_some_and(is_meta)
            && lines.next().is_some_and(is_start)
    })
}

/// `GET / HTTP/1.1` or `HTTP/1.1 200 OK`.
fn is_start(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let version = |word: &[u8]| word.starts_with(b"HTTP/") && word.len() <= b"HTTP/1.1".len();
    let mut words = line.split(|byte| *byte == b' ');
    let first = words.next().unwrap_or_default();
    let method = !first.is_empty() && first.iter().all(u8::is_ascii_uppercase);
    version(first)
        || method && words.count() >= 2 && line.rsplit(|b| *b == b' ').next().is_some_and(version)
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

/// A record, and how many bytes it takes.
fn record(bytes: &[u8]) -> Result<(What, usize), String> {
    let end = memchr::memchr(b'\n', bytes).ok_or("a record without a meta line")?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| "a meta line that is not text")?;
    let meta = meta(line)?;
    let payload = &bytes[end + 1..];
    let (what, length) = match meta.kind {
        1 => request(&meta, payload)?,
        2 => response(&meta, payload)?,
        _ => {
            let reason = "the answer of an earlier replay (type 3)".to_owned();
            let what = What::Skipped(SkippedKind::ReplayedResponse, reason);
            (what, next_meta(payload).unwrap_or(payload.len()))
        }
    };
    Ok((what, end + 1 + length))
}

/// How much of what follows a head that declares no length is the body: all, but for the next record and the line feed before it.
fn undeclared(rest: &[u8]) -> usize {
    match next_meta(rest) {
        Some(next) => next.saturating_sub(1),
        None => rest.len(),
    }
}

fn request(meta: &Meta<'_>, payload: &[u8]) -> Result<(What, usize), String> {
    let mut taken = 0;
    let framing = Framing {
        bodiless: |_: &str| false,
        // A request without a length has no body; what hand-made files put there is one, another request and blank lines are none.
        undeclared: |rest: &[u8]| {
            let first = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let body = undeclared(rest);
            if !is_start(first) && !rest[..body].trim_ascii().is_empty() {
                taken = body;
            }
            taken
        },
    };
    let mut message = message::parse(payload, framing)?;
    if taken > 0 && !message.flags.contains(&Flag::NoBlankLine) {
        message.flags.push(Flag::BadEncoding);
    }
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
    let what = What::Request(Id::new(meta.id), Box::new(exchange));
    Ok((what, message.length))
}

fn response(meta: &Meta<'_>, payload: &[u8]) -> Result<(What, usize), String> {
    let mut begin = 0;
    loop {
        let framing = Framing {
            // Whether it answers a HEAD is known when its request is.
            bodiless: |start: &str| {
                status_of(start).is_some_and(|status| status::bodiless("", status))
            },
            undeclared,
        };
        let message = message::parse(&payload[begin..], framing)?;
        let status = status_of(&message.start)
            .ok_or_else(|| format!("{:?} is no status line", message.start))?;
        let end = begin + message.length;
        // What comes before the answer (100, 103) may be recorded with it.
        if (100..200).contains(&status) && payload[end..].starts_with(b"HTTP/") {
            begin = end;
            continue;
        }
        let response = ResponseHalf {
            id: Id::new(meta.id),
            ts_ns: meta.ts_ns,
            receive_ns: meta.latency_ns.unwrap_or(0),
            status,
            headers: message.headers,
            body: message.body,
            flags: message.flags,
        };
        return Ok((What::Response(Box::new(response)), end));
    }
}

fn status_of(start: &str) -> Option<u16> {
    status::read(start.strip_prefix("HTTP/")?.split(' ').nth(1)?).ok()
}

/// Flags what is read.
fn flag(what: &mut What, flag: Flag) {
    match what {
        What::Request(_, exchange) => exchange.flag(flag),
        What::Response(response) => response.flags.push(flag),
        What::Exchange(_) | What::Skipped(..) | What::SkippedBefore(..) => {}
    }
}

/// Whether the last record, which lacks its separator, ends before its head or its body does.
fn is_cut(what: &What, bytes: &[u8]) -> bool {
    let (flags, body) = match what {
        What::Request(_, exchange) => (&exchange.flags, &exchange.request.body),
        What::Response(response) => (&response.flags, &response.body),
        What::Skipped(SkippedKind::Malformed, _) => {
            return matches!(bytes, [b'1'..=b'3', b' ', ..] | [b'1'..=b'3']);
        }
        What::Exchange(_) | What::Skipped(..) | What::SkippedBefore(..) => return false,
    };
    matches!(body, Body::Truncated { .. }) || flags.contains(&Flag::NoBlankLine)
}
