//! What the auditor reads and writes: rows with their entries, findings, repairs.
//!
//! **Invariant**: an open finding is one row for each provider, key and kind, however often it is seen; a repair applies only to the
//! version it was made for, and only by queueing.
//! It deliberately does not compare anything with a provider; the core's `reconcile` does.

use std::time::Duration;

use rehearsal_core::{
    appointment::{Appointment, Decision, State, decide},
    command::Command,
    event::{Change, Event},
    identity::{AppointmentId, ProviderName, RequestId, Tenant},
    outbox::{Entry, Kind},
    reconcile::{Finding, Repair},
    time::Timestamp,
};
use rusqlite::{Connection, Params, params};

use super::{
    accept,
    enact::enact,
    request::{AuditRow, SightedFinding},
    row::{appointment, appointment_columns, bare, bare_columns, entry, entry_columns},
};

/// Above every key in byte order: keys are UTF-8, which has no byte of this value.
const LAST_KEY: &str = "\u{10ffff}";
/// Room for more rows of a page is made as they come.
const MOST_RESERVED: u32 = 64;

/// See [`super::Request::AuditPage`].
pub(super) fn audit_page(
    database: &Connection,
    provider: &ProviderName,
    after: Option<String>,
    through: Option<String>,
    limit: u32,
    now: Timestamp,
) -> rusqlite::Result<Vec<AuditRow>> {
    let after = after.unwrap_or_default();
    let through = through.unwrap_or_else(|| LAST_KEY.to_owned());
    let mut rows: Vec<AuditRow> = Vec::with_capacity(limit.min(MOST_RESERVED) as usize);
    let mut statement = database.prepare_cached(concat!(
        "SELECT ",
        bare_columns!(),
        " FROM appointments a WHERE a.id > ?1 AND a.id <= ?2 AND a.provider = ?3 ORDER BY a.id, a.tenant LIMIT ?4"
    ))?;
    let found = statement.query_map(params![after, through, provider.as_str(), limit], |row| {
        bare(row, 0)
    })?;
    for appointment in found {
        rows.push(AuditRow {
            appointment: appointment?,
            open: Vec::new(),
            dead: Vec::new(),
            read_at: now,
        });
    }
    // Entries are few next to rows: two look-ups for the whole page, not two for each row.
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Vec::new());
    };
    let span = [first.appointment.id.as_str(), last.appointment.id.as_str()];
    let open = entries(
        database,
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM outbox o WHERE o.wake_at IS NOT NULL AND o.appointment_id >= ?1 \
             AND o.appointment_id <= ?2 ORDER BY o.id"
        ),
        span,
    )?;
    let dead = entries(
        database,
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM outbox o WHERE o.state = 'dead' AND o.appointment_id >= ?1 \
             AND o.appointment_id <= ?2 ORDER BY o.id"
        ),
        span,
    )?;
    for entry in open {
        if let Some(row) = row_of(&mut rows, &entry) {
            row.open.push(entry);
        }
    }
    for entry in dead {
        if let Some(row) = row_of(&mut rows, &entry) {
            row.dead.push(entry);
        }
    }
    Ok(rows)
}

/// The entry's row, if it is among these: they are in the order of id and tenant.
fn row_of<'a>(rows: &'a mut [AuditRow], entry: &Entry) -> Option<&'a mut AuditRow> {
    let wanted = (entry.appointment_id.as_str(), entry.tenant.as_str());
    let at = rows.binary_search_by(|row| {
        let row = &row.appointment;
        (row.id.as_str(), row.tenant.as_str()).cmp(&wanted)
    });
    at.ok().map(|at| &mut rows[at])
}

