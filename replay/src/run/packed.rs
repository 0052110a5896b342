//! Observations on their way from one process to another: the journal of a run, kept in memory, and what is known without reading it.
//!
//! A simulated side runs in a process of its own, and another one judges it. What crosses is what a live run leaves on disk.
//!
//! **Invariant**: what is unpacked says the same as what was packed; bytes that are not whole are refused. It deliberately starts no process
//! and knows no pipe.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    journal::{Entry, Place, Recorder, encode},
    outcomes::{Archive, Outcomes, Record},
};
use crate::{
    rules::Side,
    run::{Latency, Observations, Punctuality, Time},
};

/// A journal in memory: the run's recorder, and where its answers are read again. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<Vec<u8>>>);

impl Recorder for Shelf {
    fn record(&mut self, entry: &Entry) -> Option<Place> {
        let bytes = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = bytes.len();
        encode(0, entry, bytes);
        // Nothing is written of a request that was skipped.
        let length = u32::try_from(bytes.len() - offset).expect("an answer is far below 4 GiB");
        (length > 0).then_some(Place {
            offset: offset as u64,
            length,
        })
    }

    fn archive(&self) -> Option<Arc<dyn Archive>> {
        Some(Arc::new(self.clone()))
    }
}

impl Archive for Shelf {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let there = journal.get(from..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn lost(&self, told: &str) {
        panic!("memory keeps what was written to it: {told}");
    }
}

/// What is known without the journal.
#[derive(Serialize, Deserialize)]
struct Known {
    side: Side,
    url: String,
    outcomes: Vec<Record>,
    state: Vec<Record>,
    latency: Latency,
    duration_ns: u64,
    time: Time,
    resent: u64,
    punctuality: Option<Punctuality>,
}

/// Packed observations that cannot be read.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("found {0} bytes that are no whole observations")]
pub struct Torn(usize);

/// So many bytes tell how long the part before the journal is.
const HEAD: usize = 8;

impl Observations {
    /// Packs what a run with `shelf` as its recorder saw.
    ///
    /// # Panics
    /// When the run had another recorder: a bug of the caller.
    pub fn packed(self, shelf: &Shelf) -> Vec<u8> {
        let records = |outcomes: Outcomes| {
            outcomes
                .into_records()
                .expect("the run's recorder has an archive")
        };
        let known = Known {
            side: self.side,
            url: self.url,
            outcomes: records(self.outcomes),
            state: records(self.state),
            latency: self.latency,
            duration_ns: self.duration_ns,
            time: self.time,
            resent: self.resent,
            punctuality: self.punctuality,
        };
        let mut packed = postcard::to_extend(&known, vec![0; HEAD]).expect("it is plain data");
        let length = (packed.len() - HEAD) as u64;
        packed[..HEAD].copy_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&shelf.0.lock().unwrap_or_else(PoisonError::into_inner));
        packed
    }

    /// What was [packed](Self::packed). Answers stay packed until they are read.
    ///
    /// # Errors
    /// When `packed` is not whole.
    pub fn unpacked(mut packed: Vec<u8>) -> Result<Self, Torn> {
        let torn = Torn(packed.len());
        let (known, begin) = known(&packed).ok_or(torn)?;
        packed.drain(..begin);
        let archive: Arc<dyn Archive> = Arc::new(Shelf(Arc::new(Mutex::new(packed))));
        Ok(Self {
            side: known.side,
            url: known.url,
            outcomes: Outcomes::archived(known.outcomes, archive.clone()),
            state: Outcomes::archived(known.state, archive),
            latency: known.latency,
            duration_ns: known.duration_ns,
            time: known.time,
            resent: known.resent,
            punctuality: known.punctuality,
        })
    }
}

/// What is known without the journal, and where that begins; nothing if something is missing or follows.
fn known(packed: &[u8]) -> Option<(Known, usize)> {
    let (head, rest) = packed.split_first_chunk::<HEAD>()?;
    let length = usize::try_from(u64::from_le_bytes(*head)).ok()?;
    let known: Known = postcard::from_bytes(rest.get(..length)?).ok()?;
    let all = known.outcomes.iter().chain(&known.state);
    let end = all.map(Record::end).max().unwrap_or(0);
    ((rest.len() - length) as u64 == end).then_some((known, HEAD + length))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::run::{Answer, FailureReason, Outcome, SkipReason};

    fn observed(outcomes: &[Outcome]) -> (Observations, Shelf) {
        let mut shelf = Shelf::default();
        let mut latency = Latency::new();
        let mut seen = Outcomes::open(outcomes.len(), shelf.archive());
        for (at, outcome) in outcomes.iter().enumerate() {
            let entry = Entry::untimed(at, outcome.clone());
            let place = shelf.record(&entry);
            seen.put(at, entry.outcome, place);
            latency.record(0, 1_000, 7_654_321 * (at as u64 + 1));
        }
        let observed = Observations {
            side: Side::Candidate,
            url: "http://candidate:80".to_owned(),
            outcomes: seen,
            state: Outcomes::open(0, None),
            latency,
            duration_ns: 12,
            time: Time::Virtual,
            resent: 3,
            punctuality: Some(Punctuality {
                sent: 3,
                ..Punctuality::default()
            }),
        };
        (observed, shelf)
    }

    fn outcomes() -> [Outcome; 3] {
        [
            Outcome::Answered(Answer {
                status: 201,
                headers: vec![("a".into(), "é".into())],
                body: Bytes::from_static(&[0, 255, 10]),
            }),
            Outcome::Skipped(SkipReason::Unresolved),
            Outcome::Failed {
                reason: FailureReason::Timeout,
                message: "late".into(),
            },
        ]
    }

    #[test]
    fn what_is_unpacked_says_the_same() {
        let (before, shelf) = observed(&outcomes());
        let after = Observations::unpacked(before.clone().packed(&shelf)).expect("it is whole");
        for (at, outcome) in outcomes().iter().enumerate() {
            assert_eq!(&*after.outcomes.read(at), outcome);
            assert_eq!(after.outcomes.digest(at), before.outcomes.digest(at));
        }
        assert_eq!(after.accounting(), before.accounting());
        assert_eq!(after.latency.response(), before.latency.response());
        assert_eq!(after.latency.service(), before.latency.service());
        assert_eq!(
            (after.side, &after.url, after.duration_ns, after.resent),
            (before.side, &before.url, before.duration_ns, before.resent)
        );
        assert_eq!(
            (after.time, after.punctuality),
            (before.time, before.punctuality)
        );
        assert!(after.state.is_empty());
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let (before, shelf) = observed(&outcomes());
        let packed = before.packed(&shelf);
        for cut in 0..packed.len() {
            Observations::unpacked(packed[..cut].to_vec()).expect_err("something is missing");
        }
        let mut longer = packed.clone();
        longer.push(0);
        Observations::unpacked(longer).expect_err("something follows");
        let (nothing, shelf) = observed(&[]);
        let nothing = Observations::unpacked(nothing.packed(&shelf)).expect("it is whole");
        assert!(nothing.outcomes.is_empty());
    }
}
