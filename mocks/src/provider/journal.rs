//! What the provider did, as typed events: one for each call, each effect and each injected fault.
//!
//! **Invariant**: an event names keys, references and codes, never a patient's name or email; their types have no room for them. It
//! deliberately carries no time: the sink stamps it with its own clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{behaviour::Garbling, course::Silence, units::milliseconds};

/// One of the provider's four operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `POST /bookings`.
    Book,
    /// `GET /bookings/{key}`.
    Lookup,
    /// `POST /bookings/{key}/cancel`.
    Cancel,
    /// `GET /bookings?after=&limit=`; its key is the page's cursor.
    List,
}

impl Operation {
    /// Its name on the wire and in draws: `book`, `lookup`, `cancel`, `list`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Lookup => "lookup",
            Self::Cancel => "cancel",
            Self::List => "list",
        }
    }
}

/// Something the provider did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProviderEvent {
    /// A well-formed call arrived.
    Called {
        /// Which operation.
        op: Operation,
        /// The booking's key, or a list's cursor.
        key: String,
        /// How many calls of this operation for this key came before it.
        n: u32,
        /// The caller's `X-Attempt-Epoch`, when it sent a number.
        epoch: Option<u64>,
    },
    /// A malformed call arrived and was refused; no fault was drawn for it.
    Malformed {
        /// Which operation.
        op: Operation,
        /// The answer's status.
        status: u16,
        /// The answer's code.
        code: String,
    },
    /// Fault: the answer waits.
    Delayed {
        /// Which operation.
        op: Operation,
        /// The call's key.
        key: String,
        /// How long the answer waits.
        #[serde(rename = "latency_ms", with = "milliseconds")]
        latency: Duration,
    },
    /// Effect: a booking was made.
    Booked {
        /// Its key.
        key: String,
        /// The provider's reference.
        reference: String,
        /// How many live bookings the key has now; above one is a double booking.
        n_live: u32,
        /// What was booked: [`Payload::short`](super::Payload::short). 0 in traces of before it was told.
        #[serde(default)]
        payload: u64,
    },
    /// An idempotent repeat: the first booking was answered again.
    Replayed {
        /// Its key.
        key: String,
        /// The first booking's reference.
        reference: String,
    },
    /// The key is booked with another payload; refused with 409 `duplicate`.
    RefusedDuplicate {
        /// The key.
        key: String,
    },
    /// The key is cancelled; a booking was refused with 410 `tombstoned`.
    RefusedTombstone {
        /// The key.
        key: String,
    },
    /// Effect: the key is cancelled.
    Cancelled {
        /// The key.
        key: String,
        /// Whether a live booking ended by it.
        had_booking: bool,
    },
    /// A look-up was answered.
    LookedUp {
        /// The key.
        key: String,
        /// Live bookings of the key; `None` when the provider does not know it.
        bookings: Option<u32>,
    },
    /// A page was answered.
    Listed {
        /// The page begins behind this key.
        after: String,
        /// Bookings on the page.
        count: u32,
    },
    /// Fault: an error was answered.
    Failed {
        /// Which operation.
        op: Operation,
        /// The call's key.
        key: String,
        /// The answer's status.
        status: u16,
        /// Whether the call took effect before it.
        processed: bool,
        /// The values of its `Retry-After`, as they were sent.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        retry_after: Vec<String>,
    },
    /// Fault: the call is never processed and never answered.
    Hung {
        /// Which operation.
        op: Operation,
        /// The call's key.
        key: String,
    },
    /// Fault: the call took effect, and its answer cannot be read.
    Garbled {
        /// Which operation.
        op: Operation,
        /// The call's key.
        key: String,
        /// What is wrong with the answer.
        how: Garbling,
    },
    /// Fault: an answer misses a booking that does not show yet.
    Missed {
        /// Which operation.
        op: Operation,
        /// The booking's key.
        key: String,
    },
    /// Fault: the call took effect and is not answered.
    Unanswered {
        /// Which operation.
        op: Operation,
        /// The call's key.
        key: String,
        /// How the answer is withheld.
        how: Silence,
    },
}

impl ProviderEvent {
    /// The injected fault that this event is the effect of: `latency`, `error`, `hang`, `garbled`, `lag`, `unanswered`; `None` for calls and their effects.
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Delayed { .. } => Some("latency"),
            Self::Failed { .. } => Some("error"),
            Self::Hung { .. } => Some("hang"),
            Self::Garbled { .. } => Some("garbled"),
            Self::Missed { .. } => Some("lag"),
            Self::Unanswered { .. } => Some("unanswered"),
            _ => None,
        }
    }
}

/// Where the provider's events go. Closures are journals.
pub trait ProviderJournal: Send + Sync {
    /// Takes one event, in the order in which they happen. Must not block.
    fn record(&self, event: ProviderEvent);
}

impl<F: Fn(ProviderEvent) + Send + Sync> ProviderJournal for F {
    fn record(&self, event: ProviderEvent) {
        self(event);
    }
}
