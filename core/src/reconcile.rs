//! The row against what the provider says: where they differ, and what may repair it.
//!
//! | row        | provider                      | finding                  | repair                                   |
//! |------------|-------------------------------|--------------------------|------------------------------------------|
//! | none       | booked                        | `OrphanAtProvider`       | none: there is no row to cancel for      |
//! | PENDING    | booked                        | `UnconfirmedAtProvider`  | none: nothing is queued, somebody must look |
//! | PENDING    | nothing                       | `MissingAtProvider`      | the same                                 |
//! | CONFIRMED  | booked more than once         | `DuplicateAtProvider`    | none                                     |
//! | CONFIRMED  | booked, other reference       | `ReferenceMismatch`      | none                                     |
//! | CONFIRMED  | nothing, cancelled            | `MissingAtProvider`      | none; the cancel again, if one was asked |
//! | CONFIRMED* | booked                        | `NotCancelledAtProvider` | cancel                                   |
//! | FAILED     | booked                        | `UnconfirmedAtProvider`  | confirm: the booking is proved           |
//! | FAILED*    | anything                      | `FailedUncompensated`    | cancel                                   |
//! | CANCELLED  | booked                        | `NotCancelledAtProvider` | cancel                                   |
//!
//! Of a provider that cannot be read only our own side can tell: a CONFIRMED* row whose cancel was given up is reported
//! as `NotCancelledAtProvider`, a FAILED* one as `FailedUncompensated` ([`given_up`]).
//!
//! A star as in [`crate::appointment`]. The one invariant: what is queued, leased or younger than the horizon is left
//! alone, and what lies in the dead-letter queue is reported but not queued again: it waits for a person.
//!
//! It deliberately does not repair: a repair goes through the outbox, by compare-and-swap on the row's version.

use alloc::{
    format,
    string::{String, ToString},
};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    appointment::{Appointment, State},
    identity::{AppointmentId, Reference, RequestId},
    outbox::{Entry, Kind},
    time::Timestamp,
};

/// What a provider says of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderStatus {
    /// At least one booking lives.
    Booked,
    /// Cancelled, whether or not it was ever booked.
    Cancelled,
}

/// The provider's side of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderView {
    /// The idempotency key: our appointment's id.
    pub key: String,
    /// The booking's name.
    pub reference: Option<Reference>,
    /// What it says.
    pub status: ProviderStatus,
    /// How many live bookings the key has.
    pub bookings: u32,
}

impl ProviderView {
    /// Live bookings: none when it is cancelled.
    pub const fn live(&self) -> u32 {
        match self.status {
            ProviderStatus::Booked => self.bookings,
            ProviderStatus::Cancelled => 0,
        }
    }
}

/// How the two sides differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// We wait for or hold a booking that the provider does not have.
    MissingAtProvider,
    /// The provider holds a booking that we do not count on.
    UnconfirmedAtProvider,
    /// The provider holds a booking that was to be cancelled.
    NotCancelledAtProvider,
    /// The provider holds more than one booking of one key.
    DuplicateAtProvider,
    /// The provider holds a booking that we know nothing of.
    OrphanAtProvider,
    /// A failed booking whose compensation never ended.
    FailedUncompensated,
    /// The two sides name the booking differently.
    ReferenceMismatch,
}

impl FindingKind {
    /// The name on wires and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingAtProvider => "missing_at_provider",
            Self::UnconfirmedAtProvider => "unconfirmed_at_provider",
            Self::NotCancelledAtProvider => "not_cancelled_at_provider",
            Self::DuplicateAtProvider => "duplicate_at_provider",
            Self::OrphanAtProvider => "orphan_at_provider",
            Self::FailedUncompensated => "failed_uncompensated",
            Self::ReferenceMismatch => "reference_mismatch",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How the two sides differ.
    pub kind: FindingKind,
    /// The appointment, if we have one.
    pub appointment_id: Option<AppointmentId>,
    /// Its request.
    pub request_id: Option<RequestId>,
    /// The key at the provider.
    pub key: String,
    /// A sentence for people, without personal data.
    pub detail: String,
}

/// What may put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Only a person.
    None,
    /// A cancel by key, through the outbox.
    EnqueueCancel,
    /// The command `ProvenBooked`.
    ProveBooked {
        /// The provider's name of the booking.
        reference: Reference,
    },
}

/// Whether a row that was changed at `updated_at` is too young to judge: something may still be in flight.
///
/// One that was changed later than the horizon from now was changed before the clock jumped back, and is as old as any.
fn young(updated_at: Timestamp, now: Timestamp, horizon: Duration) -> bool {
    now.since(updated_at) < horizon && updated_at.since(now) <= horizon
}

