//! What a run has seen so far, on disk, so that a run that was killed can go on.
//!
//! A journal is a line of JSON that says what was run, then one record for each outcome: the length of what follows, a checksum, and the entry.
//! What was under way when a run was killed has no record, and is sent again.
//!
//! **Invariant**: a record counts only when all of it is there; what follows the last whole one is cut off. It deliberately opens no file:
//! the caller appends what [`encode`] gives, and hands back what it read.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use crate::run::{Answer, FailureReason, Outcome};

/// One outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether it is a read of the final state.
    pub state: bool,
    /// The request's place in the plan, or the entity's.
    pub at: usize,
    /// When it left after its intended time, in nanoseconds.
    pub late_ns: u64,
    /// Whether it waited for an earlier answer that it depends on.
    pub waited: bool,
    /// Whether the limit of requests in flight held it back.
    pub held: bool,
    /// From the sending to the outcome, in nanoseconds.
    pub took_ns: u64,
    /// An answer or a failure.
    pub outcome: Outcome,
}

/// Where a run tells its outcomes.
pub trait Recorder: Send {
    /// Takes an outcome.
    fn record(&mut self, entry: &Entry);

    /// The run is going to wait: what was taken has to be where a killed process leaves it.
    fn flush(&mut self);
}

/// Keeps nothing.
impl Recorder for () {
    fn record(&mut self, _: &Entry) {}
    fn flush(&mut self) {}
}

/// What a run takes from an earlier one, and where it tells its own outcomes.
pub struct Journal<'j> {
    /// Outcomes that are known already.
    pub known: Vec<Entry>,
    /// Takes the new ones.
    pub recorder: &'j mut dyn Recorder,
}

impl std::fmt::Debug for Journal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

/// An entry as it is written.
#[derive(Serialize, Deserialize)]
struct Record<'r> {
    run: u8,
    state: bool,
    at: u64,
    late_ns: u64,
    waited: bool,
    held: bool,
    took_ns: u64,
    #[serde(borrow)]
    outcome: Written<'r>,
}

#[derive(Serialize, Deserialize)]
enum Written<'r> {
    Answered {
        status: u16,
        headers: Cow<'r, [(String, String)]>,
        #[serde(borrow, serialize_with = "whole")]
        body: &'r [u8],
    },
    Failed {
        reason: FailureReason,
        message: Cow<'r, str>,
    },
}

/// All of a body at once: by itself serde would write a byte at a time.
fn whole<S: Serializer>(body: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(body)
}

/// What was read from a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Its outcomes in the order they were written, each with its run's number.
    pub entries: Vec<(u8, Entry)>,
    /// So many of its bytes are whole: what follows has to be cut off before more is appended.
    pub whole: usize,
}

/// A journal that cannot be gone on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It has no first line.
    #[error("found no first line, expected what was run")]
    Headless,
    /// It is of another run.
    #[error("found a journal of {found}, expected one of {expected}")]
    Other {
        /// What it is of.
        found: String,
        /// What it should be of.
        expected: String,
    },
}

/// Appends the record of `entry` of the run of this number (a replay has a run for each side) to `bytes`; nothing for a request that was
/// skipped, which a later run decides anew.
pub fn encode(run: u8, entry: &Entry, bytes: &mut Vec<u8>) {
    let outcome = match &entry.outcome {
        Outcome::Answered(answer) => Written::Answered {
            status: answer.status,
            headers: Cow::Borrowed(&answer.headers),
            body: &answer.body,
        },
        Outcome::Failed { reason, message } => Written::Failed {
            reason: *reason,
            message: Cow::Borrowed(message),
        },
        Outcome::Skipped(_) => return,
    };
    let record = Record {
        run,
        state: entry.state,
        at: entry.at as u64,
        late_ns: entry.late_ns,
        waited: entry.waited,
        held: entry.held,
        took_ns: entry.took_ns,
        outcome,
    };
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 8]);
    let mut whole =
        postcard::to_extend(&record, std::mem::take(bytes)).expect("an entry is plain data");
    let (head, content) = whole[start..].split_at_mut(8);
    let length = u32::try_from(content.len()).expect("an answer is far below 4 GiB");
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..].copy_from_slice(&checksum(content).to_le_bytes());
    *bytes = whole;
}

