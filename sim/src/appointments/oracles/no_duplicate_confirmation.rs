//! No appointment is ever booked twice at the same time, over all providers, and none is confirmed twice.

use std::collections::BTreeMap;

use rehearsal_core::{
    identity::Reference,
    invariant,
    reconcile::{ProviderStatus, ProviderView},
};
use rehearsal_mocks::provider::{BookingStatus, ProviderEvent};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, calls, transitions, views},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "no_duplicate_confirmation",
    property: "at any time an appointment has at most one live booking over all providers, and it is confirmed at most once",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    // Live bookings by key and provider's host.
    let mut live: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    for (entry, event) in calls(trace) {
        match event {
            ProviderEvent::Booked {
                key,
                reference,
                n_live,
                ..
            } => {
                let hosts = live.entry(key).or_default();
                hosts.insert(&entry.host, *n_live);
                let total: u32 = hosts.values().sum();
                let wrong = (total > 1).then(|| {
                    format!(
                        "{key}: {total} live bookings after {reference} at {}",
                        entry.host
                    )
                });
                findings.examine(entry.at_us, wrong);
            }
            ProviderEvent::Cancelled { key, .. } => {
                live.entry(key).or_default().insert(&entry.host, 0);
            }
            _ => {}
        }
    }
    let mut at_end: BTreeMap<&str, Vec<ProviderView>> = BTreeMap::new();
    let mut end_us = 0;
    for (entry, _, view) in views(trace) {
        end_us = entry.at_us;
        at_end.entry(&view.key).or_default().push(ProviderView {
            key: view.key.clone(),
            reference: view
                .reference
                .as_deref()
                .and_then(|text| Reference::parse(text).ok()),
            status: if view.status == BookingStatus::Booked {
                ProviderStatus::Booked
            } else {
                ProviderStatus::Cancelled
            },
            bookings: view.bookings,
        });
    }
    for (key, views) in at_end {
        let wrong = (!invariant::one_live_booking(&views))
            .then(|| format!("{key}: more than one live booking at the end"));
        findings.examine(end_us, wrong);
    }
    let mut confirmations: BTreeMap<&str, u32> = BTreeMap::new();
    for (entry, step) in transitions(trace).filter(|(_, step)| step.change == "confirmed") {
        let count = confirmations
            .entry(step.appointment_id.as_str())
            .or_default();
        *count += 1;
        findings.examine(
            entry.at_us,
            (*count > 1).then(|| format!("{}: confirmed {count} times", step.appointment_id)),
        );
    }
    // Nothing was booked or confirmed: each refusal and failure is a case in which nothing went wrong.
    if findings.checked == 0 {
        for (entry, _) in
            calls(trace).filter(|(_, event)| matches!(event, ProviderEvent::Called { .. }))
        {
            findings.examine(entry.at_us, None);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    fn booked(host: &'static str, n_live: u32) -> (u64, &'static str, Event) {
        (
            30,
            host,
            Event::Provider(ProviderEvent::Booked {
                key: "a-1".to_owned(),
                reference: "bk-2".to_owned(),
                n_live,
                payload: 0,
            }),
        )
    }

    #[test]
    fn a_second_booking_is_caught_at_the_same_provider_and_at_another() {
        for (host, n_live) in [("provider-acme", 2), ("provider-zeta", 1)] {
            let mut bad = fixture::confirmed();
            bad.push(booked(host, n_live));
            fixture::catches(&ORACLE, &bad, "a-1: 2 live bookings");
        }
    }

    #[test]
    fn a_booking_after_a_cancel_is_fine() {
        let mut story = fixture::cancelled();
        story.push(booked("provider-acme", 1));
        assert_eq!(fixture::judge(&ORACLE, &story).violations, []);
    }

    #[test]
    fn two_at_the_end_and_two_confirmations_are_caught() {
        let bad = fixture::edit(fixture::confirmed(), |event| {
            if let Event::View { view, .. } = event {
                view.bookings = 2;
            }
        });
        fixture::catches(&ORACLE, &bad, "more than one live booking at the end");
        let mut bad = fixture::confirmed();
        let again = bad.iter().find(|(.., event)| matches!(event, Event::Transition(step) if step.change == "confirmed")).unwrap().clone();
        bad.push(again);
        fixture::catches(&ORACLE, &bad, "confirmed 2 times");
    }
}
