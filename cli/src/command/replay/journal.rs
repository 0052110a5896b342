//! The journal of a replay against running services: what was seen so far, so that a replay that was killed can go on.
//!
//! A file system can take many milliseconds for a write, so a run, which has requests to send, hands its outcomes to a thread that writes.
//!
//! **Invariant**: an outcome is in the file, in the kernel's hands, within [`EVERY`] or as soon as the disk lets it; a killed process loses what
//! was under way and what came in that time, and a resumed one sends it again. It deliberately does not wait for the disk: a machine that
//! loses power may lose the last seconds.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use rehearsal_replay::run::{BrokenJournal, Entry, Recorder, encode, resume};

use crate::problem::Problem;

/// Its name beside the results.
pub(super) const JOURNAL: &str = "replay.journal";

/// What came is written this often.
const EVERY: Duration = Duration::from_millis(2);
/// With a disk so far behind, runs write themselves, and wait for it: what is kept in memory has a limit.
const BEHIND: usize = 64 << 20;

/// An open journal.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Arc<Shared>,
    /// The writing thread ends with the last of these.
    _open: Sender<()>,
}

/// Where outcomes wait to be written, and the file.
#[derive(Debug)]
struct Shared {
    pending: Mutex<Vec<u8>>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    failed: Option<String>,
}

impl Shared {
    /// Writes what came so far.
    fn write(&self) -> MutexGuard<'_, Writer> {
        // The file comes first: whoever has it takes what is pending, so records stay in order.
        let mut writer = locked(&self.writer);
        let pending = std::mem::take(&mut *locked(&self.pending));
        if !pending.is_empty()
            && writer.failed.is_none()
            && let Err(error) = writer.file.write_all(&pending)
        {
            writer.failed = Some(error.to_string());
        }
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an earlier replay saw, by run.
pub(super) type Known = Vec<(u8, Entry)>;

impl Journal {
    /// A new journal of the replay that `identity` tells of, in `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn start(folder: &Path, identity: &str) -> Result<Self, Problem> {
        let path = folder.join(JOURNAL);
        let file = File::create(&path).and_then(|mut file| {
            file.write_all(format!("{identity}\n").as_bytes())?;
            Ok(file)
        });
        Self::of(path, file)
    }

    /// The journal that is there, and what it knows; a new one where there is none.
    ///
    /// # Errors
    /// When it is of another replay, or cannot be read or written.
    pub(super) fn resume(folder: &Path, identity: &str) -> Result<(Self, Known), Problem> {
        let path = folder.join(JOURNAL);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((Self::start(folder, identity)?, Vec::new()));
            }
            Err(error) => return Err(Problem::unreadable(&path, &error)),
        };
        let resumed = match resume(&bytes, identity) {
            Ok(resumed) => resumed,
            // It was killed before the first line was written.
            Err(BrokenJournal::Headless) => {
                return Ok((Self::start(folder, identity)?, Vec::new()));
            }
            Err(error) => {
                return Err(Problem::usage(format!("{}: {error}", path.display()))
                    .hint("without --resume the replay starts anew"));
            }
        };
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| {
                file.set_len(resumed.whole as u64)?;
                file.seek(SeekFrom::End(0))?;
                Ok(file)
            });
        Ok((Self::of(path, file)?, resumed.entries))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a file of this process, which never simulates"
    )]
    fn of(path: PathBuf, file: std::io::Result<File>) -> Result<Self, Problem> {
        let unwritable = |error: std::io::Error| {
            Problem::infrastructure(format!("{}: cannot be written: {error}", path.display()))
        };
        let file = file.map_err(unwritable)?;
        let failed = None;
        let file = Arc::new(Shared {
            pending: Mutex::new(Vec::new()),
            writer: Mutex::new(Writer { file, failed }),
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
            _open: open,
        })
    }

    /// Where the run of this number tells its outcomes.
    pub(super) fn recorder(&self, run: u8) -> RunJournal {
        RunJournal {
            run,
            buffer: Vec::new(),
            file: self.file.clone(),
        }
    }

    /// Writes what is left, and says why the journal is not whole, if it could not be written.
    pub(super) fn written(&self) -> Option<String> {
        let writer = self.file.write();
        let failed = writer.failed.as_ref()?;
        Some(format!(
            "{}: cannot be written: {failed}; this replay cannot be resumed",
            self.path.display()
        ))
    }

    /// The replay has come to its end: nothing is left to resume.
    pub(super) fn finish(self) {
        // One that stays is overwritten by the next replay.
        let _ = fs::remove_file(&self.path);
    }
}

/// A run's part of the journal.
#[derive(Debug)]
pub(super) struct RunJournal {
    run: u8,
    buffer: Vec<u8>,
    file: Arc<Shared>,
}

impl Recorder for RunJournal {
    fn record(&mut self, entry: &Entry) {
        encode(self.run, entry, &mut self.buffer);
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let mut pending = locked(&self.file.pending);
        pending.append(&mut self.buffer);
        let behind = pending.len() > BEHIND;
        drop(pending);
        if behind {
            drop(self.file.write());
        }
    }
}
