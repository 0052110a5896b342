//! Whether answers take ever longer: a target that answers fewer requests a second than it is sent.
//!
//! An open loop sends on, so a queue grows in the target and shows nowhere but in its answers: those at the end of a run have waited for all before
//! them.
//!
//! **Invariant**: all times count from the intended sending, so a queue on this side counts alike.

use hdrhistogram::Histogram;

/// What a run saw of its first and of its last requests.
#[derive(Clone, Debug)]
pub(super) struct Lag {
    planned: usize,
    first: Histogram<u64>,
    last: Histogram<u64>,
}

/// The first and the last of so many parts are held against each other.
const PARTS: usize = 10;

impl Lag {
    /// Of a plan with so many requests.
    pub(super) fn new(planned: usize) -> Self {
        // Milliseconds up to an hour, to two digits.
        let empty = || Histogram::new_with_max(3_600_000, 2).expect("bounds that fit");
        Self {
            planned,
            first: empty(),
            last: empty(),
        }
    }

    /// Takes note of how long after its intended time the request at a place of the plan came to its end.
    pub(super) fn record(&mut self, at: usize, took_ns: u64) {
        let part = self.planned / PARTS;
        if at < part {
            self.first.saturating_record(took_ns / 1_000_000);
        } else if at >= self.planned - part {
            self.last.saturating_record(took_ns / 1_000_000);
        }
    }

    /// The medians of the first and of the last tenth, in milliseconds.
    pub(super) fn medians_ms(&self) -> (u64, u64) {
        (
            self.first.value_at_quantile(0.5),
            self.last.value_at_quantile(0.5),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_run_are_told_apart() {
        let mut lag = Lag::new(100);
        assert_eq!(lag.medians_ms(), (0, 0));
        for at in 0..100 {
            lag.record(at, at as u64 * 1_000_000);
        }
        let (first, last) = lag.medians_ms();
        assert!(
            (4..=5).contains(&first) && (94..=95).contains(&last),
            "{first} {last}"
        );
    }
}
