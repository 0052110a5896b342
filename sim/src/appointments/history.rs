//! A finished trace by kind: what oracles and measures ask of it.
//!
//! **Invariant**: a view of the trace, in its order; nothing is interpreted here.

use std::collections::{BTreeMap, BTreeSet};

use rehearsal_core::{
    appointment::Appointment, identity::AppointmentId, log::LogEvent, outbox::Entry as OutboxEntry,
    time::Timestamp,
};
use rehearsal_mocks::provider::{BookingView, ProviderEvent};
use rehearsal_service::store::{FindingRow, TransitionRow};

use super::{
    database::DatabaseEvent,
    event::{Answer, Event},
    operation::Operation,
    tables::Tables,
};
use crate::{
    engine::EPOCH,
    scenario::Network,
    trace::{self, Entry},
};

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

/// The network that the run was made with.
pub(super) fn network(trace: &Trace) -> Network {
    let told = trace.entries.iter().find_map(|entry| match &entry.event {
        trace::Event::Network(network) => Some((**network).clone()),
        _ => None,
    });
    told.unwrap_or_default()
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

/// What may have kept a line from the log: a process that died, or lost an answer, between a commit and the line that reports it.
pub(super) struct Disturbances<'a> {
    faults: Vec<(u64, u64)>,
    /// Appointments about which a commit was not answered.
    unanswered: BTreeSet<&'a str>,
    /// When each appointment was first and last heard of.
    lives: BTreeMap<&'a str, (u64, u64)>,
}

/// A call that was under way when a fault ended may still fail, or be answered late: longer than any call's bound.
const AFTERMATH_US: u64 = 10_000_000;
/// A clock that differs by more than this from the run's is one that a fault has touched.
const SYNCHRONOUS_US: i64 = 1_000;

impl<'a> Disturbances<'a> {
    /// Those of a run.
    pub(super) fn of(trace: &'a Trace) -> Self {
        let owners: BTreeMap<i64, &str> = outbox(trace)
            .map(|(_, entry)| (entry.id, entry.appointment_id.as_str()))
            .collect();
        let mut unanswered = BTreeSet::new();
        // The handler of a client that is gone ends where it stands, be it between its commit and its line.
        let calls = exchanges(trace);
        let calls = calls.iter().filter(|call| call.answer.is_none());
        unanswered.extend(calls.filter_map(|call| match call.operation {
            Operation::Submit(submission) => Some(submission.id.as_str()),
            Operation::Cancel { id } => Some(id.as_str()),
            Operation::Read { .. } | Operation::Probe { .. } => None,
        }));
        let mut lives: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        // Commits tell their time by their own host's clock.
        let mut synchronous = true;
        for (entry, event) in trace.system() {
            let heard_of = match event {
                Event::Database(
                    DatabaseEvent::AnswerLost {
                        appointments,
                        entries,
                        ..
                    }
                    | DatabaseEvent::Unheard {
                        appointments,
                        entries,
                    },
                ) => {
                    unanswered.extend(appointments.iter().map(String::as_str));
                    unanswered.extend(entries.iter().filter_map(|id| owners.get(id)));
                    continue;
                }
                Event::Invoked {
                    operation: Operation::Submit(submission),
                    ..
                } => Some(submission.id.as_str()),
                Event::Log(line) => {
                    let off = offset_us(line.time) - entry.at_us.cast_signed();
                    synchronous &= off.abs() <= SYNCHRONOUS_US;
                    line.appointment_id.as_ref().map(AppointmentId::as_str)
                }
                _ => None,
            };
            if let Some(id) = heard_of {
                let life = lives.entry(id).or_insert((entry.at_us, entry.at_us));
                life.1 = entry.at_us;
            }
        }
        for (_, step) in transitions(trace) {
            let life = lives.entry(step.appointment_id.as_str()).or_default();
            let at_us = u64::try_from(offset_us(step.at)).unwrap_or(0);
            life.1 = if synchronous {
                life.1.max(at_us)
            } else {
                u64::MAX
            };
        }
        Self {
            faults: fault_spans(trace),
            unanswered,
            lives,
        }
    }

    /// Whether a line about this appointment may be missing: a commit about it was not answered, or a fault was in force in its time.
    pub(super) fn may_hide(&self, id: &str) -> bool {
        let (from, to) = self.lives.get(id).copied().unwrap_or((0, u64::MAX));
        let in_its_time = |(start, end): &(u64, u64)| {
            *start <= to.saturating_add(AFTERMATH_US) && end.saturating_add(AFTERMATH_US) >= from
        };
        self.unanswered.contains(id) || self.faults.iter().any(in_its_time)
    }
}

/// Microseconds since the beginning of a simulated run, by this clock.
fn offset_us(time: Timestamp) -> i64 {
    time.as_micros() - EPOCH.as_micros()
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
