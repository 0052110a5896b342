//! The appointment service's events in words, for the story of a run.
//!
//! **Invariant**: no personal data: names are masked as in the log, and what clients send is told by its keys.

use std::collections::BTreeMap;

use rehearsal_core::{log::LogEvent, mask::mask_name};
use rehearsal_mocks::provider::ProviderEvent;

use super::{
    event::{Answer, Event},
    operation::Operation,
    tables::Tables,
};
use crate::{show::Told, trace::Trace};

/// Every event, by ordinal.
pub(super) fn of(trace: &Trace<Event>) -> BTreeMap<u64, Told> {
    let mut steps: BTreeMap<u64, &Operation> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for (entry, event) in trace.system() {
        if let Event::Invoked { step, operation } = event {
            steps.insert(*step, operation);
        }
        all.insert(entry.ordinal, told(event, &steps));
    }
    all
}

fn told(event: &Event, steps: &BTreeMap<u64, &Operation>) -> Told {
    if let Event::Restarted { error } = event {
        let what = format!("ends by itself and is started again: {error}");
        return say("restarts", what, Vec::new());
    }
    match event {
        Event::Given(tables) => say("settings", given(tables), Vec::new()),
        Event::Invoked { operation, .. } => {
            let (kind, verb) = match operation {
                Operation::Submit(_) => ("requests sent", "sends"),
                Operation::Cancel { .. } => ("cancels sent", "sends"),
                Operation::Read { .. } => ("reads sent", "sends"),
                Operation::Probe { .. } => ("other calls sent", "makes"),
            };
            say(
                kind,
                format!("{verb} {}", operation_in_words(operation)),
                names(operation),
            )
        }
        Event::Answered { step, answer } => {
            let (what, about) = asked(*step, steps);
            let words = format!("is answered {} to {what}", answer_in_words(answer));
            let kind = if answer.status < 400 {
                "good answers"
            } else {
                "refusals"
            };
            say(kind, words, about)
        }
        Event::Unanswered {
            step,
            sent,
            cause,
            took_us,
        } => {
            let (what, about) = asked(*step, steps);
            let known = if *sent {
                "whether it took effect is unknown"
            } else {
                "nothing was sent"
            };
            let ms = took_us / 1000;
            say(
                "unanswered",
                format!("gets no answer to {what} ({cause}, after {ms} ms): {known}"),
                about,
            )
        }
        Event::Observed { id, answer } => {
            let answer = answer
                .as_ref()
                .map_or("no answer".to_owned(), answer_in_words);
            say(
                "last looks",
                format!("looks at {id} a last time: {answer}"),
                vec![id.clone()],
            )
        }
        Event::Scraped { host, text } => {
            let what = if text.is_some() {
                "reads"
            } else {
                "cannot read"
            };
            to(
                host,
                say(
                    "metrics read",
                    format!("{what} the metrics of {host}"),
                    Vec::new(),
                ),
            )
        }
        Event::Log(line) => log(line),
        Event::Provider(event) => provider(event),
        other => at_the_end(other),
    }
}

/// What the snapshot at the end adds.
fn at_the_end(event: &Event) -> Told {
    match event {
        Event::Row(row) => say(
            "final rows",
            format!(
                "at the end {} is {}, attempts {}",
                row.id,
                row.state.as_str(),
                row.attempts
            ),
            vec![row.id.to_string(), row.request_id.to_string()],
        ),
        Event::Outbox(entry) => say(
            "final outbox entries",
            format!(
                "at the end the {} of {} is {}",
                snake(&entry.kind),
                entry.key,
                snake(&entry.state)
            ),
            vec![
                entry.appointment_id.to_string(),
                entry.request_id.to_string(),
                entry.key.clone(),
            ],
        ),
        Event::Transition(step) => {
            let change = match (&step.from, &step.to) {
                (Some(from), Some(to)) => format!(", from {from} to {to}"),
                (None, Some(to)) => format!(", to {to}"),
                _ => String::new(),
            };
            let what = format!(
                "history of {}: {}{change}",
                step.appointment_id, step.change
            );
            let about = vec![step.appointment_id.to_string(), step.request_id.to_string()];
            say("history", what, about)
        }
        Event::Finding(finding) => {
            let open = if finding.resolved_at.is_some() {
                "resolved"
            } else {
                "open"
            };
            let what = format!(
                "the auditor's finding on {} is {open}: {} ({})",
                finding.key,
                snake(&finding.kind),
                finding.detail
            );
            say("audit findings", what, vec![finding.key.clone()])
        }
        Event::View { provider, view } => {
            let what = format!(
                "at the end {provider} holds {} as {}, {} live",
                view.key,
                snake(&view.status),
                view.bookings
            );
            say("provider views", what, vec![view.key.clone()])
        }
        other => say("other events", snake(other), Vec::new()),
    }
}

