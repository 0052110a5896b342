//! One file's bytes: what was written, and how to get back to what was synced.
//!
//! **Invariant**: undoing the pending changes from the last to the first gives exactly the bytes of the last sync.
//!
//! Reads see what was written, at no cost; a write keeps the bytes that it covers (none, when it appends), so an undone write can also be
//! redone: its new bytes are what the undo finds. After a failed sync what is durable is no longer what undoing gives, so the difference is
//! kept apart ([`Stranded`]). It knows nothing of names, locks or faults.

use std::ops::Range;

use super::{
    loss::{Fate, Shape},
    stranded::Stranded,
};

/// A file's bytes and its changes since the last sync.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    bytes: Vec<u8>,
    pending: Vec<Change>,
    /// The covered bytes of all pending changes, one after the other.
    covered: Vec<u8>,
    /// What is durable, while that is not what undoing the pending changes gives: a sync has failed.
    stranded: Option<Stranded>,
}

/// A file that grows beyond this is taken for one that goes on growing, as a write-ahead log does up to its checkpoint.
const SMALL: usize = 16 << 10;
/// The room it gets then, somewhat more than SQLite's log has at a checkpoint (1,000 pages of 2 KiB): doubling would touch twice as much, and what
/// stays unused costs at most the rest of a huge page.
const ROOM: usize = 5 << 19;

#[derive(Clone, Debug)]
struct Change {
    sequence: u64,
    /// Where a write starts; the new size of a resize.
    offset: usize,
    /// 0 for a resize.
    length: usize,
    size_before: usize,
    /// How many bytes of `covered` are this change's.
    covered: usize,
    /// All that the file held, where this change emptied it: moved, as a log of megabytes is emptied at each checkpoint.
    emptied: Option<Vec<u8>>,
}

