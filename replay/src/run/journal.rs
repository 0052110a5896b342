//! What a run has seen so far, on disk, so that a run that was killed can go on.
//!
//! A journal is a line of JSON that says what was run, then one record for each outcome: the length of what follows, a checksum, and the entry.
//! What was under way when a run was killed has no record, and is sent again. Judging reads the same records: there is no second copy of an answer.
//!
//! **Invariant**: a record counts only when all of it is there; what follows the last whole one is cut off. It deliberately opens no file:
//! the caller appends what [`encode`] gives, and hands in what it reads.

use std::{
    borrow::Cow,
    io::{self, BufRead, Read},
    sync::Arc,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use super::outcomes::Archive;
use crate::run::{Answer, FailureReason, Outcome};

/// A first line is no longer than this; what is longer is no journal.
const HEAD_BYTES: u64 = 1 << 20;

/// One outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and all may hold at once"
)]
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
    /// Whether it was written twice, because the connection of the first time was closed before an answer came.
    pub resent: bool,
    /// From the sending to the outcome, in nanoseconds.
    pub took_ns: u64,
    /// An answer or a failure.
    pub outcome: Outcome,
}

impl Entry {
    /// An outcome of the request at this place in the plan, without times.
    pub fn untimed(at: usize, outcome: Outcome) -> Self {
        Self {
            state: false,
            at,
            late_ns: 0,
            waited: false,
            held: false,
            resent: false,
            took_ns: 0,
            outcome,
        }
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Bytes from the journal's start.
    pub offset: u64,
    /// Its bytes.
    pub length: u32,
}

/// An outcome that an earlier run left, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether it is a read of the final state.
    pub state: bool,
    /// The request's place in the plan, or the entity's.
    pub at: usize,
    /// Where its record is.
    pub place: Place,
}

/// Where a run tells its outcomes.
pub trait Recorder: Send {
    /// Takes an outcome, or learns that a request was skipped; says where an answer or a failure can be read again.
    fn record(&mut self, entry: &Entry) -> Option<Place>;

    /// Reads again what was recorded. A recorder without an archive leaves the run to keep its outcomes in memory.
    fn archive(&self) -> Option<Arc<dyn Archive>> {
        None
    }
}

/// Keeps nothing.
impl Recorder for () {
    fn record(&mut self, _: &Entry) -> Option<Place> {
        None
    }
}

/// What a run takes from an earlier one, and where it tells its own outcomes.
pub struct Journal<'j> {
    /// Outcomes that are known already; the recorder's archive has them.
    pub known: Vec<Known>,
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and all may hold at once"
)]
struct Record<'r> {
    run: u8,
    state: bool,
    at: u64,
    late_ns: u64,
    waited: bool,
    held: bool,
    resent: bool,
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
    pub known: Vec<(u8, Known)>,
    /// So many of its bytes are whole: what follows has to be cut off before more is appended.
    pub whole: u64,
}

/// A journal that cannot be gone on with.
#[derive(Debug, thiserror::Error)]
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
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
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
        resent: entry.resent,
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

/// Reads a journal of `identity`, its first line, one record at a time.
///
/// # Errors
/// When it is of another run, or cannot be read.
pub fn resume(mut journal: impl BufRead, identity: &str) -> Result<Resumed, Broken> {
    let mut line = Vec::new();
    journal
        .by_ref()
        .take(HEAD_BYTES)
        .read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(Broken::Headless);
    }
    let found = String::from_utf8_lossy(&line);
    if found != identity {
        return Err(Broken::Other {
            found: found.into_owned(),
            expected: identity.to_owned(),
        });
    }
    let mut whole = line.len() as u64 + 1;
    let mut known = Vec::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        journal.by_ref().take(8).read_to_end(&mut bytes)?;
        let Some(length) = number(&bytes, 0) else {
            break;
        };
        journal
            .by_ref()
            .take(length.into())
            .read_to_end(&mut bytes)?;
        let Some((run, entry)) = decode(&bytes) else {
            break;
        };
        let place = Place {
            offset: whole,
            length: u32::try_from(bytes.len()).expect("an answer is far below 4 GiB"),
        };
        whole += bytes.len() as u64;
        known.push((
            run,
            Known {
                state: entry.state,
                at: entry.at,
                place,
            },
        ));
    }
    Ok(Resumed { known, whole })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The entry of a record, all of it and nothing else, and its run's number.
pub fn decode(record: &[u8]) -> Option<(u8, Entry)> {
    let content = record.get(8..)?;
    let length = usize::try_from(number(record, 0)?).ok()?;
    if content.len() != length || checksum(content) != number(record, 4)? {
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
        resent: record.resent,
        took_ns: record.took_ns,
        outcome,
    };
    Some((record.run, entry))
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
            resent: at.is_multiple_of(7),
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
            let read = |(run, known): &(u8, Known)| {
                let from = usize::try_from(known.place.offset).expect("it is small");
                let record = &journal[from..from + known.place.length as usize];
                let (of, entry) = decode(record).expect("it is whole");
                assert_eq!((of, entry.at), (*run, known.at));
                entry
            };
            assert_eq!(
                resumed.known.iter().map(read).collect::<Vec<_>>(),
                (0..whole).map(entry).collect::<Vec<_>>()
            );
            assert_eq!(resumed.whole, ends[whole] as u64);
        }
        let last = journal.len() - 1;
        journal[last] ^= 1;
        let resumed = resume(&journal[..], "this run").expect("it is of this run");
        assert_eq!(resumed.known.len(), 4, "a wrong checksum ends it");
    }

    #[test]
    fn another_runs_journal_is_refused() {
        for headless in [&b""[..], b"this"] {
            let error = resume(headless, "this").expect_err("no line");
            assert!(matches!(error, Broken::Headless));
        }
        let error = resume(&b"that\n"[..], "this").expect_err("another run");
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
