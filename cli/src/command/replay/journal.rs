//! The journal of a replay against running services: every answer, on disk. A replay that was killed goes on from it, and judging reads it again.
//!
//! A file system can take many milliseconds for a write, so a run, which has requests to send, hands its outcomes to a thread that writes.
//!
//! **Invariant**: an outcome is in the file, in the kernel's hands, within [`EVERY`] or as soon as the disk lets it; a killed process loses what
//! was under way and what came in that time, and a resumed one sends it again. An answer that could not be written is nowhere, so the sending
//! ends then and nothing is judged. It deliberately does not wait for the disk: a machine that loses power may lose the last seconds.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufReader, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use rehearsal_replay::run::{
    Archive, BrokenJournal, Entry, Known, Place, Recorder, encode, resume,
};
use tokio::sync::watch;

use crate::problem::Problem;

/// Its name beside the results.
pub(super) const JOURNAL: &str = "replay.journal";

/// What came is written this often.
const EVERY: Duration = Duration::from_millis(2);
/// With a disk so far behind, runs write themselves, and wait for it: what is kept in memory has a limit.
const BEHIND: usize = 16 << 20;

/// An open journal.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Arc<Shared>,
    broke: watch::Receiver<bool>,
    /// The writing thread ends with the last of these.
    _open: Sender<()>,
}

/// Where outcomes wait to be written, and the file.
#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    writer: Mutex<Writer>,
    /// The same file, for reading.
    reader: File,
    lost: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Pending {
    bytes: Vec<u8>,
    /// Where the file ends once they are written.
    end: u64,
}

#[derive(Debug)]
struct Writer {
    file: File,
    /// What was written goes in and comes out again, so that two buffers do for the whole run.
    spare: Vec<u8>,
    failed: Option<String>,
    breaks: watch::Sender<bool>,
}

impl Shared {
    /// Writes what came so far.
    fn write(&self) -> MutexGuard<'_, Writer> {
        // The file comes first: whoever has it takes what is pending, so records stay in order.
        let mut writer = locked(&self.writer);
        let mut bytes = std::mem::take(&mut writer.spare);
        std::mem::swap(&mut bytes, &mut locked(&self.pending).bytes);
        if !bytes.is_empty()
            && writer.failed.is_none()
            && let Err(error) = writer.file.write_all(&bytes)
        {
            writer.failed = Some(error.to_string());
            writer.breaks.send_replace(true);
        }
        bytes.clear();
        bytes.shrink_to(BEHIND);
        writer.spare = bytes;
        writer
    }

    fn write_until(&self, closed: &Receiver<()>) {
        while closed.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            drop(self.write());
        }
        // Its last owner may have ended in an error.
        drop(self.write());
    }
}

