//! What must always hold, each stated once: for core's tests, for the auditor, for the simulator's oracles.
//!
//! The one invariant: these are statements about values, true or false, and never change anything.
//! It deliberately does not say what to do when one is broken.

use alloc::collections::BTreeMap;

use crate::{
    appointment::{Appointment, Failure, State},
    delivery::Policy,
    outbox::{Entry, EntryState, Kind},
    reconcile::{Finding, ProviderView},
};

/// Whether the lifecycle has the step; `None` is INIT. FAILED to CONFIRMED is the auditor's, on proof.
pub const fn legal_transition(from: Option<State>, to: State) -> bool {
    matches!(
        (from, to),
        (None, State::Pending)
            | (Some(State::Pending), State::Confirmed | State::Failed)
            | (Some(State::Failed), State::Cancelled | State::Confirmed)
            | (Some(State::Confirmed), State::Cancelled)
    )
}

/// A confirmed appointment names its booking.
pub fn confirmed_has_reference(appointment: &Appointment) -> bool {
    appointment.state != State::Confirmed || appointment.reference.is_some()
}

/// A failed appointment, and no other, says why.
pub fn failed_says_why(appointment: &Appointment) -> bool {
    match appointment.state {
        State::Failed => appointment.failure.is_some(),
        State::Pending | State::Confirmed => appointment.failure.is_none(),
        State::Cancelled => true,
    }
}

/// A failed appointment that may be booked is being cancelled at the provider, or the auditor has reported it.
/// What the provider refused for good needs neither.
pub fn failed_is_compensated_or_reported(
    appointment: &Appointment,
    entries: &[Entry],
    findings: &[Finding],
) -> bool {
    let refused = matches!(appointment.failure, Some(Failure::Rejected { .. }));
    if appointment.state != State::Failed || (refused && !appointment.cancel_requested) {
        return true;
    }
    cancelling_or_reported(appointment, entries, findings)
}

/// A confirmed appointment that its client has cancelled is being cancelled at the provider, or the auditor has reported it.
pub fn cancel_is_under_way_or_reported(
    appointment: &Appointment,
    entries: &[Entry],
    findings: &[Finding],
) -> bool {
    appointment.state != State::Confirmed
        || !appointment.cancel_requested
        || cancelling_or_reported(appointment, entries, findings)
}

fn cancelling_or_reported(
    appointment: &Appointment,
    entries: &[Entry],
    findings: &[Finding],
) -> bool {
    let under_way = entries.iter().any(|entry| {
        entry.appointment_id == appointment.id
            && entry.kind == Kind::Cancel
            && matches!(entry.state, EntryState::Ready | EntryState::Leased)
    });
    under_way
        || findings
            .iter()
            .any(|finding| finding.appointment_id.as_ref() == Some(&appointment.id))
}

/// No key has more than one live booking.
pub fn one_live_booking(views: &[ProviderView]) -> bool {
    let mut live: BTreeMap<&str, u32> = BTreeMap::new();
    views.iter().all(|view| {
        let sum = live.entry(&view.key).or_default();
        *sum += view.live();
        *sum <= 1
    })
}

/// No entry was tried more often than allowed.
pub const fn attempts_within(entry: &Entry, policy: &Policy) -> bool {
    entry.attempt <= policy.max_attempts
}

/// From one version of an entry to a later one, the epoch never falls, and no lease begins without a new one.
pub fn lease_fenced(before: &Entry, after: &Entry) -> bool {
    let begins = after.state == EntryState::Leased
        && (before.state != EntryState::Leased || before.worker != after.worker);
    after.lease_epoch >= before.lease_epoch && (!begins || after.lease_epoch > before.lease_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lifecycle of the mission, with the auditor's one step back.
    #[test]
    fn the_lifecycle_has_six_steps() {
        let froms = [None].into_iter().chain(State::ALL.map(Some));
        let legal: usize = froms
            .map(|from| {
                State::ALL
                    .iter()
                    .filter(|to| legal_transition(from, **to))
                    .count()
            })
            .sum();
        assert_eq!(legal, 6);
        assert!(legal_transition(None, State::Pending));
        assert!(legal_transition(Some(State::Failed), State::Confirmed));
        assert!(!legal_transition(Some(State::Cancelled), State::Confirmed));
        assert!(!legal_transition(Some(State::Pending), State::Cancelled));
    }
}
