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
        Some(Defect::BreakerIgnoresGeneration) => {
            |policy| Wrong::boxed(policy, Mistake::IgnoresGeneration(Vec::new()))
        }
        Some(Defect::LostProbe) => |mut policy: BreakerPolicy| {
            policy.probe_lease = FOR_EVER;
            Wrong::boxed(policy, Mistake::LosesProbes)
        },
        Some(Defect::BreakerBypassed) => |policy| Wrong::boxed(policy, Mistake::LetsAllThrough),
        _ => circuit_breaker::breakers,
    }
}

/// The core's breaker with a mistake.
#[derive(Debug)]
struct Wrong {
    breaker: Breaker,
    mistake: Mistake,
}

/// What it gets wrong.
#[derive(Debug)]
enum Mistake {
    /// It counts the results of calls from before it opened as results of its probes: those of the present era whose results are awaited.
    IgnoresGeneration(Vec<Permit>),
    /// A probe whose result says nothing of the provider is never heard of again.
    LosesProbes,
    /// It says that it is open, and lets every call through.
    LetsAllThrough,
}

impl Wrong {
    fn boxed(policy: BreakerPolicy, mistake: Mistake) -> Box<dyn CircuitBreaker> {
        Box::new(Self {
            breaker: Breaker::new(policy),
            mistake,
        })
    }
}

impl CircuitBreaker for Wrong {
    fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    fn available(&self, now: Timestamp) -> u32 {
        self.breaker.available(now)
    }

    fn admit(&mut self, now: Timestamp) -> (Admission, Option<Transition>) {
        let (admission, transition) = self.breaker.admit(now);
        let admission = match (&mut self.mistake, admission) {
            (Mistake::IgnoresGeneration(probes), Admission::Allowed(permit)) => {
                probes.extend(permit.probe.then_some(permit));
                admission
            }
            (Mistake::LetsAllThrough, Admission::Refused { .. }) => Admission::Allowed(Permit {
                generation: u64::MAX,
                probe: false,
                serial: u64::MAX,
            }),
            _ => admission,
        };
        (admission, transition)
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
        let permit = match &mut self.mistake {
            Mistake::IgnoresGeneration(probes) => {
                probes.retain(|probe| probe.generation == era);
                let late = permit.generation != era;
                let taken_for = probes.pop_if(|_| late).unwrap_or(permit);
                probes.retain(|probe| probe.serial != taken_for.serial);
                taken_for
            }
            Mistake::LosesProbes => {
                let mute = matches!(class, CallClass::CallerFault | CallClass::Cancelled);
                if permit.probe && mute {
                    return None;
                }
                permit
            }
            Mistake::LetsAllThrough => permit,
        };
        self.breaker.record(permit, class, took, now, jitter)
    }
}
