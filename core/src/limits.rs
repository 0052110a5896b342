//! The limits of calling a provider: how often, how long, and when to stop.
//!
//! The one invariant: values that pass `check` can neither lose nor double a booking, nor open a breaker for good.
//! It deliberately does not read settings; the service does, and checks them here.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    backoff::Backoff,
    outbox::{MAX_LEASE, MAX_WAIT},
};

/// The limits of delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Attempts before an entry is given up.
    pub max_attempts: u32,
    /// How retries spread out.
    pub backoff: Backoff,
    /// How long one call to a provider may take.
    pub attempt_timeout: Duration,
    /// How long a worker holds an entry.
    pub lease: Duration,
    /// What a lease keeps for settling after the calls.
    pub settle_slack: Duration,
    /// How long after a send the provider may still be working on it.
    pub in_flight_horizon: Duration,
    /// The longest Retry-After that is obeyed.
    pub retry_after_cap: Duration,
    /// How long after queueing an entry is given up whatever the reason: refunded attempts do not run forever.
    pub give_up_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            backoff: Backoff::default(),
            attempt_timeout: Duration::from_secs(2),
            lease: Duration::from_secs(10),
            settle_slack: Duration::from_secs(2),
            in_flight_horizon: Duration::from_secs(10),
            retry_after_cap: Duration::from_hours(1),
            give_up_after: Duration::from_hours(24),
        }
    }
}

/// A setting that could lose or double a booking.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {rule}")]
pub struct Unsafe {
    /// The setting.
    pub setting: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

impl Policy {
    /// Refuses values under which a live worker could lose its lease, or an attempt could be repeated too early.
    pub fn check(&self) -> Result<(), Unsafe> {
        // A rescued attempt makes two calls: a look-up, then a send.
        let needed = self.attempt_timeout * 2 + self.settle_slack;
        let rules = [
            (self.max_attempts == 0, "max_attempts", "at least 1"),
            (
                self.backoff.base.is_zero(),
                "backoff.base",
                "longer than zero",
            ),
            (
                self.backoff.cap < self.backoff.base,
                "backoff.cap",
                "at least backoff.base",
            ),
            (
                self.backoff.cap > MAX_WAIT,
                "backoff.cap",
                "at most 2 hours",
            ),
            (
                self.attempt_timeout.is_zero(),
                "attempt_timeout",
                "longer than zero",
            ),
            (
                self.lease <= needed,
                "lease",
                "longer than 2 * attempt_timeout + settle_slack",
            ),
            (self.lease > MAX_LEASE, "lease", "at most 5 minutes"),
            (
                self.in_flight_horizon < self.attempt_timeout,
                "in_flight_horizon",
                "at least attempt_timeout",
            ),
            (
                self.in_flight_horizon > MAX_WAIT,
                "in_flight_horizon",
                "at most 2 hours",
            ),
            (
                self.retry_after_cap.is_zero(),
                "retry_after_cap",
                "longer than zero",
            ),
            (
                self.retry_after_cap > MAX_WAIT,
                "retry_after_cap",
                "at most 2 hours",
            ),
            (
                self.give_up_after <= self.lease,
                "give_up_after",
                "longer than lease",
            ),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            Some((_, setting, rule)) => Err(Unsafe { setting, rule }),
            None => Ok(()),
        }
    }
}

/// When a breaker opens and closes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakerPolicy {
    /// How far back results count.
    pub window: Duration,
    /// In how many steps the window moves on.
    pub buckets: u32,
    /// Fewer calls than this in the window decide nothing.
    pub min_calls: u32,
    /// Opens at this share of failed calls.
    pub failure_rate: f64,
    /// Opens at this share of slow calls.
    pub slow_rate: f64,
    /// A good call that took this long is slow.
    pub slow_after: Duration,
    /// Opens after this many connects failed in a row.
    pub consecutive_connect_failures: u32,
    /// How long it is open the first time.
    pub open_for: Duration,
    /// The longest it is open.
    pub open_cap: Duration,
    /// Probes of a half-open breaker.
    pub probes: u32,
    /// Good probes that close it.
    pub probes_good: u32,
    /// How long the result of a probe is waited for.
    pub probe_lease: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            buckets: 10,
            min_calls: 20,
            failure_rate: 0.5,
            slow_rate: 0.8,
            slow_after: Duration::from_millis(1600),
            consecutive_connect_failures: 5,
            open_for: Duration::from_secs(5),
            open_cap: Duration::from_mins(1),
            probes: 3,
            probes_good: 2,
            probe_lease: Duration::from_secs(3),
        }
    }
}

impl BreakerPolicy {
    /// Refuses values under which a breaker could never open, or never close.
    pub fn check(&self) -> Result<(), Unsafe> {
        let share = |rate: f64| rate > 0.0 && rate <= 1.0;
        let rules = [
            (
                self.buckets == 0 || self.buckets > 1000,
                "buckets",
                "1 to 1000",
            ),
            (
                self.bucket_micros() == 0,
                "window",
                "at least 1 us a bucket",
            ),
            (self.min_calls == 0, "min_calls", "at least 1"),
            (
                !share(self.failure_rate),
                "failure_rate",
                "above 0, at most 1",
            ),
            (!share(self.slow_rate), "slow_rate", "above 0, at most 1"),
            (
                self.consecutive_connect_failures == 0,
                "consecutive_connect_failures",
                "at least 1",
            ),
            (self.open_for.is_zero(), "open_for", "longer than zero"),
            (
                self.open_cap < self.open_for,
                "open_cap",
                "at least open_for",
            ),
            (self.probes == 0, "probes", "at least 1"),
            (
                self.probes_good == 0 || self.probes_good > self.probes,
                "probes_good",
                "1 to probes",
            ),
            (
                self.probe_lease.is_zero(),
                "probe_lease",
                "longer than zero",
            ),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            Some((_, setting, rule)) => Err(Unsafe { setting, rule }),
            None => Ok(()),
        }
    }

    /// How long a step of the window is, in microseconds.
    pub(crate) fn bucket_micros(&self) -> i64 {
        let micros = self.window.as_micros() / u128::from(self.buckets.max(1));
        i64::try_from(micros).unwrap_or(i64::MAX)
    }
}
