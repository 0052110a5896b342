//! Outbox entries: one call that a provider is owed, and the lease under which a worker makes it.
//!
//! The one invariant: `lease_epoch` only grows, by one with each claim, and only its current value may settle.
//! `attempt` is no fence: a refund or a redrive takes it back.
//!
//! This module deliberately does not say what an attempt's outcome means; [`crate::delivery`] does.

use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    identity::{AppointmentId, ProviderName, RequestId, Tenant, WorkerId},
    time::Timestamp,
};

/// No lease is granted for longer. A lease that ends later than this from now was made before the clock jumped back,
/// and counts as expired.
pub const MAX_LEASE: Duration = Duration::from_mins(5);

/// No entry is put off for longer. One that is due later than this from now was put off before the clock jumped back, and counts as due.
///
/// Twice the usual cap of a Retry-After: a clock that is set right by seconds makes nobody call earlier than was asked.
pub const MAX_WAIT: Duration = Duration::from_hours(2);

/// What the provider is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Book the appointment.
    Book,
    /// Cancel it by key: a tombstone, also when nothing was booked.
    Cancel,
}

impl Kind {
    /// The name on wires and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Cancel => "cancel",
        }
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// Waits for its time.
    Ready,
    /// A worker holds it.
    Leased,
    /// Settled.
    Done,
    /// In the dead-letter queue.
    Dead,
}

impl EntryState {
    /// The name on wires and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}

/// An entry that a decision queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEntry {
    /// The appointment it is about.
    pub appointment_id: AppointmentId,
    /// The request that the appointment came with.
    pub request_id: RequestId,
    /// Whose it is.
    pub tenant: Tenant,
    /// What the provider is to do.
    pub kind: Kind,
    /// The provider.
    pub destination: ProviderName,
    /// The idempotency key at the provider: the appointment's id, the same for its booking and its cancel.
    pub key: String,
    /// The appointment's generation when it was queued.
    pub generation: u32,
}

/// A stored entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The store's number, in the order of queueing.
    pub id: i64,
    /// The appointment it is about.
    pub appointment_id: AppointmentId,
    /// The request that the appointment came with.
    pub request_id: RequestId,
    /// Whose it is.
    pub tenant: Tenant,
    /// What the provider is to do.
    pub kind: Kind,
    /// The provider.
    pub destination: ProviderName,
    /// The idempotency key at the provider.
    pub key: String,
    /// The appointment's generation when it was queued.
    pub generation: u32,
    /// Where it stands.
    pub state: EntryState,
    /// Not to be claimed before.
    pub due_at: Timestamp,
    /// Attempts started, refunds taken off. Not a fence.
    pub attempt: u32,
    /// The fence: one more with each claim, never less.
    pub lease_epoch: u64,
    /// When the lease ends; `None` unless leased.
    pub lease_until: Option<Timestamp>,
    /// Who holds or last held it.
    pub worker: Option<WorkerId>,
    /// An earlier attempt may have reached the provider: resolve first.
    pub uncertain: bool,
    /// The latest time at which an attempt may have been sent.
    pub last_sent_at: Option<Timestamp>,
    /// The uncertain attempt got a complete answer (a 5xx): it is not in flight any more.
    pub answered: bool,
    /// When it was queued.
    pub enqueued_at: Timestamp,
    /// Why the last attempt did not settle it, personal data masked.
    pub last_error: Option<String>,
}

/// A settle by a lease that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("lease epoch {held} is over, the entry is {} at epoch {current}", state.as_str())]
pub struct Stale {
    /// The epoch of the caller's lease.
    pub held: u64,
    /// The entry's epoch.
    pub current: u64,
    /// The entry's state.
    pub state: EntryState,
}

impl NewEntry {
    /// The entry as it is stored: ready at once.
    pub fn open(self, id: i64, now: Timestamp) -> Entry {
        Entry {
            id,
            appointment_id: self.appointment_id,
            request_id: self.request_id,
            tenant: self.tenant,
            kind: self.kind,
            destination: self.destination,
            key: self.key,
            generation: self.generation,
            state: EntryState::Ready,
            due_at: now,
            attempt: 0,
            lease_epoch: 0,
            lease_until: None,
            worker: None,
            uncertain: false,
            last_sent_at: None,
            answered: false,
            enqueued_at: now,
            last_error: None,
        }
    }
}

/// Whether a lease that runs until `until` is over.
fn lease_over(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_none_or(|until| until <= now || until > now.plus(MAX_LEASE))
}

/// Whether what is put off until `due` is due.
fn due(due: Timestamp, now: Timestamp) -> bool {
    due <= now || due > now.plus(MAX_WAIT)
}

/// Whether a worker may claim it: ready and due, or leased and expired.
pub fn claimable(entry: &Entry, now: Timestamp) -> bool {
    match entry.state {
        EntryState::Ready => due(entry.due_at, now),
        EntryState::Leased => lease_over(entry.lease_until, now),
        EntryState::Done | EntryState::Dead => false,
    }
}