fn say(kind: &'static str, what: String, about: Vec<String>) -> Told {
    Told {
        what,
        kind,
        about,
        to: None,
    }
}

fn to(host: &str, told: Told) -> Told {
    Told {
        to: Some(host.to_owned()),
        ..told
    }
}

/// A name as it stands in the trace.
fn snake(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text.replace('_', " "),
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

fn given(tables: &Tables) -> String {
    let topology = &tables.topology;
    let mut parts = vec![format!(
        "{} layout with {} API, {} worker and {} client hosts, {}",
        snake(&topology.layout),
        topology.api,
        topology.workers,
        topology.clients,
        if topology.auditor {
            "audited"
        } else {
            "not audited"
        }
    )];
    for (name, table) in &tables.providers {
        let mut traits = Vec::new();
        for rule in &table.errors {
            traits.push(format!("{} at a rate of {}", rule.status, rule.rate.low));
        }
        for (rate, what) in [
            (table.hang_rate.low, "hang"),
            (
                table.processed_but_unanswered.low,
                "are processed and not answered",
            ),
        ] {
            if rate > 0.0 {
                traits.push(format!("{} % of calls {what}", rate * 100.0));
            }
        }
        if !table.windows.is_empty() {
            traits.push(format!("{} windows of other behavior", table.windows.len()));
        }
        if !table.idempotent {
            traits.push("books a repeat again".to_owned());
        }
        if !table.tombstones {
            traits.push("books what was cancelled".to_owned());
        }
        if traits.is_empty() {
            traits.push("healthy".to_owned());
        }
        parts.push(format!("provider {name}: {}", traits.join(", ")));
    }
    parts.join("; ")
}

fn names(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::Submit(one) => vec![one.id.clone(), one.request_id.clone()],
        Operation::Cancel { id } | Operation::Read { id } => vec![id.clone()],
        Operation::Probe { .. } => Vec::new(),
    }
}

fn operation_in_words(operation: &Operation) -> String {
    match operation {
        Operation::Submit(one) => format!(
            "request {} for {} at {} in the name of {}",
            one.request_id,
            one.id,
            one.provider,
            mask_name(&one.patient_name)
        ),
        Operation::Cancel { id } => format!("a cancel of {id}"),
        Operation::Read { id } => format!("a read of {id}"),
        Operation::Probe { endpoint, n } => format!("the call {} ({n})", snake(endpoint)),
    }
}

fn asked(step: u64, steps: &BTreeMap<u64, &Operation>) -> (String, Vec<String>) {
    steps.get(&step).map_or_else(
        || (format!("step {step}"), Vec::new()),
        |operation| {
            let what = match operation {
                Operation::Submit(one) => format!("request {}", one.request_id),
                Operation::Cancel { id } => format!("its cancel of {id}"),
                Operation::Read { id } => format!("its read of {id}"),
                Operation::Probe { endpoint, .. } => format!("its call {}", snake(endpoint)),
            };
            (what, names(operation))
        },
    )
}

fn answer_in_words(answer: &Answer) -> String {
    let mut words = answer.status.to_string();
    if let Some(state) = answer.state {
        words.push_str(", ");
        words.push_str(state.as_str());
    }
    if answer.replayed {
        words.push_str(", replayed");
    }
    words
}

/// Figures of a log line that its message leaves out and a reader wants.
const EXTRAS: [&str; 8] = [
    "attempt", "attempts", "kind", "outcome", "error", "delay_ms", "reason", "provider",
];

