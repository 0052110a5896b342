//! One open file: what SQLite's calls come down to.
//!
//! **Invariant**: a handle of an ended boot fails everything and changes nothing, and closing it is harmless. It holds its WAL index for as
//! long as it is mapped, so the memory outlives the boot.

use std::{
    ffi::{c_int, c_void},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libsqlite3_sys as sqlite;

use super::{
    lock::{IndexHold, Level, SLOTS},
    memory::Index,
    volume::{Ticket, Volume},
};
use crate::chance::Chance;

/// An open file.
#[derive(Debug)]
pub(super) struct Handle {
    volume: Arc<Mutex<Volume>>,
    ticket: Ticket,
    index: Option<Arc<Index>>,
    hold: IndexHold,
    remove_on_close: Option<String>,
}

/// What is asked of a range of a WAL index's locks.
#[derive(Clone, Copy, Debug)]
pub(super) enum IndexLock {
    Share,
    Exclude,
    Release,
}

impl Handle {
    pub(super) fn open(
        volume: Arc<Mutex<Volume>>,
        name: &str,
        create: bool,
        exclusive: bool,
        remove_on_close: bool,
    ) -> Result<Self, c_int> {
        let ticket = locked(&volume).open(name, create, exclusive)?;
        Ok(Self {
            volume,
            ticket,
            index: None,
            hold: IndexHold::default(),
            remove_on_close: remove_on_close.then(|| name.to_owned()),
        })
    }

    /// A file without a name on a disk of its own: SQLite's temporary files.
    pub(super) fn temporary() -> Result<Self, c_int> {
        Self::open(
            Arc::new(Mutex::new(Volume::new(&Chance::new(0)))),
            "temporary",
            true,
            true,
            true,
        )
    }

    pub(super) fn close(mut self) {
        self.unmap();
        let mut volume = locked(&self.volume);
        volume.close(self.ticket);
        let ours = volume
            .admit(self.ticket, sqlite::SQLITE_IOERR_CLOSE)
            .is_ok();
        if let Some(name) = self.remove_on_close.as_ref().filter(|_| ours) {
            // A file that is to go with its handle is a temporary one; losing its removal costs nothing.
            let _ = volume.delete(name, false);
        }
    }

    /// The file's bytes from `offset`; true when there were fewer than asked for, and zeros took their place.
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) -> Result<bool, c_int> {
        let count = locked(&self.volume).read(self.ticket, offset, out)?;
        Ok(count < out.len())
    }

    pub(super) fn write(&self, offset: usize, data: &[u8]) -> Result<(), c_int> {
        locked(&self.volume).write(self.ticket, offset, data)
    }

    pub(super) fn resize(&self, size: usize) -> Result<(), c_int> {
        locked(&self.volume).resize(self.ticket, size)
    }

    pub(super) fn sync(&self) -> Result<(), c_int> {
        locked(&self.volume).sync(self.ticket)
    }

    pub(super) fn size(&self) -> Result<usize, c_int> {
        locked(&self.volume).file_size(self.ticket)
    }

    pub(super) fn lock(&self, wanted: Level) -> Result<(), c_int> {
        locked(&self.volume).lock(self.ticket, wanted)
    }

    pub(super) fn unlock(&self, to: Option<Level>) -> Result<(), c_int> {
        locked(&self.volume).unlock(self.ticket, to)
    }

    pub(super) fn is_reserved(&self) -> Result<bool, c_int> {
        locked(&self.volume).is_reserved(self.ticket)
    }

    /// A region of the WAL index; null when there is none yet and `extend` is false.
    pub(super) fn map(
        &mut self,
        region: usize,
        size: usize,
        extend: bool,
    ) -> Result<*mut c_void, c_int> {
        let index = locked(&self.volume).index(self.ticket)?;
        let index = self.index.get_or_insert(index);
        Ok(index.region(region, size, extend))
    }

    pub(super) fn lock_index(&mut self, slots: Range<usize>, lock: IndexLock) -> Result<(), c_int> {
        let mut volume = locked(&self.volume);
        volume.admit(self.ticket, sqlite::SQLITE_IOERR_SHMLOCK)?;
        let Some(index) = &self.index else {
            return Err(sqlite::SQLITE_IOERR_SHMLOCK);
        };
        let granted = index.with_locks(&mut self.hold, |locks, hold| match lock {
            IndexLock::Share => locks.share(hold, slots),
            IndexLock::Exclude => locks.exclude(hold, slots),
            IndexLock::Release => {
                locks.release(hold, slots);
                true
            }
        });
        if granted { Ok(()) } else { Err(volume.busy()) }
    }

    /// Gives the WAL index back; the last to do so throws it away.
    pub(super) fn unmap(&mut self) {
        if let Some(index) = self.index.take() {
            index.with_locks(&mut self.hold, |locks, hold| locks.release(hold, 0..SLOTS));
            locked(&self.volume).drop_index(self.ticket, index);
        }
    }
}

/// A volume is changed in one step by one thread, so a panic elsewhere leaves it whole.
pub(super) fn locked(volume: &Mutex<Volume>) -> MutexGuard<'_, Volume> {
    volume.lock().unwrap_or_else(PoisonError::into_inner)
}
