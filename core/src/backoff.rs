//! Capped exponential backoff with full jitter: the wait before attempt n + 1 is drawn from zero to base * 2^(n-1).
//!
//! The one invariant: a delay is never zero and never above the cap, whatever attempt and jitter are.
//! It deliberately does not draw the jitter; callers pass it in.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// The shortest delay there is.
const SHORTEST: Duration = Duration::from_millis(1);

/// How retries spread out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The longest wait after the first attempt.
    pub base: Duration,
    /// The longest wait of all.
    pub cap: Duration,
}

impl Default for Backoff {
    /// 200 ms doubling to 60 s.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(200),
            cap: Duration::from_mins(1),
        }
    }
}

impl Backoff {
    /// The wait after `attempt` (from 1) failed. `jitter` lies in `[0, 1)`; anything else is clamped, NaN is zero.
    ///
    /// Never below a tenth of the base, as a retry without delay burns all attempts at once, nor below 1 ms.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let cap = self.cap.max(SHORTEST);
        let doublings = attempt.saturating_sub(1).min(31);
        let ceiling = self.base.saturating_mul(1 << doublings).min(cap);
        let floor = (self.base / 10).clamp(SHORTEST, cap);
        // NaN fails the comparison and becomes zero.
        let jitter = if jitter > 0.0 { jitter.min(1.0) } else { 0.0 };
        ceiling.mul_f64(jitter).clamp(floor, cap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(attempt: u32, jitter: f64, expect_ms: u64) {
        let found = Backoff::default().delay(attempt, jitter);
        assert_eq!(
            found,
            Duration::from_millis(expect_ms),
            "{attempt} {jitter}"
        );
    }

    #[test]
    fn it_doubles_up_to_the_cap() {
        check(1, 0.5, 100);
        check(2, 0.5, 200);
        check(3, 0.5, 400);
        check(9, 0.5, 25_600);
        check(10, 0.5, 30_000);
        check(u32::MAX, 1.0, 60_000);
    }

    #[test]
    fn it_is_never_zero() {
        for attempt in [0, 1, 2, 40] {
            check(attempt, 0.0, 20);
            check(attempt, -1.0, 20);
            check(attempt, f64::NAN, 20);
        }
        let none = Backoff {
            base: Duration::ZERO,
            cap: Duration::ZERO,
        };
        assert_eq!(none.delay(1, 0.5), SHORTEST);
    }

    proptest! {
        /// Against the formula in 128-bit milliseconds.
        #[test]
        fn it_stays_within_its_bounds(
            base in 1_u64..100_000,
            cap in 1_u64..1_000_000_000,
            attempt in any::<u32>(),
            jitter in any::<f64>(),
        ) {
            let backoff = Backoff {
                base: Duration::from_millis(base),
                cap: Duration::from_millis(cap),
            };
            let delay = backoff.delay(attempt, jitter);
            prop_assert!(delay >= SHORTEST && delay <= backoff.cap);
            let doubled = u128::from(base) << attempt.saturating_sub(1).min(60);
            let floor = u128::from(base) * 100;
            let most = (doubled.min(u128::from(cap)) * 1000).max(floor).max(1000);
            prop_assert!(delay.as_micros() <= most);
            prop_assert!(delay.as_micros() >= floor.min(u128::from(cap) * 1000));
        }
    }
}
