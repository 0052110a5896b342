//! The SQLite schema, as numbered migrations, and what a connection is set to before anything else.
//!
//! **Invariant**: a migration that has shipped is never edited; a change is another one at the end of [`MIGRATIONS`].
//! It deliberately has no down migrations: a rollback of the program reads a newer schema or refuses it by number.

use rusqlite::{Connection, config::DbConfig};

use super::{request::StoreError, sqlite::broken};

/// The migrations in order; the schema's version is how many have run.
///
/// `wake_at` is when an open outbox entry is claimable: its due time while ready, its lease's end while leased. It is NULL once the entry
/// is done or dead, so `outbox_claimable` holds open entries alone and a settled row costs a claim nothing. `outbox_by_appointment` holds all, so
/// that a claim and a settle, which change `wake_at`, need not touch it; an appointment has few. Every index ends with the row's id by nature.
///
/// A request's answer knows its appointment, so that `answers` is also what finds an appointment by its request and what keeps a request from
/// making two: no index of `appointments` has to.
///
/// The checks are chains of OR, not IN: for a list SQLite builds a b-tree anew at each statement that writes the row.
pub(super) const MIGRATIONS: [&str; 1] = ["
CREATE TABLE appointments (
    id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    request_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    time TEXT NOT NULL,
    patient_name TEXT NOT NULL,
    email TEXT,
    note TEXT,
    state TEXT NOT NULL CHECK (state = 'pending' OR state = 'confirmed' OR state = 'failed' OR state = 'cancelled'),
    attempts INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    reference TEXT,
    failure TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (id, tenant)
) STRICT, WITHOUT ROWID;

CREATE TABLE answers (
    request_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    operation TEXT NOT NULL,
    appointment_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (request_id, tenant, operation)
) STRICT, WITHOUT ROWID;

CREATE TABLE transitions (
    seq INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    appointment_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    change TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT,
    attempts INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    appointment_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind = 'book' OR kind = 'cancel'),
    destination TEXT NOT NULL,
    key TEXT NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state = 'ready' OR state = 'leased' OR state = 'done' OR state = 'dead'),
    wake_at INTEGER CHECK ((wake_at IS NULL) = (state = 'done' OR state = 'dead')),
    due_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    lease_epoch INTEGER NOT NULL,
    lease_until INTEGER,
    worker INTEGER,
    uncertain INTEGER NOT NULL,
    last_sent_at INTEGER,
    answered INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    last_error TEXT,
    settled_at INTEGER,
    result_hash INTEGER
) STRICT;
CREATE INDEX outbox_claimable ON outbox (destination, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX outbox_by_appointment ON outbox (appointment_id, tenant);
CREATE INDEX outbox_dead ON outbox (appointment_id, tenant) WHERE state = 'dead';

CREATE TABLE findings (
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    appointment_id TEXT,
    request_id TEXT,
    detail TEXT NOT NULL,
    sightings INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    resolved_at INTEGER,
    resolved_by TEXT
) STRICT;
CREATE UNIQUE INDEX findings_open ON findings (provider, key, kind) WHERE resolved_at IS NULL;
"];

/// Sets the connection up and brings the schema to the newest version.
pub(super) fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(64);
    connection
        .busy_timeout(std::time::Duration::ZERO)
        .map_err(broken)?;
    // Without it, SQLite (built with STAT4) plans a statement anew whenever a bound value is compared with an indexed column.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(broken)?;
    connection
        .execute_batch(
            // The size of a page is a new file's only; docs/decisions/0003-store.md says why it is half of SQLite's own choice.
            "PRAGMA page_size = 2048; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA foreign_keys = ON;",
        )
        .map_err(broken)?;
    // After a sync that failed, Linux goes on showing a restarted process what never became durable, and no later sync of the log would make it
    // so: commits on top of it would go with it. Written into the database's own file it is durable before anything is acknowledged.
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .map_err(broken)?;
    if version(connection)? == MIGRATIONS.len() {
        return Ok(());
    }
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(broken)?;
    let migrated = migrate(connection);
    let end = if migrated.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    let ended = connection.execute_batch(end).map_err(broken);
    migrated.and(ended)
}

fn migrate(connection: &Connection) -> Result<(), StoreError> {
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY) STRICT")
        .map_err(broken)?;
    // Asked again inside the transaction: another process may have migrated in between.
    let done = version(connection)?;
    if done > MIGRATIONS.len() {
        return Err(StoreError::Newer {
            found: done,
            known: MIGRATIONS.len(),
        });
    }
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        connection.execute_batch(migration).map_err(broken)?;
        connection
            .execute(
                "INSERT INTO migrations (number) VALUES (?1)",
                [i64::try_from(number + 1).expect("few migrations")],
            )
            .map_err(broken)?;
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<usize, StoreError> {
    let known: i64 = connection
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'",
            [],
            |row| row.get(0),
        )
        .map_err(broken)?;
    if known == 0 {
        return Ok(0);
    }
    let newest: i64 = connection
        .query_row(
            "SELECT coalesce(max(number), 0) FROM migrations",
            [],
            |row| row.get(0),
        )
        .map_err(broken)?;
    Ok(usize::try_from(newest).unwrap_or_default())
}