/// The entry, held by `worker` for `lease` (at most [`MAX_LEASE`]): one more attempt, the next epoch.
///
/// An expired lease is rescued: whether its holder sent anything is not known, so the entry becomes uncertain, and
/// the end of that lease is the latest time at which it may have been sent.
#[must_use]
pub fn claim(entry: &Entry, worker: WorkerId, now: Timestamp, lease: Duration) -> Entry {
    let mut claimed = entry.clone();
    if entry.state == EntryState::Leased {
        claimed.uncertain = true;
        claimed.answered = false;
        let end = entry.lease_until.map_or(now, |until| until.min(now));
        claimed.last_sent_at = Some(entry.last_sent_at.map_or(end, |sent| sent.max(end)));
    }
    claimed.state = EntryState::Leased;
    claimed.attempt = entry.attempt.saturating_add(1);
    claimed.lease_epoch = entry.lease_epoch + 1;
    claimed.lease_until = Some(now.plus(lease.min(MAX_LEASE)));
    claimed.worker = Some(worker);
    claimed
}

/// Notes, in the worker's own copy and just before the side effect, that this attempt is being sent.
///
/// Nothing is sent before every earlier attempt is known not to have booked, so older doubts end here.
pub fn mark_sent(entry: &mut Entry, now: Timestamp) {
    entry.last_sent_at = Some(now);
    entry.uncertain = false;
    entry.answered = false;
}

/// Lets only the current lease settle: an entry that is leased at exactly `epoch`.
pub fn fence(entry: &Entry, epoch: u64) -> Result<(), Stale> {
    if entry.state == EntryState::Leased && entry.lease_epoch == epoch {
        return Ok(());
    }
    Err(Stale {
        held: epoch,
        current: entry.lease_epoch,
        state: entry.state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_900_000_000);
    const LEASE: Duration = Duration::from_secs(10);

    fn ready() -> Entry {
        NewEntry {
            appointment_id: AppointmentId::parse("a-1").unwrap(),
            request_id: RequestId::parse("r-1").unwrap(),
            tenant: Tenant::default(),
            kind: Kind::Book,
            destination: ProviderName::parse("acme").unwrap(),
            key: "a-1".into(),
            generation: 0,
        }
        .open(1, NOW)
    }

    fn held() -> Entry {
        claim(&ready(), WorkerId(1), NOW, LEASE)
    }

    fn at(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn ready_entries_wait_for_their_time() {
        let entry = Entry {
            due_at: at(5),
            ..ready()
        };
        assert!(!claimable(&entry, at(4)) && claimable(&entry, at(5)));
    }

    #[test]
    fn what_was_put_off_by_a_clock_that_was_ahead_is_due() {
        let until = |wait: Duration| Entry {
            due_at: NOW.plus(wait),
            ..ready()
        };
        assert!(!claimable(&until(MAX_WAIT), NOW));
        assert!(claimable(&until(MAX_WAIT + Duration::from_secs(1)), NOW));
        assert!(claimable(&until(Duration::from_hours(24)), NOW));
    }

    #[test]
    fn leases_hold_until_they_end() {
        assert!(!claimable(&held(), at(9)) && claimable(&held(), at(10)));
        // A lease from before the clock jumped back by an hour.
        let back = Timestamp::from_micros(NOW.as_micros() - 3_600_000_000);
        assert!(claimable(&held(), back));
        let rescued = claim(&held(), WorkerId(2), back, LEASE);
        assert_eq!(rescued.last_sent_at, Some(back));
    }

    #[test]
    fn no_lease_is_longer_than_the_longest() {
        let held = claim(&ready(), WorkerId(1), NOW, Duration::MAX);
        assert_eq!(held.lease_until, Some(NOW.plus(MAX_LEASE)));
        assert!(!claimable(&held, NOW));
    }

    #[test]
    fn settled_entries_are_never_claimed() {
        for state in [EntryState::Done, EntryState::Dead] {
            let entry = Entry {
                state,
                lease_until: None,
                ..held()
            };
            assert!(!claimable(&entry, at(1000)));
            assert!(fence(&entry, 1).is_err());
        }
    }

    #[test]
    fn a_first_claim_is_not_uncertain_and_a_rescue_is() {
        let held = held();
        assert_eq!((held.attempt, held.lease_epoch), (1, 1));
        assert!(!held.uncertain && held.last_sent_at.is_none());
        let answered = Entry {
            answered: true,
            ..held
        };
        let rescued = claim(&answered, WorkerId(2), at(60), LEASE);
        assert!(rescued.uncertain && !rescued.answered);
        assert_eq!(rescued.last_sent_at, Some(at(10)));
    }

    #[test]
    fn only_the_current_epoch_settles() {
        let mut entry = held();
        assert_eq!(fence(&entry, 1), Ok(()));
        entry = claim(&entry, WorkerId(2), at(10), LEASE);
        let stale = fence(&entry, 1).unwrap_err();
        assert_eq!((stale.held, stale.current), (1, 2));
        assert_eq!(fence(&entry, 2), Ok(()));
        // A redrive takes the attempts back, and the same number comes again: the epoch does not.
        entry.state = EntryState::Ready;
        entry.attempt = 0;
        let again = claim(&entry, WorkerId(1), at(20), LEASE);
        assert_eq!(again.attempt, 1);
        assert!(fence(&again, 1).is_err());
    }
}
