//! SQLite behind the seam: opens the database, wraps each request in its transaction, and sends it to the file that carries it out.
//!
//! **Invariant**: every write is inside BEGIN IMMEDIATE, so there is no upgrade that could fail halfway; an error rolls back whole.
//! It deliberately has no busy handler (it would sleep): a held database is [`StoreError::Busy`] at once, and the caller waits.

use rusqlite::{Connection, ErrorCode};

use super::{
    accept, claim, findings, inspect,
    request::{Claims, Reply, Request, StoreError},
    schema, settle,
};

/// One connection to a database file. Several may be open on one file, also from several processes.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Power loss, too: the journal is synced before a commit is answered.
    Full,
    /// The process's death. Power loss may take the newest commits, so it is for drills and throw-away data, never for an outbox.
    Normal,
}

enum Access {
    /// Changes rows.
    Write,
    /// Several queries that have to see one state.
    Snapshot,
    /// One query at most.
    Read,
}

impl SqliteStore {
    /// Opens the database at `path` (made if missing) and brings its schema up to date. The path goes to SQLite's default VFS.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another writer holds it, [`StoreError::Newer`] for a newer schema, [`StoreError::Unavailable`] for the rest.
    pub fn open(path: &str) -> Result<Self, StoreError> {
        Self::open_with(path, Durability::Full)
    }