fn log(line: &LogEvent) -> Told {
    let mut what = format!("{}: {}", snake(&line.evt), line.message);
    let extras: Vec<String> = EXTRAS
        .iter()
        .filter_map(|key| {
            let value = line.extra.get(key)?;
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            Some(format!("{} {value}", key.replace('_', " ")))
        })
        .collect();
    if let Some(id) = &line.appointment_id {
        what = format!("{id} {what}");
    }
    if !extras.is_empty() {
        what = format!("{what} ({})", extras.join(", "));
    }
    let ids = [
        line.appointment_id.as_ref().map(ToString::to_string),
        line.request_id.as_ref().map(ToString::to_string),
    ];
    let told = say(line.evt.as_str(), what, ids.into_iter().flatten().collect());
    let calls = ["attempt_started", "resolve_started"].contains(&line.evt.as_str());
    match line.extra.get("provider").and_then(|name| name.as_str()) {
        Some(name) if calls => to(&Tables::provider_host(name), told),
        _ => told,
    }
}

fn provider(event: &ProviderEvent) -> Told {
    let one = |kind, what: String, key: &str| say(kind, what, vec![key.to_owned()]);
    if let ProviderEvent::Malformed { op, status, code } = event {
        let what = format!("refuses a malformed {}: {status} {code}", op.as_str());
        return say("malformed calls", what, Vec::new());
    }
    match event {
        ProviderEvent::Called { op, key, n, .. } => {
            let again = if *n > 0 {
                format!(" (call {})", n + 1)
            } else {
                String::new()
            };
            let key_or_all = if key.is_empty() { "all" } else { key };
            let what = format!("is called: {} {key_or_all}{again}", op.as_str());
            one("provider calls", what, key)
        }
        ProviderEvent::Listed { count, .. } => {
            say("lists", format!("lists {count} bookings"), Vec::new())
        }
        ProviderEvent::Delayed { op, key, latency } => {
            let what = format!(
                "takes {} ms for the {} of {key}",
                latency.as_millis(),
                op.as_str()
            );
            one("provider delays", what, key)
        }
        ProviderEvent::Booked { key, n_live, .. } => {
            let live = if *n_live > 1 {
                format!("; it has {n_live} live bookings now")
            } else {
                String::new()
            };
            one("bookings made", format!("books {key}{live}"), key)
        }
        ProviderEvent::Replayed { key, .. } => one(
            "bookings repeated",
            format!("answers the first booking of {key} again"),
            key,
        ),
        ProviderEvent::RefusedDuplicate { key } => one(
            "refusals",
            format!("refuses {key}: booked with another payload"),
            key,
        ),
        ProviderEvent::RefusedTombstone { key } => one(
            "refusals",
            format!("refuses to book {key}: it is cancelled"),
            key,
        ),
        ProviderEvent::Cancelled { key, had_booking } => {
            let what = if *had_booking {
                "its live booking ends"
            } else {
                "there was no live booking"
            };
            one("cancels made", format!("cancels {key}: {what}"), key)
        }
        ProviderEvent::LookedUp { key, bookings } => {
            let what = bookings.map_or("unknown".to_owned(), |count| {
                format!("{count} live bookings")
            });
            one(
                "look-ups",
                format!("answers a look-up of {key}: {what}"),
                key,
            )
        }
        ProviderEvent::Failed {
            op,
            key,
            status,
            processed,
            ..
        } => {
            let what = if *processed {
                "after it took effect"
            } else {
                "and it had no effect"
            };
            one(
                "provider errors",
                format!("answers the {} of {key} with {status}, {what}", op.as_str()),
                key,
            )
        }
        ProviderEvent::Hung { op, key } => one(
            "hung calls",
            format!("neither processes nor answers the {} of {key}", op.as_str()),
            key,
        ),
        ProviderEvent::Unanswered { op, key, .. } => {
            let what = format!(
                "does not answer the {} of {key}, which took effect",
                op.as_str()
            );
            one("unanswered calls", what, key)
        }
        other => say("other provider events", snake(other), Vec::new()),
    }
}
