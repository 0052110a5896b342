//! How many distinct values there are: exactly while they are few, by the k smallest digests beyond that (Bar-Yossef and others, 2002).
//!
//! **Invariant**: an estimate is never given as a count. Its standard error is one over the root of k, 1.6 %.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

/// Digests that are kept.
const KEPT: usize = 4_096;

/// Distinct values.
#[derive(Clone, Debug, Default)]
pub(super) struct Distinct {
    smallest: BTreeSet<u64>,
    estimated: bool,
}

impl Distinct {
    pub(super) fn add(&mut self, value: &str) {
        self.smallest.insert(xxh3_64(value.as_bytes()));
        if self.smallest.len() > KEPT {
            self.smallest.pop_last();
            self.estimated = true;
        }
    }

    /// How many, and whether that is exact.
    pub(super) fn count(&self) -> (u64, bool) {
        let kept = self.smallest.len() as u64;
        match self.smallest.last() {
            Some(largest) if self.estimated => {
                let estimate = (u128::from(kept - 1) << 64) / (u128::from(*largest) + 1);
                (u64::try_from(estimate).unwrap_or(u64::MAX), false)
            }
            _ => (kept, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_counted_and_many_estimated() {
        let count = |of: u64| {
            let mut distinct = Distinct::default();
            for value in (0..of).chain(0..of) {
                distinct.add(&value.to_string());
            }
            distinct.count()
        };
        assert_eq!(count(0), (0, true));
        assert_eq!(count(4_096), (4_096, true));
        let (many, exact) = count(100_000);
        assert!(!exact && (93_000..107_000).contains(&many), "{many}");
    }
}
