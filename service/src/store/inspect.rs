//! What operators, metrics and snapshots read.
//!
//! **Invariant**: reading changes nothing, every answer has a fixed order, and every list but the snapshot has a limit.
//! It deliberately offers no search: that is a job for a replica.

use rehearsal_core::{outbox::Entry, reconcile::FindingKind, time::Timestamp};
use rusqlite::{Connection, Row, params};

use super::{
    request::{DeadLetter, Depth, Dump, FindingRow, TransitionRow},
    row::{
        ENTRY_WIDTH, appointment, appointment_columns, entry, entry_columns, name, odd,
        optional_name, optional_time, time,
    },
};

const KINDS: [FindingKind; 7] = [
    FindingKind::MissingAtProvider,
    FindingKind::UnconfirmedAtProvider,
    FindingKind::NotCancelledAtProvider,
    FindingKind::DuplicateAtProvider,
    FindingKind::OrphanAtProvider,
    FindingKind::FailedUncompensated,
    FindingKind::ReferenceMismatch,
];

macro_rules! finding_columns {
    () => {
        "id, provider, key, kind, appointment_id, request_id, detail, sightings, first_seen, last_seen, \
         resolved_at, resolved_by"
    };
}

/// At most this many problems of a database are told.
const PROBLEMS: usize = 20;

/// See [`super::SqliteStore::problems`].
pub(super) fn problems(database: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut problems: Vec<String> = database
        .prepare(&format!("PRAGMA integrity_check({PROBLEMS})"))?
        .query_map([], |row| row.get(0))?
        .filter(|line| line.as_ref().map_or(true, |line: &String| line != "ok"))
        .collect::<rusqlite::Result<_>>()?;
    let strays = database
        .prepare("PRAGMA foreign_key_check")?
        .query_map([], |row| {
            let (table, parent) = (row.get::<_, String>(0)?, row.get::<_, String>(2)?);
            Ok(format!("a row of {table} refers to no row of {parent}"))
        })?
        .take(PROBLEMS)
        .collect::<rusqlite::Result<Vec<_>>>()?;
    problems.extend(strays);
    Ok(problems)
}

/// See [`super::Request::Ping`].
pub(super) fn ping(database: &Connection) -> rusqlite::Result<()> {
    database
        .prepare_cached("SELECT 1 FROM migrations LIMIT 1")?
        .query_row([], |_| Ok(()))
}

/// See [`super::Request::Depths`]. Both halves read partial indexes, which hold no settled entry.
pub(super) fn depths(database: &Connection) -> rusqlite::Result<Vec<Depth>> {
    database
        .prepare_cached(
            "SELECT destination, state, count(*) FROM outbox WHERE wake_at IS NOT NULL GROUP BY 1, 2
             UNION ALL SELECT destination, state, count(*) FROM outbox WHERE state = 'dead' GROUP BY 1, 2
             ORDER BY 1, 2",
        )?
        .query_map([], |row| {
            let entries: i64 = row.get(2)?;
            Ok(Depth {
                destination: name(row, 0)?,
                state: row.get(1)?,
                entries: entries.cast_unsigned(),
            })
        })?
        .collect()
}

/// See [`super::Request::OpenEntries`].
pub(super) fn open_entries(database: &Connection, limit: u32) -> rusqlite::Result<Vec<Entry>> {
    database
        .prepare_cached(concat!(
            "SELECT ",
            entry_columns!(),
            " FROM outbox o INDEXED BY outbox_claimable WHERE o.wake_at IS NOT NULL \
             ORDER BY o.id LIMIT ?1"
        ))?
        .query_map([limit], entry)?
        .collect()
}

/// See [`super::Request::DeadLetters`].
pub(super) fn dead_letters(
    database: &Connection,
    after: i64,
    limit: u32,
) -> rusqlite::Result<Vec<DeadLetter>> {
    database
        .prepare_cached(concat!(
            "SELECT ",
            entry_columns!(),
            ", o.settled_at FROM outbox o INDEXED BY outbox_dead WHERE o.state = 'dead' AND o.id > ?1 \
             ORDER BY o.id LIMIT ?2"
        ))?
        .query_map(params![after, limit], |row| {
            Ok(DeadLetter {
                entry: entry(row)?,
                dead_at: time(row, ENTRY_WIDTH)?,
            })
        })?
        .collect()
}

/// See [`super::Request::Findings`].
pub(super) fn findings(database: &Connection, limit: u32) -> rusqlite::Result<Vec<FindingRow>> {
    database
        .prepare_cached(concat!(
            "SELECT ",
            finding_columns!(),
            " FROM findings ORDER BY id DESC LIMIT ?1"
        ))?
        .query_map([limit], finding)?
        .collect()
}

fn finding(row: &Row<'_>) -> rusqlite::Result<FindingRow> {
    let kind: String = row.get(3)?;
    Ok(FindingRow {
        id: row.get(0)?,
        provider: name(row, 1)?,
        key: row.get(2)?,
        kind: KINDS
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| odd(3, format!("unknown kind {kind:?}")))?,
        appointment_id: optional_name(row, 4)?,
        request_id: optional_name(row, 5)?,
        detail: row.get(6)?,
        sightings: row.get(7)?,
        first_seen: time(row, 8)?,
        last_seen: time(row, 9)?,
        resolved_at: optional_time(row, 10)?,
        resolved_by: row.get(11)?,
    })
}

/// See [`super::Request::Dump`].
pub(super) fn dump(database: &Connection) -> rusqlite::Result<Dump> {
    let appointments = database
        .prepare_cached(concat!(
            "SELECT ",
            appointment_columns!(),
            " FROM appointments a ORDER BY a.id, a.tenant"
        ))?
        .query_map([], |row| appointment(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    let outbox = database
        .prepare_cached(concat!(
            "SELECT ",
            entry_columns!(),
            " FROM outbox o ORDER BY o.id"
        ))?
        .query_map([], entry)?
        .collect::<rusqlite::Result<_>>()?;
    let transitions = database
        .prepare_cached(
            "SELECT seq, appointment_id, request_id, change, from_state, to_state, attempts, at
             FROM transitions ORDER BY seq",
        )?
        .query_map([], |row| {
            Ok(TransitionRow {
                seq: row.get(0)?,
                appointment_id: name(row, 1)?,
                request_id: name(row, 2)?,
                change: row.get(3)?,
                from: row.get(4)?,
                to: row.get(5)?,
                attempts: row.get(6)?,
                at: row.get(7).map(Timestamp::from_micros)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let findings = database
        .prepare_cached(concat!(
            "SELECT ",
            finding_columns!(),
            " FROM findings ORDER BY id"
        ))?
        .query_map([], finding)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Dump {
        appointments,
        outbox,
        transitions,
        findings,
    })
}
