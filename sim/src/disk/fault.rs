//! What may go wrong on a host's disk, and the counts that say whether it did.
//!
//! **Invariant**: every operation asks [`Faults::check`] exactly once, before it has any effect: the one place where a new kind of fault
//! is added. Power is not a fault here; the volume itself goes off.

use std::ffi::c_int;

use libsqlite3_sys as sqlite;

/// What a disk is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Changing a file's size.
    Resize,
    /// Making a file's writes durable.
    Sync,
    /// Creating a file.
    Create,
    /// Removing a file.
    Delete,
}

impl Operation {
    /// Whether it changes the disk, and so counts for [`Disk::operation_index`](super::Disk::operation_index).
    pub fn changes(self) -> bool {
        self != Self::Read
    }

    /// SQLite's code for this operation's failure.
    pub(super) fn error(self) -> c_int {
        match self {
            Self::Read => sqlite::SQLITE_IOERR_READ,
            Self::Write => sqlite::SQLITE_IOERR_WRITE,
            Self::Resize => sqlite::SQLITE_IOERR_TRUNCATE,
            Self::Sync => sqlite::SQLITE_IOERR_FSYNC,
            Self::Create => sqlite::SQLITE_CANTOPEN,
            Self::Delete => sqlite::SQLITE_IOERR_DELETE,
        }
    }
}

/// A planned failure of a host's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An I/O error (EIO) without effect. A failed sync leaves its writes pending.
    Fail {
        /// The kind of operation that fails.
        operation: Operation,
        /// This many of them still succeed first.
        skip: u64,
        /// This many fail then; `u64::MAX` for ever.
        count: u64,
    },
    /// The disk is full (ENOSPC): a write that would take the host's files above this many bytes in all fails.
    Capacity {
        /// The disk's size.
        bytes: u64,
    },
}

/// What a host's disk did and suffered, since the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads that succeeded.
    pub reads: u64,
    /// Writes and changes of size that succeeded.
    pub writes: u64,
    /// Bytes of them.
    pub bytes_written: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Unsynced writes, and changes of size and name, that a power loss took.
    pub lost_writes: u64,
    /// Bytes of them.
    pub lost_bytes: u64,
    /// Writes of which a power loss kept a part.
    pub torn_writes: u64,
    /// Operations that a [`Fault`] failed.
    pub faulted: u64,
    /// Operations refused because the power was off or the handle belonged to an earlier boot.
    pub refused: u64,
    /// Lock requests that found the file busy.
    pub busy: u64,
}

/// The faults in force on one host.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether `asked` may go on. `size_after` is the size of all files if it does; it is only computed when a fault needs it.
    pub(super) fn check(
        &mut self,
        asked: Operation,
        size_after: impl Fn() -> u64,
    ) -> Result<(), c_int> {
        let mut verdict = Ok(());
        for fault in &mut self.0 {
            match fault {
                Fault::Fail { operation, .. } if *operation != asked => {}
                Fault::Fail { skip, .. } if *skip > 0 => *skip -= 1,
                Fault::Fail { count, .. } => {
                    if *count > 0 {
                        *count = if *count == u64::MAX {
                            u64::MAX
                        } else {
                            *count - 1
                        };
                        verdict = Err(asked.error());
                    }
                }
                Fault::Capacity { bytes } => {
                    let grows = matches!(asked, Operation::Write | Operation::Resize);
                    if grows && size_after() > *bytes {
                        verdict = Err(sqlite::SQLITE_FULL);
                    }
                }
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_skips_then_counts_down() {
        let mut faults = Faults::default();
        faults.add(Fault::Fail {
            operation: Operation::Sync,
            skip: 2,
            count: 1,
        });
        let mut outcomes = Vec::new();
        for _ in 0..4 {
            assert_eq!(faults.check(Operation::Write, || 0), Ok(()));
            outcomes.push(faults.check(Operation::Sync, || 0).is_ok());
        }
        assert_eq!(outcomes, [true, true, false, true]);
    }

    #[test]
    fn a_full_disk_refuses_growth_only() {
        let mut faults = Faults::default();
        faults.add(Fault::Capacity { bytes: 100 });
        assert_eq!(faults.check(Operation::Write, || 100), Ok(()));
        assert_eq!(
            faults.check(Operation::Write, || 101),
            Err(sqlite::SQLITE_FULL)
        );
        assert_eq!(faults.check(Operation::Sync, || 101), Ok(()));
    }
}
