//! What became of each request of a run: a small record each in memory, the answers themselves in an archive.
//!
//! A live run may take hours. Its answers are in its journal anyway, so that is where they are read again, one at a time, when they are judged;
//! a run without a journal (a simulated one, a test) keeps them in memory.
//!
//! **Invariant**: with an archive, memory grows by one [`Record`] a request, whatever the answers' sizes. It deliberately opens no file: who
//! writes the journal reads it.

use std::{borrow::Cow, fmt, io, sync::Arc};

use super::journal::{Known, Place, decode};
use crate::run::{Answer, Entry, FailureReason, Outcome, SkipReason};

/// Where a journal's records can be read again.
pub trait Archive: fmt::Debug + Send + Sync {
    /// Fills `bytes` with what stands at `offset`.
    ///
    /// # Errors
    /// When it is not there.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Takes note that a record could not be read again: what is judged without it says nothing, and who opened the archive has to say so.
    fn lost(&self, told: &str);
}

/// What is known of an outcome without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Brief {
    /// It was answered, with this status.
    Answered(u16),
    /// No whole answer came.
    Failed(FailureReason),
    /// It was not tried.
    Skipped(SkipReason),
}

impl Brief {
    /// Of an outcome.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Answered(answer) => Self::Answered(answer.status),
            Outcome::Failed { reason, .. } => Self::Failed(*reason),
            Outcome::Skipped(reason) => Self::Skipped(*reason),
        }
    }
}

/// An archived outcome.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Record {
    place: Place,
    /// Tells answers apart without reading them.
    digest: u64,
    brief: Brief,
}

impl Record {
    /// Where its record ends in the archive.
    pub(super) fn end(&self) -> u64 {
        self.place.offset + u64::from(self.place.length)
    }
}

/// For each request of a plan what became of it, in the plan's order.
#[derive(Clone, Debug)]
pub struct Outcomes(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Memory(Vec<Outcome>),
    Archived {
        records: Vec<Record>,
        archive: Arc<dyn Archive>,
    },
}

impl Outcomes {
    /// So many that are not tried yet; what becomes of them is read from `archive`, where there is one.
    pub(super) fn open(count: usize, archive: Option<Arc<dyn Archive>>) -> Self {
        let open = SkipReason::Stopped;
        Self(match archive {
            None => Kept::Memory(vec![Outcome::Skipped(open); count]),
            Some(archive) => {
                let record = Record {
                    place: Place::default(),
                    digest: 0,
                    brief: Brief::Skipped(open),
                };
                let records = vec![record; count];
                Kept::Archived { records, archive }
            }
        })
    }

    /// Those that `archive` has.
    pub(super) fn archived(records: Vec<Record>, archive: Arc<dyn Archive>) -> Self {
        Self(Kept::Archived { records, archive })
    }

    /// What is known without the archive; nothing of outcomes that are in memory, unless there is none.
    pub(super) fn into_records(self) -> Option<Vec<Record>> {
        match self.0 {
            Kept::Memory(outcomes) => outcomes.is_empty().then(Vec::new),
            Kept::Archived { records, .. } => Some(records),
        }
    }

    /// Takes an outcome; `place` is where the archive has it.
    pub(super) fn put(&mut self, at: usize, outcome: Outcome, place: Option<Place>) {
        match &mut self.0 {
            Kept::Memory(outcomes) => outcomes[at] = outcome,
            Kept::Archived { records, .. } => {
                records[at] = Record {
                    place: place.unwrap_or_default(),
                    digest: digest(&outcome),
                    brief: Brief::of(&outcome),
                };
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kept::Memory(outcomes) => outcomes.len(),
            Kept::Archived { records, .. } => records.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of the outcome at `at` without reading it.
    pub fn brief(&self, at: usize) -> Brief {
        match &self.0 {
            Kept::Memory(outcomes) => Brief::of(&outcomes[at]),
            Kept::Archived { records, .. } => records[at].brief,
        }
    }

    /// The same of all of them, in order.
    pub fn briefs(&self) -> impl DoubleEndedIterator<Item = Brief> + '_ {
        (0..self.len()).map(|at| self.brief(at))
    }

    /// The outcome at `at`, whole. One that cannot be read again is a failure, of which the archive knows.
    pub fn read(&self, at: usize) -> Cow<'_, Outcome> {
        match &self.0 {
            Kept::Memory(outcomes) => Cow::Borrowed(&outcomes[at]),
            Kept::Archived { records, archive } => Cow::Owned(match records[at].brief {
                Brief::Skipped(reason) => Outcome::Skipped(reason),
                Brief::Answered(_) | Brief::Failed(_) => read(&**archive, records[at].place),
            }),
        }
    }

    /// All of them, whole, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, Outcome>> + '_ {
        (0..self.len()).map(|at| self.read(at))
    }

