//! The database file is whole at the end: SQLite's own check of every page, index and constraint finds nothing.

use crate::{
    appointments::{event::Event, history::Trace},
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "integrity_check",
    property: "SQLite's integrity and foreign key checks find nothing wrong with the database at the end",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    for (entry, event) in trace.system() {
        if let Event::Integrity { problems } = event {
            findings.examine(
                entry.at_us,
                problems
                    .first()
                    .map(|first| format!("{} problems, the first: {first}", problems.len())),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn a_broken_page_is_caught() {
        let bad = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Integrity { problems } = event {
                problems.push("row 3 missing from index outbox_open".to_owned());
            }
        });
        fixture::catches(&ORACLE, &bad, "row 3 missing from index outbox_open");
    }

    #[test]
    fn a_run_without_the_check_has_not_passed() {
        let unchecked = fixture::without(fixture::confirmed(), |event| {
            matches!(event, Event::Integrity { .. })
        });
        let findings = fixture::judge(&ORACLE, &unchecked);
        assert_eq!((findings.checked, findings.not_applicable), (0, None));
        assert_eq!(fixture::judge(&ORACLE, &fixture::confirmed()).checked, 1);
    }
}