/// Compares one key's two sides. `view` is `None` when the provider has nothing of the key; `open_entries` and
/// `dead_entries` are the row's own.
pub fn reconcile(
    row: Option<&Appointment>,
    open_entries: &[Entry],
    dead_entries: &[Entry],
    view: Option<&ProviderView>,
    now: Timestamp,
    horizon: Duration,
) -> Option<(Finding, Repair)> {
    let live = view.map_or(0, ProviderView::live);
    let Some(row) = row else {
        let view = view.filter(|_| live > 0)?;
        return Some((orphan(view), Repair::None));
    };
    if !open_entries.is_empty() || young(row.updated_at, now, horizon) {
        return None;
    }
    let cancel_is_dead = dead_entries.iter().any(|entry| entry.kind == Kind::Cancel);
    let cancel = if cancel_is_dead {
        Repair::None
    } else {
        Repair::EnqueueCancel
    };
    let (kind, repair) = match row.state {
        State::Pending if live > 0 => (FindingKind::UnconfirmedAtProvider, Repair::None),
        State::Pending => (FindingKind::MissingAtProvider, Repair::None),
        State::Confirmed => confirmed(row, view, live, cancel)?,
        State::Failed if row.cancel_queued() => (FindingKind::FailedUncompensated, cancel),
        State::Failed if live > 0 => (FindingKind::UnconfirmedAtProvider, prove(view)),
        State::Cancelled if live > 0 => (FindingKind::NotCancelledAtProvider, cancel),
        State::Failed | State::Cancelled => return None,
    };
    let finding = Finding {
        kind,
        appointment_id: Some(row.id.clone()),
        request_id: Some(row.request_id.clone()),
        key: row.id.to_string(),
        detail: detail(row, view, cancel_is_dead),
    };
    Some((finding, repair))
}

/// What our side alone can tell, of a provider that cannot be read: a cancel that lies in the dead-letter queue while its
/// row waits for it. Nothing can be repaired on it.
pub fn given_up(
    row: &Appointment,
    open_entries: &[Entry],
    dead_entries: &[Entry],
    now: Timestamp,
    horizon: Duration,
) -> Option<Finding> {
    let cancel_is_dead = dead_entries.iter().any(|entry| entry.kind == Kind::Cancel);
    let left_alone = !open_entries.is_empty() || young(row.updated_at, now, horizon);
    if left_alone || !cancel_is_dead || !row.cancel_queued() {
        return None;
    }
    let kind = match row.state {
        State::Failed => FindingKind::FailedUncompensated,
        State::Confirmed => FindingKind::NotCancelledAtProvider,
        State::Pending | State::Cancelled => return None,
    };
    Some(Finding {
        kind,
        appointment_id: Some(row.id.clone()),
        request_id: Some(row.request_id.clone()),
        key: row.id.to_string(),
        detail: format!(
            "row {}, version {}; the provider cannot be read; its cancel is in the dead-letter queue",
            row.state, row.version
        ),
    })
}

fn confirmed(
    row: &Appointment,
    view: Option<&ProviderView>,
    live: u32,
    cancel: Repair,
) -> Option<(FindingKind, Repair)> {
    let offered = view.and_then(|view| view.reference.as_ref());
    match live {
        // Its cancel took effect unheard: once more, for the acknowledgment.
        0 if row.cancel_requested => Some((FindingKind::MissingAtProvider, cancel)),
        0 => Some((FindingKind::MissingAtProvider, Repair::None)),
        _ if row.cancel_requested => Some((FindingKind::NotCancelledAtProvider, cancel)),
        1 if offered.is_some() && offered != row.reference.as_ref() => {
            Some((FindingKind::ReferenceMismatch, Repair::None))
        }
        1 => None,
        _ => Some((FindingKind::DuplicateAtProvider, Repair::None)),
    }
}

fn prove(view: Option<&ProviderView>) -> Repair {
    match view.and_then(|view| view.reference.clone()) {
        Some(reference) => Repair::ProveBooked { reference },
        None => Repair::None,
    }
}

fn orphan(view: &ProviderView) -> Finding {
    Finding {
        kind: FindingKind::OrphanAtProvider,
        appointment_id: None,
        request_id: None,
        key: view.key.clone(),
        detail: format!("no row; at the provider: {}", at_provider(Some(view))),
    }
}

fn detail(row: &Appointment, view: Option<&ProviderView>, cancel_is_dead: bool) -> String {
    let dead = if cancel_is_dead {
        "; its cancel is in the dead-letter queue"
    } else {
        ""
    };
    format!(
        "row {}, version {}; at the provider: {}{dead}",
        row.state,
        row.version,
        at_provider(view)
    )
}

fn at_provider(view: Option<&ProviderView>) -> String {
    match view {
        None => "nothing".to_string(),
        Some(view) if view.live() == 0 => "cancelled".to_string(),
        Some(view) => format!("{} live", view.live()),
    }
}
