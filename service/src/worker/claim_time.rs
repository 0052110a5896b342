//! When a claim was made: by the monotonic clock, and what the store's clock showed.
//!
//! **Invariant**: everything that a worker decides about an entry is by the store's clock, carried on by its own monotonic one; its own wall clock,
//! which may differ from the store's and jump, has no part in it.
//! It deliberately does not know how long an answer was on its way: what it takes for the store's time is early by that, never late.

use std::time::Duration;

use rehearsal_core::time::Timestamp;
use rehearsal_host::Host;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClaimTime {
    /// Before the claim was asked for: its leases began no earlier.
    asked: Duration,
    /// When its answer was heard.
    heard: Duration,
    /// What the store's clock showed in between.
    store: Timestamp,
}

impl ClaimTime {
    /// Of a claim that was asked for at `asked` and answered just now, when the store's clock showed `store`.
    pub(super) fn heard(host: &Host, asked: Duration, store: Timestamp) -> Self {
        Self {
            asked,
            heard: host.elapsed(),
            store,
        }
    }

    /// What the store's clock shows now, if it has not jumped since.
    pub(super) fn now(&self, host: &Host) -> Timestamp {
        self.store.plus(host.elapsed().saturating_sub(self.heard))
    }

    /// How much of its leases is used up, at most.
    pub(super) fn used(&self, host: &Host) -> Duration {
        host.elapsed().saturating_sub(self.asked)
    }

    /// The monotonic time after which its leases, each of this length, are over.
    pub(super) fn over(&self, lease: Duration) -> Duration {
        self.asked + lease
    }
}
