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