impl Change {
    /// The bytes that it changes.
    fn range(&self) -> Range<usize> {
        let end = match self.length {
            0 => self.offset.max(self.size_before),
            length => self.offset + length,
        };
        self.offset.min(self.size_before)..end
    }
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
            emptied: None,
        });
        self.put(offset, data);
    }

    /// Cuts the file to `size`, or fills it up with zeros.
    pub(super) fn resize(&mut self, sequence: u64, size: usize) {
        let size_before = self.bytes.len();
        let cut = size.min(size_before)..size_before;
        let emptied = (size == 0).then(|| std::mem::take(&mut self.bytes));
        if emptied.is_none() {
            self.covered.extend_from_slice(&self.bytes[cut.clone()]);
        }
        self.pending.push(Change {
            sequence,
            offset: size,
            length: 0,
            size_before,
            covered: if emptied.is_none() { cut.len() } else { 0 },
            emptied,
        });
        self.bytes.resize(size, 0);
    }

    /// Makes everything written durable. Returns how many changes it confirmed.
    pub(super) fn sync(&mut self) -> u64 {
        let confirmed = self.pending.len() as u64;
        if self.stranded.is_some() {
            let (mut stranded, changes) = self.strand();
            for change in changes {
                let end = change.offset + change.length;
                match change.length {
                    0 => stranded.resize(&self.bytes, change.offset),
                    _ => stranded.write_back(&self.bytes, change.offset..end),
                }
            }
            self.stranded = stranded.differs(&self.bytes).then_some(stranded);
        }
        self.settle();
        confirmed
    }

    /// The sync failed, and what was to be written counts as written from now on although it is not: Linux marks the pages as clean. Reads show
    /// them; a later sync writes only the pages that were changed again.
    pub(super) fn fail_sync(&mut self) {
        if !self.pending.is_empty() {
            self.stranded = Some(self.strand().0);
            self.settle();
        }
    }

    /// Flips one bit where it lies, as written and as durable.
    pub(super) fn flip(&mut self, offset: usize, bit: u8) {
        if let Some(stranded) = &mut self.stranded {
            stranded.flip(offset, bit);
        }
        if let Some(byte) = self.bytes.get_mut(offset) {
            *byte ^= 1 << bit;
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
        let mut copy = self.clone();
        while copy.undo().is_some() {}
        if let Some(stranded) = copy.stranded {
            stranded.restore(&mut copy.bytes);
        }
        copy.bytes
    }

    /// Decides every pending change; afterwards all that is left is durable.
    pub(super) fn lose(&mut self, fate: impl Fn(u64) -> Fate) -> Cost {
        let mut undone = Vec::new();
        while let Some(change) = self.undo() {
            undone.push(change);
        }
        if let Some(stranded) = self.stranded.take() {
            stranded.restore(&mut self.bytes);
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
            self.redo(&change, &data[..kept]);
        }
        cost
    }

    /// What is durable, with every page kept apart that a pending change touches; and these changes, which are pending no longer.
    fn strand(&mut self) -> (Stranded, Vec<Change>) {
        let mut undone = Vec::new();
        while let Some(change) = self.undo() {
            undone.push(change);
        }
        let known = self.stranded.take();
        let mut stranded = known.unwrap_or_else(|| Stranded::new(&self.bytes));
        for (change, _) in &undone {
            stranded.keep(&self.bytes, change.range());
        }
        let mut changes = Vec::with_capacity(undone.len());
        for (change, data) in undone.into_iter().rev() {
            self.redo(&change, &data);
            changes.push(change);
        }
        (stranded, changes)
    }

    /// Nothing is pending any more. The room of a file that was emptied is used again.
    fn settle(&mut self) {
        let emptied = self.pending.iter_mut().filter_map(|it| it.emptied.take());
        if let Some(mut room) = emptied.max_by_key(Vec::capacity)
            && room.capacity() > self.bytes.capacity()
        {
            room.clear();
            room.extend_from_slice(&self.bytes);
            self.bytes = room;
        }
        self.pending.clear();
        self.covered.clear();
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

    fn redo(&mut self, change: &Change, data: &[u8]) {
        match change.length {
            0 => self.bytes.resize(change.offset, 0),
            _ => self.put(change.offset, data),
        }
    }

    /// Takes the last pending change back; returns it with the bytes that it had written.
    fn undo(&mut self) -> Option<(Change, Vec<u8>)> {
        let mut change = self.pending.pop()?;
        if let Some(all) = change.emptied.take() {
            self.bytes = all;
            return Some((change, Vec::new()));
        }
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

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::{super::stranded::PAGE, *};
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

    /// The model of a disk whose syncs may fail: what is written and what is durable, each whole.
    #[derive(Default)]
    struct Whole {
        written: Vec<u8>,
        durable: Vec<u8>,
        pending: Vec<(usize, usize)>,
    }

    impl Whole {
        fn write(&mut self, offset: usize, data: &[u8]) {
            let end = offset + data.len();
            self.written.resize(self.written.len().max(end), 0);
            self.written[offset..end].copy_from_slice(data);
            self.pending.push((offset, data.len()));
        }

        fn resize(&mut self, size: usize) {
            self.written.resize(size, 0);
            self.pending.push((size, 0));
        }

        fn sync(&mut self, whole: bool) {
            for (offset, length) in self.pending.drain(..) {
                if length == 0 {
                    self.durable.resize(offset, 0);
                    continue;
                }
                let from = (offset / PAGE * PAGE).min(self.written.len());
                let to = (offset + length)
                    .next_multiple_of(PAGE)
                    .min(self.written.len());
                self.durable.resize(self.durable.len().max(to), 0);
                self.durable[from..to].copy_from_slice(&self.written[from..to]);
            }
            if whole {
                self.durable.clone_from(&self.written);
            }
        }
    }

    #[test]
    fn what_failed_syncs_leave_is_what_whole_copies_say() {
        let mut seen = [0_u32; 3];
        for seed in 0..400 {
            let mut chance = Chance::new(seed).named("stranded").rng();
            let (mut image, mut model) = (Image::default(), Whole::default());
            for sequence in 0..chance.random_range(5..60_u64) {
                let place = chance.random_range(0..5 * PAGE);
                let aligned = place / 512 * 512;
                match chance.random_range(0..10_u32) {
                    0..5 => {
                        let mut data = vec![0; chance.random_range(1..2 * PAGE)];
                        chance.fill(&mut data[..]);
                        image.write(sequence, aligned, &data);
                        model.write(aligned, &data);
                    }
                    5 => {
                        let size = if place % 2 == 0 { 0 } else { place };
                        image.resize(sequence, size);
                        model.resize(size);
                    }
                    6 | 7 => {
                        let whole = image.stranded.is_none();
                        image.sync();
                        model.sync(whole);
                        seen[usize::from(image.stranded.is_some())] += 1;
                    }
                    8 => {
                        image.fail_sync();
                        model.pending.clear();
                    }
                    _ => {
                        seen[2] += u32::from(image.stranded.is_some());
                        image.lose(|_| Fate::Lost);
                        model.pending.clear();
                        model.written.clone_from(&model.durable);
                    }
                }
                assert_eq!(image.bytes(), model.written, "seed {seed}, {sequence}");
                assert_eq!(image.durable(), model.durable, "seed {seed}, {sequence}");
            }
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
    }
}
