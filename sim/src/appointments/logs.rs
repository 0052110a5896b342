//! `[logs]`: which events the log of each request has to hold, and in which order, by the appointment's final state.
//!
//! **Invariant**: a list is a subsequence: other events may stand between, before and behind its own.

use rehearsal_core::{appointment::State, log::Evt};
use serde::{Deserialize, Serialize};

/// The table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// Of an appointment that ends confirmed.
    pub confirmed: Vec<Evt>,
    /// Of one that ends failed.
    pub failed: Vec<Evt>,
    /// Of one that ends cancelled.
    pub cancelled: Vec<Evt>,
    /// Of one that is still pending.
    pub pending: Vec<Evt>,
}

impl Default for Logs {
    /// Accepted, and its end.
    fn default() -> Self {
        use Evt::{AttemptStarted, Cancelled, Confirmed, Failed, RequestAccepted};
        Self {
            confirmed: vec![RequestAccepted, AttemptStarted, Confirmed],
            failed: vec![RequestAccepted, Failed],
            cancelled: vec![RequestAccepted, Cancelled],
            pending: vec![RequestAccepted],
        }
    }
}

impl Logs {
    /// The list for a final state.
    pub fn of(&self, state: State) -> &[Evt] {
        match state {
            State::Confirmed => &self.confirmed,
            State::Failed => &self.failed,
            State::Cancelled => &self.cancelled,
            State::Pending => &self.pending,
        }
    }
}
