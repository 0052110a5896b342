//! Every compensation is in the log: that it was queued, and how it ended.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use rehearsal_core::log::Evt;

use crate::{
    appointments::{
        event::Event,
        history::{Disturbances, Trace, logs_of, rows, transitions},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "compensation_logged",
    property: "a compensating cancel is logged when it is queued, and its acknowledgment or its end in the dead-letter queue after that",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let mut steps: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, step) in transitions(trace) {
        steps
            .entry(step.appointment_id.as_str())
            .or_default()
            .insert(&step.change);
    }
    let queued = |steps: &BTreeSet<&str>| steps.contains("compensation_queued");
    let logs = if steps.values().any(queued) {
        logs_of(trace)
    } else {
        BTreeMap::new()
    };
    let disturbances = OnceCell::new();
    for (entry, row) in rows(trace) {
        let id = row.id.as_str();
        let happened = |change: &str| steps.get(id).is_some_and(|steps| steps.contains(change));
        let place = |wanted: Evt| {
            logs.get(id)
                .and_then(|lines| lines.iter().rposition(|(_, event)| event.evt == wanted))
        };
        let first = |wanted: Evt| {
            logs.get(id)
                .and_then(|lines| lines.iter().position(|(_, event)| event.evt == wanted))
        };
        let hidden = || {
            disturbances
                .get_or_init(|| Disturbances::of(trace))
                .may_hide(id)
        };
        let wrong = if !happened("compensation_queued") || hidden() {
            None
        } else {
            let queued = first(Evt::CompensationQueued);
            let end = match (
                happened("cancelled"),
                happened("compensation_dead_lettered"),
            ) {
                (true, _) => Some((Evt::Cancelled, place(Evt::Cancelled))),
                (false, true) => Some((Evt::DeadLettered, place(Evt::DeadLettered))),
                (false, false) => None,
            };
            match (queued, end) {
                (None, _) => Some(format!("{id}: a compensation was queued and not logged")),
                (Some(queued), Some((evt, end))) if end.is_none_or(|end| end < queued) => {
                    Some(format!(
                        "{id}: its compensation ended and `{}` is not in the log after it",
                        evt.as_str()
                    ))
                }
                _ => None,
            }
        };
        findings.examine(entry.at_us, wrong);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn a_compensation_that_is_not_logged_is_caught() {
        let bad = fixture::without(fixture::failed(), |event| {
            fixture::is_log(event, Evt::CompensationQueued)
        });
        fixture::catches(&ORACLE, &bad, "was queued and not logged");
        assert_eq!(
            (ORACLE.check)(&fixture::disturbed(&bad)).violations,
            [],
            "a crash may take the line with it"
        );
    }

    #[test]
    fn an_end_that_is_not_logged_is_caught() {
        let dead_cancel = |event: &Event| matches!(event, Event::Log(log) if log.evt == Evt::DeadLettered && log.extra["kind"] == "cancel");
        let bad = fixture::without(fixture::failed(), dead_cancel);
        fixture::catches(&ORACLE, &bad, "`dead_lettered` is not in the log after it");
    }
}
