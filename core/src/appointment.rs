//! The appointment and its state machine: what each command does in each state.
//!
//! The one invariant: a row changes by [`apply`] alone, and only along this table. Rows are commands, columns are
//! states; a star means that a cancel is on its way (a client's, or a compensation). A cell names the state that
//! follows, `+ book` or `+ cancel` what is queued at the provider, `noted` an event that changes no state,
//! `-` an idempotent no-op, and anything else a rejection.
//!
//! | command               | INIT           | PENDING           | PENDING*   | CONFIRMED           | CONFIRMED* | FAILED           | FAILED*   | CANCELLED      |
//! |-----------------------|----------------|-------------------|------------|---------------------|------------|------------------|-----------|----------------|
//! | accept                | PENDING + book | exists            | exists     | exists              | exists     | exists           | exists    | exists         |
//! | cancel                | not found      | PENDING* + cancel | -          | CONFIRMED* + cancel | -          | FAILED* + cancel | -         | -              |
//! | booked                | not found      | CONFIRMED         | CONFIRMED* | -                   | -          | illegal          | illegal   | noted + cancel |
//! | booked elsewhere      | not found      | CONFIRMED         | CONFIRMED* | conflict            | conflict   | illegal          | illegal   | noted + cancel |
//! | refused               | not found      | FAILED            | FAILED*    | illegal             | illegal    | -                | -         | -              |
//! | exhausted             | not found      | FAILED* + cancel  | FAILED*    | illegal             | illegal    | -                | -         | -              |
//! | abandoned             | not found      | illegal           | FAILED*    | -                   | -          | -                | -         | -              |
//! | cancel acknowledged   | not found      | illegal           | CANCELLED  | illegal             | CANCELLED  | CANCELLED        | CANCELLED | -              |
//! | cancel dead-lettered  | not found      | illegal           | noted      | illegal             | noted      | noted            | noted     | noted          |
//! | proven booked         | not found      | illegal           | illegal    | -                   | -          | CONFIRMED        | illegal   | illegal        |
//! | proven elsewhere      | not found      | illegal           | illegal    | conflict            | conflict   | CONFIRMED        | illegal   | illegal        |
//!
//! A PENDING* row whose cancel is acknowledged first passes through FAILED in the same decision: the tombstone makes
//! the booking impossible. A booking that is reported for a CANCELLED row is a zombie and is cancelled again.
//!
//! This module deliberately does not say how a delivery's outcome becomes a command; [`crate::delivery`] does.

use alloc::{
    borrow::Cow,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    command::{Command, NewAppointment},
    event::{Change, Event},
    identity::{AppointmentId, ProviderName, Reference, RequestId, Tenant},
    mask::Masked,
    outbox::{Kind, NewEntry},
    rejection::Rejection,
    time::Timestamp,
};

/// Where an appointment stands. INIT is the absence of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted; the booking is queued or under way.
    Pending,
    /// Booked at the provider.
    Confirmed,
    /// Not booked, as far as we know; a compensation may be under way.
    Failed,
    /// Not booked, and the provider has acknowledged a cancel.
    Cancelled,
}

impl State {
    /// All states, in the order of the lifecycle.
    pub const ALL: [Self; 4] = [
        Self::Pending,
        Self::Confirmed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name on wires and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be booked. `Debug` masks it, so that no panic or assertion message leaks a name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// RFC 3339, as it was given.
    pub time: String,
    /// The patient.
    pub patient_name: String,
    /// The patient's address.
    #[serde(default)]
    pub email: Option<String>,
    /// Free text for the provider.
    #[serde(default)]
    pub note: Option<String>,
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Masked(self), f)
    }
}

/// What is known of the provider's side when an appointment fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// No attempt can have booked it.
    NotSent,
    /// An attempt may have booked it.
    Unknown,
    /// An attempt did book it.
    Accepted,
}

/// Why an appointment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The provider refused it for good.
    Rejected {
        /// The provider's reason.
        code: String,
    },
    /// Retries ran out.
    Exhausted {
        /// What is known of the provider's side.
        certainty: Certainty,
    },
    /// The client cancelled before it was booked.
    CancelledByClient,
}

/// The stored row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// Whose it is.
    pub tenant: Tenant,
    /// What it is called.
    pub id: AppointmentId,
    /// The caller's idempotency key.
    pub request_id: RequestId,
    /// Where it is booked.
    pub provider: ProviderName,
    /// What is booked.
    pub details: Details,
    /// Where it stands.
    pub state: State,
    /// Deliveries of the booking that were started, refunds taken off.
    pub attempts: u32,
    /// One more with each client's cancel: the wish that a delivery carries out.
    pub generation: u32,
    /// A client has cancelled it.
    pub cancel_requested: bool,
    /// The provider's name of the booking.
    pub reference: Option<Reference>,
    /// Why it failed; `None` unless it did.
    pub failure: Option<Failure>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed; never before `created_at`.
    pub updated_at: Timestamp,
    /// One more with each event; the auditor's compare-and-swap.
    pub version: u32,
}