    /// As [`SqliteStore::open`], with another durability than the one that an outbox needs.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with(path: &str, durability: Durability) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(broken)?;
        schema::prepare(&connection)?;
        if durability == Durability::Normal {
            connection
                .execute_batch("PRAGMA synchronous = NORMAL")
                .map_err(broken)?;
        }
        Ok(Self { connection })
    }

    /// What SQLite's own checks of every page, index, constraint and foreign key find wrong with the file, in its words: the first
    /// few of each. A check that cannot be made is a problem.
    pub fn problems(&self) -> Vec<String> {
        inspect::problems(&self.connection)
            .unwrap_or_else(|error| vec![format!("the check failed: {error}")])
    }

    /// Carries out one request in a transaction of its own.
    pub fn handle(&mut self, request: Request) -> Result<Reply, StoreError> {
        if let Request::Claim { limits, now, .. } = &request {
            // A claim that finds nothing due costs one look at an index and no transaction.
            let dues = claim::dues(&self.connection, limits, *now).map_err(broken)?;
            if !dues.any(*now) {
                return Ok(Reply::Claims(Claims {
                    claimed: Vec::new(),
                    next_due: dues.first(),
                    now: *now,
                }));
            }
        }
        let begin = match access(&request) {
            Access::Read => return self.execute(request),
            Access::Snapshot => "BEGIN",
            Access::Write => "BEGIN IMMEDIATE",
        };
        self.begin(begin)?;
        let done = self.execute(request);
        self.end(done)
    }

    /// Carries out several requests under one commit: what a writer thread does with its queue. Each succeeds or fails by itself, except
    /// that a failed commit fails all.
    pub fn handle_all(&mut self, requests: Vec<Request>) -> Vec<Result<Reply, StoreError>> {
        let count = requests.len();
        let committed = self.begin("BEGIN IMMEDIATE").and_then(|()| {
            let replies: Result<Vec<_>, _> = requests
                .into_iter()
                .map(|request| {
                    self.run("SAVEPOINT request")?;
                    let done = self.execute(request);
                    if done.is_err() {
                        self.run("ROLLBACK TO request")?;
                    }
                    self.run("RELEASE request").map(|()| done)
                })
                .collect();
            self.end(replies)
        });
        committed.unwrap_or_else(|error| vec![Err(error); count])
    }

    fn execute(&self, request: Request) -> Result<Reply, StoreError> {
        let database = &self.connection;
        let reply = match request {
            Request::Accept { new, answer, now } => {
                accept::accept(database, new, &answer, now).map(Reply::Accepted)
            }
            Request::Read { tenant, id } => {
                accept::read(database, &tenant, &id).map(Reply::Appointment)
            }
            Request::Find { tenant, request_id } => {
                accept::find(database, &tenant, &request_id).map(Reply::Appointment)
            }
            Request::Cancel { tenant, id, now } => {
                accept::cancel(database, &tenant, &id, now).map(Reply::Cancelled)
            }
            Request::Claim {
                worker,
                now,
                lease,
                limits,
            } => claim::dues(database, &limits, now)
                .and_then(|dues| claim::claim(database, worker, now, lease, &limits, dues))
                .map(Reply::Claims),
            Request::Settle { settlements, now } => {
                settle::settle(database, &settlements, now).map(Reply::Settled)
            }
            Request::AuditPage {
                provider,
                after,
                through,
                limit,
                now,
            } => findings::audit_page(database, &provider, after, through, limit, now)
                .map(Reply::AuditRows),
            Request::AuditOne { provider, key, now } => {
                findings::audit_one(database, &provider, &key, now).map(Reply::AuditRows)
            }
            Request::AuditDead {
                provider,
                limit,
                now,
            } => findings::audit_dead(database, &provider, limit, now).map(Reply::AuditRows),
            Request::RecordFindings {
                provider,
                seen,
                whole_sweep_since,
                horizon,
                now,
            } => findings::record(database, &provider, &seen, now)
                .and_then(|sighted| {
                    let resolved = whole_sweep_since.map_or(Ok(0), |since| {
                        findings::resolve(database, &provider, since, horizon, now)
                    })?;
                    Ok((sighted, resolved))
                })
                .map(|(sighted, resolved)| Reply::FindingsRecorded(sighted, resolved)),
            Request::Repair {
                tenant,
                id,
                version,
                repair,
                now,
            } => {
                findings::repair(database, &tenant, &id, version, &repair, now).map(Reply::Repaired)
            }
            Request::Depths => inspect::depths(database).map(Reply::Depths),
            Request::OpenEntries { limit } => {
                inspect::open_entries(database, limit).map(Reply::Entries)
            }
            Request::DeadLetters { after, limit } => {
                inspect::dead_letters(database, after, limit).map(Reply::DeadLetters)
            }
            Request::Findings { limit } => inspect::findings(database, limit).map(Reply::Findings),
            Request::Redrive { entry_id, now } => {
                settle::redrive(database, entry_id, now).map(Reply::Redriven)
            }
            Request::Dump => inspect::dump(database).map(Reply::Dump),
            Request::Ping => inspect::ping(database).map(|()| Reply::Pong),
        };
        reply.map_err(broken)
    }

    fn begin(&self, sql: &str) -> Result<(), StoreError> {
        // Open still? Then the last request panicked on the way, and nothing of it may stay.
        if !self.connection.is_autocommit() {
            self.run("ROLLBACK")?;
        }
        self.run(sql)
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(broken)?;
        statement.execute([]).map(|_| ()).map_err(broken)
    }

    /// Commits what went well and rolls back what did not.
    fn end<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let ended = match done {
            Ok(value) => self.run("COMMIT").map(|()| value),
            Err(error) => Err(error),
        };
        // SQLite rolls back by itself after some errors; asking again would hide the first one.
        if ended.is_err() && !self.connection.is_autocommit() {
            let _ = self.run("ROLLBACK");
        }
        ended
    }
}

fn access(request: &Request) -> Access {
    match request {
        Request::Accept { .. }
        | Request::Cancel { .. }
        | Request::Claim { .. }
        | Request::Settle { .. }
        | Request::RecordFindings { .. }
        | Request::Repair { .. }
        | Request::Redrive { .. } => Access::Write,
        Request::AuditPage { .. }
        | Request::AuditOne { .. }
        | Request::AuditDead { .. }
        | Request::Dump => Access::Snapshot,
        Request::Read { .. }
        | Request::Find { .. }
        | Request::Depths
        | Request::OpenEntries { .. }
        | Request::DeadLetters { .. }
        | Request::Findings { .. }
        | Request::Ping => Access::Read,
    }
}

/// One mapping of SQLite's errors. Their texts name tables and columns, never a row's values.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it stands in `map_err`, which passes by value"
)]
pub(super) fn broken(error: rusqlite::Error) -> StoreError {
    match &error {
        rusqlite::Error::SqliteFailure(failure, _)
            if matches!(
                failure.code,
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked
            ) =>
        {
            StoreError::Busy
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}
