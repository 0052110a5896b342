//! Whatever was given up says why, is in the log, and, where the provider may hold a booking, in the auditor's report.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use rehearsal_core::{
    appointment::State,
    identity::AppointmentId,
    log::Evt,
    outbox::{EntryState, Kind},
};

use crate::{
    appointments::{
        event::Event,
        history::{Disturbances, Trace, extra, findings as reports, given, logs, outbox, rows},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "dead_letters_reported",
    property: "every dead letter has a reason and a log line, and a dead cancel of a failed or confirmed appointment a finding",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let logged: BTreeSet<(&str, &str)> = logs(trace)
        .filter(|(_, event)| event.evt == Evt::DeadLettered)
        .filter_map(|(_, event)| {
            Some((
                event.appointment_id.as_ref()?.as_str(),
                extra(event, "kind"),
            ))
        })
        .collect();
    let reported: BTreeSet<&str> = reports(trace)
        .filter_map(|(_, finding)| finding.appointment_id.as_ref())
        .map(AppointmentId::as_str)
        .collect();
    let states: BTreeMap<&str, State> = rows(trace)
        .map(|(_, row)| (row.id.as_str(), row.state))
        .collect();
    let audited = given(trace).is_none_or(|tables| tables.topology.auditor);
    let disturbances = OnceCell::new();
    for (at, entry) in outbox(trace) {
        let id = entry.appointment_id.as_str();
        let kind = entry.kind.as_str();
        let dead = entry.state == EntryState::Dead;
        // A cancelled one has got its cancel another way.
        let waits = matches!(states.get(id), Some(State::Failed | State::Confirmed));
        let wrong = if !dead {
            None
        } else if entry.last_error.as_deref().is_none_or(str::is_empty) {
            Some(format!("{id}: its {kind} was given up without a reason"))
        } else if !logged.contains(&(id, kind))
            && !disturbances
                .get_or_init(|| Disturbances::of(trace))
                .may_hide(id)
        {
            Some(format!(
                "{id}: its {kind} was given up and no log line says so"
            ))
        } else if entry.kind == Kind::Cancel && waits && audited && !reported.contains(id) {
            Some(format!(
                "{id}: its cancel was given up and the auditor has not reported it"
            ))
        } else {
            None
        };
        findings.examine(at.at_us, wrong);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn silence_about_a_dead_letter_is_caught() {
        let no_reason = fixture::edit(fixture::failed(), |event| {
            if let Event::Outbox(entry) = event {
                entry.last_error = None;
            }
        });
        fixture::catches(&ORACLE, &no_reason, "without a reason");
        let no_line = fixture::without(fixture::failed(), |event| {
            fixture::is_log(event, Evt::DeadLettered)
        });
        fixture::catches(&ORACLE, &no_line, "no log line says so");
        let no_finding = fixture::without(fixture::failed(), |event| {
            matches!(event, Event::Finding(_))
        });
        fixture::catches(&ORACLE, &no_finding, "has not reported it");
    }

    #[test]
    fn a_crash_may_take_the_line_with_it() {
        let no_line = fixture::without(fixture::failed(), |event| {
            fixture::is_log(event, Evt::DeadLettered)
        });
        assert_eq!((ORACLE.check)(&fixture::disturbed(&no_line)).violations, []);
    }
}
