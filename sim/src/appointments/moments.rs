//! The moments of a run that a fault may wait for (`when = { event = ".." }`), by name.
//!
//! **Invariant**: every name that [`name`] gives is in [`names`], each once. A service's log line has the name of its event, a provider's call
//! `provider_called`, `provider_booked`, ..; a commit, which is no entry of the trace, is noticed as `committed:..` before it is answered.

use rehearsal_core::log::Evt;
use rehearsal_mocks::provider::ProviderEvent;

use super::{database::COMMITS, event::Event};

/// An event's name; `None` for those that no fault can wait for.
pub(super) fn name(event: &Event) -> Option<&'static str> {
    match event {
        Event::Log(log) => Some(log.evt.as_str()),
        Event::Provider(event) => Some(provider(event)),
        Event::Invoked { .. } => Some("invoked"),
        Event::Answered { .. } => Some("answered"),
        Event::Unanswered { .. } => Some("unanswered"),
        _ => None,
    }
}

/// Every name: what clients see, the service's log, the providers, the commits.
pub(super) fn names() -> Vec<&'static str> {
    let logs = Evt::ALL.iter().map(|evt| evt.as_str());
    let all = CLIENTS.into_iter().chain(logs);
    all.chain(PROVIDERS).chain(COMMITS).collect()
}

/// What happens at clients.
pub(super) const CLIENTS: [&str; 3] = ["invoked", "answered", "unanswered"];

const PROVIDERS: [&str; 15] = [
    "provider_called",
    "provider_malformed",
    "provider_delayed",
    "provider_booked",
    "provider_replayed",
    "provider_refused_duplicate",
    "provider_refused_tombstone",
    "provider_cancelled",
    "provider_looked_up",
    "provider_listed",
    "provider_missed",
    "provider_failed",
    "provider_hung",
    "provider_garbled",
    "provider_unanswered",
];

fn provider(event: &ProviderEvent) -> &'static str {
    match event {
        ProviderEvent::Called { .. } => "provider_called",
        ProviderEvent::Malformed { .. } => "provider_malformed",
        ProviderEvent::Delayed { .. } => "provider_delayed",
        ProviderEvent::Booked { .. } => "provider_booked",
        ProviderEvent::Replayed { .. } => "provider_replayed",
        ProviderEvent::RefusedDuplicate { .. } => "provider_refused_duplicate",
        ProviderEvent::RefusedTombstone { .. } => "provider_refused_tombstone",
        ProviderEvent::Cancelled { .. } => "provider_cancelled",
        ProviderEvent::LookedUp { .. } => "provider_looked_up",
        ProviderEvent::Listed { .. } => "provider_listed",
        ProviderEvent::Missed { .. } => "provider_missed",
        ProviderEvent::Failed { .. } => "provider_failed",
        ProviderEvent::Hung { .. } => "provider_hung",
        ProviderEvent::Garbled { .. } => "provider_garbled",
        ProviderEvent::Unanswered { .. } => "provider_unanswered",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_there_once_each() {
        let names = names();
        let set: BTreeSet<_> = names.iter().collect();
        assert_eq!(set.len(), names.len(), "{names:?}");
        let booked = ProviderEvent::Booked {
            key: String::new(),
            reference: String::new(),
            n_live: 1,
            payload: 0,
        };
        assert!(names.contains(&name(&Event::Provider(booked)).unwrap()));
    }
}
