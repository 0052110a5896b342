//! Our own format, `rehearsal.capture/1`: JSON lines, a manifest first, then one exchange a line.
//!
//! ```json
//! {"format":"rehearsal.capture/1","exporter":"...","exchanges":1}
//! {"v":1,"seq":0,"ts_ns":1,"conn":"c1","session":"s1","req":{"method":"GET","target":"/","version":"1.1","headers":[["a","b"]],"body":{"utf8":""}},"resp":null,"flags":[]}
//! ```
//!
//! After the exchanges, an import has a line of what was skipped when it was made (`skipped_line`).
//!
//! A body is `{"utf8":..}`, `{"b64":..}`, `{"missing":true}` or `{"truncated":{"b64":..,"length":..}}`; left out, it is empty.
//!
//! **Invariant**: what [`Writer`] wrote, [`Lines`] reads back equal. A line that is not an exchange is a [`Skipped`] with its place; bytes
//! that are not UTF-8, a line cut at the end of the file, and fewer exchanges than the manifest promises are errors: the file is damaged.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use crate::capture::{
    Body, CaptureError, Exchange, Fault, Flag, Headers, Request, Response, Skipped, SkippedKind,
    frames::Frames,
    input::Input,
    open::io_error,
    parsed::{Next, Parsed, What},
    skipped_line::{self, Tally},
};

/// What this reader and writer call the format; the number is its major version.
pub(crate) const FORMAT: &str = "rehearsal.capture/1";
const FAMILY: &str = "rehearsal.capture/";

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `rehearsal.capture/1`.
    pub format: String,
    /// What wrote the capture, and from what (a command line, a seed): enough to make it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exporter: Option<String>,
    /// How many exchanges follow, where the writer knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<u64>,
}

impl Manifest {
    /// A manifest of this version.
    pub fn new(exporter: Option<String>, exchanges: Option<u64>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            exporter,
            exchanges,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    v: u32,
    seq: u64,
    ts_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    req: RequestLine,
    resp: Option<ResponseLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    flags: Vec<Flag>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestLine {
    method: String,
    target: String,
    #[serde(default = "version")]
    version: String,
    #[serde(default)]
    headers: Headers,
    #[serde(
        default = "BodyLine::empty",
        skip_serializing_if = "BodyLine::is_empty"
    )]
    body: BodyLine,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseLine {
    ts_ns: u64,
    latency_ns: u64,
    status: u16,
    #[serde(default)]
    headers: Headers,
    #[serde(
        default = "BodyLine::empty",
        skip_serializing_if = "BodyLine::is_empty"
    )]
    body: BodyLine,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum BodyLine {
    Utf8(String),
    B64(String),
    Missing(bool),
    Truncated { b64: String, length: Option<u64> },
}

fn version() -> String {
    "1.1".to_owned()
}

impl BodyLine {
    fn empty() -> Self {
        Self::Utf8(String::new())
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Utf8(text) if text.is_empty())
    }

    fn of(body: &Body) -> Self {
        match body {
            Body::Whole(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Self::Utf8(text.to_owned()),
                Err(_) => Self::B64(STANDARD.encode(bytes)),
            },
            Body::Missing => Self::Missing(true),
            Body::Truncated { bytes, length } => Self::Truncated {
                b64: STANDARD.encode(bytes),
                length: *length,
            },
        }
    }

    fn body(self) -> Result<Body, String> {
        let decode = |text: String| {
            STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(|error| format!("a body that is not base64: {error}"))
        };
        Ok(match self {
            Self::Utf8(text) => Body::Whole(text.into()),
            Self::B64(text) => Body::Whole(decode(text)?),
            Self::Missing(true) => Body::Missing,
            Self::Missing(false) => return Err("a body that is \"missing\": false".to_owned()),
            Self::Truncated { b64, length } => Body::Truncated {
                bytes: decode(b64)?,
                length,
            },
        })
    }
}

