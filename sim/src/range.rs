//! What a scenario may leave open: a number or a range of numbers, and a distribution of latencies.
//!
//! A range is drawn once, in the plan; a latency is drawn for each segment, from its link's own stream.

use std::{fmt, time::Duration};

use rand::{Rng, RngExt};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
    ser::SerializeSeq,
};

/// A number, or `[low, high]` to draw from uniformly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest.
    pub low: f64,
    /// Largest; equal to `low` for a plain number.
    pub high: f64,
}

impl Range {
    /// A plain number.
    pub const fn fixed(value: f64) -> Self {
        Self {
            low: value,
            high: value,
        }
    }

    /// One number out of it.
    pub fn draw(self, rng: &mut impl Rng) -> f64 {
        if self.high > self.low {
            rng.random_range(self.low..=self.high)
        } else {
            self.low
        }
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.low.to_bits() == self.high.to_bits() {
            return serializer.serialize_f64(self.low);
        }
        let mut seq = serializer.serialize_seq(Some(2))?;
        seq.serialize_element(&self.low)?;
        seq.serialize_element(&self.high)?;
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Numbers { least: 0.0 })
    }
}

/// A whole number, or `[low, high]` to draw from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Whole(Range);

impl Whole {
    /// The number; the lowest one of a range that was not drawn.
    pub fn number(self) -> u32 {
        u32::try_from(whole(self.0.low)).unwrap_or(u32::MAX)
    }

    /// The same with one number drawn.
    #[must_use]
    pub fn draw(self, rng: &mut impl Rng) -> Self {
        Self(Range::fixed(self.0.draw(rng).round()))
    }
}

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (low, high) = (whole(self.0.low), whole(self.0.high));
        if low == high {
            return serializer.serialize_i64(low);
        }
        [low, high].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let range = Range::deserialize(deserializer)?;
        let is_whole = |number: f64| number.fract() == 0.0 && number <= f64::from(u32::MAX);
        if is_whole(range.low) && is_whole(range.high) {
            return Ok(Self(range));
        }
        Err(de::Error::custom(format!(
            "found {} to {}, expected whole numbers",
            range.low, range.high
        )))
    }
}

/// A [`Range`] that may be below zero: for what has a direction, such as a clock's offset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Signed(pub Range);

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = Numbers { least: f64::MIN };
        deserializer.deserialize_any(numbers).map(Self)
    }
}

/// Reads a number or two of at least `least`.
struct Numbers {
    least: f64,
}

impl Numbers {
    fn order(&self) -> &'static str {
        if self.least < 0.0 {
            "low <= high"
        } else {
            "0 <= low <= high"
        }
    }
}

impl<'de> Visitor<'de> for Numbers {
    type Value = Range;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number, or [low, high] with {}", self.order())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Range, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Range, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Range, E> {
        if value.is_finite() && value >= self.least {
            Ok(Range::fixed(value))
        } else {
            Err(E::invalid_value(de::Unexpected::Float(value), &self))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Range, A::Error> {
        let low: f64 = seq
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let high: f64 = seq
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(1, &self))?;
        if seq.next_element::<f64>()?.is_some() {
            return Err(de::Error::invalid_length(3, &self));
        }
        if low.is_finite() && high.is_finite() && self.least <= low && low <= high {
            Ok(Range { low, high })
        } else {
            Err(de::Error::custom(format!(
                "found [{low}, {high}], expected [low, high] with {}",
                self.order()
            )))
        }
    }
}

/// The nearest whole number, at the ends of its type when it is beyond them.
#[expect(
    clippy::cast_possible_truncation,
    reason = "such a cast saturates, which is what is said here"
)]
pub(crate) fn whole(number: f64) -> i64 {
    number.round() as i64
}

/// A median and a 95th percentile, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
}

/// A distribution of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Latency {
    /// Always the same.
    FixedMs(f64),
    /// Uniform between the two.
    UniformMs([f64; 2]),
    /// Log-normal with this median and 95th percentile.
    LognormalMs(Percentiles),
}

/// Longest latency that any distribution may draw: a tail without an end would never let a run end.
pub const LONGEST: Duration = Duration::from_mins(5);

/// z(0.95) of the normal distribution: p95 = p50 * exp(1.6449 * sigma).
const Z_95: f64 = 1.644_853_626_951_472_7;

impl Latency {
    /// One latency, at most [`LONGEST`].
    pub fn draw(&self, rng: &mut impl Rng) -> Duration {
        let ms = match *self {
            Self::FixedMs(ms) => ms,
            Self::UniformMs([low, high]) if high > low => rng.random_range(low..=high),
            Self::UniformMs([low, _]) => low,
            Self::LognormalMs(Percentiles { p50, p95 }) => {
                let sigma = (p95 / p50).ln() / Z_95;
                p50 * (sigma * normal(rng)).exp()
            }
        };
        Duration::from_secs_f64((ms / 1000.0).clamp(0.0, LONGEST.as_secs_f64()))
    }