    /// A digest of the answer's status and body: answers that differ in them have different ones.
    pub(crate) fn digest(&self, at: usize) -> u64 {
        match &self.0 {
            Kept::Memory(outcomes) => digest(&outcomes[at]),
            Kept::Archived { records, .. } => records[at].digest,
        }
    }
}

impl FromIterator<Outcome> for Outcomes {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        Self(Kept::Memory(outcomes.into_iter().collect()))
    }
}

/// What a record tells. One that cannot be read again is a failure, of which the archive knows.
pub(crate) fn read(archive: &dyn Archive, place: Place) -> Outcome {
    match entry(archive, place) {
        Ok(entry) => entry.outcome,
        Err(told) => {
            archive.lost(&told);
            Outcome::Failed {
                reason: FailureReason::Broken,
                message: told,
            }
        }
    }
}

/// What an earlier run left, one after the other; what cannot be read again is left out.
pub fn entries(known: &[Known], archive: &dyn Archive) -> impl Iterator<Item = Entry> {
    known
        .iter()
        .filter_map(|one| entry(archive, one.place).ok())
}

/// Reads a record again.
pub(super) fn entry(archive: &dyn Archive, place: Place) -> Result<Entry, String> {
    let mut bytes = vec![0; place.length as usize];
    archive
        .read(place.offset, &mut bytes)
        .map_err(|error| format!("an answer cannot be read again: {error}"))?;
    match decode(&bytes) {
        Some((_, entry)) => Ok(entry),
        None => Err(format!(
            "an answer cannot be read again: byte {} of the journal has changed",
            place.offset
        )),
    }
}

fn digest(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Answered(Answer { status, body, .. }) => {
            xxhash_rust::xxh3::xxh3_64_with_seed(body, u64::from(*status))
        }
        Outcome::Failed { .. } | Outcome::Skipped(_) => 0,
    }
}

// What memory grows by, for each request and side.
const _: () = assert!(size_of::<Record>() <= 32);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::run::encode;

    #[derive(Debug, Default)]
    struct Shelf {
        bytes: Vec<u8>,
        lost: Mutex<Vec<String>>,
    }

    impl Archive for Shelf {
        fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            let from = usize::try_from(offset).expect("it is small");
            let there = self.bytes.get(from..from + bytes.len());
            bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }

        fn lost(&self, told: &str) {
            self.lost.lock().expect("no panic").push(told.to_owned());
        }
    }

    fn answered(body: &'static str) -> Outcome {
        Outcome::Answered(Answer {
            status: 200,
            headers: vec![("a".into(), "b".into())],
            body: Bytes::from(body),
        })
    }

    #[test]
    fn what_is_archived_is_read_again_and_what_cannot_be_is_told() {
        let outcomes = [answered("one"), answered("two"), answered("three")];
        let mut shelf = Shelf::default();
        let mut places = Vec::new();
        for (at, outcome) in outcomes.iter().enumerate() {
            let entry = Entry::untimed(at, outcome.clone());
            let offset = shelf.bytes.len() as u64;
            encode(0, &entry, &mut shelf.bytes);
            let length = u32::try_from(shelf.bytes.len() as u64 - offset).expect("it is small");
            places.push(Place { offset, length });
        }
        let last = shelf.bytes.len() - 1;
        shelf.bytes[last] ^= 1;
        let shelf = Arc::new(shelf);
        let mut archived = Outcomes::open(4, Some(shelf.clone()));
        for (at, outcome) in outcomes.iter().enumerate() {
            archived.put(at, outcome.clone(), Some(places[at]));
        }
        for (at, outcome) in outcomes[..2].iter().enumerate() {
            assert_eq!(&*archived.read(at), outcome);
            assert_eq!(archived.brief(at), Brief::Answered(200));
        }
        assert_eq!(*archived.read(3), Outcome::Skipped(SkipReason::Stopped));
        assert!(shelf.lost.lock().expect("no panic").is_empty());
        assert!(matches!(*archived.read(2), Outcome::Failed { .. }));
        assert_eq!(shelf.lost.lock().expect("no panic").len(), 1);
        let memory: Outcomes = outcomes.into_iter().collect();
        for at in 0..3 {
            assert_eq!(archived.digest(at), memory.digest(at));
        }
        assert_ne!(archived.digest(0), archived.digest(1));
    }
}
