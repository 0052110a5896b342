//! Opens one stream of bytes as a capture, whatever its format, and reads it.
//!
//! **Invariant**: what a reader yields is in order of time within its window; after an error it yields nothing more.

use std::{
    io::{self, Read},
    sync::Arc,
};

use crate::capture::{
    CaptureError, Exchange, Fault, Format, Manifest, Options, Record, Skipped,
    format::PEEK,
    input::{Failed, Input},
    parser::Parser,
    sorter::{Sorted, Sorter},
};

/// A capture being read: an iterator of records in bounded memory.
#[derive(Debug)]
pub struct Reader<R: Read> {
    name: Arc<str>,
    parser: Parser<R>,
    sorter: Sorter,
}

/// Opens the capture behind `reader` in any format; `name` is the file as the user named it.
pub fn open<R: Read>(name: &str, reader: R) -> Result<Reader<R>, CaptureError> {
    open_with(name, reader, &Options::default())
}

/// Opens the capture behind `reader` as `options` say.
pub fn open_with<R: Read>(
    name: &str,
    reader: R,
    options: &Options,
) -> Result<Reader<R>, CaptureError> {
    let name: Arc<str> = name.into();
    let Some(parser) = parser(&name, reader, options)? else {
        return Err(fault(&name, "an empty file".to_owned(), Fault::Empty));
    };
    Ok(Reader {
        name,
        parser,
        sorter: Sorter::new(options),
    })
}

/// The parser of what is behind `reader`; `None` if there is nothing.
pub(crate) fn parser<R: Read>(
    name: &Arc<str>,
    reader: R,
    options: &Options,
) -> Result<Option<Parser<R>>, CaptureError> {
    let fail = |error: &io::Error| io_error(name, 0, error);
    let mut input = Input::new(reader, options.limits).map_err(|error| fail(&error))?;
    let begin = input.peek(PEEK).map_err(|error| fail(&error))?;
    let shown = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
    let shown = shown.trim_ascii_start();
    if shown.is_empty() {
        return Ok(None);
    }
    let Some(format) = options.format.or_else(|| Format::detect(name, begin)) else {
        let first = shown.split(|byte| *byte == b'\n').next().unwrap_or(shown);
        let shown: String = String::from_utf8_lossy(first).chars().take(40).collect();
        return Err(fault(name, format!("{shown:?}"), Fault::UnknownFormat));
    };
    Parser::new(format, Arc::clone(name), input, options).map(Some)
}

fn fault(name: &str, found: String, fault: Fault) -> CaptureError {
    CaptureError {
        file: name.to_owned(),
        place: "byte 0".to_owned(),
        found,
        expected: "a capture: rehearsal.capture/1, GoReplay, HAR, mitmproxy, an Envoy tap or log, an nginx log of JSON or OTLP spans, gzip or zstd or neither".to_owned(),
        fault,
    }
}

impl<R: Read> Reader<R> {
    /// What format it is.
    pub fn format(&self) -> Format {
        self.parser.format()
    }

    /// The first line of a capture in our own format.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.parser.manifest()
    }

    /// The SHA-256 of the file's bytes, as they are on disk; reads whatever is left.
    pub fn sha256(self) -> io::Result<String> {
        self.parser.into_input().sha256().map(|(sha256, _)| sha256)
    }
}

impl<R: Read> Sorted for Reader<R> {
    fn sorter(&mut self) -> &mut Sorter {
        &mut self.sorter
    }

    fn advance(&mut self) -> Result<bool, CaptureError> {
        let parsed = self.parser.next()?;
        let more = parsed.is_some();
        if let Some(parsed) = parsed {
            self.sorter.push(&self.name, parsed);
        }
        Ok(more)
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record()
    }
}

/// What a capture is, besides its exchanges.
#[derive(Clone, Debug)]
pub struct Origin {
    /// See [`Capture::sha256`].
    pub sha256: String,
    /// What format it was in.
    pub format: Format,
    /// What is no exchange.
    pub skipped: Vec<Skipped>,
}

/// A capture in memory, in order of time.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The SHA-256 of the file's bytes; of several files, that of their hashes, one a line.
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
    let (exchanges, skipped) = collect(name, &mut reader)?;
    let sha256 = reader.sha256().map_err(|error| io_error(name, 0, &error))?;
    Ok(Capture {
        sha256,
        format,
        exchanges,
        skipped,
    })
}

/// All exchanges in order of time, and all that was skipped.
pub(crate) fn collect(
    name: &str,
    records: impl Iterator<Item = Result<Record, CaptureError>>,
) -> Result<(Vec<Exchange>, Vec<Skipped>), CaptureError> {
    let (mut exchanges, mut skipped) = (Vec::new(), Vec::new());
    for record in records {
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
    Ok((exchanges, skipped))
}

/// What the operating system or the decompressor said, as a capture's error: at `offset` if it does not know its place.
pub(crate) fn io_error(name: &str, offset: u64, error: &io::Error) -> CaptureError {
    let (fault, expected) = match error.kind() {
        io::ErrorKind::UnexpectedEof => (Fault::Truncated, "the whole compressed stream"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            (Fault::Damaged, "a readable capture")
        }
        io::ErrorKind::FileTooLarge => (Fault::TooLarge, "a file within the limit"),
        _ => (Fault::Unreadable, "a readable file"),
    };
    let failed = error.get_ref().and_then(|error| error.downcast_ref());
    let offset = failed.map_or(offset, |failed: &Failed| failed.offset);
    CaptureError {
        file: name.to_owned(),
        place: format!("byte {offset}"),
        found: error.to_string(),
        expected: expected.to_owned(),
        fault,
    }
}
