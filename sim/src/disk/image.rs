//! One file's bytes: what was written, and how to get back to what was synced.
//!
//! **Invariant**: undoing the pending changes from the last to the first gives exactly the bytes of the last sync.
//!
//! Reads see what was written, at no cost; a write keeps the bytes that it covers (none, when it appends), so an undone write can also be
//! redone: its new bytes are what the undo finds. After a failed sync what is durable is no longer what undoing gives, so it is kept apart
//! ([`Image::fail_sync`]). It knows nothing of names, locks or faults.

use super::loss::{Fate, Shape};

/// A file's bytes and its changes since the last sync.
#[derive(Debug, Default)]
pub(super) struct Image {
    bytes: Vec<u8>,
    pending: Vec<Change>,
    /// The covered bytes of all pending changes, one after the other.
    covered: Vec<u8>,
    /// What is durable, while that is not what undoing the pending changes gives: a sync has failed.
    stranded: Option<Vec<u8>>,
}

/// The operating system writes files back in pages of this size.
const PAGE: usize = 4096;
/// A file that grows beyond this is taken for one that goes on growing, as a write-ahead log does up to its checkpoint.
const SMALL: usize = 256 << 10;
/// The room it gets then, somewhat more than SQLite's log has at a checkpoint (1,000 pages of 2 KiB): memory that stays unused costs nothing, and doubling would touch twice as much.
const ROOM: usize = 5 << 19;

#[derive(Clone, Copy, Debug)]
struct Change {
    sequence: u64,
    /// Where a write starts; the new size of a resize.
    offset: usize,
    /// 0 for a resize.
    length: usize,
    size_before: usize,
    /// How many bytes of `covered` are this change's.
    covered: usize,
}

/// What a power loss cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) lost_writes: u64,
    pub(super) lost_bytes: u64,
    pub(super) torn_writes: u64,
}

