//! The journal of a replay against running services: what was seen so far, so that a replay that was killed can go on.
//!
//! **Invariant**: an outcome is in the file, in the kernel's hands, before its run waits for anything else; a killed process loses what was
//! under way and nothing more. It deliberately does not wait for the disk: a machine that loses power may lose the last seconds.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rehearsal_replay::run::{BrokenJournal, Entry, Recorder, encode, resume};

use crate::problem::Problem;

/// Its name beside the results.
pub(super) const JOURNAL: &str = "replay.journal";

/// An open journal.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Arc<Mutex<Writer>>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    failed: Option<String>,
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

    fn of(path: PathBuf, file: std::io::Result<File>) -> Result<Self, Problem> {
        let file = file.map_err(|error| {
            Problem::infrastructure(format!("{}: cannot be written: {error}", path.display()))
        })?;
        let failed = None;
        let file = Arc::new(Mutex::new(Writer { file, failed }));
        Ok(Self { path, file })
    }

    /// Where the run of this number tells its outcomes.
    pub(super) fn recorder(&self, run: u8) -> RunJournal {
        RunJournal {
            run,
            buffer: Vec::new(),
            file: self.file.clone(),
        }
    }

    /// Why it is not whole, if it could not be written.
    pub(super) fn failure(&self) -> Option<String> {
        let writer = self.file.lock().unwrap_or_else(PoisonError::into_inner);
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
    file: Arc<Mutex<Writer>>,
}

impl Recorder for RunJournal {
    fn record(&mut self, entry: &Entry) {
        self.buffer.extend(encode(self.run, entry));
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let mut writer = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.failed.is_none()
            && let Err(error) = writer.file.write_all(&self.buffer)
        {
            writer.failed = Some(error.to_string());
        }
        self.buffer.clear();
    }
}
