//! The shared memory of a WAL index, in the heap.
//!
//! **Invariant**: a region, once handed out, stays where it is until the last handle that could know of it is gone, so that a connection of
//! a dead boot may still look at it and do no harm. It is not part of the disk: it does not survive a kill.

use std::{
    ffi::c_void,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
};

use super::lock::{IndexHold, IndexLocks};

/// A WAL index: its regions and its locks.
#[derive(Debug, Default)]
pub(super) struct Index {
    regions: Mutex<Vec<Box<[AtomicU64]>>>,
    locks: Mutex<IndexLocks>,
}

impl Index {
    /// Region `number` of `size` bytes, zeroed when it is new; null when there is none and `extend` is false.
    pub(super) fn region(&self, number: usize, size: usize, extend: bool) -> *mut c_void {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if number >= regions.len() {
            if !extend {
                return std::ptr::null_mut();
            }
            regions.resize_with(number + 1, || {
                (0..size.div_ceil(8)).map(|_| AtomicU64::new(0)).collect()
            });
        }
        // An atomic's memory may be written through a shared pointer: SQLite orders its accesses by the index's locks and barriers.
        regions[number].as_ptr().cast_mut().cast()
    }

    /// Runs `change` on the locks.
    pub(super) fn with_locks<R>(
        &self,
        hold: &mut IndexHold,
        change: impl FnOnce(&mut IndexLocks, &mut IndexHold) -> R,
    ) -> R {
        change(
            &mut self.locks.lock().unwrap_or_else(PoisonError::into_inner),
            hold,
        )
    }
}
