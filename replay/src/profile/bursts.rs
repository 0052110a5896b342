//! How uneven arrivals are: the index of dispersion of counts, the variance of the number of arrivals in windows of equal length over its mean
//! (Gusella, 1991). It is 1 for a Poisson process whatever its rate, 0 for a metronome, and above 1 for bursts.
//!
//! **Invariant**: windows are contiguous from the first arrival on, empty ones included; at most [`WINDOWS`] are kept, and where that is too few for
//! the capture, all become twice as long.

use std::collections::BTreeMap;

/// Windows with arrivals that are kept.
const WINDOWS: usize = 1 << 13;

/// The shortest window.
const FIRST_NS: u64 = 100_000_000;

/// An index is given for windows that the capture has at least so many of: of fewer, a variance says little.
const LEAST: u64 = 10;

/// The index of dispersion at one scale.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Burstiness {
    /// The length of a window, in seconds.
    pub window_s: f64,
    /// Variance over mean of the counts: 1 for a Poisson process.
    pub dispersion: f64,
    /// The most arrivals in one window.
    pub most: u64,
}

/// Arrivals by window.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    begin: Option<u64>,
    width: u64,
    counts: BTreeMap<i64, u64>,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self {
            begin: None,
            width: FIRST_NS,
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, ts_ns: u64) {
        let begin = *self.begin.get_or_insert(ts_ns);
        // A record that is out of order may come before the first.
        let since = i128::from(ts_ns) - i128::from(begin);
        let window = i64::try_from(since.div_euclid(i128::from(self.width))).unwrap_or(i64::MAX);
        *self.counts.entry(window).or_default() += 1;
        while self.counts.len() > WINDOWS {
            self.width *= 2;
            self.counts = merged(&self.counts, 2);
        }
    }

    /// The index at the scale of the windows, and at scales of ten and a hundred of them.
    pub(super) fn burstiness(&self) -> Vec<Burstiness> {
        let scales = [1, 10, 100].into_iter();
        scales.filter_map(|scale| self.at(scale)).collect()
    }

    fn at(&self, scale: i64) -> Option<Burstiness> {
        let counts = merged(&self.counts, scale);
        let ((first, _), (last, _)) = (counts.first_key_value()?, counts.last_key_value()?);
        // The last window is not whole, so it says nothing.
        let windows = last.abs_diff(*first);
        if windows < LEAST {
            return None;
        }
        let whole = || counts.range(..*last).map(|(_, count)| *count);
        let mean = whole().sum::<u64>() as f64 / windows as f64;
        let squares: f64 = whole().map(|count| (count as f64).powi(2)).sum();
        let variance = (squares / windows as f64 - mean * mean).max(0.0);
        Some(Burstiness {
            window_s: self.width as f64 * scale as f64 / 1e9,
            dispersion: if mean > 0.0 { variance / mean } else { 0.0 },
            most: counts.values().copied().max().unwrap_or(0),
        })
    }
}

fn merged(counts: &BTreeMap<i64, u64>, by: i64) -> BTreeMap<i64, u64> {
    let mut merged = BTreeMap::new();
    for (window, count) in counts {
        *merged.entry(window.div_euclid(by)).or_default() += count;
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispersion(times: impl Iterator<Item = u64>) -> f64 {
        let mut arrivals = Arrivals::new();
        times.for_each(|time| arrivals.add(time));
        arrivals.burstiness()[0].dispersion
    }

    #[test]
    fn a_metronome_poisson_arrivals_and_bursts_are_told_apart() {
        let even = dispersion((0..10_000).map(|at| at * 10_000_000));
        assert!(even < 0.01, "{even}");
        let (mut state, mut now) = (1_u64, 0.0_f64);
        let poisson = dispersion((0..20_000).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let uniform = ((state >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
            now -= uniform.ln() * 1e7;
            now.to_string()
                .split('.')
                .next()
                .and_then(|whole| whole.parse().ok())
                .unwrap_or(0)
        }));
        assert!((0.9..1.1).contains(&poisson), "{poisson}");
        let bursts = dispersion((0..10_000).map(|at| at / 100 * 1_000_000_000 + at % 100));
        assert!(bursts > 50.0, "{bursts}");
    }

    #[test]
    fn windows_grow_with_the_capture() {
        let mut arrivals = Arrivals::new();
        for at in 0..200_000 {
            arrivals.add(at * 1_000_000_000);
        }
        assert!(arrivals.counts.len() <= WINDOWS);
        let found = arrivals.burstiness();
        assert!(
            found[0].window_s > 10.0 && found[0].dispersion < 0.1,
            "{found:?}"
        );
    }
}
