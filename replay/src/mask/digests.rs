//! Digests of values, each with a few marks, in little more room than they have themselves.
//!
//! **Invariant**: a digest gives the marks that were ever added to it. Two values whose digests agree in their first 47 bits are one: of values
//! that were never added, one in a hundred million is taken for one of a million that were.

/// So many digests share their first bits on average when a million are kept: few enough to move aside for one that comes between.
const BUCKETS: usize = 1 << 10;

/// A digest behind the ten bits that all of its bucket share: its next 37 bits, then its marks.
type Kept = [u8; 5];

/// The bits of a kept digest's last byte that are its marks.
const MARKS: u8 = 7;

/// Where that byte is.
const LAST: usize = size_of::<Kept>() - 1;

/// Digests in order, by their first bits: a tree would take twice the room.
#[derive(Clone, Debug)]
pub(super) struct Digests {
    buckets: Vec<Vec<Kept>>,
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
        let at = place(bucket, kept(digest)).ok()?;
        Some(marks(bucket[at]))
    }

    /// Keeps `digest` and adds `marks` to those that it has.
    pub(super) fn add(&mut self, digest: u64, marks: u8) {
        let mut kept = kept(digest);
        let bucket = &mut self.buckets[bucket(digest)];
        match place(bucket, kept) {
            Ok(at) => bucket[at][LAST] |= marks & MARKS,
            Err(at) => {
                if bucket.len() == bucket.capacity() {
                    bucket.reserve_exact(bucket.len() / 8 + 8);
                }
                kept[LAST] |= marks & MARKS;
                bucket.insert(at, kept);
                self.count += 1;
            }
        }
    }
}

fn bucket(digest: u64) -> usize {
    let first = digest >> (u64::BITS - BUCKETS.trailing_zeros());
    usize::try_from(first).expect("ten bits")
}

/// What is kept of a digest, without marks.
fn kept(digest: u64) -> Kept {
    let rest = digest << BUCKETS.trailing_zeros();
    let [first, second, third, fourth, last, ..] = rest.to_be_bytes();
    [first, second, third, fourth, last & !MARKS]
}

fn marks(kept: Kept) -> u8 {
    kept[LAST] & MARKS
}

fn place(bucket: &[Kept], wanted: Kept) -> Result<usize, usize> {
    bucket.binary_search_by_key(&wanted, |kept| {
        let mut bare = *kept;
        bare[LAST] &= !MARKS;
        bare
    })
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
            *map.entry(one >> 17 << 17).or_insert(0) |= marks;
        }
        assert_eq!((digests.len(), digests.is_empty()), (map.len(), false));
        for (one, marks) in map {
            assert_eq!(digests.marks(one), Some(marks));
            let other = one ^ 0x1_ffff;
            assert_eq!(digests.marks(other), Some(marks), "of the first 47 bits");
            assert_eq!(digests.marks(one ^ 0x2_0000), None);
        }
    }
}
