//! Rows of the database to values of the core, and back. The only file that knows column orders.
//!
//! **Invariant**: what was written reads back equal; a row that breaks a rule of the core is an error, never a guess.
//! It deliberately runs no query.

use rehearsal_core::{
    appointment::{Appointment, Details, State},
    identity::{Invalid, WorkerId},
    outbox::{Entry, EntryState, Kind},
    time::Timestamp,
};
use rusqlite::{Row, types::Type};

macro_rules! appointment_columns {
    () => {
        "a.id, a.tenant, a.request_id, a.provider, a.time, a.patient_name, a.email, a.note, a.state, \
         a.attempts, a.generation, a.cancel_requested, a.reference, a.failure, a.created_at, \
         a.updated_at, a.version"
    };
}

macro_rules! bare_columns {
    () => {
        "a.id, a.tenant, a.request_id, a.provider, a.state, a.attempts, a.generation, a.cancel_requested, \
         a.reference, a.failure, a.created_at, a.updated_at, a.version"
    };
}

macro_rules! entry_columns {
    () => {
        "o.id, o.tenant, o.appointment_id, o.request_id, o.kind, o.destination, o.key, o.generation, \
         o.state, o.due_at, o.attempt, o.lease_epoch, o.lease_until, o.worker, o.uncertain, \
         o.last_sent_at, o.answered, o.enqueued_at, o.last_error"
    };
}

pub(super) use {appointment_columns, bare_columns, entry_columns};

/// How many columns `entry_columns!` names, so that others may follow.
pub(super) const ENTRY_WIDTH: usize = 19;
/// As [`ENTRY_WIDTH`], of `bare_columns!`.
pub(super) const BARE_WIDTH: usize = 13;

/// An appointment from `appointment_columns!` starting at column `at`.
pub(super) fn appointment(row: &Row<'_>, at: usize) -> rusqlite::Result<Appointment> {
    let details = Details {
        time: row.get(at + 4)?,
        patient_name: row.get(at + 5)?,
        email: row.get(at + 6)?,
        note: row.get(at + 7)?,
    };
    around(row, at, details, at + 8)
}

/// An appointment from `bare_columns!` starting at column `at`: its details are empty.
pub(super) fn bare(row: &Row<'_>, at: usize) -> rusqlite::Result<Appointment> {
    let details = Details {
        time: String::new(),
        patient_name: String::new(),
        email: None,
        note: None,
    };
    around(row, at, details, at + 4)
}

/// An appointment whose names start at column `at`, and what follows its details at column `rest`.
fn around(
    row: &Row<'_>,
    at: usize,
    details: Details,
    rest: usize,
) -> rusqlite::Result<Appointment> {
    let failure: Option<String> = row.get(rest + 5)?;
    Ok(Appointment {
        id: name(row, at)?,
        tenant: name(row, at + 1)?,
        request_id: name(row, at + 2)?,
        provider: name(row, at + 3)?,
        details,
        state: word(row, rest, &STATES)?,
        attempts: row.get(rest + 1)?,
        generation: row.get(rest + 2)?,
        cancel_requested: row.get(rest + 3)?,
        reference: optional_name(row, rest + 4)?,
        failure: failure
            .map(|text| serde_json::from_str(&text).map_err(|error| odd(rest + 5, error)))
            .transpose()?,
        created_at: time(row, rest + 6)?,
        updated_at: time(row, rest + 7)?,
        version: row.get(rest + 8)?,
    })
}

/// An outbox entry from `entry_columns!` starting at column 0.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let epoch: i64 = row.get(11)?;
    let worker: Option<i64> = row.get(13)?;
    Ok(Entry {
        id: row.get(0)?,
        tenant: name(row, 1)?,
        appointment_id: name(row, 2)?,
        request_id: name(row, 3)?,
        kind: word(row, 4, &KINDS)?,
        destination: name(row, 5)?,
        key: row.get(6)?,
        generation: row.get(7)?,
        state: word(row, 8, &ENTRY_STATES)?,
        due_at: time(row, 9)?,
        attempt: row.get(10)?,
        lease_epoch: epoch.cast_unsigned(),
        lease_until: optional_time(row, 12)?,
        worker: worker.map(|id| WorkerId(id.cast_unsigned())),
        uncertain: row.get(14)?,
        last_sent_at: optional_time(row, 15)?,
        answered: row.get(16)?,
        enqueued_at: time(row, 17)?,
        last_error: row.get(18)?,
    })
}

const STATES: [(&str, State); 4] = [
    ("pending", State::Pending),
    ("confirmed", State::Confirmed),
    ("failed", State::Failed),
    ("cancelled", State::Cancelled),
];
const KINDS: [(&str, Kind); 2] = [("book", Kind::Book), ("cancel", Kind::Cancel)];
const ENTRY_STATES: [(&str, EntryState); 4] = [
    ("ready", EntryState::Ready),
    ("leased", EntryState::Leased),
    ("done", EntryState::Done),
    ("dead", EntryState::Dead),
];

/// When an entry is claimable: its due time while ready, its lease's end while leased, never once it is settled.
pub(super) fn wake_at(entry: &Entry) -> Option<i64> {
    match entry.state {
        EntryState::Ready => Some(entry.due_at.as_micros()),
        EntryState::Leased => Some(entry.lease_until.unwrap_or(entry.due_at).as_micros()),
        EntryState::Done | EntryState::Dead => None,
    }
}

fn word<T: Copy>(row: &Row<'_>, at: usize, words: &[(&str, T)]) -> rusqlite::Result<T> {
    let text = row.get_ref(at)?.as_str()?;
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| odd(at, format!("unknown word {text:?}")))
}

/// A column whose text obeys the rule of a name type.
pub(super) fn name<T: std::str::FromStr<Err = Invalid>>(
    row: &Row<'_>,
    at: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(at)?.as_str()?;
    text.parse().map_err(|invalid: Invalid| odd(at, invalid))
}

/// As [`name`], for a column that may be NULL.
pub(super) fn optional_name<T: std::str::FromStr<Err = Invalid>>(
    row: &Row<'_>,
    at: usize,
) -> rusqlite::Result<Option<T>> {
    row.get_ref(at)?
        .as_str_or_null()?
        .map(|text| text.parse().map_err(|invalid: Invalid| odd(at, invalid)))
        .transpose()
}

/// A column of microseconds.
pub(super) fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    row.get(at).map(Timestamp::from_micros)
}

/// As [`time`], for a column that may be NULL.
pub(super) fn optional_time(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_micros))
}

/// An error for a column's value that this program cannot have written.
pub(super) fn odd(
    at: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Text, error.into())
}
