//! Limits of a run, and how far one is.

use std::time::Duration;

use rehearsal_host::client::ClientLimits;

use crate::{rules::Side, run::Time};

/// Limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A request has to be answered within this long.
    pub deadline: Duration,
    /// At most this many requests at once; more wait, and are late.
    pub in_flight: usize,
    /// Between the last answer and the reading of the final state: time for work that a service does later.
    pub settle: Duration,
    /// Limits of the connections.
    pub client: ClientLimits,
    /// Whose time the host's clock shows.
    pub time: Time,
}

impl Default for Options {
    /// 30 s for an answer (a legacy service may wait for its own providers), 1,024 in flight, 30 s to settle, bodies up to 16 MiB, on a
    /// simulated host.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            in_flight: 1024,
            settle: Duration::from_secs(30),
            client: ClientLimits {
                body_bytes: 16 << 20,
                // A target under load takes its time to accept: that is lateness, not a failure.
                connect: Duration::from_secs(10),
                // Common servers close a connection that was idle for 5 s or longer; a request that meets the closing would be lost.
                idle: Duration::from_secs(4),
                ..ClientLimits::default()
            },
            time: Time::Virtual,
        }
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Sending the plan's requests.
    Replay,
    /// Waiting for work that a service does later.
    Settle,
    /// Reading the final state.
    State,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which side.
    pub side: Side,
    /// What it is doing.
    pub phase: Phase,
    /// Requests that are done, of the phase's [`Self::total`].
    pub done: usize,
    /// Of those, the failed ones.
    pub failed: usize,
    /// Requests of the phase.
    pub total: usize,
}
