//! An appointment is what was asked for: its row, what its provider was asked to book, and what every answer says of it.
//!
//! What was asked for is what an accepted request says; where no answer tells which one was accepted, it is the one of those that were sent that the
//! row holds. The address is not in answers, and is looked for in the row and at the provider only.

use std::collections::BTreeMap;

use rehearsal_core::appointment::Appointment;
use rehearsal_mocks::provider::{Payload, ProviderEvent};

use crate::{
    appointments::{
        event::{Answer, Event, details},
        history::{Trace, calls, exchanges, rows},
        operation::{Operation, Submission},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "details_kept",
    property: "the row, the booking at its provider and every answer have the time, the patient and the attempts of what was accepted",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let held: BTreeMap<&str, &Appointment> =
        rows(trace).map(|(_, row)| (row.id.as_str(), row)).collect();
    let exchanges = exchanges(trace);
    let mut asked: BTreeMap<&str, &Submission> = BTreeMap::new();
    let mut sent: BTreeMap<&str, Vec<&Submission>> = BTreeMap::new();
    for exchange in &exchanges {
        if let Operation::Submit(submission) = exchange.operation {
            sent.entry(&submission.id).or_default().push(submission);
            if exchange.answer.is_some_and(|answer| answer.status == 202) {
                asked.entry(&submission.id).or_insert(submission);
            }
        }
    }
    for (entry, row) in rows(trace) {
        let id = row.id.as_str();
        let candidates = sent.get(id).map_or(&[][..], Vec::as_slice);
        let known = asked.get(id).copied();
        let known = known.as_ref().map_or(candidates, std::slice::from_ref);
        let found = known.iter().copied().find(|it| is_of(row, it));
        if let Some(found) = found {
            asked.insert(id, found);
        }
        findings.examine(
            entry.at_us,
            found.is_none().then(|| {
                format!("{id}: its row holds another time, patient or provider than was asked for")
            }),
        );
    }
    for (entry, event) in calls(trace) {
        if let ProviderEvent::Booked { key, payload, .. } = event
            && let Some(asked) = asked.get(key.as_str())
        {
            let provider = entry.host.strip_prefix("provider-");
            let other = *payload != booked(asked) || provider != Some(&asked.provider);
            findings.examine(
                entry.at_us,
                other.then(|| {
                    format!(
                        "{key}: {} booked another time, patient or address than was asked for",
                        entry.host
                    )
                }),
            );
        }
    }
    let mut answers: Vec<(u64, &Answer)> = exchanges
        .iter()
        .filter_map(|exchange| Some((exchange.to_us, exchange.answer?)))
        .collect();
    for (entry, event) in trace.system() {
        if let Event::Observed { id, answer } = event
            && let Some(answer) = answer
        {
            answers.push((entry.at_us, answer));
            let counted = held.get(id.as_str()).zip(answer.attempts);
            let wrong = counted.filter(|(row, attempts)| row.attempts != *attempts);
            let wrong = wrong.map(|(row, attempts)| {
                format!(
                    "{id}: an answer tells of {attempts} attempts, the row of {}",
                    row.attempts
                )
            });
            findings.examine(entry.at_us, wrong);
        }
    }
    for (at_us, answer) in answers {
        let told = answer.id.as_deref().zip(answer.details);
        let Some((id, told, asked)) = told.and_then(|(id, told)| Some((id, told, asked.get(id)?)))
        else {
            continue;
        };
        let other = told != details(&asked.time, &asked.patient_name);
        findings.examine(
            at_us,
            other.then(|| {
                format!("{id}: an answer names another time or patient than was asked for")
            }),
        );
    }
    findings
}

fn is_of(row: &Appointment, asked: &Submission) -> bool {
    row.request_id.as_str() == asked.request_id
        && row.provider.as_str() == asked.provider
        && row.details.time == asked.time
        && row.details.patient_name == asked.patient_name
        && row.details.email.as_deref() == Some(&asked.email)
}

/// What its provider is to book.
pub(super) fn booked(asked: &Submission) -> u64 {
    Payload::of([&asked.time, &asked.patient_name, &asked.email]).short()
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn another_row_is_caught() {
        for change in [
            |row: &mut Appointment| row.details.time = "2027-01-01T09:00:00Z".into(),
            |row: &mut Appointment| row.details.patient_name = "Somebody Else".into(),
            |row: &mut Appointment| row.details.email = None,
        ] {
            let story = fixture::edit(fixture::confirmed(), |event| {
                if let Event::Row(row) = event {
                    change(row);
                }
            });
            fixture::catches(&ORACLE, &story, "a-1: its row holds another time");
        }
    }

    #[test]
    fn another_booking_is_caught() {
        let story = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Provider(ProviderEvent::Booked { payload, .. }) = event {
                *payload += 1;
            }
        });
        fixture::catches(&ORACLE, &story, "provider-acme booked another time");
    }

    #[test]
    fn an_answer_of_something_else_is_caught() {
        let answered = |change: &dyn Fn(&mut Answer)| {
            fixture::edit(fixture::confirmed(), |event| match event {
                Event::Answered { answer, .. } => change(answer),
                Event::Observed { answer, .. } => answer.iter_mut().for_each(change),
                _ => {}
            })
        };
        let other = answered(&|answer| answer.details = Some(1));
        fixture::catches(&ORACLE, &other, "a-1: an answer names another time");
        let counted = answered(&|answer| answer.attempts = Some(7));
        fixture::catches(&ORACLE, &counted, "tells of 7 attempts, the row of 1");
    }

    #[test]
    fn what_nobody_was_told_of_is_one_of_those_that_were_sent() {
        let unanswered = fixture::without(fixture::confirmed(), |event| {
            matches!(event, Event::Answered { .. } | Event::Observed { .. })
        });
        assert_eq!(fixture::judge(&ORACLE, &unanswered).violations, []);
        let never_sent = fixture::edit(unanswered, |event| {
            if let Event::Invoked { operation, .. } = event {
                *operation = Operation::Submit(fixture::submission().conflicting(2));
            }
        });
        fixture::catches(&ORACLE, &never_sent, "a-1: its row holds another time");
    }
}
