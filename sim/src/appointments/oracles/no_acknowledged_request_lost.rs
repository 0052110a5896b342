//! What the API has acknowledged happens: an accepted request has its row and comes to an end, an accepted cancel is carried out or accounted for.

use std::collections::{BTreeMap, BTreeSet};

use rehearsal_core::{
    appointment::{Appointment, State},
    outbox::{EntryState, Kind},
};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, exchanges, outbox, rows},
        operation::Operation,
        paths::Paths,
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "no_acknowledged_request_lost",
    property: "every acknowledged request ends in its row, confirmed, failed or cancelled, and every acknowledged cancel has an end",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let by_id: BTreeMap<&str, &Appointment> =
        rows(trace).map(|(_, row)| (row.id.as_str(), row)).collect();
    let dead_cancel =
        |kind: Kind, state: EntryState| kind == Kind::Cancel && state == EntryState::Dead;
    let given_up: BTreeSet<&str> = outbox(trace)
        .filter(|(_, entry)| dead_cancel(entry.kind, entry.state))
        .map(|(_, entry)| entry.appointment_id.as_str())
        .collect();
    for exchange in exchanges(trace) {
        let Some(answer) = exchange
            .answer
            .filter(|answer| (200..300).contains(&answer.status))
        else {
            continue;
        };
        let wrong = match exchange.operation {
            Operation::Submit(submission) => {
                let named = answer.id.as_deref() == Some(&submission.id);
                let row = by_id.get(submission.id.as_str());
                match row {
                    _ if !named => Some(format!(
                        "{}: the answer names {:?}",
                        submission.id, answer.id
                    )),
                    None => Some(format!(
                        "{}: acknowledged with {}, and there is no row",
                        submission.id, answer.status
                    )),
                    Some(row) if row.request_id.as_str() != submission.request_id => Some(format!(
                        "{}: acknowledged to {}, the row is {}'s",
                        submission.id, submission.request_id, row.request_id
                    )),
                    Some(row) if row.state == State::Pending => {
                        Some(format!("{}: still pending at the end", submission.id))
                    }
                    Some(_) => None,
                }
            }
            Operation::Cancel { id } => match by_id.get(id.as_str()) {
                None => Some(format!(
                    "{id}: a cancel was acknowledged, and there is no row"
                )),
                Some(row) if matches!(row.state, State::Cancelled | State::Failed) => None,
                Some(row) if row.cancel_requested && given_up.contains(id.as_str()) => None,
                Some(row) => Some(format!(
                    "{id}: a cancel was acknowledged, and the row is {} at the end",
                    row.state
                )),
            },
            Operation::Read { .. } | Operation::Probe { .. } => continue,
        };
        findings.examine(exchange.to_us, wrong);
    }
    // A look that failed is no evidence where the network may have swallowed it; where nothing does, the API is silent.
    let lossy = Paths::of(trace).lose_answers();
    let (mut seen_some, mut unseen) = (false, 0);
    for (entry, event) in trace.system() {
        let Event::Observed { id, answer } = event else {
            continue;
        };
        let Some(row) = by_id.get(id.as_str()) else {
            continue;
        };
        if lossy && answer.is_none() {
            unseen += 1;
            continue;
        }
        seen_some = true;
        let seen = answer.as_ref().and_then(|answer| answer.state);
        let wrong = (seen != Some(row.state)).then(|| {
            format!(
                "{id}: the row is {}, and the API's last answer is {seen:?}",
                row.state
            )
        });
        findings.examine(entry.at_us, wrong);
    }
    if unseen > 0 && !seen_some {
        findings.undecided = Some(format!(
            "none of {unseen} last looks was answered: what the API says of its rows is unknown"
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn a_lost_row_is_caught() {
        let bad = fixture::without(fixture::confirmed(), |event| matches!(event, Event::Row(_)));
        fixture::catches(&ORACLE, &bad, "there is no row");
    }

    #[test]
    fn a_row_left_pending_or_given_to_another_request_is_caught() {
        let bad = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Row(row) = event {
                row.state = State::Pending;
            }
        });
        fixture::catches(&ORACLE, &bad, "still pending");
        let bad = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Row(row) = event {
                row.request_id = rehearsal_core::identity::RequestId::parse("r-2").unwrap();
            }
        });
        fixture::catches(&ORACLE, &bad, "the row is r-2's");
    }

    #[test]
    fn a_last_look_that_failed_is_evidence_only_where_nothing_swallows_it() {
        let unseen = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Observed { answer, .. } = event {
                *answer = None;
            }
        });
        fixture::catches(&ORACLE, &unseen, "the API's last answer is None");
        let network = "loss = 0.2\nloss_as = \"reset\"";
        let findings = (ORACLE.check)(&fixture::over(network, &unseen));
        assert_eq!(findings.violations, []);
        assert!(findings.undecided.is_some(), "no look is no pass");
        let mut one_seen = unseen;
        one_seen.extend(
            fixture::confirmed()
                .into_iter()
                .filter(|(.., event)| matches!(event, Event::Observed { .. })),
        );
        let findings = (ORACLE.check)(&fixture::over(network, &one_seen));
        assert_eq!((findings.violations, findings.undecided), (vec![], None));
    }

    #[test]
    fn a_forgotten_cancel_and_a_stale_read_are_caught() {
        let bad = fixture::edit(fixture::cancelled(), |event| {
            if let Event::Row(row) = event {
                row.state = State::Confirmed;
            }
        });
        fixture::catches(
            &ORACLE,
            &bad,
            "a cancel was acknowledged, and the row is confirmed",
        );
        fixture::catches(&ORACLE, &bad, "the API's last answer is Some(Cancelled)");
    }
}
