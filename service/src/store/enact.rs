//! Writes a decision of the core: the row, its transitions, its outbox entries.
//!
//! **Invariant**: rows change only here, by the core's `apply`, inside the caller's transaction; an event without its row, or a row
//! without its event, cannot be written.
//! It deliberately decides nothing.

use rehearsal_core::{
    appointment::{Appointment, Decision, State, apply},
    event::{Change, Event},
    identity::{Reference, Tenant},
    outbox::{Entry, NewEntry},
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::row::{odd, wake_at};

/// Writes `decision` about `row` (`None`: there is none yet) and gives the row after it.
pub(super) fn enact(
    database: &Connection,
    row: Option<Appointment>,
    decision: &Decision,
    tenant: &Tenant,
    now: Timestamp,
) -> rusqlite::Result<Option<Appointment>> {
    let is_new = row.is_none();
    let after = decision
        .events
        .iter()
        .fold(row, |row, event| Some(apply(row, event)));
    if let Some(after) = after.as_ref().filter(|_| !decision.events.is_empty()) {
        if is_new {
            insert(database, after)?;
        } else {
            update(database, after)?;
        }
    }
    for event in &decision.events {
        record(database, tenant, event)?;
    }
    for entry in &decision.enqueue {
        enqueue(database, entry, now)?;
    }
    Ok(after)
}

fn insert(database: &Connection, row: &Appointment) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "INSERT INTO appointments (id, tenant, request_id, provider, time, patient_name, email, note,
             state, attempts, generation, cancel_requested, reference, failure, created_at, updated_at, version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, NULL, NULL, ?13, ?14, ?15)",
        )?
        .execute(params![
            row.id.as_str(),
            row.tenant.as_str(),
            row.request_id.as_str(),
            row.provider.as_str(),
            row.details.time,
            row.details.patient_name,
            row.details.email,
            row.details.note,
            row.state.as_str(),
            row.attempts,
            row.generation,
            row.cancel_requested,
            row.created_at.as_micros(),
            row.updated_at.as_micros(),
            row.version,
        ])?;
    Ok(())
}

fn update(database: &Connection, row: &Appointment) -> rusqlite::Result<()> {
    let failure = row
        .failure
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| odd(0, error))?;
    database
        .prepare_cached(
            "UPDATE appointments SET state = ?3, attempts = ?4, generation = ?5, cancel_requested = ?6,
             reference = ?7, failure = ?8, updated_at = ?9, version = ?10 WHERE id = ?1 AND tenant = ?2",
        )?
        .execute(params![
            row.id.as_str(),
            row.tenant.as_str(),
            row.state.as_str(),
            row.attempts,
            row.generation,
            row.cancel_requested,
            row.reference.as_ref().map(Reference::as_str),
            failure,
            row.updated_at.as_micros(),
            row.version,
        ])?;
    Ok(())
}

fn record(database: &Connection, tenant: &Tenant, event: &Event) -> rusqlite::Result<()> {
    let (from, to) = event
        .transition()
        .map_or((None, None), |(from, to)| (from, Some(to)));
    database
        .prepare_cached(
            "INSERT INTO transitions (tenant, appointment_id, request_id, change, from_state, to_state, attempts, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            tenant.as_str(),
            event.appointment_id.as_str(),
            event.request_id.as_str(),
            change_word(&event.change),
            from.map(State::as_str),
            to.map(State::as_str),
            event.attempts,
            event.at.as_micros(),
        ])?;
    Ok(())
}

fn change_word(change: &Change) -> &'static str {
    match change {
        Change::Accepted(_) => "accepted",
        Change::CancelRequested => "cancel_requested",
        Change::Confirmed { .. } => "confirmed",
        Change::Failed(_) => "failed",
        Change::Cancelled => "cancelled",
        Change::CompensationQueued => "compensation_queued",
        Change::CompensationDeadLettered => "compensation_dead_lettered",
    }
}

fn enqueue(database: &Connection, entry: &NewEntry, now: Timestamp) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "INSERT INTO outbox (tenant, appointment_id, request_id, kind, destination, key, generation, state,
             wake_at, due_at, attempt, lease_epoch, uncertain, answered, enqueued_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'ready', ?8, ?8, 0, 0, 0, 0, ?8)",
        )?
        .execute(params![
            entry.tenant.as_str(),
            entry.appointment_id.as_str(),
            entry.request_id.as_str(),
            entry.kind.as_str(),
            entry.destination.as_str(),
            entry.key,
            entry.generation,
            now.as_micros(),
        ])?;
    Ok(())
}

/// Writes what a claim, a settle or a redrive made of an entry.
pub(super) fn update_entry(
    database: &Connection,
    entry: &Entry,
    settled_at: Option<Timestamp>,
    result_hash: Option<i64>,
) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "UPDATE outbox SET state = ?2, wake_at = ?3, due_at = ?4, attempt = ?5, lease_epoch = ?6,
             lease_until = ?7, worker = ?8, uncertain = ?9, last_sent_at = ?10, answered = ?11,
             last_error = ?12, settled_at = ?13, result_hash = ?14 WHERE id = ?1",
        )?
        .execute(params![
            entry.id,
            entry.state.as_str(),
            wake_at(entry),
            entry.due_at.as_micros(),
            entry.attempt,
            entry.lease_epoch.cast_signed(),
            entry.lease_until.map(Timestamp::as_micros),
            entry.worker.map(|worker| worker.0.cast_signed()),
            entry.uncertain,
            entry.last_sent_at.map(Timestamp::as_micros),
            entry.answered,
            entry.last_error,
            settled_at.map(Timestamp::as_micros),
            result_hash,
        ])?;
    Ok(())
}
