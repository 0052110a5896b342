//! A circuit breaker: whether calls to one provider may start.
//!
//! | state     | a call starts                     | becomes                                                              |
//! |-----------|-----------------------------------|----------------------------------------------------------------------|
//! | closed    | always                            | open, when the window holds too many failed or slow calls, or several connects failed in a row |
//! | open      | never                             | half-open, at the first call after its time                           |
//! | half-open | while one of the probes is free   | closed after enough good probes, open (for twice as long) when they cannot be reached any more |
//!
//! The one invariant: every transition starts a new generation, and a result of an older generation changes nothing.
//! A probe is a lease: when its result never comes, its slot is free again after the lease.
//!
//! It deliberately has no clock and no jitter of its own, and knows no providers by name: there is one per provider.

use alloc::{vec, vec::Vec};
use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::limits::BreakerPolicy;
use crate::time::Timestamp;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls start.
    Closed,
    /// No call starts.
    Open {
        /// Until then.
        until: Timestamp,
    },
    /// Probes start.
    HalfOpen,
}

/// A breaker's state without its time, as metrics and logs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerStateName {
    /// Calls start.
    Closed,
    /// No call starts.
    Open,
    /// Probes start.
    HalfOpen,
}

impl BreakerStateName {
    /// The name on wires and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl BreakerState {
    /// The state without its time.
    pub const fn name(self) -> BreakerStateName {
        match self {
            Self::Closed => BreakerStateName::Closed,
            Self::Open { .. } => BreakerStateName::Open,
            Self::HalfOpen => BreakerStateName::HalfOpen,
        }
    }
}

/// The right to make one call. Its result has to be [recorded](Breaker::record), also when the call was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The era it belongs to.
    pub generation: u64,
    /// It is one of the few that decide about closing.
    pub probe: bool,
    /// Its number within the breaker's life, so that one probe's result cannot free another's slot.
    pub serial: u64,
}

/// The answer to a call that wants to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// It may.
    Allowed(Permit),
    /// It may not.
    Refused {
        /// Asking earlier is in vain.
        until: Timestamp,
    },
}

/// What a call's result says about the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallClass {
    /// It works.
    Success,
    /// It fails: 5xx, timeout, a broken answer.
    ProviderFault,
    /// It cannot be reached.
    ConnectFailure,
    /// It works, and we asked wrongly: a 4xx. Neutral.
    CallerFault,
    /// Nothing: the call was dropped. Neutral; frees a probe.
    Cancelled,
}

/// A change of state, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Before.
    pub from: BreakerStateName,
    /// After.
    pub to: BreakerStateName,
    /// The era that begins.
    pub generation: u64,
    /// When.
    pub at: Timestamp,
}

/// A step of the window.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Which step since the epoch; an old one is empty.
    step: i64,
    calls: u32,
    failures: u32,
    slow: u32,
}

/// A probe under way.
#[derive(Debug, Clone, Copy)]
struct Probe {
    serial: u64,
    until: Timestamp,
}

/// The breaker of one provider.
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: BreakerState,
    generation: u64,
    serial: u64,
    ring: Vec<Bucket>,
    connect_failures: u32,
    /// Times it opened since it was last closed.
    openings: u32,
    probes: Vec<Probe>,
    good: u32,
    bad: u32,
}

impl Breaker {
    /// A closed breaker. The policy has been [checked](BreakerPolicy::check).
    pub fn new(policy: BreakerPolicy) -> Self {
        let buckets = usize::try_from(policy.buckets.max(1)).unwrap_or(1);
        Self {
            policy,
            state: BreakerState::Closed,
            generation: 0,
            serial: 0,
            ring: vec![Bucket::default(); buckets],
            connect_failures: 0,
            openings: 0,
            probes: Vec::new(),
            good: 0,
            bad: 0,
        }
    }

    /// Where it stands.
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// Its era; one more with each transition.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// How many calls may start now.
    pub fn available(&self, now: Timestamp) -> u32 {
        match self.state {
            BreakerState::Closed => u32::MAX,
            BreakerState::Open { until } if self.waits(until, now) => 0,
            BreakerState::Open { .. } => self.policy.probes,
            BreakerState::HalfOpen => {
                let running = self.probes.iter().filter(|it| self.runs(it, now)).count();
                self.free(u32::try_from(running).unwrap_or(u32::MAX))
            }
        }
    }

    /// Asks to start a call. An open breaker whose time is over becomes half-open here.
    pub fn admit(&mut self, now: Timestamp) -> (Admission, Option<Transition>) {
        match self.state {
            BreakerState::Closed => (Admission::Allowed(self.permit()), None),
            BreakerState::Open { until } if self.waits(until, now) => {
                (Admission::Refused { until }, None)
            }
            BreakerState::Open { .. } => {
                let transition = self.enter(BreakerState::HalfOpen, now);
                (self.probe(now), Some(transition))
            }
            BreakerState::HalfOpen => (self.probe(now), None),
        }
    }

