//! The table of reachability points: every endpoint by class of answer, every transition, every turn of a delivery, the breaker, the saga,
//! the auditor, and what providers and the world do.
//!
//! **Invariant**: each point can be hit by a service that is right; what only a defect shows is an oracle's matter and stands not here.

use rehearsal_core::{
    appointment::State,
    log::Evt,
    outbox::{EntryState, Kind},
};
use rehearsal_mocks::provider::{Operation as Op, ProviderEvent as P};

use super::{
    Call,
    Sign::{
        self, Answered, Came, Entry, Finding, Line, Log, Lost, Outbox, Provider, Read, Replayed,
        Says, Step,
    },
};
use crate::{
    appointments::{event::Event, history::extra, operation::Endpoint as E},
    trace::{Event as World, Phase},
};

/// Name, meaning, sign.
pub(super) type Row = (&'static str, &'static str, Sign);

const fn probe(endpoint: E, status: u16) -> Sign {
    Answered(Call::Probe(endpoint), status, status)
}

/// All of them, in the order of reports.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // Endpoints, by class of answer.
    ("submit.accepted", "a request was accepted", Answered(Call::Submit, 202, 202)),
    ("submit.replayed", "a repeat was answered from what is stored", Replayed),
    ("submit.conflict", "a used key with another payload was refused", Answered(Call::Submit, 422, 422)),
    ("submit.invalid", "a request that breaks rules was refused", probe(E::SubmitInvalid, 400)),
    ("submit.malformed", "half a JSON document was refused", probe(E::SubmitMalformed, 400)),
    ("submit.unavailable", "a request was answered with 5xx", Answered(Call::Submit, 500, 599)),
    ("submit.unanswered", "a request was sent and not answered", Lost(Call::Submit, true)),
    ("submit.not_sent", "a request could not be sent", Lost(Call::Submit, false)),
    ("cancel.accepted", "a cancel was accepted", Answered(Call::Cancel, 202, 202)),
    ("cancel.unknown", "a cancel of nothing was refused", probe(E::CancelUnknown, 404)),
    ("cancel.unavailable", "a cancel was answered with 5xx", Answered(Call::Cancel, 500, 599)),
    ("cancel.unanswered", "a cancel was sent and not answered", Lost(Call::Cancel, true)),
    ("read.pending", "a read showed a pending appointment", Read(State::Pending)),
    ("read.confirmed", "a read showed a confirmed appointment", Read(State::Confirmed)),
    ("read.failed", "a read showed a failed appointment", Read(State::Failed)),
    ("read.cancelled", "a read showed a cancelled appointment", Read(State::Cancelled)),
    ("read.unknown", "a read of nothing was refused", probe(E::ReadUnknown, 404)),
    ("read.unavailable", "a read was answered with 5xx", Answered(Call::Read, 500, 599)),
    ("read.unanswered", "a read was sent and not answered", Lost(Call::Read, true)),
    ("find.answered", "a search by request_id was answered", probe(E::Find, 200)),
    ("find.bad_query", "a search for anything else was refused", probe(E::FindBadQuery, 400)),
    ("providers.answered", "the providers were listed", probe(E::Providers, 200)),
    ("livez.alive", "a host said that it lives", probe(E::Livez, 200)),
    ("readyz.ready", "a host said that it is ready", probe(E::Readyz, 200)),
    ("readyz.unavailable", "a host said that it is not ready", probe(E::Readyz, 503)),
    ("metrics.answered", "metrics were read", probe(E::Metrics, 200)),
    ("openapi.answered", "the interface's description was read", probe(E::Openapi, 200)),
    ("admin.outbox", "an operator read the outbox", probe(E::Outbox, 200)),
    ("admin.dead_letters", "an operator read the dead letters", probe(E::DeadLetters, 200)),
    ("admin.findings", "an operator read the findings", probe(E::Findings, 200)),
    ("admin.breakers", "an operator read the breakers", probe(E::Breakers, 200)),
    ("redrive.refused", "a redrive of what is not dead was refused", probe(E::Redrive, 404)),
    ("redrive.done", "a dead letter was put back into the queue", Answered(Call::Probe(E::Redrive), 200, 299)),
    ("path.unknown", "an unknown path was refused", probe(E::NoSuchPath, 404)),
    ("method.wrong", "a wrong method was refused", probe(E::WrongMethod, 405)),
    // The lifecycle, as committed.
    ("state.init_pending", "a row was made", Step("accepted", None, Some("pending"))),
    ("state.cancel_requested", "a client's cancel was noted", Step("cancel_requested", None, None)),
    ("state.pending_confirmed", "PENDING became CONFIRMED", Step("confirmed", Some("pending"), Some("confirmed"))),
    ("state.pending_failed", "PENDING became FAILED", Step("failed", Some("pending"), Some("failed"))),
    ("state.failed_cancelled", "FAILED became CANCELLED", Step("cancelled", Some("failed"), Some("cancelled"))),
    ("state.confirmed_cancelled", "CONFIRMED became CANCELLED", Step("cancelled", Some("confirmed"), Some("cancelled"))),
    ("state.compensation_queued", "a compensating cancel was queued", Step("compensation_queued", None, None)),
    ("state.compensation_dead", "a compensating cancel was given up", Step("compensation_dead_lettered", None, None)),
    ("failed.rejected", "an appointment failed: the provider refused it", Says(Evt::Failed, "failure", "rejected")),
    ("failed.exhausted", "an appointment failed: no attempt was left", Says(Evt::Failed, "failure", "exhausted")),
    ("failed.cancelled", "an appointment failed: its client cancelled it", Says(Evt::Failed, "failure", "cancelled_by_client")),
    // Deliveries.
    ("book.started", "a booking was sent", Says(Evt::AttemptStarted, "kind", "book")),
    ("book.repeated", "a booking was sent again", Line(Evt::AttemptStarted, |line| repeated(line, "book"))),
    ("book.accepted", "a booking was accepted", Came(Evt::ProviderAnswered, "book", "accepted")),
    ("book.rejected", "a booking was refused for good", Came(Evt::ProviderAnswered, "book", "rejected")),
    ("book.throttled", "a booking was throttled", Came(Evt::ProviderError, "book", "throttled")),
    ("book.unknown", "a booking's outcome was unknown after an answer or a broken connection", Came(Evt::ProviderError, "book", "unknown")),
    ("book.not_sent", "a booking could not be sent", Came(Evt::ProviderError, "book", "not_sent")),
    ("book.timeout", "a booking was not answered in time", Says(Evt::ProviderTimeout, "kind", "book")),
    ("release.started", "a cancel was sent to a provider", Says(Evt::AttemptStarted, "kind", "cancel")),
    ("release.repeated", "a cancel was sent to a provider again", Line(Evt::AttemptStarted, |line| repeated(line, "cancel"))),
    ("release.accepted", "a provider took a cancel", Came(Evt::ProviderAnswered, "cancel", "accepted")),
    ("release.unknown", "a cancel's outcome was unknown", Came(Evt::ProviderError, "cancel", "unknown")),
    ("release.timeout", "a cancel was not answered in time", Says(Evt::ProviderTimeout, "kind", "cancel")),
    ("resolve.started", "an uncertain booking was looked up", Log(Evt::ResolveStarted)),
    ("resolve.found", "the look-up found a booking", Says(Evt::Resolved, "found", "found")),
    ("resolve.absent", "the look-up found nothing", Says(Evt::Resolved, "found", "absent")),
    ("resolve.failed", "the look-up failed", Says(Evt::Resolved, "found", "failed")),
    ("retry.book", "a booking was put off and counted", Says(Evt::RetryScheduled, "kind", "book")),
    ("retry.cancel", "a cancel was put off and counted", Says(Evt::RetryScheduled, "kind", "cancel")),
    ("retry.throttled", "a retry waits as long as the provider asked", Says(Evt::RetryScheduled, "cause", "throttled")),
    ("defer.breaker", "an attempt waits for the breaker", Says(Evt::Deferred, "cause", "the breaker is open")),
    ("defer.in_flight", "an attempt waits for an earlier one that may be in flight", Says(Evt::Deferred, "cause", "an earlier attempt may still be in flight")),
    ("dead.book", "a booking was given up", Outbox(|entry| entry.state == EntryState::Dead && entry.kind == Kind::Book)),
    ("dead.cancel", "a cancel was given up", Outbox(|entry| entry.state == EntryState::Dead && entry.kind == Kind::Cancel)),
    // Leases and fences.
    ("lease.rescued", "a lease ran out and another claim took over", Log(Evt::LeaseExpired)),
    ("lease.last_attempt_lost", "the last attempt was lost with its worker", Says(Evt::DeadLettered, "reason", "the last attempt was lost with its worker")),
    ("settle.stale", "a settle of an older lease was refused", Log(Evt::StaleSettle)),
    ("store.error", "the store failed a request of the service", Log(Evt::StoreError)),
    // The breaker.
    ("breaker.opened", "a breaker opened", Says(Evt::BreakerOpened, "from", "closed")),
    ("breaker.half_open", "a breaker let probes through", Log(Evt::BreakerHalfOpen)),
    ("breaker.reopened", "a probe failed and the breaker opened again", Says(Evt::BreakerOpened, "from", "half_open")),
    ("breaker.closed", "a breaker closed", Log(Evt::BreakerClosed)),
    // The auditor.
    ("audit.complete", "a sweep compared everything", Says(Evt::AuditDone, "result", "complete")),
    ("audit.incomplete", "a sweep could not read everything", Says(Evt::AuditDone, "result", "incomplete")),
    ("finding.not_cancelled", "a provider held a booking that was to be cancelled", Says(Evt::AuditFinding, "kind", "not_cancelled_at_provider")),
    ("finding.uncompensated", "a failed booking's compensation never ended", Says(Evt::AuditFinding, "kind", "failed_uncompensated")),
    ("finding.repaired", "the auditor queued a repair", Log(Evt::AuditRepair)),
    ("finding.resolved", "a whole sweep no longer saw a finding", Finding(|finding| finding.resolved_at.is_some())),
    // Providers.
    ("provider.booked", "a provider booked", Provider(|event| matches!(event, P::Booked { .. }))),
    ("provider.replayed", "a provider answered a repeat from what it holds", Provider(|event| matches!(event, P::Replayed { .. }))),
    ("provider.tombstoned", "a provider refused a booking after its cancel", Provider(|event| matches!(event, P::RefusedTombstone { .. }))),
    ("provider.released", "a cancel ended a booking", Provider(|event| matches!(event, P::Cancelled { had_booking: true, .. }))),
    ("provider.tombstone_first", "a cancel came before any booking", Provider(|event| matches!(event, P::Cancelled { had_booking: false, .. }))),
    ("provider.listed", "a provider listed its bookings", Provider(|event| matches!(event, P::Listed { .. }))),
    ("provider.failed_before", "a provider failed before a call took effect", Provider(|event| matches!(event, P::Failed { processed: false, .. }))),
    ("provider.failed_after", "a provider failed after a call took effect", Provider(|event| matches!(event, P::Failed { processed: true, .. }))),
    ("provider.hung", "a provider neither processed nor answered", Provider(|event| matches!(event, P::Hung { .. }))),
    ("provider.unanswered", "a provider processed a call and did not answer", Provider(|event| matches!(event, P::Unanswered { .. }))),
    ("provider.lookup_failed", "a provider failed a look-up", Provider(|event| matches!(event, P::Failed { op: Op::Lookup, .. }))),
    ("provider.list_failed", "a provider failed a list", Provider(|event| matches!(event, P::Failed { op: Op::List, .. }))),
    // The world.
    ("host.died", "a host died", Entry(|entry| matches!(entry.event, World::Died))),
    ("host.rebooted", "a host came back", Entry(|entry| matches!(entry.event, World::Booted) && entry.boot > 1)),
    ("run.converged", "after the heal the system became quiet", Entry(|entry| matches!(entry.event, World::Phase(Phase::Observe)))),
    ("observe.scraped", "a host's metrics were read at the end", Entry(|entry| matches!(entry.event, World::System(Event::Scraped { text: Some(_), .. })))),
];

/// Whether the delivery that was started is of this kind and not its first.
fn repeated(line: &rehearsal_core::log::LogEvent, kind: &str) -> bool {
    extra(line, "kind") == kind
        && line
            .extra
            .get("attempt")
            .and_then(serde_json::Value::as_u64)
            > Some(1)
}