/// Reads a journal of `identity`, its first line.
///
/// # Errors
/// When it is of another run.
pub fn resume(bytes: &[u8], identity: &str) -> Result<Resumed, Broken> {
    let line = memchr::memchr(b'\n', bytes).ok_or(Broken::Headless)?;
    let found = String::from_utf8_lossy(&bytes[..line]);
    if found != identity {
        return Err(Broken::Other {
            found: found.into_owned(),
            expected: identity.to_owned(),
        });
    }
    let mut whole = line + 1;
    let mut entries = Vec::new();
    while let Some((entry, length)) = next(&bytes[whole..]) {
        entries.push(entry);
        whole += length;
    }
    Ok(Resumed { entries, whole })
}

fn next(bytes: &[u8]) -> Option<((u8, Entry), usize)> {
    let number = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let length = 8 + usize::try_from(number(0)?).ok()?;
    let content = bytes.get(8..length)?;
    if checksum(content) != number(4)? {
        return None;
    }
    let record: Record<'_> = postcard::from_bytes(content).ok()?;
    let outcome = match record.outcome {
        Written::Answered {
            status,
            headers,
            body,
        } => Outcome::Answered(Answer {
            status,
            headers: headers.into_owned(),
            body: Bytes::copy_from_slice(body),
        }),
        Written::Failed { reason, message } => Outcome::Failed {
            reason,
            message: message.into_owned(),
        },
    };
    let entry = Entry {
        state: record.state,
        at: usize::try_from(record.at).ok()?,
        late_ns: record.late_ns,
        waited: record.waited,
        held: record.held,
        took_ns: record.took_ns,
        outcome,
    };
    Some(((record.run, entry), length))
}

/// It tells a torn record from a whole one, and is no proof against malice.
fn checksum(bytes: &[u8]) -> u32 {
    u32::try_from(xxhash_rust::xxh3::xxh3_64(bytes) & u64::from(u32::MAX)).expect("32 bits of it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: usize) -> Entry {
        Entry {
            state: false,
            at,
            late_ns: 5,
            waited: at.is_multiple_of(3),
            held: at.is_multiple_of(5),
            took_ns: 7,
            outcome: match at % 2 {
                0 => Outcome::Answered(Answer {
                    status: 200,
                    headers: vec![("a".into(), "b".into())],
                    body: Bytes::from(vec![b'x'; at]),
                }),
                _ => Outcome::Failed {
                    reason: FailureReason::Timeout,
                    message: "late".into(),
                },
            },
        }
    }

    #[test]
    fn a_journal_cut_anywhere_gives_its_whole_records() {
        let mut journal = b"this run\n".to_vec();
        let mut ends = vec![journal.len()];
        for at in 0..5 {
            encode(1, &entry(at), &mut journal);
            ends.push(journal.len());
        }
        for cut in ends[0]..=journal.len() {
            let resumed = resume(&journal[..cut], "this run").expect("it is of this run");
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(
                resumed.entries,
                (0..whole).map(|at| (1, entry(at))).collect::<Vec<_>>()
            );
            assert_eq!(resumed.whole, ends[whole]);
        }
        let last = journal.len() - 1;
        journal[last] ^= 1;
        let resumed = resume(&journal, "this run").expect("it is of this run");
        assert_eq!(resumed.entries.len(), 4, "a wrong checksum ends it");
    }

    #[test]
    fn another_runs_journal_is_refused() {
        assert_eq!(resume(b"", "this"), Err(Broken::Headless));
        let error = resume(b"that\n", "this").expect_err("another run");
        assert_eq!(
            error.to_string(),
            "found a journal of that, expected one of this"
        );
        let skipped = Entry {
            outcome: Outcome::Skipped(crate::run::SkipReason::Stopped),
            ..entry(0)
        };
        let mut journal = Vec::new();
        encode(0, &skipped, &mut journal);
        assert!(journal.is_empty());
    }
}