    /// Takes a call's result, after it took `took`. `jitter` lies in `[0, 1)` and spreads the end of an open time.
    ///
    /// A result of another generation, or of a probe whose lease is over, changes nothing.
    pub fn record(
        &mut self,
        permit: Permit,
        class: CallClass,
        took: Duration,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Transition> {
        if permit.generation != self.generation {
            return None;
        }
        match self.state {
            BreakerState::Closed => self.record_call(class, took, now, jitter),
            BreakerState::HalfOpen => self.record_probe(permit, class, took, now, jitter),
            BreakerState::Open { .. } => None,
        }
    }

    fn record_call(
        &mut self,
        class: CallClass,
        took: Duration,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Transition> {
        match class {
            CallClass::Cancelled => return None,
            CallClass::ConnectFailure => self.connect_failures += 1,
            CallClass::Success | CallClass::ProviderFault | CallClass::CallerFault => {
                self.connect_failures = 0;
            }
        }
        if class == CallClass::CallerFault {
            return None;
        }
        let failed = class != CallClass::Success;
        let slow = !failed && took >= self.policy.slow_after;
        self.count(failed, slow, now);
        let open = self.connect_failures >= self.policy.consecutive_connect_failures
            || self.window_is_bad(now);
        open.then(|| self.open(now, jitter))
    }

    fn record_probe(
        &mut self,
        permit: Permit,
        class: CallClass,
        took: Duration,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Transition> {
        self.expire(now);
        let at = self
            .probes
            .iter()
            .position(|it| it.serial == permit.serial)?;
        self.probes.remove(at);
        match class {
            CallClass::CallerFault | CallClass::Cancelled => {}
            CallClass::Success if took < self.policy.slow_after => self.good += 1,
            CallClass::Success | CallClass::ProviderFault | CallClass::ConnectFailure => {
                self.bad += 1;
            }
        }
        if self.good >= self.policy.probes_good {
            self.openings = 0;
            return Some(self.enter(BreakerState::Closed, now));
        }
        // Could the rest still be enough?
        let enough_is_possible =
            self.policy.probes.saturating_sub(self.bad) >= self.policy.probes_good;
        (!enough_is_possible).then(|| self.open(now, jitter))
    }

    fn open(&mut self, now: Timestamp, jitter: f64) -> Transition {
        let doubled = self
            .policy
            .open_for
            .saturating_mul(1 << self.openings.min(20));
        self.openings = self.openings.saturating_add(1);
        let jitter = if jitter > 0.0 { jitter.min(1.0) } else { 0.0 };
        // Up to a fifth is taken off, so that the cap holds and workers still part.
        let share = 1.0 - 0.2 * jitter;
        let until = now.plus(doubled.min(self.policy.open_cap).mul_f64(share));
        self.enter(BreakerState::Open { until }, now)
    }

    fn enter(&mut self, state: BreakerState, now: Timestamp) -> Transition {
        let from = self.state.name();
        self.state = state;
        self.generation += 1;
        self.ring.fill(Bucket::default());
        self.connect_failures = 0;
        self.probes.clear();
        self.good = 0;
        self.bad = 0;
        Transition {
            from,
            to: state.name(),
            generation: self.generation,
            at: now,
        }
    }

    fn permit(&mut self) -> Permit {
        self.serial += 1;
        Permit {
            generation: self.generation,
            probe: self.state == BreakerState::HalfOpen,
            serial: self.serial,
        }
    }

    fn probe(&mut self, now: Timestamp) -> Admission {
        self.expire(now);
        let running = u32::try_from(self.probes.len()).unwrap_or(u32::MAX);
        if self.free(running) == 0 {
            let lease = now.plus(self.policy.probe_lease);
            let first = self.probes.iter().map(|it| it.until).min();
            return Admission::Refused {
                until: first.unwrap_or(lease),
            };
        }
        let permit = self.permit();
        self.probes.push(Probe {
            serial: permit.serial,
            until: now.plus(self.policy.probe_lease),
        });
        Admission::Allowed(permit)
    }

    fn free(&self, running: u32) -> u32 {
        self.policy
            .probes
            .saturating_sub(self.good)
            .saturating_sub(self.bad)
            .saturating_sub(running)
    }

    fn expire(&mut self, now: Timestamp) {
        let lease = self.policy.probe_lease;
        self.probes
            .retain(|it| now < it.until && it.until <= now.plus(lease));
    }

    /// A lease that ends later than any granted now was made before the clock jumped back.
    fn runs(&self, probe: &Probe, now: Timestamp) -> bool {
        now < probe.until && probe.until <= now.plus(self.policy.probe_lease)
    }

    /// The same of an open time.
    fn waits(&self, until: Timestamp, now: Timestamp) -> bool {
        now < until && until <= now.plus(self.policy.open_cap)
    }

    fn count(&mut self, failed: bool, slow: bool, now: Timestamp) {
        let step = now
            .as_micros()
            .div_euclid(self.policy.bucket_micros().max(1));
        let len = i64::try_from(self.ring.len()).unwrap_or(1);
        let slot = usize::try_from(step.rem_euclid(len)).unwrap_or(0);
        let bucket = &mut self.ring[slot];
        if bucket.step != step {
            *bucket = Bucket {
                step,
                ..Bucket::default()
            };
        }
        bucket.calls = bucket.calls.saturating_add(1);
        bucket.failures = bucket.failures.saturating_add(u32::from(failed));
        bucket.slow = bucket.slow.saturating_add(u32::from(slow));
    }

    fn window_is_bad(&self, now: Timestamp) -> bool {
        let step = now
            .as_micros()
            .div_euclid(self.policy.bucket_micros().max(1));
        let oldest = step - i64::try_from(self.ring.len()).unwrap_or(1);
        let (mut calls, mut failures, mut slow) = (0_u64, 0_u64, 0_u64);
        for bucket in &self.ring {
            if bucket.step > oldest && bucket.step <= step {
                calls += u64::from(bucket.calls);
                failures += u64::from(bucket.failures);
                slow += u64::from(bucket.slow);
            }
        }
        calls >= u64::from(self.policy.min_calls)
            && (failures as f64 >= self.policy.failure_rate * calls as f64
                || slow as f64 >= self.policy.slow_rate * calls as f64)
    }
}
