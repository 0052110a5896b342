//! What the operations were that changed a host's disk, for whoever wants to cut the power at one of them.
//!
//! **Invariant**: entries are those of the operations with the indexes 0, 1, 2, ... if it was begun on an empty disk. It keeps nothing until it
//! is begun and nothing more once it has ended.

use super::fault::Operation;

/// The journal of one disk.
#[derive(Debug, Default)]
pub(super) struct Journal {
    kept: bool,
    entries: Vec<Operation>,
}

impl Journal {
    pub(super) fn begin(&mut self) {
        self.kept = true;
    }

    pub(super) fn end(&mut self) {
        self.kept = false;
    }

    pub(super) fn push(&mut self, operation: Operation) {
        if self.kept {
            self.entries.push(operation);
        }
    }

    pub(super) fn entries(&self) -> &[Operation] {
        &self.entries
    }
}
