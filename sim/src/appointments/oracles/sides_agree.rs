//! At the end both sides agree: a confirmed row has its booking, any other has none, unless the difference is reported.
//!
//! The auditor reports, and takes back what is no longer so. Where none runs, a row that waits for a cancel which lies in the dead-letter queue is reported by that, and by nothing less.

use std::collections::{BTreeMap, BTreeSet};

use rehearsal_core::{
    appointment::State,
    identity::Reference,
    log::Evt,
    outbox::{EntryState, Kind},
};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, extra, findings as reports, given, logs, outbox, rows, views},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "sides_agree",
    property: "at the end every confirmed row names a live booking and no other row has one, or it is reported; nothing is reported that a whole sweep no longer sees",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let held: BTreeMap<(&str, &str), _> = views(trace)
        .map(|(_, provider, view)| ((provider, view.key.as_str()), view))
        .collect();
    let reported: BTreeSet<&str> = reports(trace)
        .filter(|(_, finding)| finding.resolved_at.is_none())
        .map(|(_, finding)| finding.key.as_str())
        .collect();
    let audited = given(trace).is_none_or(|tables| tables.topology.auditor);
    let dead: BTreeSet<&str> = outbox(trace)
        .filter(|(_, it)| it.kind == Kind::Cancel && it.state == EntryState::Dead)
        .map(|(_, it)| it.appointment_id.as_str())
        .collect();
    let mut known = BTreeSet::new();
    for (entry, row) in rows(trace) {
        let id = row.id.as_str();
        known.insert(id);
        let view = held.get(&(row.provider.as_str(), id));
        let live = view.map_or(0, |view| view.bookings);
        let held = view.and_then(|view| view.reference.as_deref());
        let confirmed = row.state == State::Confirmed;
        let wrong = match live {
            _ if reported.contains(id) => None,
            _ if !audited && row.cancel_queued() && dead.contains(id) => None,
            0 if confirmed => Some(format!(
                "{id}: confirmed, and {} holds no booking",
                row.provider
            )),
            1 if confirmed && held != row.reference.as_ref().map(Reference::as_str) => {
                Some(format!(
                    "{id}: confirmed as {:?}, and {} holds {held:?}",
                    row.reference, row.provider
                ))
            }
            1.. if !confirmed => Some(format!(
                "{id}: {}, and {} holds a live booking",
                row.state, row.provider
            )),
            _ => None,
        };
        findings.examine(entry.at_us, wrong);
    }
    for (entry, provider, view) in views(trace) {
        let id = view.key.as_str();
        let orphan = view.bookings > 0 && !known.contains(id) && !reported.contains(id);
        findings.examine(
            entry.at_us,
            orphan.then(|| format!("{id}: {provider} holds a booking that belongs to no row")),
        );
    }
    outlived(trace, &mut findings);
    findings
}

/// A store's clock that is off by so much, in microseconds, may make a row look young for a while, and what was found of it stays.
const OFF_US: i64 = 1_000_000;

/// Findings that are open although the last sweep saw everything, and not them.
fn outlived(trace: &Trace, findings: &mut Findings) {
    let is_off =
        |event: &Event| matches!(event, Event::StoreClock { ahead_us } if ahead_us.abs() >= OFF_US);
    if trace.system().any(|(_, event)| is_off(event)) {
        return;
    }
    let mut last = BTreeMap::new();
    for (_, line) in logs(trace).filter(|(_, line)| line.evt == Evt::AuditDone) {
        last.insert(extra(line, "provider"), line);
    }
    let mut open: BTreeMap<&str, u64> = BTreeMap::new();
    let mut end_us = 0;
    for (entry, finding) in reports(trace) {
        end_us = entry.at_us;
        *open.entry(finding.provider.as_str()).or_default() +=
            u64::from(finding.resolved_at.is_none());
    }
    for (provider, open) in open {
        let whole = last
            .get(provider)
            .filter(|line| extra(line, "result") == "complete");
        let seen = whole.and_then(|line| line.extra.get("differences")?.as_u64());
        let Some(seen) = seen else { continue };
        let wrong = (open > seen).then(|| {
            format!("{open} findings of {provider} are open, its last whole sweep saw {seen}")
        });
        findings.examine(end_us, wrong);
    }
}

#[cfg(test)]
mod tests {
    use rehearsal_mocks::provider::BookingStatus;

    use super::{super::fixture, *};

    #[test]
    fn differences_are_caught() {
        let no_view = fixture::without(fixture::confirmed(), |event| {
            matches!(event, Event::View { .. })
        });
        fixture::catches(&ORACLE, &no_view, "acme holds no booking");
        let no_row = fixture::without(fixture::confirmed(), |event| matches!(event, Event::Row(_)));
        fixture::catches(&ORACLE, &no_row, "belongs to no row");
        let other = fixture::edit(fixture::confirmed(), |event| {
            if let Event::View { view, .. } = event {
                view.reference = Some("bk-9".to_owned());
            }
        });
        fixture::catches(&ORACLE, &other, "acme holds Some(\"bk-9\")");
        let mut live = fixture::without(fixture::cancelled(), |event| {
            matches!(event, Event::View { .. })
        });
        live.push((99, "harness", fixture::view(BookingStatus::Booked, 1)));
        fixture::catches(
            &ORACLE,
            &live,
            "a-1: cancelled, and acme holds a live booking",
        );
    }

    #[test]
    fn without_an_auditor_a_dead_cancel_is_the_report() {
        let mut story = fixture::failed();
        story.push((99, "harness", fixture::view(BookingStatus::Booked, 1)));
        let silent = fixture::without(story, |event| matches!(event, Event::Finding(_)));
        let alone = fixture::given(silent, |tables| tables.topology.auditor = false);
        assert_eq!(fixture::judge(&ORACLE, &alone).violations, []);
        let lost = fixture::without(
            alone,
            |event| matches!(event, Event::Outbox(entry) if entry.kind == Kind::Cancel),
        );
        fixture::catches(&ORACLE, &lost, "a-1: failed, and acme holds a live booking");
    }

    #[test]
    fn a_finding_that_outlives_its_difference_is_caught() {
        let swept = |result: &str, differences: u64| {
            let mut story = fixture::failed();
            let place = story.len() - 1;
            let line = fixture::log(Evt::AuditDone)
                .with("provider", "acme")
                .with("result", result)
                .with("differences", differences);
            story.insert(place, (story[place].0, "service", Event::Log(line)));
            story
        };
        let clean = |story| assert_eq!(fixture::judge(&ORACLE, &story).violations, []);
        fixture::catches(
            &ORACLE,
            &swept("complete", 0),
            "1 findings of acme are open, its last whole sweep saw 0",
        );
        clean(swept("complete", 1));
        clean(swept("incomplete", 0));
        let mut jumped = swept("complete", 0);
        let ahead_us = -3_600_000_000;
        jumped.insert(0, (0, "service", Event::StoreClock { ahead_us }));
        clean(jumped);
    }

    #[test]
    fn a_reported_difference_is_accounted_for() {
        let mut story = fixture::failed();
        story.push((99, "harness", fixture::view(BookingStatus::Booked, 1)));
        assert_eq!(fixture::judge(&ORACLE, &story).violations, []);
        let silent = fixture::without(story, |event| matches!(event, Event::Finding(_)));
        fixture::catches(
            &ORACLE,
            &silent,
            "a-1: failed, and acme holds a live booking",
        );
    }
}