impl Appointment {
    /// Whether a cancel was queued at some time: a client's, or the compensation of an exhausted booking.
    pub fn cancel_queued(&self) -> bool {
        self.cancel_requested || matches!(self.failure, Some(Failure::Exhausted { .. }))
    }

    /// The outbox entry that cancels it at the provider.
    pub fn cancel_entry(&self) -> NewEntry {
        self.entry(Kind::Cancel, self.generation)
    }

    fn entry(&self, kind: Kind, generation: u32) -> NewEntry {
        NewEntry {
            appointment_id: self.id.clone(),
            request_id: self.request_id.clone(),
            tenant: self.tenant.clone(),
            kind,
            destination: self.provider.clone(),
            key: self.id.to_string(),
            generation,
        }
    }

    fn event(&self, at: Timestamp, attempts: u32, change: Change) -> Event {
        Event {
            request_id: self.request_id.clone(),
            appointment_id: self.id.clone(),
            at,
            attempts,
            from: Some(self.state),
            change,
        }
    }
}

/// What to write: the events in order, and what to queue at the provider. No events: an idempotent no-op.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// To [`apply`] in this order.
    pub events: Vec<Event>,
    /// To insert in the same transaction.
    pub enqueue: Vec<NewEntry>,
}

/// What `command` does to an appointment in `state`; the table of this module.
pub fn decide(
    state: Option<&Appointment>,
    command: &Command,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    match (state, command) {
        (None, Command::Accept(new)) => Ok(accept(new, now)),
        (Some(_), Command::Accept(_)) => Err(Rejection::AlreadyExists),
        (None, _) => Err(Rejection::NotFound),
        (Some(row), Command::Cancel) => Ok(cancel(row, now)),
        (
            Some(row),
            Command::Booked {
                reference,
                attempts,
            },
        ) => booked(row, reference, *attempts, command, now),
        (Some(row), Command::ProvenBooked { reference }) => proven(row, reference, command, now),
        (Some(row), _) => settle(row, command, now),
    }
}

fn accept(new: &NewAppointment, now: Timestamp) -> Decision {
    let entry = NewEntry {
        appointment_id: new.id.clone(),
        request_id: new.request_id.clone(),
        tenant: new.tenant.clone(),
        kind: Kind::Book,
        destination: new.provider.clone(),
        key: new.id.to_string(),
        generation: 0,
    };
    let event = Event {
        request_id: new.request_id.clone(),
        appointment_id: new.id.clone(),
        at: now,
        attempts: 0,
        from: None,
        change: Change::Accepted(new.clone()),
    };
    Decision {
        events: vec![event],
        enqueue: vec![entry],
    }
}

fn cancel(row: &Appointment, now: Timestamp) -> Decision {
    if row.state == State::Cancelled || row.cancel_queued() {
        return Decision::default();
    }
    Decision {
        events: vec![row.event(now, row.attempts, Change::CancelRequested)],
        enqueue: vec![row.entry(Kind::Cancel, row.generation + 1)],
    }
}

fn booked(
    row: &Appointment,
    reference: &Reference,
    attempts: u32,
    command: &Command,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    match row.state {
        State::Pending => {
            let reference = reference.clone();
            Ok(one(row.event(
                now,
                attempts,
                Change::Confirmed { reference },
            )))
        }
        State::Confirmed => same_booking(row, reference),
        State::Failed => Err(illegal(row, command)),
        State::Cancelled => Ok(Decision {
            events: vec![row.event(now, attempts, Change::CompensationQueued)],
            enqueue: vec![row.cancel_entry()],
        }),
    }
}

fn proven(
    row: &Appointment,
    reference: &Reference,
    command: &Command,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    match row.state {
        State::Failed if !row.cancel_queued() => {
            let reference = reference.clone();
            Ok(one(row.event(
                now,
                row.attempts,
                Change::Confirmed { reference },
            )))
        }
        State::Confirmed => same_booking(row, reference),
        _ => Err(illegal(row, command)),
    }
}

fn same_booking(row: &Appointment, offered: &Reference) -> Result<Decision, Rejection> {
    match &row.reference {
        Some(held) if held != offered => Err(Rejection::Conflict {
            held: held.clone(),
            offered: offered.clone(),
        }),
        _ => Ok(Decision::default()),
    }
}