/// See [`super::Request::AuditOne`].
pub(super) fn audit_one(
    database: &Connection,
    provider: &ProviderName,
    key: &str,
    now: Timestamp,
) -> rusqlite::Result<Vec<AuditRow>> {
    let rows: Vec<Appointment> = database
        .prepare_cached(concat!(
            "SELECT ",
            appointment_columns!(),
            " FROM appointments a WHERE a.id = ?1 AND a.provider = ?2 ORDER BY a.tenant LIMIT 1"
        ))?
        .query_map([key, provider.as_str()], |row| appointment(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    rows.into_iter()
        .map(|row| with_entries(database, row, now))
        .collect()
}

/// See [`super::Request::AuditDead`].
pub(super) fn audit_dead(
    database: &Connection,
    provider: &ProviderName,
    limit: u32,
    now: Timestamp,
) -> rusqlite::Result<Vec<AuditRow>> {
    let rows: Vec<Appointment> = database
        .prepare_cached(concat!(
            "SELECT DISTINCT ",
            appointment_columns!(),
            " FROM outbox o JOIN appointments a ON a.id = o.appointment_id AND a.tenant = o.tenant \
             WHERE o.state = 'dead' AND o.kind = 'cancel' AND o.destination = ?1 AND a.state IN ('failed', 'confirmed') \
             ORDER BY a.id, a.tenant LIMIT ?2"
        ))?
        .query_map(params![provider.as_str(), limit], |row| appointment(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    rows.into_iter()
        .map(|row| with_entries(database, row, now))
        .collect()
}

fn with_entries(
    database: &Connection,
    row: Appointment,
    now: Timestamp,
) -> rusqlite::Result<AuditRow> {
    let whose = [row.id.as_str(), row.tenant.as_str()];
    let open = entries(
        database,
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM outbox o WHERE o.wake_at IS NOT NULL AND o.appointment_id = ?1 AND o.tenant = ?2 ORDER BY o.id"
        ),
        whose,
    )?;
    let dead = entries(
        database,
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM outbox o WHERE o.state = 'dead' AND o.appointment_id = ?1 AND o.tenant = ?2 ORDER BY o.id"
        ),
        whose,
    )?;
    Ok(AuditRow {
        appointment: row,
        open,
        dead,
        read_at: now,
    })
}

fn entries(database: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<Vec<Entry>> {
    database
        .prepare_cached(sql)?
        .query_map(params, entry)?
        .collect()
}

/// See [`super::Request::RecordFindings`].
pub(super) fn record(
    database: &Connection,
    provider: &ProviderName,
    seen: &[Finding],
    now: Timestamp,
) -> rusqlite::Result<Vec<SightedFinding>> {
    let mut sighted = Vec::with_capacity(seen.len());
    for finding in seen {
        let sightings = database
            .prepare_cached(
                "INSERT INTO findings (provider, key, kind, appointment_id, request_id, detail, sightings, first_seen, last_seen)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)
                 ON CONFLICT (provider, key, kind) WHERE resolved_at IS NULL
                 DO UPDATE SET sightings = sightings + 1, last_seen = excluded.last_seen, detail = excluded.detail
                 RETURNING sightings",
            )?
            .query_row(
                params![
                    provider.as_str(),
                    finding.key,
                    finding.kind.as_str(),
                    finding.appointment_id.as_ref().map(AppointmentId::as_str),
                    finding.request_id.as_ref().map(RequestId::as_str),
                    finding.detail,
                    now.as_micros(),
                ],
                |row| row.get(0),
            )?;
        sighted.push(SightedFinding { sightings });
    }
    Ok(sighted)
}

/// Resolves what a whole sweep, which began at `since`, no longer saw; how many. Nothing is gone only because its row looked young and was left
/// alone, as one does for a while after the clock jumped back, unless its repair made it so.
pub(super) fn resolve(
    database: &Connection,
    provider: &ProviderName,
    since: Timestamp,
    horizon: Duration,
    now: Timestamp,
) -> rusqlite::Result<u32> {
    // What was last seen later than now was seen before the clock jumped back.
    let resolved = database
        .prepare_cached(
            "UPDATE findings SET resolved_at = ?2, resolved_by = coalesce(resolved_by, 'gone')
             WHERE provider = ?1 AND resolved_at IS NULL AND (last_seen < ?3 OR last_seen > ?2)
             AND (resolved_by IS NOT NULL OR NOT EXISTS (SELECT 1 FROM appointments a WHERE a.id = findings.key
             AND a.provider = ?1 AND a.updated_at > ?4 AND a.updated_at <= ?5))",
        )?
        .execute(params![
            provider.as_str(),
            now.as_micros(),
            since.as_micros(),
            since.minus(horizon).as_micros(),
            now.plus(horizon).as_micros(),
        ])?;
    Ok(u32::try_from(resolved).unwrap_or(u32::MAX))
}

/// See [`super::Request::Repair`].
pub(super) fn repair(
    database: &Connection,
    tenant: &Tenant,
    id: &AppointmentId,
    version: u32,
    repair: &Repair,
    now: Timestamp,
) -> rusqlite::Result<Option<Vec<Event>>> {
    let row = accept::read(database, tenant, id)?;
    let Some(row) = row.filter(|row| row.version == version) else {
        return Ok(None);
    };
    let audited = with_entries(database, row, now)?;
    let cancel_open = audited.open.iter().any(|entry| entry.kind == Kind::Cancel);
    let row = audited.appointment;
    let decision = match repair {
        Repair::EnqueueCancel if !cancel_open => cancel_again(&row, now),
        Repair::ProveBooked { reference } => {
            let proof = Command::ProvenBooked {
                reference: reference.clone(),
            };
            decide(Some(&row), &proof, now).unwrap_or_default()
        }
        Repair::EnqueueCancel | Repair::None => Decision::default(),
    };
    if decision == Decision::default() {
        return Ok(None);
    }
    database
        .prepare_cached(
            "UPDATE findings SET resolved_by = 'repair' WHERE appointment_id = ?1 AND resolved_at IS NULL",
        )?
        .execute([id.as_str()])?;
    enact(database, Some(row), &decision, tenant, now)?;
    Ok(Some(decision.events))
}

/// A cancel by key once more; idempotent at the provider, so a second one is harmless.
fn cancel_again(row: &Appointment, now: Timestamp) -> Decision {
    let event = Event {
        request_id: row.request_id.clone(),
        appointment_id: row.id.clone(),
        at: now,
        attempts: row.attempts,
        from: Some(row.state),
        change: Change::CompensationQueued,
    };
    // A confirmed row whose client cancelled has its event already.
    let events = match row.state {
        State::Failed | State::Cancelled => vec![event],
        State::Pending | State::Confirmed => Vec::new(),
    };
    Decision {
        events,
        enqueue: vec![row.cancel_entry()],
    }
}
