//! What may be asked of an appointment: by a client, by the worker that settles a delivery, by the auditor.
//!
//! The one invariant: a command says what happened or is wanted, never what the state becomes.
//! It deliberately does not decide; [`crate::appointment::decide`] does.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::{
    appointment::{Certainty, Details},
    identity::{AppointmentId, ProviderName, Reference, RequestId, Tenant},
};

/// A validated submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAppointment {
    /// Whose it is.
    pub tenant: Tenant,
    /// What it is called.
    pub id: AppointmentId,
    /// The caller's idempotency key.
    pub request_id: RequestId,
    /// Where it is to be booked.
    pub provider: ProviderName,
    /// What is to be booked.
    pub details: Details,
}

/// One thing asked of one appointment. `attempts` counts the deliveries that were started, refunds taken off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A client submits it.
    Accept(NewAppointment),
    /// A client no longer wants it.
    Cancel,
    /// The provider has booked it.
    Booked {
        /// The provider's name of the booking.
        reference: Reference,
        /// Deliveries started.
        attempts: u32,
    },
    /// The provider refused it for good.
    Refused {
        /// The provider's reason, a stable code.
        code: String,
        /// Deliveries started.
        attempts: u32,
    },
    /// No attempt is left.
    Exhausted {
        /// What is known of the provider's side.
        certainty: Certainty,
        /// Deliveries started.
        attempts: u32,
    },
    /// The booking is given up before anything was sent, as the client has cancelled.
    Abandoned {
        /// Deliveries started.
        attempts: u32,
    },
    /// The provider has taken the cancel.
    CancelAcknowledged {
        /// Deliveries of the cancel that were started.
        attempts: u32,
    },
    /// The provider never took the cancel.
    CancelDeadLettered {
        /// Deliveries of the cancel that were started.
        attempts: u32,
    },
    /// The auditor has proof that the provider booked it.
    ProvenBooked {
        /// The provider's name of the booking.
        reference: Reference,
    },
}

impl Command {
    /// A stable name, as rejections and the table of [`crate::appointment`] show it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accept",
            Self::Cancel => "cancel",
            Self::Booked { .. } => "booked",
            Self::Refused { .. } => "refused",
            Self::Exhausted { .. } => "exhausted",
            Self::Abandoned { .. } => "abandoned",
            Self::CancelAcknowledged { .. } => "cancel_acknowledged",
            Self::CancelDeadLettered { .. } => "cancel_dead_lettered",
            Self::ProvenBooked { .. } => "proven_booked",
        }
    }
}
