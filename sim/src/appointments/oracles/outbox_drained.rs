//! At the end nothing waits in the outbox: every entry is done or was given up for good.

use rehearsal_core::{
    invariant,
    outbox::{Entry, EntryState},
};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, given, outbox},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "outbox_drained",
    property: "at the end every outbox entry is done or dead, and none was tried more often than allowed",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let policy = given(trace)
        .map(|tables| tables.service.delivery())
        .unwrap_or_default();
    for (at, entry) in outbox(trace) {
        let open = matches!(entry.state, EntryState::Ready | EntryState::Leased);
        let wrong = if open {
            Some(format!(
                "{} is {} at the end, attempt {}",
                name(entry),
                entry.state.as_str(),
                entry.attempt
            ))
        } else if !invariant::attempts_within(entry, &policy) {
            Some(format!(
                "{}: {} attempts, {} are allowed",
                name(entry),
                entry.attempt,
                policy.max_attempts
            ))
        } else {
            None
        };
        findings.examine(at.at_us, wrong);
    }
    findings
}

fn name(entry: &Entry) -> String {
    format!(
        "{}: its {} entry",
        entry.appointment_id,
        entry.kind.as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn an_open_entry_and_one_attempt_too_many_are_caught() {
        let set = |change: fn(&mut Entry)| {
            fixture::edit(fixture::confirmed(), |event| {
                if let Event::Outbox(entry) = event {
                    change(entry);
                }
            })
        };
        fixture::catches(
            &ORACLE,
            &set(|entry| entry.state = EntryState::Ready),
            "is ready at the end",
        );
        fixture::catches(
            &ORACLE,
            &set(|entry| entry.attempt = 9),
            "9 attempts, 8 are allowed",
        );
    }
}