impl Image {
    /// A file whose `bytes` are all synced.
    pub(super) fn synced(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// What was written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes `data` at `offset`; a gap before it reads as zeros.
    pub(super) fn write(&mut self, sequence: u64, offset: usize, data: &[u8]) {
        let size_before = self.bytes.len();
        let end = offset + data.len();
        let covered = offset.min(size_before)..end.min(size_before);
        self.covered.extend_from_slice(&self.bytes[covered.clone()]);
        self.pending.push(Change {
            sequence,
            offset,
            length: data.len(),
            size_before,
            covered: covered.len(),
        });
        self.put(offset, data);
    }

    /// Cuts the file to `size`, or fills it up with zeros.
    pub(super) fn resize(&mut self, sequence: u64, size: usize) {
        let size_before = self.bytes.len();
        let cut = size.min(size_before)..size_before;
        self.covered.extend_from_slice(&self.bytes[cut.clone()]);
        self.pending.push(Change {
            sequence,
            offset: size,
            length: 0,
            size_before,
            covered: cut.len(),
        });
        self.bytes.resize(size, 0);
    }

    /// Makes everything written durable. Returns how many changes it confirmed.
    pub(super) fn sync(&mut self) -> u64 {
        let confirmed = self.pending.len() as u64;
        if let Some(mut durable) = self.stranded.take() {
            for change in &self.pending {
                write_back(&mut durable, &self.bytes, change);
            }
            self.stranded = (durable != self.bytes).then_some(durable);
        }
        self.pending.clear();
        self.covered.clear();
        confirmed
    }

    /// The sync failed, and what was to be written counts as written from now on although it is not: Linux marks the pages as clean. Reads show
    /// them; a later sync writes only the pages that were changed again.
    pub(super) fn fail_sync(&mut self) {
        if !self.pending.is_empty() {
            self.stranded = Some(self.durable());
            self.pending.clear();
            self.covered.clear();
        }
    }

    /// Flips one bit where it lies, as written and as durable.
    pub(super) fn flip(&mut self, offset: usize, bit: u8) {
        let durable = self.stranded.as_mut();
        for bytes in std::iter::once(&mut self.bytes).chain(durable) {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// The pending changes, as their place in the order of all changes and their shape.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u64, Shape)> {
        self.pending.iter().map(|change| {
            (
                change.sequence,
                Shape {
                    offset: change.offset,
                    length: change.length,
                },
            )
        })
    }

    /// What would be left if every pending change were lost.
    pub(super) fn durable(&self) -> Vec<u8> {
        if let Some(durable) = &self.stranded {
            return durable.clone();
        }
        let mut copy = Self {
            bytes: self.bytes.clone(),
            pending: self.pending.clone(),
            covered: self.covered.clone(),
            stranded: None,
        };
        while copy.undo().is_some() {}
        copy.bytes
    }

    /// Decides every pending change; afterwards all that is left is durable.
    pub(super) fn lose(&mut self, fate: impl Fn(u64) -> Fate) -> Cost {
        let mut undone = Vec::new();
        while let Some(change) = self.undo() {
            undone.push(change);
        }
        if let Some(durable) = self.stranded.take() {
            self.bytes = durable;
        }
        let mut cost = Cost::default();
        for (change, data) in undone.into_iter().rev() {
            let kept = match fate(change.sequence) {
                Fate::Kept => data.len(),
                Fate::Torn { kept } => {
                    cost.torn_writes += 1;
                    kept.min(data.len())
                }
                Fate::Lost => {
                    cost.lost_writes += 1;
                    cost.lost_bytes += data.len() as u64;
                    continue;
                }
            };
            if change.length == 0 {
                self.bytes.resize(change.offset, 0);
            } else {
                self.put(change.offset, &data[..kept]);
            }
        }
        cost
    }

    fn put(&mut self, offset: usize, data: &[u8]) {
        let size = self.bytes.len();
        let end = offset + data.len();
        if end > self.bytes.capacity() && (SMALL..ROOM).contains(&end) {
            self.bytes.reserve_exact(ROOM - size);
        }
        if offset == size {
            self.bytes.extend_from_slice(data);
            return;
        }
        if end > size {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(data);
    }

    /// Takes the last pending change back; returns it with the bytes that it had written.
    fn undo(&mut self) -> Option<(Change, Vec<u8>)> {
        let change = self.pending.pop()?;
        let covered = self.covered.split_off(self.covered.len() - change.covered);
        if change.length == 0 {
            self.bytes.truncate(change.offset);
            self.bytes.extend_from_slice(&covered);
            self.bytes.truncate(change.size_before);
            return Some((change, Vec::new()));
        }
        let written = self.bytes[change.offset..change.offset + change.length].to_vec();
        self.bytes.truncate(change.size_before);
        self.bytes[change.offset.min(change.size_before)..][..change.covered]
            .copy_from_slice(&covered);
        Some((change, written))
    }
}

/// Makes the pages that `change` touched durable as they are in `bytes` now.
fn write_back(durable: &mut Vec<u8>, bytes: &[u8], change: &Change) {
    if change.length == 0 {
        durable.resize(change.offset, 0);
        return;
    }
    let from = (change.offset / PAGE * PAGE).min(bytes.len());
    let to = ((change.offset + change.length).next_multiple_of(PAGE)).min(bytes.len());
    if durable.len() < to {
        durable.resize(to, 0);
    }
    durable[from..to].copy_from_slice(&bytes[from..to]);
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::chance::Chance;

    /// The model: a list of whole copies.
    fn replay(
        base: &[u8],
        changes: &[(usize, Option<Vec<u8>>)],
        kept: impl Fn(usize) -> usize,
    ) -> Vec<u8> {
        let mut bytes = base.to_vec();
        for (index, (offset, data)) in changes.iter().enumerate() {
            match data {
                _ if kept(index) == 0 => {}
                None => bytes.resize(*offset, 0),
                Some(data) => {
                    let data = &data[..kept(index).min(data.len())];
                    let end = offset + data.len();
                    bytes.resize(bytes.len().max(end), 0);
                    bytes[*offset..end].copy_from_slice(data);
                }
            }
        }
        bytes
    }

    #[test]
    fn any_fates_give_what_replaying_the_kept_changes_gives() {
        for seed in 0..300 {
            let mut chance = Chance::new(seed).named("image").rng();
            let base: Vec<u8> = (0..chance.random_range(0..64u8)).collect();
            let mut image = Image::synced(base.clone());
            let mut changes = Vec::new();
            for sequence in 0..chance.random_range(1..12u64) {
                let offset = chance.random_range(0..96u32) as usize;
                if chance.random_range(0..4u32) == 0 {
                    image.resize(sequence, offset);
                    changes.push((offset, None));
                } else {
                    let mut data = vec![0; chance.random_range(1..40u32) as usize];
                    chance.fill(&mut data[..]);
                    image.write(sequence, offset, &data);
                    changes.push((offset, Some(data)));
                }
            }
            assert_eq!(image.bytes(), replay(&base, &changes, |_| usize::MAX));
            assert_eq!(image.durable(), base);
            let kept: Vec<usize> = changes
                .iter()
                .map(|_| match chance.random_range(0..3u32) {
                    0 => 0,
                    1 => usize::MAX,
                    _ => 1,
                })
                .collect();
            image.lose(
                |sequence| match kept[usize::try_from(sequence).expect("small")] {
                    0 => Fate::Lost,
                    usize::MAX => Fate::Kept,
                    kept => Fate::Torn { kept },
                },
            );
            let expected = replay(&base, &changes, |index| kept[index]);
            assert_eq!(image.bytes(), expected, "seed {seed}");
            assert_eq!(image.durable(), expected, "all that is left is durable");
        }
    }

    #[test]
    fn a_sync_confirms_and_a_loss_counts() {
        let mut image = Image::default();
        image.write(0, 0, b"first");
        assert_eq!(image.sync(), 1);
        image.write(1, 0, b"second");
        image.write(2, 6, b"!");
        let cost = image.lose(|_| Fate::Lost);
        assert_eq!(image.bytes(), b"first");
        assert_eq!((cost.lost_writes, cost.lost_bytes), (2, 7));
    }

    #[test]
    fn after_a_failed_sync_only_pages_that_are_written_again_become_durable() {
        let mut image = Image::synced(vec![0; 3 * PAGE]);
        image.write(0, 0, b"lost");
        image.write(1, PAGE, b"saved by its neighbor");
        image.fail_sync();
        assert_eq!(&image.bytes()[..4], b"lost", "reads go on showing it");
        image.write(2, PAGE + 100, b"again");
        image.write(3, 3 * PAGE, b"longer");
        assert_eq!(image.durable(), vec![0; 3 * PAGE]);
        image.sync();
        let durable = image.durable();
        assert_eq!(durable[..PAGE], [0; PAGE]);
        assert_eq!(durable[PAGE..], image.bytes()[PAGE..]);
        image.write(4, 2 * PAGE, b"unsynced");
        image.lose(|_| Fate::Lost);
        assert_eq!(image.bytes(), durable, "a power loss shows the truth");
        image.write(5, 0, b"fine");
        image.sync();
        assert_eq!(&image.durable()[..4], b"fine", "and it is over with it");
    }

    #[test]
    fn a_failed_sync_of_nothing_changes_nothing_and_a_whole_rewrite_heals() {
        let mut image = Image::synced(b"abc".to_vec());
        image.fail_sync();
        assert!(image.stranded.is_none());
        image.write(0, 0, b"xyz");
        image.fail_sync();
        assert_eq!(image.durable(), b"abc");
        image.write(1, 0, b"xyz");
        image.sync();
        assert!(image.stranded.is_none());
        assert_eq!(image.durable(), b"xyz");
    }
}