impl Line {
    fn of(exchange: &Exchange) -> Self {
        let request = &exchange.request;
        Self {
            v: 1,
            seq: exchange.seq,
            ts_ns: exchange.ts_ns,
            conn: exchange.conn.clone(),
            session: exchange.session.clone(),
            req: RequestLine {
                method: request.method.clone(),
                target: request.target.clone(),
                version: request.version.clone(),
                headers: request.headers.clone(),
                body: BodyLine::of(&request.body),
            },
            resp: exchange.response.as_ref().map(|response| ResponseLine {
                ts_ns: response.ts_ns,
                latency_ns: response.latency_ns,
                status: response.status,
                headers: response.headers.clone(),
                body: BodyLine::of(&response.body),
            }),
            flags: exchange.flags.clone(),
        }
    }

    fn exchange(self) -> Result<Exchange, String> {
        if self.v != 1 {
            return Err(format!("a record of version {}, expected 1", self.v));
        }
        let response = match self.resp {
            Some(response) => Some(Response {
                ts_ns: response.ts_ns,
                latency_ns: response.latency_ns,
                status: response.status,
                headers: response.headers,
                body: response.body.body()?,
            }),
            None => None,
        };
        Ok(Exchange {
            seq: self.seq,
            ts_ns: self.ts_ns,
            conn: self.conn,
            session: self.session,
            request: Request {
                method: self.req.method,
                target: self.req.target,
                version: self.req.version,
                headers: self.req.headers,
                body: self.req.body.body()?,
            },
            response,
            flags: self.flags,
        })
    }
}

/// Takes our own format apart.
#[derive(Debug)]
pub(crate) struct Lines<R: Read> {
    name: Arc<str>,
    input: Input<R>,
    finder: Finder<'static>,
    manifest: Manifest,
    line: u64,
    exchanges: u64,
    lost: u64,
    /// What one line stands for.
    waiting: VecDeque<Parsed>,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(name: Arc<str>, mut input: Input<R>) -> Result<Self, CaptureError> {
        let finder = Finder::new(b"\n");
        let fault = |found: String, fault| CaptureError {
            file: name.to_string(),
            place: "line 1".to_owned(),
            found,
            expected: format!("a manifest {{\"format\":\"{FORMAT}\"}}"),
            fault,
        };
        let piece = input
            .next_piece(&finder)
            .map_err(|error| io_error(&name, 0, &error))?;
        let Some(piece) = piece else {
            return Err(fault("nothing".to_owned(), Fault::Empty));
        };
        let bytes = piece
            .bytes
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(piece.bytes);
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| {
            let kind = if error.is_eof() {
                Fault::Truncated
            } else {
                Fault::Damaged
            };
            fault(format!("no manifest: {error}"), kind)
        })?;
        if manifest.format != FORMAT {
            let newer = manifest
                .format
                .strip_prefix(FAMILY)
                .and_then(|major| major.parse::<u32>().ok())
                .is_some_and(|major| major > 1);
            let kind = if newer {
                Fault::NewerMajor
            } else {
                Fault::UnknownFormat
            };
            return Err(fault(format!("format {:?}", manifest.format), kind));
        }
        Ok(Self {
            name,
            input,
            finder,
            manifest,
            line: 1,
            exchanges: 0,
            lost: 0,
            waiting: VecDeque::new(),
        })
    }

    /// The capture's first line.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn input(&self) -> &Input<R> {
        &self.input
    }

    pub(crate) fn into_input(self) -> Input<R> {
        self.input
    }

    fn fault(&self, found: String, expected: &str, fault: Fault) -> CaptureError {
        CaptureError {
            file: self.name.to_string(),
            place: format!("line {}", self.line),
            found,
            expected: expected.to_owned(),
            fault,
        }
    }

    /// The next record of the file.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            if let Some(parsed) = self.waiting.pop_front() {
                return Ok(Some(parsed));
            }
            self.line += 1;
            let place = self.input.offset();
            let piece = self
                .input
                .next_piece(&self.finder)
                .map_err(|error| io_error(&self.name, place, &error))?;
            let Some(piece) = piece else {
                return self.end().map(|()| None);
            };
            let (offset, terminated) = (piece.offset, piece.terminated);
            if let Some(length) = piece.too_long {
                self.lost += 1;
                let reason = format!("a line of {length} bytes, above the limit of a record");
                return Ok(Some(Parsed {
                    offset,
                    line: Some(self.line),
                    what: What::Skipped(SkippedKind::TooLarge, reason),
                }));
            }
            let text = match std::str::from_utf8(piece.bytes) {
                Ok(text) => text.trim(),
                Err(error) => {
                    let found = format!(
                        "a byte that is not UTF-8 at byte {}",
                        offset + error.valid_up_to() as u64
                    );
                    return Err(self.fault(found, "JSON in UTF-8", Fault::Damaged));
                }
            };
            if text.is_empty() {
                continue;
            }
            let parsed = serde_json::from_str::<Line>(text);
            if let Err(error) = &parsed
                && error.is_eof()
                && !terminated
            {
                let found = "the end of the file within a line".to_owned();
                return Err(self.fault(found, "a whole exchange", Fault::Truncated));
            }
            let exchange = parsed
                .map_err(|error| error.to_string())
                .and_then(Line::exchange);
            let what = match exchange {
                Ok(exchange) => {
                    self.exchanges += 1;
                    What::Exchange(Box::new(exchange))
                }
                Err(reason) => {
                    if let Some(before) = skipped_line::read(text) {
                        let line = Some(self.line);
                        self.waiting.extend(before.into_iter().map(|what| Parsed {
                            offset,
                            line,
                            what,
                        }));
                        continue;
                    }
                    self.lost += 1;
                    What::Skipped(SkippedKind::Malformed, reason)
                }
            };
            return Ok(Some(Parsed {
                offset,
                line: Some(self.line),
                what,
            }));
        }
    }

    fn end(&self) -> Result<(), CaptureError> {
        let read = self.exchanges + self.lost;
        match self.manifest.exchanges {
            Some(promised) if read < promised => Err(self.fault(
                format!("the end of the file after {read} exchanges"),
                &format!("{promised}, as its manifest says"),
                Fault::Truncated,
            )),
            _ => Ok(()),
        }
    }
}

