//! The faults that a scenario plants in its providers, and what each did.
//!
//! **Invariant**: every error rule, window, share of hangs and mode that the tables ask for is listed once, with counts from the provider's own
//! journal; all zero means that it struck nothing.

use std::{collections::BTreeSet, time::Duration};

use rehearsal_mocks::provider::{Garbling, ProviderEvent};

use super::{
    database::DatabaseEvent,
    event::Event,
    history::{Trace, calls},
    provider::{ErrorRule, GarbleRule, ListingLag, Provider, Window},
    tables::Tables,
};
use crate::{fault::Effect, range::Latency, trace::Entry};

/// Kind, start in milliseconds, effect.
type Effects = Vec<(String, u64, Effect)>;

/// An answer is journaled when it is given, which may be this much after the call came.
const LATE_MS: u64 = 5_000;

/// All of them.
pub(super) fn of(tables: &Tables, trace: &Trace) -> Effects {
    let mut effects = Effects::new();
    for (name, provider) in &tables.providers {
        let host = Tables::provider_host(name);
        let events: Vec<_> = calls(trace)
            .filter(|(entry, _)| *entry.host == *host)
            .collect();
        always(provider, &host, &events, &mut effects);
        late(tables, provider, &host, &events, &mut effects);
        for window in &provider.windows {
            during(window, provider.latency, &host, &events, &mut effects);
        }
    }
    database(tables, trace, &mut effects);
    effects
}

type Events<'a> = [(&'a Entry<Event>, &'a ProviderEvent)];

fn always(provider: &Provider, host: &str, events: &Events<'_>, effects: &mut Effects) {
    let count = |wanted: &dyn Fn(&ProviderEvent) -> bool| {
        events.iter().filter(|(_, event)| wanted(event)).count() as u64
    };
    let mut push =
        |kind: String, effect: &str, count: u64| effects.push((kind, 0, effect_of(effect, count)));
    for status in statuses(&provider.errors) {
        push(
            format!("{host} answers {status}"),
            "errors_answered",
            count(&|event| is_error(event, status)),
        );
    }
    if provider.hang_rate.low > 0.0 {
        push(format!("{host} hangs"), "calls_hung", count(&is_hung));
    }
    if provider.processed_but_unanswered.low > 0.0 {
        push(
            format!("{host} processes and does not answer"),
            "calls_unanswered",
            count(&is_unanswered),
        );
    }
    for how in garblings(&provider.garbled) {
        push(
            format!("{host} answers {}", word(how)),
            "answers_garbled",
            count(&|event| is_garbled(event, how)),
        );
    }
    if lags(provider.listing_lag) {
        push(
            format!("{host} lists late"),
            "views_missed",
            count(&is_missed),
        );
    }
    if !provider.idempotent {
        // A service that is right never books twice: what counts is that bookings were made without that safety.
        push(
            format!("{host} is not idempotent"),
            "bookings_made",
            count(&|event| matches!(event, ProviderEvent::Booked { .. })),
        );
    }
    if !provider.tombstones {
        push(
            format!("{host} keeps no tombstones"),
            "calls_taken",
            count(&|event| matches!(event, ProviderEvent::Called { .. })),
        );
    }
}

/// What the database's host did to those that asked it.
fn database(tables: &Tables, trace: &Trace, effects: &mut Effects) {
    let count = |wanted: &dyn Fn(&DatabaseEvent) -> bool| {
        let events = trace.system().filter_map(|(_, event)| match event {
            Event::Database(event) => Some(event),
            _ => None,
        });
        events.filter(|event| wanted(event)).count() as u64
    };
    if tables.database.answer_lost.low > 0.0 {
        let lost = count(&|event| matches!(event, DatabaseEvent::AnswerLost { .. }));
        effects.push((
            "database commits and does not answer".to_owned(),
            0,
            effect_of("answers_lost", lost),
        ));
    }
    if tables.database.latency.is_some() {
        let delayed = trace.system().filter_map(|(_, event)| match event {
            Event::Database(DatabaseEvent::Delayed { requests }) => Some(*requests),
            _ => None,
        });
        effects.push((
            "database is slow".to_owned(),
            0,
            effect_of("requests_delayed", delayed.sum()),
        ));
    }
}

/// A provider that answers after its callers have given up.
fn late(
    tables: &Tables,
    provider: &Provider,
    host: &str,
    events: &Events<'_>,
    effects: &mut Effects,
) {
    let limit = tables.service.delivery().attempt_timeout;
    if may_exceed(provider.latency, limit) {
        let is_late = |event: &ProviderEvent| matches!(event, ProviderEvent::Delayed { latency, .. } if *latency > limit);
        let count = events.iter().filter(|(_, event)| is_late(event)).count() as u64;
        effects.push((
            format!("{host} answers after the timeout"),
            0,
            effect_of("answers_late", count),
        ));
    }
}

