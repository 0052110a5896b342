//! What is durable of a file while that is not what undoing its pending changes gives: after a sync that failed.
//!
//! **Invariant**: a page that is not kept here is durable as the file's settled bytes (those under its pending changes) have it, and they
//! reach as far as the durable size does. So what a failed sync costs goes by what was to be synced, not by the size of the file.
//!
//! It deliberately knows nothing of when a sync fails, or of which changes are pending: [`super::image`] does.

use std::{collections::BTreeMap, ops::Range};

/// The operating system writes files back in pages of this size.
pub(super) const PAGE: usize = 4096;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Stranded {
    /// The durable size.
    size: usize,
    /// Durable pages that differ, or may differ, from the settled bytes: what they hold up to the durable size.
    pages: BTreeMap<usize, Vec<u8>>,
}

impl Stranded {
    /// All of `settled` is durable.
    pub(super) fn new(settled: &[u8]) -> Self {
        Self {
            size: settled.len(),
            pages: BTreeMap::new(),
        }
    }

    /// Keeps the durable pages that `range` touches, before it is changed for good in what is settled.
    pub(super) fn keep(&mut self, settled: &[u8], range: Range<usize>) {
        let durable = range.start.min(self.size)..range.end.min(self.size);
        for page in pages(&durable) {
            let there = self.content(settled, page);
            self.pages.entry(page).or_insert(there);
        }
    }

    /// A change of size becomes durable.
    pub(super) fn resize(&mut self, settled: &[u8], size: usize) {
        if size > self.size {
            let grown = self.size..size;
            for page in pages(&grown) {
                let mut there = self.content(settled, page);
                there.resize(PAGE.min(size - page * PAGE), 0);
                self.pages.insert(page, there);
            }
        } else {
            self.pages.retain(|page, bytes| {
                bytes.truncate(size.saturating_sub(page * PAGE));
                !bytes.is_empty()
            });
        }
        self.size = size;
    }

    /// The pages that `range` touches become durable, as far as `written` has them.
    pub(super) fn write_back(&mut self, written: &[u8], range: Range<usize>) {
        let from = (range.start / PAGE * PAGE).min(written.len());
        let to = range.end.next_multiple_of(PAGE).min(written.len());
        if self.size < to {
            self.resize(written, to);
        }
        for page in pages(&(from..to)) {
            let mut there = self.content(written, page);
            let new = &written[page * PAGE..to.min((page + 1) * PAGE)];
            there[..new.len()].copy_from_slice(new);
            self.pages.insert(page, there);
        }
    }

    /// Whether anything is left that `settled` does not say.
    pub(super) fn differs(&mut self, settled: &[u8]) -> bool {
        let size = self.size;
        self.pages.retain(|page, bytes| {
            let place = page * PAGE..((page + 1) * PAGE).min(size);
            settled.get(place) != Some(&bytes[..])
        });
        self.size != settled.len() || !self.pages.is_empty()
    }

    /// Makes `settled` what is durable.
    pub(super) fn restore(self, settled: &mut Vec<u8>) {
        settled.resize(self.size, 0);
        for (page, bytes) in self.pages {
            settled[page * PAGE..][..bytes.len()].copy_from_slice(&bytes);
        }
    }

    /// Flips one bit where it lies in a page that is kept.
    pub(super) fn flip(&mut self, offset: usize, bit: u8) {
        let page = self.pages.get_mut(&(offset / PAGE));
        if let Some(byte) = page.and_then(|bytes| bytes.get_mut(offset % PAGE)) {
            *byte ^= 1 << bit;
        }
    }

    /// The durable content of a page, up to the durable size.
    fn content(&self, settled: &[u8], page: usize) -> Vec<u8> {
        let place = page * PAGE..((page + 1) * PAGE).min(self.size);
        match self.pages.get(&page) {
            Some(bytes) => bytes.clone(),
            None if place.is_empty() => Vec::new(),
            None => settled[place].to_vec(),
        }
    }
}

/// The pages that a range of bytes touches.
fn pages(range: &Range<usize>) -> Range<usize> {
    if range.is_empty() {
        0..0
    } else {
        range.start / PAGE..range.end.div_ceil(PAGE)
    }
}
