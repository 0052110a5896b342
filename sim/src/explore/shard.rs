//! A shard: which seeds of an exploration are one machine's.
//!
//! **Invariant**: the shards of one number divide every range of seeds among them: each seed is in exactly one. A shard of a range without
//! an end has no end either.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The shard `index` of `of`, counted from 1; written `2/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// Which, from 1.
    pub index: u32,
    /// Of how many.
    pub of: NonZeroU32,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self {
        index: 1,
        of: NonZeroU32::MIN,
    };

    /// The shard `index` of `of`, if there is such a one.
    pub fn new(index: u32, of: u32) -> Option<Self> {
        let of = NonZeroU32::new(of)?;
        (1..=of.get())
            .contains(&index)
            .then_some(Self { index, of })
    }

    /// Its seeds, in order: one in `of`, so that a run that is cut short has still sampled the whole range.
    pub fn seeds(self, from: u64, to: Option<u64>) -> impl Iterator<Item = u64> {
        let first = from.checked_add(u64::from(self.index) - 1);
        let next = move |seed: &u64| seed.checked_add(u64::from(self.of.get()));
        std::iter::successors(first, next).take_while(move |seed| to.is_none_or(|to| *seed < to))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('/')
            .and_then(|(index, of)| Self::new(index.parse().ok()?, of.parse().ok()?))
            .ok_or_else(|| format!("found {text:?}, expected i/n with i from 1 to n, such as 1/8"))
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Shard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::chance::Chance;

    #[test]
    fn shards_divide_any_range_exactly() {
        let mut rng = Chance::new(1).named("shards").rng();
        for _ in 0..300 {
            let from: u64 = rng.random_range(0..1_000);
            let to = from + rng.random_range(0..200);
            let of = rng.random_range(1..=40);
            let mut all: Vec<u64> = (1..=of)
                .flat_map(|index| Shard::new(index, of).unwrap().seeds(from, Some(to)))
                .collect();
            all.sort_unstable();
            assert_eq!(all, (from..to).collect::<Vec<_>>(), "{from}..{to} by {of}");
        }
    }

    #[test]
    fn without_an_end_there_is_always_one_more_until_numbers_end() {
        let third = Shard::new(3, 4).unwrap();
        let first: Vec<u64> = third.seeds(10, None).take(3).collect();
        assert_eq!(first, [12, 16, 20]);
        let last: Vec<u64> = third.seeds(u64::MAX - 3, None).collect();
        assert_eq!(last, [u64::MAX - 1]);
    }

    #[test]
    fn a_shard_is_written_as_it_is_read() {
        assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
        for text in ["0/8", "9/8", "1/0", "1", "a/b", "-1/2", "1/2/3", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