fn during(window: &Window, usual: Latency, host: &str, events: &Events<'_>, effects: &mut Effects) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of a run"
    )]
    let ms = |seconds: f64| (seconds * 1000.0) as u64;
    let (from_ms, to_ms) = (ms(window.from_s.low), ms(window.to_s.low));
    let inside = |entry: &Entry<Event>| (from_ms..to_ms + LATE_MS).contains(&(entry.at_us / 1000));
    let count = |wanted: &dyn Fn(&ProviderEvent) -> bool| {
        events
            .iter()
            .filter(|(entry, event)| inside(entry) && wanted(event))
            .count() as u64
    };
    let mut push = |kind: String, effect: &str, count: u64| {
        effects.push((kind, from_ms, effect_of(effect, count)));
    };
    for status in statuses(window.errors.as_deref().unwrap_or_default()) {
        push(
            format!("{host} answers {status} for a while"),
            "errors_answered",
            count(&|event| is_error(event, status)),
        );
    }
    if window.hang_rate.is_some_and(|share| share.low > 0.0) {
        push(
            format!("{host} hangs for a while"),
            "calls_hung",
            count(&is_hung),
        );
    }
    if window
        .processed_but_unanswered
        .is_some_and(|share| share.low > 0.0)
    {
        push(
            format!("{host} processes and does not answer for a while"),
            "calls_unanswered",
            count(&is_unanswered),
        );
    }
    for how in garblings(window.garbled.as_deref().unwrap_or_default()) {
        push(
            format!("{host} answers {} for a while", word(how)),
            "answers_garbled",
            count(&|event| is_garbled(event, how)),
        );
    }
    if lags(window.listing_lag) {
        push(
            format!("{host} lists late for a while"),
            "views_missed",
            count(&is_missed),
        );
    }
    if let Some(latency) = window.latency {
        let limit = Duration::from_secs_f64(longest_usual_ms(usual) / 1000.0);
        let slow = |event: &ProviderEvent| {
            latency != usual
                && matches!(event, ProviderEvent::Delayed { latency, .. } if *latency > limit)
        };
        push(
            format!("{host} is slow for a while"),
            "answers_delayed",
            count(&slow),
        );
    }
}

/// The statuses of rules that can strike, each once.
fn statuses(rules: &[ErrorRule]) -> BTreeSet<u16> {
    rules
        .iter()
        .filter(|rule| rule.rate.low > 0.0)
        .map(|rule| rule.status)
        .collect()
}

/// The kinds of rules that can strike, each once.
fn garblings(rules: &[GarbleRule]) -> BTreeSet<Garbling> {
    rules
        .iter()
        .filter(|rule| rule.rate.low > 0.0)
        .map(|rule| rule.how)
        .collect()
}

fn lags(lag: Option<ListingLag>) -> bool {
    lag.is_some_and(|lag| lag.rate.low > 0.0)
}

fn word(how: Garbling) -> &'static str {
    match how {
        Garbling::NotJson => "what is no JSON",
        Garbling::WrongShape => "JSON of another shape",
        Garbling::Truncated => "half of it",
    }
}

/// Whether an answer may take longer than `limit`.
fn may_exceed(latency: Latency, limit: Duration) -> bool {
    longest_usual_ms(latency) > limit.as_secs_f64() * 1000.0
}

/// What an answer of this latency rarely exceeds.
fn longest_usual_ms(latency: Latency) -> f64 {
    match latency {
        Latency::FixedMs(ms) | Latency::UniformMs([_, ms]) => ms,
        // The tail has no useful end; one answer in twenty is a fault that was meant.
        Latency::LognormalMs(percentiles) => percentiles.p95,
    }
}

fn is_error(event: &ProviderEvent, wanted: u16) -> bool {
    matches!(event, ProviderEvent::Failed { status, .. } if *status == wanted)
}

fn is_hung(event: &ProviderEvent) -> bool {
    matches!(event, ProviderEvent::Hung { .. })
}

fn is_unanswered(event: &ProviderEvent) -> bool {
    matches!(event, ProviderEvent::Unanswered { .. })
}

fn is_garbled(event: &ProviderEvent, wanted: Garbling) -> bool {
    matches!(event, ProviderEvent::Garbled { how, .. } if *how == wanted)
}

fn is_missed(event: &ProviderEvent) -> bool {
    matches!(event, ProviderEvent::Missed { .. })
}

fn effect_of(name: &str, count: u64) -> Effect {
    Effect::from([(name.to_owned(), count)])
}

#[cfg(test)]
mod tests {
    use rehearsal_mocks::provider::Operation;

    use super::*;
    use crate::trace::{Clock, Recorder};

    #[test]
    fn what_struck_is_counted_and_what_did_not_is_zero() {
        let mut tables = Tables::default();
        let text = "errors = [{ status = 503, rate = 0.5 }, { status = 500, rate = 0 }]\nhang_rate = 0.1\nidempotent = false\n\
                    windows = [{ from_s = 10, to_s = 20, errors = [{ status = 503, rate = 1 }] }]";
        tables
            .providers
            .insert("acme".to_owned(), toml::from_str(text).unwrap());
        let clock = Clock::default();
        let recorder = Recorder::new(clock.clone(), 0);
        for second in [1, 2, 12, 40] {
            clock.set(Duration::from_secs(second));
            let failed = ProviderEvent::Failed {
                op: Operation::Book,
                key: "a-1".to_owned(),
                status: 503,
                processed: false,
                retry_after: Vec::new(),
            };
            recorder
                .at("provider-acme", 1)
                .record(Event::Provider(failed));
        }
        let effects = of(&tables, &recorder.take());
        let counts: Vec<(&str, u64, u64)> = effects
            .iter()
            .map(|(kind, at, effect)| (kind.as_str(), *at, effect.values().sum()))
            .collect();
        let expect = [
            ("provider-acme answers 503", 0, 4),
            ("provider-acme hangs", 0, 0),
            ("provider-acme is not idempotent", 0, 0),
            ("provider-acme answers 503 for a while", 10_000, 1),
        ];
        assert_eq!(counts, expect);
    }
}
