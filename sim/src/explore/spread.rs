//! A distribution that can be added to and merged without keeping its values: time to converge.
//!
//! **Invariant**: merging two spreads gives the spread of both lots together, exactly; a value is kept to two significant digits, its
//! count and the largest value exactly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The distribution, with the figures that a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// How many values.
    pub count: u64,
    /// The value below or at which half of them lie, to two digits; absent without values.
    pub p50: Option<u64>,
    /// The same for 95 of 100.
    pub p95: Option<u64>,
    /// The same for 99 of 100.
    pub p99: Option<u64>,
    /// The largest.
    pub max: Option<u64>,
    /// How many values there are of each two digits.
    pub histogram: BTreeMap<u64, u64>,
}

impl Spread {
    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        *self.histogram.entry(two_digits(value)).or_default() += 1;
        self.max = self.max.max(Some(value));
        self.count += 1;
        self.figures();
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        for (value, count) in &other.histogram {
            *self.histogram.entry(*value).or_default() += count;
        }
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.figures();
    }

    fn figures(&mut self) {
        let rank = |percent: u64| {
            let wanted = (self.count * percent).div_ceil(100);
            let mut seen = 0;
            let reached = |(_, count): &(&u64, &u64)| {
                seen += **count;
                seen >= wanted
            };
            self.histogram.iter().find(reached).map(|(value, _)| *value)
        };
        (self.p50, self.p95, self.p99) = (rank(50), rank(95), rank(99));
    }
}

/// The value with all but its first two digits set to 0.
fn two_digits(value: u64) -> u64 {
    let scale = 10_u64.pow(value.max(1).ilog10().saturating_sub(1));
    value / scale * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: impl IntoIterator<Item = u64>) -> Spread {
        let mut spread = Spread::default();
        for value in values {
            spread.add(value);
        }
        spread
    }

    #[test]
    fn figures_are_nearest_ranks_of_two_digits() {
        let hundred = spread((1..=100).map(|n| n * 10));
        assert_eq!(
            (hundred.p50, hundred.p95, hundred.p99, hundred.max),
            (Some(500), Some(950), Some(990), Some(1000))
        );
        assert_eq!(spread([12_345]).p50, Some(12_000));
        assert_eq!(spread([0, 7]).p50, Some(0));
        assert_eq!(spread([]).p99, None);
    }

    #[test]
    fn merging_is_adding_all() {
        let values: Vec<u64> = (0..500).map(|n| n * n * 7 % 4001).collect();
        for cut in [0, 1, 250, 500] {
            let mut merged = spread(values[..cut].iter().copied());
            merged.merge(&spread(values[cut..].iter().copied()));
            assert_eq!(merged, spread(values.iter().copied()), "{cut}");
        }
    }
}