/// The commands that carry no reference; `row` exists.
fn settle(row: &Appointment, command: &Command, now: Timestamp) -> Result<Decision, Rejection> {
    use State::{Cancelled, Confirmed, Failed, Pending};
    let nothing = Ok(Decision::default());
    match (row.state, command) {
        (Pending, Command::Refused { code, attempts }) => {
            let failure = Failure::Rejected { code: code.clone() };
            Ok(one(row.event(now, *attempts, Change::Failed(failure))))
        }
        (
            Pending,
            Command::Exhausted {
                certainty,
                attempts,
            },
        ) => Ok(exhausted(row, *certainty, *attempts, now)),
        (Pending, Command::Abandoned { attempts }) if row.cancel_requested => Ok(one(row.event(
            now,
            *attempts,
            Change::Failed(Failure::CancelledByClient),
        ))),
        (Failed | Cancelled, Command::Refused { .. } | Command::Exhausted { .. })
        | (Confirmed | Failed | Cancelled, Command::Abandoned { .. })
        | (Cancelled, Command::CancelAcknowledged { .. }) => nothing,

        (Pending, Command::CancelAcknowledged { attempts }) if row.cancel_requested => {
            let failure = Change::Failed(Failure::CancelledByClient);
            let mut cancelled = row.event(now, *attempts, Change::Cancelled);
            cancelled.from = Some(Failed);
            Ok(Decision {
                events: vec![row.event(now, row.attempts, failure), cancelled],
                enqueue: Vec::new(),
            })
        }
        (Failed, Command::CancelAcknowledged { attempts }) => {
            Ok(one(row.event(now, *attempts, Change::Cancelled)))
        }
        (Confirmed, Command::CancelAcknowledged { attempts }) if row.cancel_requested => {
            Ok(one(row.event(now, *attempts, Change::Cancelled)))
        }
        (state, Command::CancelDeadLettered { attempts })
            if row.cancel_requested || matches!(state, Failed | Cancelled) =>
        {
            Ok(one(row.event(
                now,
                *attempts,
                Change::CompensationDeadLettered,
            )))
        }
        _ => Err(illegal(row, command)),
    }
}

fn exhausted(row: &Appointment, certainty: Certainty, attempts: u32, now: Timestamp) -> Decision {
    let failed = row.event(
        now,
        attempts,
        Change::Failed(Failure::Exhausted { certainty }),
    );
    if row.cancel_requested {
        return one(failed);
    }
    let mut queued = row.event(now, attempts, Change::CompensationQueued);
    queued.from = Some(State::Failed);
    Decision {
        events: vec![failed, queued],
        enqueue: vec![row.cancel_entry()],
    }
}

fn one(event: Event) -> Decision {
    Decision {
        events: vec![event],
        enqueue: Vec::new(),
    }
}

fn illegal(row: &Appointment, command: &Command) -> Rejection {
    Rejection::IllegalTransition {
        state: row.state,
        command: Cow::Borrowed(command.name()),
    }
}

/// The row after `event`.
///
/// # Panics
/// On an event that [`decide`] cannot have given for this row: that is a bug, or a store that lost an event.
pub fn apply(state: Option<Appointment>, event: &Event) -> Appointment {
    assert_eq!(
        state.as_ref().map(|row| row.state),
        event.from,
        "event of another state: {event:?}"
    );
    let Some(mut row) = state else {
        let Change::Accepted(new) = &event.change else {
            panic!("the first event must accept: {event:?}");
        };
        return first(new, event.at);
    };
    assert_eq!(row.id, event.appointment_id, "event of another appointment");
    match &event.change {
        Change::Confirmed { reference } if matches!(row.state, State::Pending | State::Failed) => {
            row.state = State::Confirmed;
            row.attempts = event.attempts;
            row.reference = Some(reference.clone());
            row.failure = None;
        }
        Change::Failed(failure) if row.state == State::Pending => {
            row.state = State::Failed;
            row.attempts = event.attempts;
            row.failure = Some(failure.clone());
        }
        Change::Cancelled if matches!(row.state, State::Failed | State::Confirmed) => {
            row.state = State::Cancelled;
        }
        Change::CancelRequested if row.state != State::Cancelled && !row.cancel_requested => {
            row.cancel_requested = true;
            row.generation += 1;
        }
        Change::CompensationQueued if matches!(row.state, State::Failed | State::Cancelled) => {}
        Change::CompensationDeadLettered => {}
        _ => panic!("the table forbids {event:?} in state {}", row.state),
    }
    row.version += 1;
    row.updated_at = row.updated_at.max(event.at);
    row
}

fn first(new: &NewAppointment, at: Timestamp) -> Appointment {
    Appointment {
        tenant: new.tenant.clone(),
        id: new.id.clone(),
        request_id: new.request_id.clone(),
        provider: new.provider.clone(),
        details: new.details.clone(),
        state: State::Pending,
        attempts: 0,
        generation: 0,
        cancel_requested: false,
        reference: None,
        failure: None,
        created_at: at,
        updated_at: at,
        version: 1,
    }
}
