//! One attempt at one outbox entry: resolve what an earlier attempt did, send what is still owed, say what comes next.
//!
//! **Invariant**: nothing is sent unless the breaker lets it through and enough of the lease is left for the call and its settling; an
//! outcome that is not known is never taken for one that is.
//! It deliberately does not write: it gives a `Next`, which the settler writes under the lease's epoch.

use std::time::Duration;

use rehearsal_core::{
    appointment::Details,
    delivery::{
        self, AfterResolve, FirstStep, Next, Outcome, Policy, Resolution, after_resolve, defer,
        first_step,
    },
    log::Evt,
    outbox::{Entry, EntryState, Kind, mark_sent},
    time::Timestamp,
};
use serde_json::Value;

use super::{Worker, claim_time::ClaimTime, lane::Call};
use crate::{
    metrics::Counter,
    provider::{Answer, Provider},
    store::Claimed,
};

/// An entry under work, and when it was claimed.
pub(super) struct Attempt<'a> {
    pub(super) worker: &'a Worker,
    pub(super) claimed: &'a Claimed,
    pub(super) time: ClaimTime,
}

impl Attempt<'_> {
    /// Carries the attempt out.
    pub(super) async fn run(&self) -> Next {
        let (entry, worker) = (&self.claimed.entry, self.worker);
        let policy = &worker.policy;
        if let Some(given_up) = given_up(self.claimed, policy) {
            return given_up;
        }
        if *worker.stopping.borrow() {
            return defer(entry, self.now(), "the worker shuts down");
        }
        let Some(provider) = worker.providers.get(&entry.destination) else {
            let later = self.now().plus(policy.backoff.cap);
            return defer(entry, later, "this worker does not know the provider");
        };
        match first_step(entry, &self.claimed.appointment) {
            FirstStep::Abandon => delivery::abandon(entry),
            FirstStep::Send => self.send(provider).await,
            FirstStep::ResolveFirst => match self.resolve(provider).await {
                Ok(()) => self.send(provider).await,
                Err(next) => next,
            },
        }
    }

    /// What follows when the attempt panicked somewhere: it may have been sent.
    pub(super) fn lost(&self) -> Next {
        let mut entry = self.claimed.entry.clone();
        mark_sent(&mut entry, self.now());
        let outcome = Outcome::Unknown {
            cause: "the delivery panicked".to_owned(),
            answered: false,
        };
        self.next(&entry, &outcome)
    }

    /// `Ok`: send now. `Err`: the attempt ends here.
    async fn resolve(&self, provider: &Provider) -> Result<(), Next> {
        let (entry, worker) = (&self.claimed.entry, self.worker);
        let call = self.start()?;
        worker.log(
            entry,
            Evt::ResolveStarted,
            "asks what an earlier attempt did",
        );
        let answer = provider.look_up(entry, self.details()).await;
        call.finish(answer.class);
        let (found, cause) = match &answer.meaning {
            Resolution::Found { .. } => ("found", None),
            Resolution::Absent => ("absent", None),
            Resolution::Tombstoned => ("tombstoned", None),
            Resolution::Failed { cause } => ("failed", Some(cause.clone())),
        };
        let mut event = worker
            .telemetry
            .about(entry, Evt::Resolved, "the look-up's answer")
            .with("found", found)
            .with("cause", cause.map_or(Value::Null, Value::from));
        if let Some(asked) = answer.retry_after {
            event = event.with("retry_after_ms", millis(asked));
        }
        worker.telemetry.log(event);
        if let Some(asked) = answer.retry_after {
            let asked = asked.min(worker.policy.retry_after_cap);
            worker.lanes.pause(&entry.destination, asked);
            let outcome = Outcome::Throttled {
                retry_after: Some(asked),
            };
            self.count(&outcome);
            return Err(self.next(entry, &outcome));
        }
        match after_resolve(entry, &answer.meaning, self.now(), &worker.policy) {
            AfterResolve::Send => Ok(()),
            AfterResolve::WaitUntil(until) => Err(defer(
                entry,
                until,
                "an earlier attempt may still be in flight",
            )),
            AfterResolve::Settle(outcome) => {
                self.count(&outcome);
                Err(self.next(entry, &outcome))
            }
        }
    }

    async fn send(&self, provider: &Provider) -> Next {
        let worker = self.worker;
        let call = match self.start() {
            Ok(call) => call,
            Err(next) => return next,
        };
        let mut entry = self.claimed.entry.clone();
        let sent_before = entry.last_sent_at.is_some();
        mark_sent(&mut entry, self.now());
        worker.log(&entry, Evt::AttemptStarted, "calls the provider");
        let answer = match entry.kind {
            Kind::Book => provider.book(&entry, self.details(), sent_before).await,
            Kind::Cancel => provider.cancel(&entry, self.details()).await,
        };
        call.finish(answer.class);
        let mut outcome = answer.meaning.clone();
        if let Outcome::NotSent { .. } = outcome {
            // Nothing left after all: what was in doubt before still is, and no more.
            entry.clone_from(&self.claimed.entry);
        }
        self.report(&entry, &answer);
        if let Outcome::Throttled {
            retry_after: Some(asked),
        } = &mut outcome
        {
            *asked = (*asked).min(worker.policy.retry_after_cap);
            worker.lanes.pause(&entry.destination, *asked);
        }
        self.count(&outcome);
        self.next(&entry, &outcome)
    }

    /// The right to call the provider now, or what to settle with instead.
    #[expect(
        clippy::result_large_err,
        reason = "what comes next is no error; it is moved once"
    )]
    fn start(&self) -> Result<Call<'_>, Next> {
        let (entry, worker) = (&self.claimed.entry, self.worker);
        let policy = &worker.policy;
        // By the monotonic clock, from before the claim was asked for: the lease cannot be over where this says it is not.
        let used = self.time.used(&worker.telemetry.host);
        if used + policy.attempt_timeout + policy.settle_slack > policy.lease {
            return Err(defer(entry, self.now(), "too little of the lease is left"));
        }
        worker.lanes.admit(&entry.destination).map_err(|wait| {
            // Spread over a backoff, so that what waited for the breaker does not come at once.
            let spread = policy.backoff.delay(1, worker.telemetry.host.jitter());
            defer(
                entry,
                self.now().plus(wait).plus(spread),
                "the breaker is open",
            )
        })
    }

    /// The store's time.
    fn now(&self) -> Timestamp {
        self.time.now(&self.worker.telemetry.host)
    }

    fn details(&self) -> &Details {
        &self.claimed.appointment.details
    }

    fn next(&self, entry: &Entry, outcome: &Outcome) -> Next {
        let host = &self.worker.telemetry.host;
        delivery::next(
            entry,
            outcome,
            self.now(),
            host.jitter(),
            &self.worker.policy,
        )
    }

    fn count(&self, outcome: &Outcome) {
        let destination = self.claimed.entry.destination.as_str();
        self.worker
            .telemetry
            .metrics
            .count(Counter::OutboxAttempts, &[destination, word(outcome)]);
    }

    fn report(&self, entry: &Entry, answer: &Answer<Outcome>) {
        let (evt, message) = match &answer.meaning {
            _ if answer.timed_out => (Evt::ProviderTimeout, "no answer in time"),
            Outcome::Accepted { .. } | Outcome::Rejected { .. } => {
                (Evt::ProviderAnswered, "the provider answered")
            }
            Outcome::NotSent { .. } | Outcome::Throttled { .. } | Outcome::Unknown { .. } => (
                Evt::ProviderError,
                "the provider did not do it, or did not say so",
            ),
        };
        let telemetry = &self.worker.telemetry;
        let mut event = telemetry
            .about(entry, evt, message)
            .with("outcome", word(&answer.meaning));
        match &answer.meaning {
            Outcome::NotSent { cause } | Outcome::Unknown { cause, .. } => {
                event = event.with("err", cause.as_str());
            }
            Outcome::Rejected { code } => event = event.with("code", code.as_str()),
            Outcome::Throttled { retry_after } => {
                event = event.with("retry_after_ms", retry_after.map_or(Value::Null, millis));
            }
            Outcome::Accepted { .. } => {}
        }
        telemetry.log(event);
    }
}

/// An entry that was rescued on its last attempt is given up, not tried once more.
fn given_up(claimed: &Claimed, policy: &Policy) -> Option<Next> {
    let mut before = claimed.entry.clone();
    before.attempt = before.attempt.saturating_sub(1);
    before.state = if claimed.rescued {
        EntryState::Leased
    } else {
        EntryState::Ready
    };
    delivery::rescue(&before, policy)
}

fn millis(duration: Duration) -> Value {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .into()
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::NotSent { .. } => "not_sent",
        Outcome::Accepted { .. } => "accepted",
        Outcome::Rejected { .. } => "rejected",
        Outcome::Throttled { .. } => "throttled",
        Outcome::Unknown { .. } => "unknown",
    }
}
