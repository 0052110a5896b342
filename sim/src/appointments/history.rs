//! A finished trace by kind: what oracles and measures ask of it.
//!
//! **Invariant**: a view of the trace, in its order; nothing is interpreted here.

use std::collections::BTreeMap;

use rehearsal_core::{appointment::Appointment, log::LogEvent, outbox::Entry as OutboxEntry};
use rehearsal_mocks::provider::{BookingView, ProviderEvent};
use rehearsal_service::store::{FindingRow, TransitionRow};

use super::{
    database::DatabaseEvent,
    event::{Answer, Event},
    operation::Operation,
    tables::Tables,
};
use crate::trace::{self, Entry};

/// A run's trace.
pub(super) type Trace = trace::Trace<Event>;

macro_rules! views {
    ($($(#[$doc:meta])* $name:ident: $variant:ident => $kind:ty;)*) => {
        $($(#[$doc])*
        pub(super) fn $name(trace: &Trace) -> impl Iterator<Item = (&Entry<Event>, &$kind)> {
            trace.system().filter_map(|(entry, event)| match event {
                Event::$variant(inner) => Some((entry, inner as &$kind)),
                _ => None,
            })
        })*
    };
}

views! {
    /// The service's log.
    logs: Log => LogEvent;
    /// What providers did.
    calls: Provider => ProviderEvent;
    /// Appointments at the end.
    rows: Row => Appointment;
    /// Outbox entries at the end.
    outbox: Outbox => OutboxEntry;
    /// Committed steps, in order.
    transitions: Transition => TransitionRow;
    /// The auditor's findings at the end.
    findings: Finding => FindingRow;
}

/// The tables that the run was made from.
pub(super) fn given(trace: &Trace) -> Option<&Tables> {
    trace.system().find_map(|(_, event)| match event {
        Event::Given(tables) => Some(&**tables),
        _ => None,
    })
}

/// What providers hold at the end: provider and view.
pub(super) fn views(trace: &Trace) -> impl Iterator<Item = (&Entry<Event>, &str, &BookingView)> {
    trace.system().filter_map(|(entry, event)| match event {
        Event::View { provider, view } => Some((entry, provider.as_str(), view)),
        _ => None,
    })
}

/// The service hosts' metrics at the end: host and text.
pub(super) fn scrapes(trace: &Trace) -> impl Iterator<Item = (&Entry<Event>, &str, &str)> {
    trace.system().filter_map(|(entry, event)| match event {
        Event::Scraped {
            host,
            text: Some(text),
        } => Some((entry, host.as_str(), text.as_str())),
        _ => None,
    })
}

/// A client's operation, from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange<'a> {
    /// When it started.
    pub(super) from_us: u64,
    /// When it ended; the same as `from_us` while it has not.
    pub(super) to_us: u64,
    /// What was asked.
    pub(super) operation: &'a Operation,
    /// What was answered, if anything was.
    pub(super) answer: Option<&'a Answer>,
}

/// Every operation, in the order of their start.
pub(super) fn exchanges(trace: &Trace) -> Vec<Exchange<'_>> {
    let mut exchanges: Vec<Exchange<'_>> = Vec::new();
    let mut by_step: BTreeMap<u64, usize> = BTreeMap::new();
    for (entry, event) in trace.system() {
        match event {
            Event::Invoked { step, operation } => {
                by_step.insert(*step, exchanges.len());
                exchanges.push(Exchange {
                    from_us: entry.at_us,
                    to_us: entry.at_us,
                    operation,
                    answer: None,
                });
            }
            Event::Answered { step, answer } => {
                if let Some(place) = by_step.get(step) {
                    exchanges[*place].to_us = entry.at_us;
                    exchanges[*place].answer = Some(answer);
                }
            }
            Event::Unanswered { step, .. } => {
                if let Some(place) = by_step.get(step) {
                    exchanges[*place].to_us = entry.at_us;
                }
            }
            _ => {}
        }
    }
    exchanges
}

/// The log lines of each appointment, in order, by id.
pub(super) fn logs_of(trace: &Trace) -> BTreeMap<&str, Vec<(&Entry<Event>, &LogEvent)>> {
    let mut by_id: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (entry, event) in logs(trace) {
        if let Some(id) = &event.appointment_id {
            by_id.entry(id.as_str()).or_default().push((entry, event));
        }
    }
    by_id
}

/// Whether the world was disturbed: a process may then have died, or lost an answer, between a commit and the line that reports it.
pub(super) fn disturbed(trace: &Trace) -> bool {
    trace.entries.iter().any(|entry| {
        matches!(
            entry.event,
            trace::Event::FaultStarted { .. }
                | trace::Event::System(Event::Database(DatabaseEvent::AnswerLost { .. }))
        )
    })
}

/// The spans of time in which a planned fault was in force, in microseconds; one that never ended lasts for ever.
pub(super) fn fault_spans(trace: &Trace) -> Vec<(u64, u64)> {
    let mut spans: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for entry in &trace.entries {
        match entry.event {
            trace::Event::FaultStarted { fault } => {
                spans.insert(fault, (entry.at_us, u64::MAX));
            }
            trace::Event::FaultEnded { fault, .. } => {
                if let Some(span) = spans.get_mut(&fault) {
                    span.1 = entry.at_us;
                }
            }
            _ => {}
        }
    }
    spans.into_values().collect()
}

/// A text field of a log event's `extra`.
pub(super) fn extra<'a>(event: &'a LogEvent, key: &str) -> &'a str {
    event
        .extra
        .get(key)
        .and_then(|value| value.as_str())
        .unwrap_or_default()
}
