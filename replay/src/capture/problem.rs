//! What can be wrong with a capture: a record that is skipped and counted, or a file that cannot be used.
//!
//! **Invariant**: each names its place. A skipped record never ends the reading, a [`CaptureError`] always does.

use std::{fmt, sync::Arc};

use crate::capture::Exchange;

/// What a reader yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An exchange.
    Exchange(Box<Exchange>),
    /// Something that is no exchange, counted with its place.
    Skipped(Skipped),
}

/// A record that is not replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// The line it is on, from 1, where the format has lines.
    pub line: Option<u64>,
    /// Where it begins: bytes from the start of the (decompressed) capture.
    pub offset: u64,
    /// Why it is skipped.
    pub kind: SkippedKind,
    /// What was found there, for people.
    pub reason: String,
    /// How many records it stands for: one, but for those that were skipped when the file was imported.
    pub count: u64,
}

impl Skipped {
    /// Where it is, for people: `x.log: line 3, byte 120`.
    pub fn place(&self) -> String {
        let Self { file, offset, .. } = self;
        match self.line {
            Some(line) => format!("{file}: line {line}, byte {offset}"),
            None => format!("{file}: byte {offset}"),
        }
    }
}

/// Why a record is skipped.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum SkippedKind {
    /// It cannot be read. It counts against coverage.
    Malformed,
    /// A response whose request is not in the capture. It counts against coverage: a request was lost.
    OrphanResponse,
    /// The answer of an earlier replay, which no comparison needs.
    ReplayedResponse,
    /// It is longer than the limit of a record. It counts against coverage.
    TooLarge,
    /// It was answered from a cache of the client's and never sent.
    FromCache,
    /// It is no HTTP request: a span of something else, a flow of another protocol.
    NotHttp,
}

impl SkippedKind {
    /// Whether an original request was lost with it.
    pub fn loses_a_request(self) -> bool {
        match self {
            Self::Malformed | Self::OrphanResponse | Self::TooLarge => true,
            Self::ReplayedResponse | Self::FromCache | Self::NotHttp => false,
        }
    }
}

/// What is wrong with a whole capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is nothing in it.
    Empty,
    /// It is there twice, and each of its exchanges would be.
    Repeated,
    /// It ends too early.
    Truncated,
    /// It is in no format that is read.
    UnknownFormat,
    /// It is in a newer version of a format.
    NewerMajor,
    /// It is in a version of a format that is too old to be read.
    OldVersion,
    /// A record cannot be read, and the reading was to stop at the first.
    Strict,
    /// It is above a limit.
    TooLarge,
    /// It is damaged where it must not be: not UTF-8, not gzip, no header.
    Damaged,
    /// The operating system could not read it.
    Unreadable,
}

/// A capture that cannot be used: which file, where, what was found, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CaptureError {
    /// The file as the user named it.
    pub file: String,
    /// Where in it: `byte 120`, `line 3`.
    pub place: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What kind of fault it is.
    pub fault: Fault,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            place,
            found,
            expected,
            fault,
        } = self;
        if *fault == Fault::Unreadable {
            // The place is where the reading had come to: at a missing file, nowhere.
            return write!(f, "{file}: cannot be read: {found}");
        }
        write!(f, "{file}: {place}: found {found}, expected {expected}")
    }
}
