//! Where log events go, and the one place that turns an appointment's events into log lines and figures.
//!
//! **Invariant**: no personal data reaches a journal but the name's first character: callers pass ids, codes and scrubbed texts.
//! It deliberately keeps events typed: only a sink for people makes text of them.

use std::{
    borrow::Cow,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use rehearsal_core::{
    appointment::{Failure, State},
    event::{Change, Event},
    log::{Evt, LogEvent},
    outbox::Entry,
};
use rehearsal_host::Host;

use crate::{
    metrics::{Counter, Metrics},
    store::StoreError,
};

/// A sink for log events.
pub trait Journal: Send + Sync + 'static {
    /// Takes one event. Must not block for long: it is called on the way of requests.
    fn log(&self, event: LogEvent);
}

/// Writes each event as a line of JSON.
#[derive(Debug)]
pub struct LineJournal<W>(Mutex<W>);

impl<W: Write + Send + 'static> LineJournal<W> {
    /// A journal that writes to `sink`, such as standard error.
    pub fn new(sink: W) -> Self {
        Self(Mutex::new(sink))
    }
}

impl<W: Write + Send + 'static> Journal for LineJournal<W> {
    fn log(&self, event: LogEvent) {
        let mut line = event.to_line();
        line.push('\n');
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere to report that the log itself is gone; the service goes on.
        let _ = sink.write_all(line.as_bytes());
    }
}

/// What every role reports through: the clock, the journal and the metrics. Clones share them.
#[derive(Clone)]
pub(crate) struct Telemetry {
    pub(crate) host: Host,
    pub(crate) metrics: Arc<Metrics>,
    journal: Arc<dyn Journal>,
}

impl Telemetry {
    pub(crate) fn new(host: Host, journal: Arc<dyn Journal>) -> Self {
        Self {
            host,
            metrics: Arc::new(Metrics::default()),
            journal,
        }
    }

    /// An event of now, to be completed and [logged](Self::log).
    pub(crate) fn event(&self, evt: Evt, message: impl Into<Cow<'static, str>>) -> LogEvent {
        LogEvent::new(self.host.now(), evt, message)
    }

    /// An event about an outbox entry, with what identifies the attempt.
    pub(crate) fn about(
        &self,
        entry: &Entry,
        evt: Evt,
        message: impl Into<Cow<'static, str>>,
    ) -> LogEvent {
        self.event(evt, message)
            .request(&entry.request_id)
            .appointment(&entry.appointment_id)
            .with("provider", entry.destination.as_str())
            .with("kind", entry.kind.as_str())
            .with("attempt", entry.attempt)
    }

    pub(crate) fn log(&self, event: LogEvent) {
        self.journal.log(event);
    }

    /// Logs that the store failed `during` something.
    pub(crate) fn store_failed(&self, during: &str, error: &StoreError) {
        let event = self
            .event(Evt::StoreError, error.to_string())
            .with("during", during);
        self.log(event);
    }

    /// Logs and counts what happened to an appointment, after it was committed.
    pub(crate) fn committed(&self, events: &[Event]) {
        for event in events {
            if let Some((from, to)) = event.transition() {
                let from = from.map_or("init", State::as_str);
                self.metrics
                    .count(Counter::SagaTransitions, &[from, to.as_str()]);
            }
            if let Some(line) = self.line(event) {
                self.log(line);
            }
        }
    }

    fn line(&self, event: &Event) -> Option<LogEvent> {
        let line = |evt, message: &'static str| {
            self.event(evt, message)
                .request(&event.request_id)
                .appointment(&event.appointment_id)
                .with("attempts", event.attempts)
        };
        Some(match &event.change {
            Change::Accepted(new) => line(Evt::RequestAccepted, "accepted")
                .with("provider", new.provider.as_str())
                .with(
                    "patient_name",
                    rehearsal_core::mask::mask_name(&new.details.patient_name),
                ),
            Change::CancelRequested => line(Evt::CancelRequested, "the client cancels"),
            Change::Confirmed { reference } => {
                line(Evt::Confirmed, "booked at the provider").with("reference", reference.as_str())
            }
            Change::Failed(failure) => {
                let (why, code) = match failure {
                    Failure::Rejected { code } => ("rejected", code.as_str()),
                    Failure::Exhausted { .. } => ("exhausted", ""),
                    Failure::CancelledByClient => ("cancelled_by_client", ""),
                };
                line(Evt::Failed, "not booked")
                    .with("failure", why)
                    .with("code", code)
            }
            Change::Cancelled => line(Evt::Cancelled, "the provider has taken the cancel"),
            Change::CompensationQueued => {
                self.metrics.count(Counter::Compensations, &[]);
                line(Evt::CompensationQueued, "a compensating cancel is queued")
            }
            // The entry's own line says it: `dead_lettered`.
            Change::CompensationDeadLettered => return None,
        })
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Telemetry")
    }
}
