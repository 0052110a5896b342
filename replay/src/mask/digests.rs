//! Digests of values, each with a few marks, in little more room than they have themselves.
//!
//! **Invariant**: a digest gives the marks that were ever added to it. Two values whose digests agree in all but the last bits are one.

/// So many digests share their first bits on average when a million are kept: few enough to move aside for one that comes between.
const BUCKETS: usize = 1 << 10;

/// The last bits of a digest are its marks.
const MARKS: u64 = 7;

/// Digests in order, by their first bits: a tree would take twice the room.
#[derive(Clone, Debug)]
pub(super) struct Digests {
    buckets: Vec<Vec<u64>>,
    count: usize,
}

impl Digests {
    pub(super) fn new() -> Self {
        Self {
            buckets: vec![Vec::new(); BUCKETS],
            count: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The marks of `digest`, if it is kept.
    pub(super) fn marks(&self, digest: u64) -> Option<u8> {
        let bucket = &self.buckets[bucket(digest)];
        let at = place(bucket, digest).ok()?;
        Some(u8::try_from(bucket[at] & MARKS).expect("three bits"))
    }

    /// Keeps `digest` and adds `marks` to those that it has.
    pub(super) fn add(&mut self, digest: u64, marks: u8) {
        let marks = u64::from(marks) & MARKS;
        let bucket = &mut self.buckets[bucket(digest)];
        match place(bucket, digest) {
            Ok(at) => bucket[at] |= marks,
            Err(at) => {
                if bucket.len() == bucket.capacity() {
                    bucket.reserve_exact(bucket.len() / 8 + 8);
                }
                bucket.insert(at, digest & !MARKS | marks);
                self.count += 1;
            }
        }
    }
}

fn bucket(digest: u64) -> usize {
    let first = digest >> (u64::BITS - BUCKETS.trailing_zeros());
    usize::try_from(first).expect("ten bits")
}

fn place(bucket: &[u64], digest: u64) -> Result<usize, usize> {
    bucket.binary_search_by_key(&(digest & !MARKS), |kept| kept & !MARKS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn marks_are_those_of_a_map() {
        let (mut digests, mut map) = (Digests::new(), BTreeMap::new());
        let mut digest = 1u64;
        for step in 0..40_000u64 {
            digest = digest
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step);
            // Few enough that most come again, at both ends of the range too.
            let one = match step % 50 {
                0 => 0,
                1 => u64::MAX,
                _ => (digest >> 52) << 50,
            };
            let marks = u8::try_from(step % 3).expect("small") + 1;
            digests.add(one, marks);
            *map.entry(one & !MARKS).or_insert(0) |= marks;
        }
        assert_eq!((digests.len(), digests.is_empty()), (map.len(), false));
        for (one, marks) in map {
            assert_eq!(digests.marks(one), Some(marks));
            let other = one | 5;
            assert_eq!(digests.marks(other), Some(marks), "of the first 61 bits");
            assert_eq!(digests.marks(one ^ 8), None);
        }
    }
}
