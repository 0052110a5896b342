//! A compensation cancels what is given up, never what counts: no booking that its client did not cancel is cancelled while its row is, or
//! later becomes, confirmed.

use std::collections::{BTreeMap, BTreeSet};

use rehearsal_mocks::provider::{Operation as Call, ProviderEvent};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, given, transitions},
        operation::Operation,
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "compensation_never_hits_a_live_booking",
    property: "no cancel that a client did not ask for reaches the provider for an appointment that is, or becomes, confirmed",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let confirmed: BTreeSet<&str> = transitions(trace)
        .filter(|(_, step)| step.change == "confirmed")
        .map(|(_, step)| step.appointment_id.as_str())
        .collect();
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    let mut reached: BTreeMap<&str, u64> = BTreeMap::new();
    for (entry, event) in trace.system() {
        match event {
            // Asked for is also what the client never heard of again.
            Event::Invoked {
                operation: Operation::Cancel { id },
                ..
            } => {
                asked.insert(id);
            }
            Event::Provider(ProviderEvent::Called {
                op: Call::Cancel,
                key,
                ..
            }) if !asked.contains(key.as_str()) => {
                reached.entry(key).or_insert(entry.at_us);
            }
            _ => {}
        }
    }
    for (id, at_us) in reached {
        let wrong = confirmed.contains(id).then(|| {
            format!("{id}: nobody asked to cancel it, it is confirmed, and a cancel reached the provider")
        });
        findings.examine(at_us, wrong);
    }
    findings.unless(given(trace).is_some(), "compensation at a provider")
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn a_cancel_that_nobody_asked_for_is_caught() {
        let bad = fixture::without(fixture::cancelled(), |event| {
            matches!(
                event,
                Event::Invoked {
                    operation: Operation::Cancel { .. },
                    ..
                }
            )
        });
        fixture::catches(&ORACLE, &bad, "a-1: nobody asked to cancel it");
    }

    #[test]
    fn a_clients_cancel_and_the_compensation_of_a_failure_are_fine() {
        let own = fixture::judge(&ORACLE, &fixture::cancelled());
        assert_eq!((own.checked, own.violations.len()), (0, 0));
        assert!(own.not_applicable.is_some());
        let compensated = fixture::judge(&ORACLE, &fixture::failed());
        assert_eq!((compensated.checked, compensated.violations.len()), (1, 0));
    }
}
