//! What happened to an appointment, annotated with request, attempts and time.
//!
//! The one invariant: the events of an appointment, applied in order, give its row.
//! It deliberately does not hold the row; [`crate::appointment::apply`] builds it.

use serde::{Deserialize, Serialize};

use crate::{
    appointment::{Failure, State},
    command::NewAppointment,
    identity::{AppointmentId, Reference, RequestId},
    time::Timestamp,
};

/// One change of one appointment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The request that the appointment came with.
    pub request_id: RequestId,
    /// The appointment.
    pub appointment_id: AppointmentId,
    /// When it was decided.
    pub at: Timestamp,
    /// Deliveries started so far, of the entry that caused the event.
    pub attempts: u32,
    /// The state before the event; `None` is INIT.
    pub from: Option<State>,
    /// What changed.
    pub change: Change,
}

/// What an event changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The row exists now, and its booking is queued.
    Accepted(NewAppointment),
    /// A client's cancel is queued.
    CancelRequested,
    /// The provider has booked it.
    Confirmed {
        /// The provider's name of the booking.
        reference: Reference,
    },
    /// It will not be booked.
    Failed(Failure),
    /// The provider has taken a cancel.
    Cancelled,
    /// A compensating cancel is queued.
    CompensationQueued,
    /// The provider never took a cancel: an operator has to look.
    CompensationDeadLettered,
}

impl Event {
    /// The step of the lifecycle, from and to, or `None` when the state stays what it is.
    pub const fn transition(&self) -> Option<(Option<State>, State)> {
        let to = match self.change {
            Change::Accepted(_) => State::Pending,
            Change::Confirmed { .. } => State::Confirmed,
            Change::Failed(_) => State::Failed,
            Change::Cancelled => State::Cancelled,
            Change::CancelRequested
            | Change::CompensationQueued
            | Change::CompensationDeadLettered => return None,
        };
        Some((self.from, to))
    }
}
