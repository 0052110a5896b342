//! What a client asks: accept, read, find, cancel.
//!
//! **Invariant**: an accepted request is one transaction: the appointment, its outbox entry and the stored answer are there together or
//! not at all. A key that was used is answered from what is stored, before anything else is looked at.
//! It deliberately calls no provider and builds no answer: the transport brings the answer to store.

use rehearsal_core::{
    appointment::{Appointment, decide},
    command::{Command, NewAppointment},
    event::Event,
    idempotency::{Fingerprint, Stored, Verdict, check},
    identity::{AppointmentId, RequestId, Tenant},
    rejection::Rejection,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    enact::enact,
    request::AcceptReply,
    row::{appointment, appointment_columns},
};

/// The operation whose answers are stored; a key is (tenant, operation, request id).
const OPERATION: &str = "accept";

/// See [`super::Request::Accept`].
pub(super) fn accept(
    database: &Connection,
    new: NewAppointment,
    answer: &Stored,
    now: Timestamp,
) -> rusqlite::Result<AcceptReply> {
    let stored = stored_answer(database, &new.tenant, &new.request_id)?;
    match check(stored.as_ref(), answer.fingerprint) {
        Verdict::Replay(stored) => return Ok(AcceptReply::Replay(stored.clone())),
        Verdict::Conflict => return Ok(AcceptReply::Rejected(Rejection::KeyReused)),
        Verdict::Fresh => {}
    }
    let (tenant, request_id, id) = (new.tenant.clone(), new.request_id.clone(), new.id.clone());
    let command = Command::Accept(new);
    let decision = match decide(None, &command, now) {
        Ok(decision) => decision,
        Err(rejection) => return Ok(AcceptReply::Rejected(rejection)),
    };
    // An id is hardly ever taken: the table says so, and only then is the row looked at.
    if let Err(error) = enact(database, None, &decision, &tenant, now) {
        let taken = is_taken(&error)
            .then(|| read(database, &tenant, &id))
            .transpose()?
            .flatten();
        return match taken.map(|row| decide(Some(&row), &command, now)) {
            Some(Err(rejection)) => Ok(AcceptReply::Rejected(rejection)),
            _ => Err(error),
        };
    }
    database
        .prepare_cached(
            "INSERT INTO answers (request_id, tenant, operation, appointment_id, fingerprint, status, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            request_id.as_str(),
            tenant.as_str(),
            OPERATION,
            id.as_str(),
            answer.fingerprint.0,
            answer.status,
            answer.body,
        ])?;
    Ok(AcceptReply::Fresh(decision.events))
}

/// Whether a row of this key is there already. Its insert is the first write of an accept and changed nothing.
fn is_taken(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY)
}

fn stored_answer(
    database: &Connection,
    tenant: &Tenant,
    request_id: &RequestId,
) -> rusqlite::Result<Option<Stored>> {
    database
        .prepare_cached(
            "SELECT fingerprint, status, body FROM answers
             WHERE request_id = ?1 AND tenant = ?2 AND operation = ?3",
        )?
        .query_row(
            params![request_id.as_str(), tenant.as_str(), OPERATION],
            |row| {
                Ok(Stored {
                    fingerprint: Fingerprint(row.get(0)?),
                    status: row.get(1)?,
                    body: row.get(2)?,
                })
            },
        )
        .optional()
}

/// See [`super::Request::Read`].
pub(super) fn read(
    database: &Connection,
    tenant: &Tenant,
    id: &AppointmentId,
) -> rusqlite::Result<Option<Appointment>> {
    database
        .prepare_cached(concat!(
            "SELECT ",
            appointment_columns!(),
            " FROM appointments a WHERE a.id = ?1 AND a.tenant = ?2"
        ))?
        .query_row([id.as_str(), tenant.as_str()], |row| appointment(row, 0))
        .optional()
}

/// See [`super::Request::Find`].
pub(super) fn find(
    database: &Connection,
    tenant: &Tenant,
    request_id: &RequestId,
) -> rusqlite::Result<Option<Appointment>> {
    database
        .prepare_cached(concat!(
            "SELECT ",
            appointment_columns!(),
            " FROM answers n JOIN appointments a ON a.id = n.appointment_id AND a.tenant = n.tenant \
             WHERE n.request_id = ?1 AND n.tenant = ?2 AND n.operation = ?3"
        ))?
        .query_row(
            params![request_id.as_str(), tenant.as_str(), OPERATION],
            |row| appointment(row, 0),
        )
        .optional()
}

/// See [`super::Request::Cancel`].
pub(super) fn cancel(
    database: &Connection,
    tenant: &Tenant,
    id: &AppointmentId,
    now: Timestamp,
) -> rusqlite::Result<Result<(Appointment, Vec<Event>), Rejection>> {
    let row = read(database, tenant, id)?;
    let decision = match decide(row.as_ref(), &Command::Cancel, now) {
        Ok(decision) => decision,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let row = enact(database, row, &decision, tenant, now)?;
    Ok(row
        .map(|row| (row, decision.events))
        .ok_or(Rejection::NotFound))
}
