//! What may go wrong on a host's disk, and the counts that say whether it did.
//!
//! **Invariant**: every operation asks [`Faults::check`] exactly once, before it has any effect: the one place where a new kind of fault
//! is added. Power is not a fault here; the volume itself goes off.

use std::{ffi::c_int, time::Duration};

use libsqlite3_sys as sqlite;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What a disk is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// An I/O error (EIO) without effect. A sync that fails so has marked its writes as done, as Linux does: reads go on showing them, no later
    /// sync makes them durable, and a power loss takes them, unless their pages are written again.
    Fail {
        /// The kind of operation that fails.
        operation: Operation,
        /// This many of them still succeed first.
        skip: u64,
        /// This many fail then; `u64::MAX` for ever.
        count: u64,
    },
    /// As [`Fault::Fail`], each operation of this kind by a draw of its own.
    Flaky {
        /// The kind of operation that fails.
        operation: Operation,
        /// The share that fails, 0 to 1.
        rate: f64,
    },
    /// Every operation, also a read, takes so long. Nothing waits here: the time is owed (see [`Disk::take_owed`](super::Disk::take_owed)).
    Stall {
        /// What one operation takes.
        each: Duration,
    },
    /// The disk is full (ENOSPC): a write that would take the host's files above this many bytes in all fails.
    Capacity {
        /// The disk's size.
        bytes: u64,
    },
}

/// What one fault did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Operations that it failed or, if it is a stall, slowed.
    pub struck: u64,
    /// How long a stall made them take together.
    pub stalled: Duration,
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

/// The faults in force on one host, in the order in which they came.
#[derive(Debug)]
pub(super) struct Faults {
    in_force: Vec<InForce>,
    next: u64,
    chance: ChaCha8Rng,
    owed: Duration,
}

#[derive(Debug)]
struct InForce {
    number: u64,
    fault: Fault,
    deeds: Deeds,
}

impl Faults {
    /// None yet; `chance` decides what [`Fault::Flaky`] leaves open, and is drawn from for nothing else.
    pub(super) fn new(chance: ChaCha8Rng) -> Self {
        Self {
            in_force: Vec::new(),
            next: 0,
            chance,
            owed: Duration::ZERO,
        }
    }

    /// Adds one and returns its number.
    pub(super) fn add(&mut self, fault: Fault) -> u64 {
        self.next += 1;
        self.in_force.push(InForce {
            number: self.next,
            fault,
            deeds: Deeds::default(),
        });
        self.next
    }

    /// Takes one away and says what it did.
    pub(super) fn remove(&mut self, number: u64) -> Deeds {
        let at = self.in_force.iter().position(|one| one.number == number);
        at.map_or_else(Deeds::default, |at| self.in_force.remove(at).deeds)
    }

    pub(super) fn clear(&mut self) {
        self.in_force.clear();
    }

    /// The time that stalled operations have taken and nobody has waited yet.
    pub(super) fn take_owed(&mut self) -> Duration {
        std::mem::take(&mut self.owed)
    }

    /// Whether `asked` may go on. `size_after` is the size of all files if it does; it is only computed when a fault needs it.
    pub(super) fn check(
        &mut self,
        asked: Operation,
        size_after: impl Fn() -> u64,
    ) -> Result<(), c_int> {
        let mut verdict = Ok(());
        for one in &mut self.in_force {
            let failure = match &mut one.fault {
                Fault::Fail { operation, .. } | Fault::Flaky { operation, .. }
                    if *operation != asked =>
                {
                    None
                }
                Fault::Fail { skip, .. } if *skip > 0 => {
                    *skip -= 1;
                    None
                }
                Fault::Fail { count: 0, .. } => None,
                Fault::Fail { count, .. } => {
                    if *count < u64::MAX {
                        *count -= 1;
                    }
                    Some(asked.error())
                }
                Fault::Flaky { rate, .. } => {
                    (self.chance.random::<f64>() < *rate).then(|| asked.error())
                }
                Fault::Stall { each } => {
                    one.deeds.struck += 1;
                    one.deeds.stalled += *each;
                    self.owed += *each;
                    None
                }
                Fault::Capacity { bytes } => {
                    let grows = matches!(asked, Operation::Write | Operation::Resize);
                    (grows && size_after() > *bytes).then_some(sqlite::SQLITE_FULL)
                }
            };
            if let Some(code) = failure {
                one.deeds.struck += 1;
                verdict = Err(code);
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn faults() -> Faults {
        Faults::new(Chance::new(1).rng())
    }

    #[test]
    fn each_fault_counts_what_it_did_itself() {
        let mut faults = faults();
        let sync = faults.add(Fault::Flaky {
            operation: Operation::Sync,
            rate: 1.0,
        });
        let stall = faults.add(Fault::Stall {
            each: Duration::from_millis(5),
        });
        let never = faults.add(Fault::Flaky {
            operation: Operation::Write,
            rate: 0.0,
        });
        assert!(faults.check(Operation::Sync, || 0).is_err());
        assert!(faults.check(Operation::Write, || 0).is_ok());
        assert_eq!(faults.take_owed(), Duration::from_millis(10));
        assert_eq!(faults.take_owed(), Duration::ZERO);
        assert_eq!(faults.remove(sync).struck, 1);
        assert_eq!(
            faults.remove(stall),
            Deeds {
                struck: 2,
                stalled: Duration::from_millis(10)
            }
        );
        assert_eq!(faults.remove(never), Deeds::default());
        assert!(faults.check(Operation::Sync, || 0).is_ok());
    }

    #[test]
    fn a_failure_skips_then_counts_down() {
        let mut faults = faults();
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
        let mut faults = faults();
        faults.add(Fault::Capacity { bytes: 100 });
        assert_eq!(faults.check(Operation::Write, || 100), Ok(()));
        assert_eq!(
            faults.check(Operation::Write, || 101),
            Err(sqlite::SQLITE_FULL)
        );
        assert_eq!(faults.check(Operation::Sync, || 101), Ok(()));
    }
}