impl Archive for Shared {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact_at(bytes, offset)
    }

    fn lost(&self, told: &str) {
        locked(&self.lost).get_or_insert_with(|| told.to_owned());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an earlier replay saw, by run.
pub(super) type Earlier = Vec<(u8, Known)>;

impl Journal {
    /// A new journal of the replay that `identity` tells of, in `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn start(folder: &Path, identity: &str) -> Result<Self, Problem> {
        let path = folder.join(JOURNAL);
        let head = format!("{identity}\n");
        let mut fresh = OpenOptions::new();
        // It is emptied once nobody else writes it.
        fresh.read(true).write(true).create(true).truncate(false);
        let mut file = fresh
            .open(&path)
            .map_err(|error| unwritable(&path, &error))?;
        own(&file, &path)?;
        let file = file
            .set_len(0)
            .and_then(|()| file.write_all(head.as_bytes()))
            .map(|()| file);
        Self::of(path, file, head.len() as u64)
    }

    /// The journal that is there, what it knows, and how many bytes behind that could not be read; a new one where there is none.
    ///
    /// # Errors
    /// When it is of another replay, or cannot be read or written.
    pub(super) fn resume(folder: &Path, identity: &str) -> Result<(Self, Earlier, u64), Problem> {
        let path = folder.join(JOURNAL);
        let anew = || Ok((Self::start(folder, identity)?, Vec::new(), 0));
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return anew(),
            Err(error) => return Err(Problem::unreadable(&path, &error)),
        };
        own(&file, &path)?;
        let length = file
            .metadata()
            .map_err(|error| Problem::unreadable(&path, &error))?
            .len();
        let resumed = match resume(BufReader::new(&file), identity) {
            Ok(resumed) => resumed,
            // It was killed before the first line was written.
            Err(BrokenJournal::Headless) => {
                drop(file);
                return anew();
            }
            Err(error) => {
                return Err(Problem::usage(format!("{}: {error}", path.display()))
                    .hint("without --resume the replay starts anew"));
            }
        };
        let cut = length.saturating_sub(resumed.whole);
        let end = (&file).seek(SeekFrom::Start(resumed.whole));
        let file = end.and_then(|end| file.set_len(end)).map(|()| file);
        Ok((Self::of(path, file, resumed.whole)?, resumed.known, cut))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a file of this process, which never simulates"
    )]
    fn of(path: PathBuf, file: io::Result<File>, end: u64) -> Result<Self, Problem> {
        let unwritable = |error: io::Error| unwritable(&path, &error);
        let file = file.map_err(unwritable)?;
        let reader = file.try_clone().map_err(unwritable)?;
        let (breaks, broke) = watch::channel(false);
        let file = Arc::new(Shared {
            pending: Mutex::new(Pending {
                bytes: Vec::new(),
                end,
            }),
            writer: Mutex::new(Writer {
                file,
                spare: Vec::new(),
                failed: None,
                breaks,
            }),
            reader,
            lost: Mutex::default(),
        });
        let (open, closed) = channel();
        let shared = file.clone();
        thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || shared.write_until(&closed))
            .map_err(unwritable)?;
        Ok(Self {
            path,
            file,
            broke,
            _open: open,
        })
    }

    /// Where the run of this number tells its outcomes; `heard` is told of each request's, too.
    pub(super) fn recorder(&self, run: u8, heard: Option<Sender<Heard>>) -> RunJournal {
        RunJournal {
            run,
            record: Vec::new(),
            file: self.file.clone(),
            heard,
        }
    }

    /// Reads again what was recorded, once it is [`Self::written`].
    pub(super) fn archive(&self) -> Arc<dyn Archive> {
        self.file.clone()
    }

    /// Waits until it cannot be written any more; else for ever.
    pub(super) async fn broken(mut self) {
        if self.broke.wait_for(|broke| *broke).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When an answer could not be written: it is nowhere else.
    pub(super) fn written(&self) -> Result<(), Problem> {
        match &self.file.write().failed {
            None => Ok(()),
            Some(failed) => Err(Problem::infrastructure(format!(
                "{}: cannot be written: {failed}; the sending was ended and nothing is judged",
                self.path.display()
            ))
            .hint("with room for it, the same command with --resume goes on after the last answer that was written")),
        }
    }

    /// Whether all that was asked for could be read again.
    ///
    /// # Errors
    /// When an answer could not: what was judged is worth nothing.
    pub(super) fn whole(&self) -> Result<(), Problem> {
        match &*locked(&self.file.lost) {
            None => Ok(()),
            Some(told) => Err(Problem::infrastructure(format!(
                "{}: {told}",
                self.path.display()
            ))),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The replay has come to its end: nothing is left to resume.
    pub(super) fn finish(self) {
        // One that stays is overwritten by the next replay.
        let _ = fs::remove_file(&self.path);
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    Problem::infrastructure(format!("{}: cannot be written: {error}", path.display()))
}

/// Keeps other replays from the file for as long as it is open; what cannot be locked at all is used as it is.
fn own(file: &File, path: &Path) -> Result<(), Problem> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Problem::usage(format!(
            "{}: another replay is writing it",
            path.display()
        ))
        .hint("--out names another folder")),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// A run's part of the journal.
#[derive(Debug)]
pub(super) struct RunJournal {
    run: u8,
    /// The record that is being made.
    record: Vec<u8>,
    file: Arc<Shared>,
    heard: Option<Sender<Heard>>,
}

/// What came of a request: the run's number, the request's place in the plan, and where the answer or the failure is; nowhere for one that was
/// skipped.
pub(super) type Heard = (u8, usize, Option<Place>);

impl Recorder for RunJournal {
    fn record(&mut self, entry: &Entry) -> Option<Place> {
        let place = self.append(entry);
        if let Some(heard) = self.heard.as_ref().filter(|_| !entry.state) {
            // Nobody listens any more once it is decided.
            let _ = heard.send((self.run, entry.at, place));
        }
        place
    }

    fn archive(&self) -> Option<Arc<dyn Archive>> {
        Some(self.file.clone())
    }
}

impl RunJournal {
    fn append(&mut self, entry: &Entry) -> Option<Place> {
        self.record.clear();
        encode(self.run, entry, &mut self.record);
        if self.record.is_empty() {
            return None;
        }
        let length = self.record.len();
        let mut pending = locked(&self.file.pending);
        let offset = pending.end;
        pending.end += length as u64;
        pending.bytes.extend_from_slice(&self.record);
        let behind = pending.bytes.len() > BEHIND;
        drop(pending);
        if behind {
            drop(self.file.write());
        }
        // A large answer's room is given back.
        self.record.shrink_to(EVERYDAY);
        let length = u32::try_from(length).expect("an answer is far below 4 GiB");
        Some(Place { offset, length })
    }
}

/// A record is seldom larger.
const EVERYDAY: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use rehearsal_replay::run::{FailureReason, Outcome, decode};

    use super::*;

    fn entry(at: usize) -> Entry {
        Entry::untimed(
            at,
            Outcome::Failed {
                reason: FailureReason::Timeout,
                message: "m".repeat(at),
            },
        )
    }

    #[test]
    fn records_of_two_runs_are_where_they_say_and_are_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::start(folder.path(), "this").expect("a journal");
        let mut runs = [journal.recorder(0, None), journal.recorder(1, None)];
        let mut places = Vec::new();
        for at in 0..50 {
            let place = runs[at % 2].record(&entry(at)).expect("it is kept");
            places.push((u8::try_from(at % 2).expect("small"), place));
        }
        journal.written().expect("it is written");
        let read = |journal: &Journal, place: Place| {
            let mut bytes = vec![0; place.length as usize];
            let archive = journal.archive();
            archive.read(place.offset, &mut bytes).expect("it is there");
            decode(&bytes).expect("it is whole")
        };
        for (at, (run, place)) in places.iter().enumerate() {
            assert_eq!(read(&journal, *place), (*run, entry(at)));
        }
        let busy = Journal::resume(folder.path(), "this").expect_err("it is being written");
        assert!(
            busy.message.ends_with("another replay is writing it"),
            "{busy}"
        );
        assert!(Journal::start(folder.path(), "this").is_err());
        let archive = runs[0].archive().expect("an archive");
        archive.lost("gone");
        assert!(journal.whole().is_err());
        drop((archive, runs, journal));
        settled(folder.path());
        let (again, known, cut) = Journal::resume(folder.path(), "this").expect("it goes on");
        assert_eq!(cut, 0);
        assert_eq!(
            known
                .iter()
                .map(|(run, one)| (*run, one.place))
                .collect::<Vec<_>>(),
            places
        );
        let place = again
            .recorder(0, None)
            .record(&entry(50))
            .expect("it is kept");
        again.written().expect("it is written");
        assert_eq!(read(&again, place), (0, entry(50)));
        again.whole().expect("nothing is lost");
        drop(again);
        settled(folder.path());
        let file = OpenOptions::new()
            .append(true)
            .open(folder.path().join(JOURNAL));
        file.and_then(|mut file| file.write_all(&[1, 2, 3]))
            .expect("a file");
        let (_, known, cut) = Journal::resume(folder.path(), "this").expect("it goes on");
        assert_eq!((known.len(), cut), (51, 3));
    }

    /// Waits until the thread that writes has let go of the journal.
    fn settled(folder: &Path) {
        let file = File::open(folder.join(JOURNAL)).expect("a journal");
        file.lock().expect("it is let go");
    }

    #[test]
    fn what_cannot_be_written_ends_the_sending() {
        let full = OpenOptions::new().read(true).write(true).open("/dev/full");
        let journal = Journal::of("full".into(), full, 0).expect("a journal");
        journal.recorder(0, None).record(&entry(1));
        let problem = journal.written().expect_err("no room");
        assert!(
            problem.message.starts_with("full: cannot be written: "),
            "{problem}"
        );
        assert!(*journal.broke.borrow());
    }
}
