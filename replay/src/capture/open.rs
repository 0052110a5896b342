//! Finds out a capture's format and reads it.
//!
//! **Invariant**: the content decides; the extension only helps where there is no content to tell by.

use std::io::{self, Read};

use crate::capture::{
    CaptureError, Exchange, Fault, Record, Skipped, goreplay, goreplay::GoReplay, input::Input,
    lines::Lines,
};

/// A format of captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our own JSON lines.
    Rehearsal,
    /// GoReplay's `.gor`.
    GoReplay,
}

impl Format {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rehearsal => "rehearsal.capture/1",
            Self::GoReplay => "goreplay",
        }
    }
}

/// A capture being read: an iterator of records in bounded memory.
#[derive(Debug)]
pub enum Reader<R: Read> {
    /// Our own JSON lines.
    Lines(Box<Lines<R>>),
    /// GoReplay's `.gor`.
    GoReplay(Box<GoReplay<R>>),
}

/// Enough of the beginning to tell a format by.
const PEEK: usize = 512;

/// Opens the capture behind `reader`; `name` is the file as the user named it.
pub fn open<R: Read>(name: &str, reader: R) -> Result<Reader<R>, CaptureError> {
    let fail = |error: &io::Error| io_error(name, 0, error);
    let mut input = Input::new(reader).map_err(|error| fail(&error))?;
    let begin = input.peek(PEEK).map_err(|error| fail(&error))?;
    let begin = begin
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(begin)
        .trim_ascii_start();
    let first = begin.split(|byte| *byte == b'\n').next().unwrap_or(begin);
    let unknown = |found: String, fault| CaptureError {
        file: name.to_owned(),
        place: "byte 0".to_owned(),
        found,
        expected: "rehearsal.capture/1 (JSON lines) or GoReplay's .gor, gzip or not".to_owned(),
        fault,
    };
    if begin.is_empty() {
        return Err(unknown("an empty file".to_owned(), Fault::Empty));
    }
    if goreplay::is_meta(first) {
        return Ok(Reader::GoReplay(Box::new(GoReplay::new(name, input))));
    }
    let mentions_format = memchr::memmem::find(first, b"\"format\"").is_some();
    if first.starts_with(b"{") && (mentions_format || extension(name) == Some("jsonl")) {
        return Lines::new(name, input).map(|lines| Reader::Lines(Box::new(lines)));
    }
    if extension(name) == Some("gor") {
        return Ok(Reader::GoReplay(Box::new(GoReplay::new(name, input))));
    }
    let shown: String = String::from_utf8_lossy(first).chars().take(40).collect();
    Err(unknown(format!("{shown:?}"), Fault::UnknownFormat))
}

fn extension(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.rsplit_once('.').map(|(_, extension)| extension)
}

impl<R: Read> Reader<R> {
    /// What format it is.
    pub fn format(&self) -> Format {
        match self {
            Self::Lines(_) => Format::Rehearsal,
            Self::GoReplay(_) => Format::GoReplay,
        }
    }

    /// The SHA-256 of the file's bytes, as they are on disk; reads whatever is left.
    pub fn sha256(self) -> io::Result<String> {
        match self {
            Self::Lines(lines) => lines.into_input().sha256(),
            Self::GoReplay(goreplay) => goreplay.into_input().sha256(),
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::GoReplay(goreplay) => goreplay.next(),
        }
    }
}

/// A capture in memory, in order of time.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The SHA-256 of the file's bytes.
    pub sha256: String,
    /// What format it was in.
    pub format: Format,
    /// The exchanges; each one's `seq` is its place here.
    pub exchanges: Vec<Exchange>,
    /// What is no exchange.
    pub skipped: Vec<Skipped>,
}

/// Reads a whole capture.
///
/// # Errors
/// What ends the reading, and a capture without a single exchange.
pub fn load<R: Read>(name: &str, reader: R) -> Result<Capture, CaptureError> {
    let mut reader = open(name, reader)?;
    let format = reader.format();
    let (mut exchanges, mut skipped) = (Vec::new(), Vec::new());
    for record in &mut reader {
        match record? {
            Record::Exchange(exchange) => exchanges.push(*exchange),
            Record::Skipped(one) => skipped.push(one),
        }
    }
    if exchanges.is_empty() {
        let found = skipped.first().map_or_else(
            || "no exchange".to_owned(),
            |first| {
                format!(
                    "no exchange; the first record at byte {}: {}",
                    first.offset, first.reason
                )
            },
        );
        return Err(CaptureError {
            file: name.to_owned(),
            place: "the whole file".to_owned(),
            found,
            expected: "at least one exchange".to_owned(),
            fault: Fault::Empty,
        });
    }
    exchanges.sort_by_key(|exchange: &Exchange| exchange.ts_ns);
    for (seq, exchange) in (0..).zip(&mut exchanges) {
        exchange.seq = seq;
    }
    let sha256 = reader.sha256().map_err(|error| io_error(name, 0, &error))?;
    Ok(Capture {
        sha256,
        format,
        exchanges,
        skipped,
    })
}

/// What the operating system or the decompressor said, as a capture's error.
pub(crate) fn io_error(name: &str, offset: u64, error: &io::Error) -> CaptureError {
    let (fault, expected) = match error.kind() {
        io::ErrorKind::UnexpectedEof => (Fault::Truncated, "the whole gzip stream"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            (Fault::Damaged, "a readable capture")
        }
        _ => (Fault::Unreadable, "a readable file"),
    };
    CaptureError {
        file: name.to_owned(),
        place: format!("byte {offset}"),
        found: error.to_string(),
        expected: expected.to_owned(),
        fault,
    }
}
