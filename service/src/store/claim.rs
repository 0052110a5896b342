//! Leases entries to a worker.
//!
//! **Invariant**: never more than the asked number for each destination, never an appointment's entry before its older ones are settled,
//! and no high-water mark: what is claimable is a property of the row alone, so an entry that was committed late is not skipped.
//! It deliberately knows nothing of breakers: the limits say what may be called.

use std::time::Duration;

use rehearsal_core::{
    identity::{ProviderName, WorkerId},
    outbox::{self, EntryState, MAX_LEASE},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::{
    enact::update_entry,
    request::{Claimed, Claims},
    row::{ENTRY_WIDTH, appointment, appointment_columns, entry, entry_columns},
};

/// The oldest open entry of an appointment goes first.
macro_rules! unblocked {
    () => {
        "NOT EXISTS (SELECT 1 FROM outbox older WHERE older.appointment_id = o.appointment_id \
         AND older.tenant = o.tenant AND older.id < o.id AND older.wake_at IS NOT NULL)"
    };
}

macro_rules! select_claimable {
    ($which:literal) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            ", ",
            appointment_columns!(),
            " FROM outbox o JOIN appointments a ON a.id = o.appointment_id AND a.tenant = o.tenant \
             WHERE o.destination = ?1 AND ",
            $which,
            " AND ",
            unblocked!(),
            " ORDER BY o.wake_at, o.id LIMIT ?3"
        )
    };
}

/// Due, or its lease is over.
const DUE: &str = select_claimable!("o.wake_at <= ?2");
/// Leased for longer than any lease lasts: the clock has jumped back since, and the lease counts as over.
const LEASED_FROM_THE_FUTURE: &str = select_claimable!("o.wake_at > ?2 AND o.state = 'leased'");

/// See [`super::Request::Claim`].
pub(super) fn claim(
    database: &Connection,
    worker: WorkerId,
    now: Timestamp,
    lease: Duration,
    limits: &[(ProviderName, u32)],
) -> rusqlite::Result<Claims> {
    let mut claimed = Vec::new();
    for (destination, limit) in limits {
        let name = destination.as_str();
        let mut found = candidates(database, DUE, params![name, now.as_micros(), limit])?;
        if found.is_empty() {
            let horizon = now.plus(MAX_LEASE).as_micros();
            let future = params![name, horizon, limit];
            found = candidates(database, LEASED_FROM_THE_FUTURE, future)?;
        }
        for mut one in found {
            debug_assert!(outbox::claimable(&one.entry, now));
            one.entry = outbox::claim(&one.entry, worker, now, lease);
            update_entry(database, &one.entry, None, None)?;
            claimed.push(one);
        }
    }
    let next_due = next_due(database, limits, now)?;
    Ok(Claims { claimed, next_due })
}

fn candidates(
    database: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<Claimed>> {
    database
        .prepare_cached(sql)?
        .query_map(params, |row| {
            let entry = entry(row)?;
            Ok(Claimed {
                rescued: entry.state == EntryState::Leased,
                entry,
                appointment: appointment(row, ENTRY_WIDTH)?,
            })
        })?
        .collect()
}

/// The earliest time at which an entry of these destinations may be claimable; it may lie in the past.
pub(super) fn next_due(
    database: &Connection,
    limits: &[(ProviderName, u32)],
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let (now, horizon) = (now.as_micros(), now.plus(MAX_LEASE).as_micros());
    let mut next: Option<i64> = None;
    for (destination, _) in limits {
        // The first that will be due; now, when it is not yet and a lease from the future counts as over.
        let due: Option<i64> = database
            .prepare_cached(concat!(
                "SELECT CASE WHEN o.wake_at > ?2 AND EXISTS (SELECT 1 FROM outbox f WHERE f.destination = ?1 \
                 AND f.wake_at > ?3 AND f.state = 'leased') THEN ?2 ELSE o.wake_at END \
                 FROM outbox o WHERE o.destination = ?1 AND o.wake_at IS NOT NULL AND ",
                unblocked!(),
                " ORDER BY o.wake_at, o.id LIMIT 1"
            ))?
            .query_row(params![destination.as_str(), now, horizon], |row| row.get(0))
            .optional()?;
        next = next.into_iter().chain(due).min();
    }
    Ok(next.map(Timestamp::from_micros))
}
