//! A failed appointment that may be booked is cancelled at the provider, is being cancelled, or is reported.

use std::collections::BTreeMap;

use rehearsal_core::{invariant, outbox::Entry, reconcile::Finding};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, findings as reports, outbox, rows},
        quiet,
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "failed_is_compensated_or_reported",
    property: "a failed appointment has its compensation acknowledged or under way, or the auditor has reported it",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let mut entries: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
    for (_, entry) in outbox(trace) {
        entries
            .entry(entry.appointment_id.as_str())
            .or_default()
            .push(entry.clone());
    }
    let reported: Vec<Finding> = reports(trace).map(|(_, row)| quiet::finding(row)).collect();
    for (at, row) in rows(trace) {
        let of_row = entries.get(row.id.as_str()).map_or(&[][..], Vec::as_slice);
        let fine = invariant::failed_is_compensated_or_reported(row, of_row, &reported);
        findings.examine(
            at.at_us,
            (!fine).then(|| format!("{}: failed, neither compensated nor reported", row.id)),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn a_silent_failure_is_caught() {
        let bad = fixture::without(fixture::failed(), |event| {
            matches!(event, Event::Finding(_))
        });
        fixture::catches(
            &ORACLE,
            &bad,
            "a-1: failed, neither compensated nor reported",
        );
    }
}
