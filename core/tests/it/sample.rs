//! Ordinary values that tests start from.
//!
//! The one invariant: every row here was reached by commands, never written by hand.
//! It deliberately checks nothing.

use rehearsal_core::{
    appointment::{Appointment, Certainty, Decision, Details, apply, decide},
    command::{Command, NewAppointment},
    identity::{AppointmentId, ProviderName, Reference, RequestId, Tenant, WorkerId},
    outbox::{Entry, claim},
    rejection::Rejection,
    time::Timestamp,
};

/// When everything happens unless a test says otherwise.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_900_000_000);

pub(crate) fn submission() -> NewAppointment {
    NewAppointment {
        tenant: Tenant::default(),
        id: AppointmentId::parse("a-1").unwrap(),
        request_id: RequestId::parse("r-1").unwrap(),
        provider: ProviderName::parse("acme").unwrap(),
        details: Details {
            time: "2030-01-31T09:30:00Z".into(),
            patient_name: "Alice Example".into(),
            email: None,
            note: None,
        },
    }
}

pub(crate) fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

pub(crate) fn booked(text: &str) -> Command {
    Command::Booked {
        reference: reference(text),
        attempts: 2,
    }
}

pub(crate) fn refused() -> Command {
    Command::Refused {
        code: "full".into(),
        attempts: 1,
    }
}

pub(crate) fn exhausted() -> Command {
    Command::Exhausted {
        certainty: Certainty::Unknown,
        attempts: 8,
    }
}

/// Decides and applies.
pub(crate) fn step(
    row: Option<Appointment>,
    command: &Command,
) -> Result<(Appointment, Decision), Rejection> {
    let decision = decide(row.as_ref(), command, NOW)?;
    let row = decision
        .events
        .iter()
        .fold(row, |row, event| Some(apply(row, event)));
    Ok((row.expect("INIT takes nothing but accept"), decision))
}

/// The row after an accept and then `commands`.
pub(crate) fn row(commands: &[Command]) -> Appointment {
    let (accepted, _) = step(None, &Command::Accept(submission())).unwrap();
    commands
        .iter()
        .fold(accepted, |row, command| step(Some(row), command).unwrap().0)
}

/// The entry that books the sample appointment, ready.
pub(crate) fn booking() -> Entry {
    let (_, decision) = step(None, &Command::Accept(submission())).unwrap();
    decision.enqueue[0].clone().open(1, NOW)
}

/// The entry that cancels it, ready.
pub(crate) fn cancelling() -> Entry {
    row(&[Command::Cancel]).cancel_entry().open(2, NOW)
}

/// The entry in a worker's hands since `NOW`.
pub(crate) fn held(entry: &Entry) -> Entry {
    claim(entry, WorkerId(1), NOW, core::time::Duration::from_secs(10))
}
