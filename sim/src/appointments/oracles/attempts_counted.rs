//! The metrics say what the log says: attempts, retries, compensations, dead letters and breaker openings of each process; and an entry counts as
//! attempts what it was claimed for, less what was refunded.

use std::collections::BTreeMap;

use rehearsal_core::log::{Evt, LogEvent};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, extra, logs, outbox, scrapes},
        metrics::sum,
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "attempts_counted",
    property: "each process's counters of attempts, retries, compensations, dead letters and breaker openings agree with its log, and no entry counts more attempts than it had claims without a refund",
    check,
};

/// What is counted: for people, the metric, the label that picks its rows, and the lines that it must agree with.
type Pair = (
    &'static str,
    &'static str,
    (&'static str, &'static str),
    fn(&LogEvent) -> bool,
);

const PAIRS: [Pair; 5] = [
    (
        "attempts",
        "appt_outbox_attempts_total",
        ("", ""),
        is_attempt,
    ),
    ("retries", "appt_retries_total", ("", ""), |event| {
        event.evt == Evt::RetryScheduled
    }),
    (
        "compensations",
        "appt_compensations_total",
        ("", ""),
        |event| event.evt == Evt::CompensationQueued,
    ),
    (
        "dead letters",
        "appt_dead_letters_total",
        ("", ""),
        |event| event.evt == Evt::DeadLettered,
    ),
    (
        "breaker openings",
        "appt_breaker_transitions_total",
        ("to", "open"),
        |event| event.evt == Evt::BreakerOpened,
    ),
];

/// Lines of a log, with their places in the trace.
type Lines<'a> = Vec<(u64, &'a LogEvent)>;

/// The line that ends an attempt: the provider's answer or its absence, or a look-up that settled the matter.
fn is_attempt(event: &LogEvent) -> bool {
    match event.evt {
        Evt::ProviderAnswered | Evt::ProviderError | Evt::ProviderTimeout => true,
        Evt::Resolved => extra(event, "found") != "absent",
        _ => false,
    }
}

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    // By host: its last boot, and what that one logged.
    let mut last: BTreeMap<&str, (u32, Lines<'_>)> = BTreeMap::new();
    for (entry, event) in logs(trace) {
        let (boot, lines) = last.entry(&entry.host).or_default();
        if entry.boot > *boot {
            *boot = entry.boot;
            lines.clear();
        }
        if entry.boot == *boot {
            lines.push((entry.ordinal, event));
        }
    }
    for (at, host, text) in scrapes(trace) {
        let lines = last.get(host).map_or(&[][..], |(_, lines)| lines);
        let written = |wanted: fn(&LogEvent) -> bool| {
            let before = lines.iter().take_while(|(place, _)| *place < at.ordinal);
            before.filter(|(_, event)| wanted(event)).count()
        };
        for (what, metric, (key, value), wanted) in PAIRS {
            let (counted, written) = (sum(text, metric, key, value), written(wanted));
            let differs = (counted - written as f64).abs() > 0.5;
            findings.examine(
                at.at_us,
                differs.then(|| {
                    format!("{host}: {metric} counts {counted} {what}, its log tells of {written}")
                }),
            );
        }
    }
    refunded(trace, &mut findings);
    findings
}

/// Each claim is an attempt, but for those that were put off without counting. A line of the log may be missing where a worker was lost; the epoch,
/// which counts the claims, is the store's own.
fn refunded(trace: &Trace, findings: &mut Findings) {
    let mut put_off: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (_, line) in logs(trace).filter(|(_, line)| line.evt == Evt::Deferred) {
        if let Some(id) = &line.appointment_id {
            *put_off
                .entry((id.as_str(), extra(line, "kind")))
                .or_default() += 1;
        }
    }
    let mut entries: BTreeMap<(&str, &str), Vec<_>> = BTreeMap::new();
    for (at, entry) in outbox(trace) {
        let key = (entry.appointment_id.as_str(), entry.kind.as_str());
        entries.entry(key).or_default().push((at, entry));
    }
    for (key, entries) in entries {
        // Which of several the lines are about is not told.
        let [(at, entry)] = entries[..] else { continue };
        let refunds = put_off.get(&key).copied().unwrap_or_default();
        let most = entry.lease_epoch.saturating_sub(refunds);
        let wrong = u64::from(entry.attempt) > most;
        findings.examine(
            at.at_us,
            wrong.then(|| {
                format!(
                    "{}: its {} counts {} attempts, of {} claims {refunds} were refunded",
                    key.0, key.1, entry.attempt, entry.lease_epoch
                )
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn an_attempt_that_was_not_counted_is_caught() {
        let bad = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Scraped { text, .. } = event {
                *text = Some(String::new());
            }
        });
        fixture::catches(
            &ORACLE,
            &bad,
            "appt_outbox_attempts_total counts 0 attempts, its log tells of 1",
        );
    }

    #[test]
    fn a_deferral_that_was_counted_is_caught() {
        let mut story = fixture::confirmed();
        let place = story.len() - 1;
        let line = fixture::log(Evt::Deferred).with("kind", "book");
        story.insert(place, (story[place].0, "service", Event::Log(line)));
        fixture::catches(&ORACLE, &story, "of 1 claims 1 were refunded");
        let refunded = fixture::edit(story, |event| {
            if let Event::Outbox(entry) = event {
                entry.lease_epoch += 1;
            }
        });
        assert_eq!(fixture::judge(&ORACLE, &refunded).violations, []);
    }

    #[test]
    fn a_retry_that_was_not_logged_is_caught() {
        let bad = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Scraped {
                text: Some(text), ..
            } = event
            {
                *text = text.replace(
                    "appt_retries_total{destination=\"acme\"} 0",
                    "appt_retries_total{destination=\"acme\"} 2",
                );
            }
        });
        fixture::catches(&ORACLE, &bad, "counts 2 retries, its log tells of 0");
    }
}
