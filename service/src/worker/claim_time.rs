//! When a claim was made: by the monotonic clock, and what the store's clock showed.
//!
//! **Invariant**: everything that a worker decides about an entry is by the store's clock, carried on by its own monotonic one; its own wall clock,
//! which may differ from the store's and jump, has no part in it. What was written before the store's clock jumped is not measured by what it
//! shows since: leases may have ended early, and what was sent a moment ago may look old.
//! It deliberately does not know how long an answer was on its way: what it takes for the store's time is early by that, never late.

use std::time::Duration;

use rehearsal_core::{outbox::Entry, time::Timestamp};
use rehearsal_host::Host;

/// What the store's clock may gain or lose between two claims and still count as steady: far below any horizon, far above what clocks drift.
const STEADY: Duration = Duration::from_millis(250);

/// The store's clock, as a worker hears of it with each claim.
#[derive(Debug)]
pub(super) struct StoreClock {
    last: Option<ClaimTime>,
    /// The monotonic time since when it has not jumped, as far as is known.
    steady_since: Duration,
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClaimTime {
    /// Before the claim was asked for: its leases began no earlier.
    asked: Duration,
    /// When its answer was heard.
    heard: Duration,
    /// What the store's clock showed in between.
    store: Timestamp,
    steady_since: Duration,
}

impl StoreClock {
    /// Of which nothing has been heard: it may have jumped just before.
    pub(super) fn unheard(host: &Host) -> Self {
        Self {
            last: None,
            steady_since: host.elapsed(),
        }
    }

    /// The time of a claim that was asked for at `asked` and answered just now, when the store's clock showed `store`.
    pub(super) fn hear(&mut self, host: &Host, asked: Duration, store: Timestamp) -> ClaimTime {
        let heard = host.elapsed();
        if let Some(last) = self.last {
            let soonest = asked.saturating_sub(last.heard).saturating_sub(STEADY);
            let latest = heard.saturating_sub(last.asked) + STEADY;
            if store < last.store.plus(soonest) || store > last.store.plus(latest) {
                self.steady_since = heard;
            }
        }
        let time = ClaimTime {
            asked,
            heard,
            store,
            steady_since: self.steady_since,
        };
        self.last = Some(time);
        time
    }
}

impl ClaimTime {
    /// What the store's clock shows now, if it has not jumped since.
    pub(super) fn now(&self, host: &Host) -> Timestamp {
        self.at(host.elapsed())
    }

    /// How much of its leases is used up, at most.
    pub(super) fn used(&self, host: &Host) -> Duration {
        host.elapsed().saturating_sub(self.asked)
    }

    /// The monotonic time after which its leases, each of this length, are over.
    pub(super) fn over(&self, lease: Duration) -> Duration {
        self.asked + lease
    }

    /// Makes an entry in doubt believe no time from before the clock was steady: until then an earlier attempt may have been sent, and one that
    /// was `rescued` may be sent by its holder for as long as a lease lasts from there.
    pub(super) fn doubt(&self, entry: &mut Entry, rescued: bool, lease: Duration) {
        if entry.uncertain {
            let held = if rescued { lease } else { Duration::ZERO };
            let sent = self.at(self.steady_since + held);
            entry.last_sent_at = Some(entry.last_sent_at.map_or(sent, |known| known.max(sent)));
        }
    }

    fn at(&self, elapsed: Duration) -> Timestamp {
        let before = self.heard.saturating_sub(elapsed);
        self.store
            .plus(elapsed.saturating_sub(self.heard))
            .minus(before)
    }
}