    /// What next to no draw exceeds, at most [`LONGEST`]: the largest there is, or five standard deviations (one draw in three million).
    pub fn most(&self) -> Duration {
        let ms = match *self {
            Self::FixedMs(high) | Self::UniformMs([_, high]) => high,
            Self::LognormalMs(Percentiles { p50, p95 }) => {
                p50 * (5.0 * (p95 / p50).ln() / Z_95).exp()
            }
        };
        Duration::from_secs_f64((ms / 1000.0).clamp(0.0, LONGEST.as_secs_f64()))
    }

    /// Whether all that is drawn is nothing at all.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::FixedMs(high) | Self::UniformMs([_, high]) if *high <= 0.0)
    }

    /// Refuses what cannot be drawn from, and more than [`LONGEST`].
    ///
    /// # Errors
    /// A sentence that says what was found and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let longest_ms = LONGEST.as_secs_f64() * 1000.0;
        let fine = match *self {
            Self::FixedMs(ms) => (0.0..=longest_ms).contains(&ms),
            Self::UniformMs([low, high]) => 0.0 <= low && low <= high && high <= longest_ms,
            Self::LognormalMs(Percentiles { p50, p95 }) => {
                0.0 < p50 && p50 <= p95 && p95 <= longest_ms
            }
        };
        if fine {
            Ok(())
        } else {
            Err(format!(
                "found {self:?}, expected milliseconds up to {longest_ms}, low before high, p50 above 0"
            ))
        }
    }
}

/// A standard normal draw (Box and Muller 1958); `random` yields [0, 1), so 1 - u is never 0.
fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    #[test]
    fn whole_numbers_are_drawn_whole_and_written_without_a_point() {
        #[derive(Serialize, Deserialize)]
        struct Table {
            n: Whole,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map(|table| table.n);
        let range = read("n = [4, 40]").unwrap();
        let drawn: Vec<u32> = (0..200)
            .map(|seed| range.draw(&mut Chance::new(seed).rng()).number())
            .collect();
        assert!(drawn.iter().all(|n| (4..=40).contains(n)), "{drawn:?}");
        assert!(drawn.iter().any(|n| *n < 8) && drawn.iter().any(|n| *n > 36));
        let write = |n| toml::to_string(&Table { n }).unwrap();
        assert_eq!(write(range), "n = [4, 40]\n");
        assert_eq!(write(read("n = 7").unwrap()), "n = 7\n");
        assert!(read("n = 1.5").is_err() && read("n = -1").is_err());
    }

    #[test]
    fn a_latency_beyond_the_longest_is_refused() {
        let check = |latency: Latency, fine: bool| {
            assert_eq!(latency.check().is_ok(), fine, "{latency:?}");
        };
        check(Latency::FixedMs(300_000.0), true);
        check(Latency::FixedMs(300_001.0), false);
        check(Latency::FixedMs(f64::NAN), false);
        check(Latency::UniformMs([1.0, 2.0]), true);
        check(Latency::UniformMs([1.0, f64::INFINITY]), false);
        check(Latency::UniformMs([2.0, 1.0]), false);
        let tail = |p95| Latency::LognormalMs(Percentiles { p50: 40.0, p95 });
        check(tail(150.0), true);
        check(tail(1e300), false);
    }

    #[test]
    fn a_lognormal_has_its_percentiles() {
        let mut rng = Chance::new(1).rng();
        let latency = Latency::LognormalMs(Percentiles {
            p50: 40.0,
            p95: 150.0,
        });
        let mut draws: Vec<_> = (0..20_000)
            .map(|_| latency.draw(&mut rng).as_secs_f64() * 1000.0)
            .collect();
        draws.sort_by(f64::total_cmp);
        assert!(
            (draws[10_000] - 40.0).abs() < 2.0,
            "median {}",
            draws[10_000]
        );
        assert!(
            (draws[19_000] - 150.0).abs() < 10.0,
            "p95 {}",
            draws[19_000]
        );
    }

    #[test]
    fn a_bad_range_is_refused() {
        #[derive(Debug, Deserialize)]
        struct Holder {
            #[expect(dead_code, reason = "only its parsing is under test")]
            r: Range,
        }
        for good in ["r = 1", "r = 1.5", "r = [1, 2.0]"] {
            toml::from_str::<Holder>(good).unwrap();
        }
        for bad in [
            "r = -1",
            "r = [2, 1]",
            "r = [1]",
            "r = [1,2,3]",
            "r = \"x\"",
        ] {
            toml::from_str::<Holder>(bad).unwrap_err();
        }
    }

    #[test]
    fn a_signed_range_may_be_below_zero() {
        #[derive(Debug, Deserialize)]
        struct Offset {
            s: Signed,
        }
        let offset: Offset = toml::from_str("s = [-2, 1]").expect("below zero is fine here");
        assert_eq!((offset.s.0.low, offset.s.0.high), (-2.0, 1.0));
        toml::from_str::<Offset>("s = [1, -2]").unwrap_err();
    }
}