/// Writes our own format. The same exchanges give the same bytes, compressed or not.
#[derive(Debug)]
pub struct Writer<W: Write> {
    sink: Sink<W>,
    skipped: Tally,
}

#[derive(Debug)]
enum Sink<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(Frames<W>),
}

impl<W: Write> Writer<W> {
    /// Writes plain lines to `out`, the manifest first.
    pub fn plain(out: W, manifest: &Manifest) -> io::Result<Self> {
        Self::begin(Sink::Plain(out), manifest)
    }

    /// Writes gzip to `out`, the manifest first.
    pub fn gzip(out: W, manifest: &Manifest) -> io::Result<Self> {
        Self::begin(
            Sink::Gzip(GzEncoder::new(out, Compression::best())),
            manifest,
        )
    }

    /// Writes zstd to `out`, the manifest first.
    pub fn zstd(out: W, manifest: &Manifest) -> io::Result<Self> {
        Self::begin(Sink::Zstd(Frames::new(out)), manifest)
    }

    fn begin(sink: Sink<W>, manifest: &Manifest) -> io::Result<Self> {
        let mut writer = Self {
            sink,
            skipped: Tally::default(),
        };
        writer.line(manifest)?;
        Ok(writer)
    }

    /// Writes one exchange.
    pub fn write(&mut self, exchange: &Exchange) -> io::Result<()> {
        self.line(&Line::of(exchange))
    }

    /// Counts a record that is not written; the count, with the first places, is the last line.
    pub fn skip(&mut self, skipped: &Skipped) {
        self.skipped.add(skipped);
    }

    /// Ends the file and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(line) = std::mem::take(&mut self.skipped).line() {
            self.line(&line)?;
        }
        match self.sink {
            Sink::Plain(mut out) => out.flush().map(|()| out),
            Sink::Gzip(out) => out.finish(),
            Sink::Zstd(frames) => frames.finish(),
        }
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(value)?;
        bytes.push(b'\n');
        match &mut self.sink {
            Sink::Plain(out) => out.write_all(&bytes),
            Sink::Gzip(out) => out.write_all(&bytes),
            Sink::Zstd(frames) => frames.write(&bytes),
        }
    }
}
