//! What the two ends of a verifying process say to each other: frames of JSON over a socket pair.
//!
//! **Invariant**: answers come in the order of the orders. Both ends are this program, so nothing here is a format for others.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::source::{Circumstances, Source};
use crate::interpose::{Counts, guard};

/// The longest frame: a trace with all its counts is far below it.
const FRAME_LIMIT: usize = 1 << 30;

/// The first frame to a process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    /// Names, for messages, and texts of scenarios and plans.
    pub(super) inputs: Vec<(PathBuf, String)>,
    pub(super) circumstances: Circumstances,
    /// The longest that a run may take, in real milliseconds.
    pub(super) limit_ms: u64,
}

/// The first frame from a process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Whether its addresses were drawn anew.
    pub(super) randomized: bool,
    pub(super) guards: guard::State,
}

/// One run to be done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) input: usize,
    pub(super) seed: u64,
    /// Whether the trace comes back, with what was asked for at each entry.
    pub(super) detail: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Ran(Ran),
    /// No verdict: a panic, a limit. The text is the same in both processes, or it is a difference.
    Broke(String),
    /// The run was ended because it asked for what is refused.
    Refused(Source, String),
}

/// A run that ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ran {
    /// The trace's digest.
    pub(super) digest: String,
    /// SHA-256 over all that the run sent back: the verdict, the counts, the trace if it was asked for.
    pub(super) whole: String,
    /// The trace's entries as lines of JSON, if they were asked for.
    pub(super) entries: Vec<String>,
    /// What was asked for until each entry.
    pub(super) asked: Vec<Counts>,
}

pub(super) fn send<T: Serialize>(stream: &mut impl Write, value: &T) -> io::Result<()> {
    let body = serde_json::to_vec(value)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend_from_slice(&body);
    stream.write_all(&frame)
}

/// The next frame, or `None` at the stream's end.
pub(super) fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    if let Err(error) = stream.read_exact(&mut length) {
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Ok(None)
        } else {
            Err(error)
        };
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_LIMIT {
        return Err(io::Error::other("a frame is longer than any that is sent"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}
