//! What stands before each provider: a bulkhead, a breaker and a pause it asked for.
//!
//! **Invariant**: a slot and a breaker's permit are always given back, also by a delivery that is dropped or panics: both are guards.
//! It deliberately does not queue or wait: what cannot start now is not claimed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rehearsal_core::{
    breaker::{
        Admission, BreakerPolicy, BreakerState, BreakerStateName, CallClass, Permit, Transition,
    },
    bulkhead::Bulkhead,
    identity::ProviderName,
    log::Evt,
    time::Timestamp,
};
use tokio::sync::Notify;

use crate::{
    circuit_breaker::{Breakers, CircuitBreaker},
    journal::Telemetry,
    metrics::Counter,
};

/// The lanes of all providers.
#[derive(Debug)]
pub(crate) struct Lanes {
    telemetry: Telemetry,
    by_provider: BTreeMap<ProviderName, Mutex<Lane>>,
    /// Rung when a slot of a full lane is free again.
    freed: Arc<Notify>,
}

#[derive(Debug)]
struct Lane {
    bulkhead: Bulkhead,
    breaker: Box<dyn CircuitBreaker>,
    /// By the monotonic clock, as is everything that the breaker is told.
    paused_until: Option<Timestamp>,
}

/// How one lane stands, for metrics and operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneStatus {
    pub(crate) provider: ProviderName,
    pub(crate) breaker: BreakerState,
    pub(crate) paused_until: Option<Timestamp>,
    pub(crate) in_use: u32,
    pub(crate) limit: u32,
}

/// A place in a bulkhead.
#[derive(Debug)]
pub(crate) struct Slot {
    lanes: Arc<Lanes>,
    provider: ProviderName,
}

/// A call that a breaker has let through.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    lanes: &'a Lanes,
    provider: &'a ProviderName,
    permit: Option<Permit>,
    started: Duration,
}

