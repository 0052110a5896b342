//! Defects of the circuit breaker: others before the providers than the core's.
//!
//! **Invariant**: each is the core's breaker, but for the one thing that it gets wrong.

use std::time::Duration;

use rehearsal_core::{
    breaker::{Admission, Breaker, BreakerPolicy, BreakerState, CallClass, Permit, Transition},
    time::Timestamp,
};
use rehearsal_service::circuit_breaker::{self, Breakers, CircuitBreaker};

use super::Defect;

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// The breakers of a service with `defect`.
pub(super) fn breakers(defect: Option<Defect>) -> Breakers {
    match defect {
        Some(Defect::BreakerIgnoresGeneration) => |policy| {
            Box::new(IgnoresGeneration {
                breaker: Breaker::new(policy),
                probes: Vec::new(),
            })
        },
        Some(Defect::LostProbe) => |mut policy: BreakerPolicy| {
            policy.probe_lease = FOR_EVER;
            Box::new(LosesProbes(Breaker::new(policy)))
        },
        Some(Defect::BreakerBypassed) => |policy| Box::new(LetsAllThrough(Breaker::new(policy))),
        _ => circuit_breaker::breakers,
    }
}

/// Counts the results of calls from before it opened as results of its probes.
#[derive(Debug)]
struct IgnoresGeneration {
    breaker: Breaker,
    /// Probes of the present era whose results are awaited.
    probes: Vec<Permit>,
}

impl CircuitBreaker for IgnoresGeneration {
    fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    fn available(&self, now: Timestamp) -> u32 {
        self.breaker.available(now)
    }

    fn admit(&mut self, now: Timestamp) -> (Admission, Option<Transition>) {
        let answer = self.breaker.admit(now);
        if let (Admission::Allowed(permit), _) = &answer
            && permit.probe
        {
            self.probes.push(*permit);
        }
        answer
    }

    fn record(
        &mut self,
        permit: Permit,
        class: CallClass,
        took: Duration,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Transition> {
        let era = self.breaker.generation();
        self.probes.retain(|probe| probe.generation == era);
        let late = permit.generation != era;
        let taken_for = self.probes.pop_if(|_| late).unwrap_or(permit);
        self.probes.retain(|probe| probe.serial != taken_for.serial);
        self.breaker.record(taken_for, class, took, now, jitter)
    }
}

/// A probe whose result says nothing of the provider is never heard of again.
#[derive(Debug)]
struct LosesProbes(Breaker);

impl CircuitBreaker for LosesProbes {
    fn state(&self) -> BreakerState {
        self.0.state()
    }

    fn available(&self, now: Timestamp) -> u32 {
        self.0.available(now)
    }

    fn admit(&mut self, now: Timestamp) -> (Admission, Option<Transition>) {
        self.0.admit(now)
    }

    fn record(
        &mut self,
        permit: Permit,
        class: CallClass,
        took: Duration,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Transition> {
        let mute = matches!(class, CallClass::CallerFault | CallClass::Cancelled);
        if permit.probe && mute {
            return None;
        }
        self.0.record(permit, class, took, now, jitter)
    }
}

/// Says that it is open, and lets every call through.
#[derive(Debug)]
struct LetsAllThrough(Breaker);

impl CircuitBreaker for LetsAllThrough {
    fn state(&self) -> BreakerState {
        self.0.state()
    }

    fn available(&self, now: Timestamp) -> u32 {
        self.0.available(now)
    }

    fn admit(&mut self, now: Timestamp) -> (Admission, Option<Transition>) {
        match self.0.admit(now) {
            (Admission::Refused { .. }, transition) => {
                let stray = Permit {
                    generation: u64::MAX,
                    probe: false,
                    serial: u64::MAX,
                };
                (Admission::Allowed(stray), transition)
            }
            allowed => allowed,
        }
    }

    fn record(
        &mut self,
        permit: Permit,
        class: CallClass,
        took: Duration,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Transition> {
        self.0.record(permit, class, took, now, jitter)
    }
}
