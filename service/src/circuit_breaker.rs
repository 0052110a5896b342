//! What stands before each provider and says which calls may start: the core's circuit breaker, or another that its caller brings.
//!
//! **Invariant**: whoever asks a breaker tells it what became of the call, also of one that was dropped.
//! It deliberately has no clock: time comes with each question.

use std::{fmt::Debug, time::Duration};

use rehearsal_core::{
    breaker::{Admission, Breaker, BreakerPolicy, BreakerState, CallClass, Permit, Transition},
    time::Timestamp,
};

/// One provider's breaker. The methods are [`Breaker`]'s.
pub trait CircuitBreaker: Debug + Send {
    /// See [`Breaker::state`].
    fn state(&self) -> BreakerState;

    /// See [`Breaker::available`].
    fn available(&self, now: Timestamp) -> u32;

    /// See [`Breaker::admit`].
    fn admit(&mut self, now: Timestamp) -> (Admission, Option<Transition>);

    /// See [`Breaker::record`].
    fn record(
        &mut self,
        permit: Permit,
        class: CallClass,
        took: Duration,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Transition>;
}

/// Makes the breaker of a provider.
pub type Breakers = fn(BreakerPolicy) -> Box<dyn CircuitBreaker>;

/// The core's breakers: what a service uses unless it is told otherwise.
pub fn breakers(policy: BreakerPolicy) -> Box<dyn CircuitBreaker> {
    Box::new(Breaker::new(policy))
}

impl CircuitBreaker for Breaker {
    fn state(&self) -> BreakerState {
        Breaker::state(self)
    }

    fn available(&self, now: Timestamp) -> u32 {
        Breaker::available(self, now)
    }

    fn admit(&mut self, now: Timestamp) -> (Admission, Option<Transition>) {
        Breaker::admit(self, now)
    }

    fn record(
        &mut self,
        permit: Permit,
        class: CallClass,
        took: Duration,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Transition> {
        Breaker::record(self, permit, class, took, now, jitter)
    }
}
