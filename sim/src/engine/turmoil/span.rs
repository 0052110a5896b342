//! What turmoil can draw a latency from: a lowest, a highest, and the lambda of the exponential in between.
//!
//! **Invariant**: a fixed latency is exact; bounds are exact; only the shape between them is turmoil's own.

use std::time::Duration;

use crate::range::{Latency, Percentiles};

/// `(1 - e^-lambda) / lambda = 0.5`: the mean of an exponential that is cut off at 1 is then that of a uniform draw.
const UNIFORM_LAMBDA: f64 = 1.593_624_26;

/// A latency as turmoil draws it, in whole milliseconds between the bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    /// Lowest.
    pub(super) low: Duration,
    /// Highest.
    pub(super) high: Duration,
    /// Of the exponential. turmoil keeps one for the whole network: a fault's latency has to make do with it.
    pub(super) lambda: f64,
}

impl Span {
    /// Fixed: exact. Uniform: the same bounds and mean. Log-normal: from half the median to the 95th percentile, with the same median.
    pub(super) fn of(latency: Latency) -> Self {
        let millis = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
        match latency {
            Latency::FixedMs(ms) => Self {
                low: millis(ms),
                high: millis(ms),
                lambda: UNIFORM_LAMBDA,
            },
            Latency::UniformMs([low, high]) => Self {
                low: millis(low),
                high: millis(high),
                lambda: UNIFORM_LAMBDA,
            },
            Latency::LognormalMs(Percentiles { p50, p95 }) => Self {
                low: millis(p50 / 2.0),
                high: millis(p95),
                lambda: std::f64::consts::LN_2 * (2.0 * p95 / p50 - 1.0),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean and the median of `low + (high - low) * min(Exp(lambda), 1)`, in milliseconds.
    fn mean_and_median(span: Span) -> (f64, f64) {
        let (low, high) = (span.low.as_secs_f64() * 1e3, span.high.as_secs_f64() * 1e3);
        let mean = (1.0 - (-span.lambda).exp()) / span.lambda;
        let median = std::f64::consts::LN_2 / span.lambda;
        (low + (high - low) * mean, low + (high - low) * median)
    }

    #[test]
    fn a_uniform_range_keeps_its_bounds_and_mean() {
        let span = Span::of(Latency::UniformMs([10.0, 30.0]));
        assert_eq!(
            (span.low, span.high),
            (Duration::from_millis(10), Duration::from_millis(30))
        );
        assert!((mean_and_median(span).0 - 20.0).abs() < 1e-3);
    }

    #[test]
    fn a_lognormal_keeps_its_median() {
        let span = Span::of(Latency::LognormalMs(Percentiles {
            p50: 40.0,
            p95: 150.0,
        }));
        assert!((mean_and_median(span).1 - 40.0).abs() < 1e-9);
        assert_eq!(span.high, Duration::from_millis(150));
    }
}
