//! Who may read and write: SQLite's file locks and the eight locks of a WAL index.
//!
//! **Invariant**: one writer excludes every other, readers exclude only writers; a table belongs to one boot and is thrown away with it.
//! Nothing here waits: a lock that is taken is reported as busy.

/// How much of a file a connection holds. Absent is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// The locks on one file, by handle.
#[derive(Debug, Default)]
pub(super) struct FileLocks(Vec<(u64, Level)>);

impl FileLocks {
    fn held(&self, handle: u64) -> Option<Level> {
        self.0
            .iter()
            .find(|(holder, _)| *holder == handle)
            .map(|(_, level)| *level)
    }

    fn others_hold(&self, handle: u64, at_least: Level) -> bool {
        self.0
            .iter()
            .any(|(holder, level)| *holder != handle && *level >= at_least)
    }

    fn set(&mut self, handle: u64, level: Option<Level>) {
        self.0.retain(|(holder, _)| *holder != handle);
        if let Some(level) = level {
            self.0.push((handle, level));
        }
    }

    /// Raises `handle` to `wanted`; false when others stand in the way. A failed try for `Exclusive` may leave it `Pending`.
    pub(super) fn raise(&mut self, handle: u64, wanted: Level) -> bool {
        if self.held(handle) >= Some(wanted) {
            return true;
        }
        let blocked_by = if wanted == Level::Shared {
            Level::Pending
        } else {
            Level::Reserved
        };
        if self.others_hold(handle, blocked_by) {
            return false;
        }
        if wanted == Level::Exclusive && self.others_hold(handle, Level::Shared) {
            self.set(handle, Some(Level::Pending));
            return false;
        }
        self.set(handle, Some(wanted));
        true
    }

    /// Lowers `handle` to `Shared`, or to nothing.
    pub(super) fn lower(&mut self, handle: u64, to: Option<Level>) {
        if self.held(handle) > to {
            self.set(handle, to);
        }
    }

    /// Whether anybody intends to write.
    pub(super) fn is_reserved(&self) -> bool {
        self.0.iter().any(|(_, level)| *level >= Level::Reserved)
    }
}

/// The number of locks of a WAL index.
pub(super) const SLOTS: usize = 8;

/// The locks of one WAL index: each has any number of readers or one writer.
#[derive(Debug, Default)]
pub(super) struct IndexLocks([Slot; SLOTS]);

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    readers: u32,
    writer: bool,
}

/// What one connection holds of a WAL index, a bit for each slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IndexHold {
    shared: u8,
    exclusive: u8,
}

impl IndexLocks {
    /// Takes `slots` for reading. Those already held are left as they are.
    pub(super) fn share(&mut self, hold: &mut IndexHold, slots: std::ops::Range<usize>) -> bool {
        if slots.clone().any(|slot| self.0[slot].writer) {
            return false;
        }
        for slot in slots {
            if hold.shared & (1 << slot) == 0 {
                self.0[slot].readers += 1;
                hold.shared |= 1 << slot;
            }
        }
        true
    }

    /// Takes `slots` for writing, all or none.
    pub(super) fn exclude(&mut self, hold: &mut IndexHold, slots: std::ops::Range<usize>) -> bool {
        let taken = |slot: usize| {
            let own = u32::from(hold.shared & (1 << slot) != 0);
            self.0[slot].readers > own || (self.0[slot].writer && hold.exclusive & (1 << slot) == 0)
        };
        if slots.clone().any(taken) {
            return false;
        }
        for slot in slots {
            self.0[slot].writer = true;
            hold.exclusive |= 1 << slot;
        }
        true
    }

    /// Gives back what is held of `slots`.
    pub(super) fn release(&mut self, hold: &mut IndexHold, slots: std::ops::Range<usize>) {
        for slot in slots {
            if hold.shared & (1 << slot) != 0 {
                self.0[slot].readers -= 1;
            }
            if hold.exclusive & (1 << slot) != 0 {
                self.0[slot].writer = false;
            }
            hold.shared &= !(1 << slot);
            hold.exclusive &= !(1 << slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_waits_for_them() {
        let mut locks = FileLocks::default();
        assert!(locks.raise(1, Level::Shared) && locks.raise(2, Level::Shared));
        assert!(locks.raise(1, Level::Reserved));
        assert!(!locks.raise(2, Level::Reserved));
        assert!(locks.is_reserved());
        assert!(!locks.raise(1, Level::Exclusive), "2 still reads");
        assert!(!locks.raise(3, Level::Shared), "1 is pending");
        locks.lower(2, None);
        assert!(locks.raise(1, Level::Exclusive));
        locks.lower(1, Some(Level::Shared));
        assert!(!locks.is_reserved() && locks.raise(2, Level::Reserved));
    }

    #[test]
    fn index_slots_have_many_readers_or_one_writer() {
        let mut locks = IndexLocks::default();
        let (mut a, mut b) = (IndexHold::default(), IndexHold::default());
        assert!(locks.share(&mut a, 3..4) && locks.share(&mut b, 3..4));
        assert!(!locks.exclude(&mut a, 2..5));
        locks.release(&mut b, 3..4);
        assert!(locks.exclude(&mut b, 0..1));
        assert!(!locks.share(&mut a, 0..1) && !locks.exclude(&mut a, 0..1));
        locks.release(&mut b, 0..SLOTS);
        assert!(locks.exclude(&mut a, 0..1));
    }
}
