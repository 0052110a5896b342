//! No personal data is written anywhere but in the rows and to the provider.
//!
//! Every patient and every email of a run is a canary. This oracle searches every text that a run wrote: log lines as the real sink writes them,
//! metrics, the providers' journals, refusals, dead letters' reasons, findings.

use std::borrow::Cow;

use rehearsal_core::{
    identity::{AppointmentId, RequestId},
    log::LogEvent,
};
use rehearsal_mocks::provider::ProviderEvent;
use serde_json::Value;

use crate::{
    appointments::{event::Event, history::Trace, operation::canary},
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "no_pii",
    property: "no patient's name or email stands in a log line, metric, journal, refusal, dead letter or finding",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let mut parts = String::new();
    for (entry, event) in trace.system() {
        let mut search = |place: &str, text: &str| {
            let wrong = canary(text)
                .map(|found| format!("{}: {place} holds personal data: ..{found:?}..", entry.host));
            findings.examine(entry.at_us, wrong);
        };
        match event {
            Event::Log(log) => {
                gather(log, &mut parts);
                // Nothing in a line comes from elsewhere: only where a part holds something, what the sink makes of it is looked at.
                if canary(&parts).is_some() {
                    parts = log.to_line();
                }
                search(log.evt.as_str(), &parts);
            }
            Event::Scraped {
                text: Some(text), ..
            } => search("the metrics", text),
            Event::Provider(event) => search("a provider's journal", &texts(event)),
            Event::Answered { answer, .. }
            | Event::Observed {
                answer: Some(answer),
                ..
            } => {
                if let Some(problem) = &answer.problem {
                    search("a refusal", problem);
                }
            }
            Event::Unanswered { cause, .. } => search("a failure", cause),
            Event::Restarted { error } => search("a failure", error),
            Event::Outbox(outbox) => {
                if let Some(error) = &outbox.last_error {
                    search("an outbox entry", error);
                }
            }
            Event::Finding(finding) => search("a finding", &finding.detail),
            // The rows are where personal data belongs; the rest was written by the workload itself or has no room for text.
            Event::Given(_)
            | Event::Invoked { .. }
            | Event::Observed { .. }
            | Event::Scraped { .. }
            | Event::Database(_)
            | Event::Row(_)
            | Event::Transition(_)
            | Event::View { .. }
            | Event::StorageDied { .. }
            | Event::StoreClock { .. }
            | Event::Leased { .. }
            | Event::Settled { .. }
            | Event::Integrity { .. } => {}
        }
    }
    findings
}

/// Every text that a line of the log is made of, one after another.
fn gather(log: &LogEvent, parts: &mut String) {
    parts.clear();
    let ids = [
        log.request_id.as_ref().map(RequestId::as_str),
        log.appointment_id.as_ref().map(AppointmentId::as_str),
    ];
    for text in ids.into_iter().flatten().chain([&*log.message]) {
        parts.push_str(text);
        parts.push('\n');
    }
    for (name, value) in log.extra.iter() {
        parts.push_str(name);
        parts.push('\n');
        match value {
            Value::String(text) => parts.push_str(text),
            Value::Array(_) | Value::Object(_) => parts.push_str(&value.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        parts.push('\n');
    }
}

/// Every text that a provider's event holds.
fn texts(event: &ProviderEvent) -> Cow<'_, str> {
    use ProviderEvent as E;
    match event {
        E::Called { key, .. }
        | E::Delayed { key, .. }
        | E::RefusedDuplicate { key }
        | E::RefusedTombstone { key }
        | E::Cancelled { key, .. }
        | E::LookedUp { key, .. }
        | E::Listed { after: key, .. }
        | E::Failed { key, .. }
        | E::Hung { key, .. }
        | E::Unanswered { key, .. }
        | E::Garbled { key, .. }
        | E::Missed { key, .. }
        | E::Malformed { code: key, .. } => Cow::Borrowed(key),
        E::Booked { key, reference, .. } | E::Replayed { key, reference } => {
            Cow::Owned(format!("{key} {reference}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use rehearsal_core::log::Evt;

    use super::{super::fixture, *};

    #[test]
    fn a_leak_is_caught_wherever_it_is() {
        let name = &fixture::submission().patient_name;
        let email = &fixture::submission().email;
        let in_message = fixture::edit(fixture::confirmed(), |event| match event {
            Event::Log(log) if log.evt == Evt::Confirmed => {
                log.message = format!("booked for {name}").into();
            }
            _ => {}
        });
        fixture::catches(&ORACLE, &in_message, "confirmed holds personal data");
        let in_extra = fixture::edit(fixture::confirmed(), |event| match event {
            Event::Log(log) if log.evt == Evt::Confirmed => {
                log.extra.insert("who", email.as_str());
            }
            _ => {}
        });
        fixture::catches(&ORACLE, &in_extra, "confirmed holds personal data");
        let in_problem = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Answered { answer, .. } = event {
                answer.problem = Some(format!("{{\"detail\":\"{name} is booked\"}}"));
            }
        });
        fixture::catches(&ORACLE, &in_problem, "a refusal holds personal data");
        let in_dead_letter = fixture::edit(fixture::failed(), |event| {
            if let Event::Outbox(entry) = event {
                entry.last_error = Some(format!("no room for {name}"));
            }
        });
        fixture::catches(
            &ORACLE,
            &in_dead_letter,
            "an outbox entry holds personal data",
        );
        let in_metrics = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Scraped { text, .. } = event {
                *text = Some(format!("x{{who=\"{email}\"}} 1"));
            }
        });
        fixture::catches(&ORACLE, &in_metrics, "the metrics holds personal data");
    }

    #[test]
    fn a_masked_name_is_no_leak() {
        let masked = rehearsal_core::mask::mask_name(&fixture::submission().patient_name);
        let fine = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Log(log) = event {
                log.extra.insert("patient_name", masked.as_str());
            }
        });
        assert_eq!(fixture::judge(&ORACLE, &fine).violations, []);
    }
}