impl Lanes {
    pub(crate) fn new<'a>(
        telemetry: Telemetry,
        providers: impl Iterator<Item = &'a ProviderName>,
        breaker: &BreakerPolicy,
        breakers: Breakers,
        bulkhead: u32,
        freed: Arc<Notify>,
    ) -> Self {
        let lane = |name: &ProviderName| {
            let lane = Lane {
                bulkhead: Bulkhead::new(bulkhead),
                breaker: breakers(breaker.clone()),
                paused_until: None,
            };
            (name.clone(), Mutex::new(lane))
        };
        Self {
            telemetry,
            by_provider: providers.map(lane).collect(),
            freed,
        }
    }

    /// How many deliveries each provider may get now, and at what monotonic time the earliest of those that get none may get some.
    pub(crate) fn limits(&self, batch: u32) -> (Vec<(ProviderName, u32)>, Option<Duration>) {
        let now = self.ticks();
        let mut limits = Vec::with_capacity(self.by_provider.len());
        let mut reopens: Option<Timestamp> = None;
        for (name, lane) in &self.by_provider {
            let lane = lock(lane);
            let open_until = match lane.breaker.state() {
                BreakerState::Open { until } => Some(until),
                BreakerState::Closed | BreakerState::HalfOpen => None,
            };
            let closed_until = lane.paused_until.max(open_until).filter(|it| *it > now);
            if let Some(until) = closed_until {
                reopens = Some(reopens.map_or(until, |earliest| earliest.min(until)));
                continue;
            }
            let free = lane
                .bulkhead
                .free()
                .min(lane.breaker.available(now))
                .min(batch);
            if free > 0 {
                limits.push((name.clone(), free));
            }
        }
        (
            limits,
            reopens.map(|until| until.since(Timestamp::default())),
        )
    }

    /// Takes a slot; `None` when the lane is full or unknown.
    pub(crate) fn enter(self: &Arc<Self>, provider: &ProviderName) -> Option<Slot> {
        let entered = lock(self.by_provider.get(provider)?).bulkhead.try_enter();
        entered.then(|| Slot {
            lanes: self.clone(),
            provider: provider.clone(),
        })
    }

    /// Asks the breaker for one call; the error is how long to wait before asking again.
    pub(crate) fn admit<'a>(&'a self, provider: &'a ProviderName) -> Result<Call<'a>, Duration> {
        let now = self.ticks();
        let lane = self.by_provider.get(provider).ok_or(Duration::ZERO)?;
        let (admission, transition) = lock(lane).breaker.admit(now);
        self.report(provider, transition);
        match admission {
            Admission::Allowed(permit) => Ok(Call {
                lanes: self,
                provider,
                permit: Some(permit),
                started: self.telemetry.host.elapsed(),
            }),
            Admission::Refused { until } => {
                self.telemetry
                    .metrics
                    .count(Counter::BreakerRejected, &[provider.as_str()]);
                Err(until.since(now))
            }
        }
    }

    /// The providers whose breakers are not closed and would let a call through now.
    pub(crate) fn awaiting_probe(&self) -> Vec<ProviderName> {
        let now = self.ticks();
        let awaits = |lane: &Lane| {
            lane.breaker.state() != BreakerState::Closed
                && lane.breaker.available(now) > 0
                && lane.paused_until.is_none_or(|until| until <= now)
        };
        let awaiting = self
            .by_provider
            .iter()
            .filter(|(_, lane)| awaits(&lock(lane)));
        awaiting.map(|(name, _)| name.clone()).collect()
    }

    /// Leaves a provider alone for so long; an earlier end never shortens a longer pause.
    pub(crate) fn pause(&self, provider: &ProviderName, pause: Duration) {
        let until = self.ticks().plus(pause);
        if let Some(lane) = self.by_provider.get(provider) {
            let mut lane = lock(lane);
            lane.paused_until = lane.paused_until.max(Some(until));
        }
    }

    /// Whether calls start as they like: the breaker is closed, and the provider has not asked for a pause.
    pub(crate) fn calm(&self, provider: &ProviderName) -> bool {
        let now = self.ticks();
        self.by_provider.get(provider).is_some_and(|lane| {
            let lane = lock(lane);
            lane.breaker.state() == BreakerState::Closed
                && lane.paused_until.is_none_or(|until| until <= now)
        })
    }

    /// Slots in use over all lanes.
    pub(crate) fn in_use(&self) -> u32 {
        self.by_provider
            .values()
            .map(|lane| lock(lane).bulkhead.in_use())
            .sum()
    }

    /// Every lane, by provider.
    pub(crate) fn status(&self) -> Vec<LaneStatus> {
        let status = |(name, lane): (&ProviderName, &Mutex<Lane>)| {
            let lane = lock(lane);
            LaneStatus {
                provider: name.clone(),
                breaker: match lane.breaker.state() {
                    BreakerState::Open { until } => BreakerState::Open {
                        until: self.on_the_wall(until),
                    },
                    state => state,
                },
                paused_until: lane.paused_until.map(|until| self.on_the_wall(until)),
                in_use: lane.bulkhead.in_use(),
                limit: lane.bulkhead.limit(),
            }
        };
        self.by_provider.iter().map(status).collect()
    }

    /// The monotonic clock: leases of probes, open times and pauses are measured, and a wall clock may jump.
    fn ticks(&self) -> Timestamp {
        Timestamp::default().plus(self.telemetry.host.elapsed())
    }

    /// What the wall clock will show then, if it does not jump before.
    fn on_the_wall(&self, then: Timestamp) -> Timestamp {
        let (now, ticks) = (self.telemetry.host.now(), self.ticks());
        Timestamp::from_micros(
            now.as_micros()
                .saturating_add(then.as_micros())
                .saturating_sub(ticks.as_micros()),
        )
    }

    fn report(&self, provider: &ProviderName, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        let (from, to) = (transition.from.as_str(), transition.to.as_str());
        self.telemetry
            .metrics
            .count(Counter::BreakerTransitions, &[provider.as_str(), from, to]);
        let (evt, message) = match transition.to {
            BreakerStateName::Open => (Evt::BreakerOpened, "no call starts for a while"),
            BreakerStateName::HalfOpen => (Evt::BreakerHalfOpen, "probes start"),
            BreakerStateName::Closed => (Evt::BreakerClosed, "calls start again"),
        };
        let event = self
            .telemetry
            .event(evt, message)
            .with("provider", provider.as_str())
            .with("from", from)
            .with("generation", transition.generation);
        self.telemetry.log(event);
        // A breaker that closes or begins to probe makes room.
        if transition.to != BreakerStateName::Open {
            self.freed.notify_one();
        }
    }
}

impl Call<'_> {
    /// Ends the call with what its result says about the provider.
    pub(crate) fn finish(mut self, class: CallClass) {
        self.record(class);
    }

    fn record(&mut self, class: CallClass) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let Some(lane) = self.lanes.by_provider.get(self.provider) else {
            return;
        };
        let host = &self.lanes.telemetry.host;
        let (now, jitter) = (self.lanes.ticks(), host.jitter());
        let took = host.elapsed().saturating_sub(self.started);
        let transition = lock(lane).breaker.record(permit, class, took, now, jitter);
        self.lanes.report(self.provider, transition);
        // The free probe of a breaker that stays half-open is room as well.
        if permit.probe {
            self.lanes.freed.notify_one();
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.record(CallClass::Cancelled);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(lane) = self.lanes.by_provider.get(&self.provider) else {
            return;
        };
        let mut lane = lock(lane);
        let was_full = lane.bulkhead.free() == 0;
        lane.bulkhead.leave();
        drop(lane);
        if was_full {
            self.lanes.freed.notify_one();
        }
    }
}

fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}
