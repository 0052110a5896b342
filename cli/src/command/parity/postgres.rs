//! Rows from a PostgreSQL database: a table, or a query whose columns are the fields. The server makes the JSON.
//!
//! **Invariant**: all reads see one snapshot: a read-only transaction, repeatable read, with parallel and synchronized scans off, so that a
//! second look sees the rows in the same order. A password is never shown.

use postgres::{Client, NoTls, fallible_iterator::FallibleIterator};

use super::source::{Each, Next, Source, Want};
use crate::problem::Problem;

/// One snapshot; the same order of rows each time; times in one zone.
const BEGIN: &str = "SET synchronize_seqscans = off; SET max_parallel_workers_per_gather = 0; SET TimeZone = 'UTC'; \
                     BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A database.
pub(super) struct Queried {
    name: String,
    client: Client,
    query: String,
}

impl Queried {
    pub(super) fn open(want: Want<'_>) -> Result<Self, Problem> {
        let name = without_password(want.place);
        let config: postgres::Config = want.place.parse().map_err(|error| {
            Problem::usage(format!(
                "{name}: {error}: expected postgres://USER@HOST:PORT/DATABASE"
            ))
        })?;
        let mut client = config
            .connect(NoTls)
            .map_err(|error| Problem::infrastructure(format!("{name}: {}", told(&error))))?;
        client
            .batch_execute(BEGIN)
            .map_err(|error| Problem::infrastructure(format!("{name}: {}", told(&error))))?;
        let rows = if let Some(query) = want.query {
            query.trim().trim_end_matches(';').to_owned()
        } else {
            let parts = want.table.split('.');
            let quoted = parts.map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
            format!("SELECT * FROM {}", quoted.collect::<Vec<_>>().join("."))
        };
        let query = format!("SELECT row_to_json(r)::text FROM ({rows}) AS r");
        client.prepare(&query).map_err(|error| {
            Problem::usage(format!("{name}: {rows:?}: {}", told(&error))).hint(format!(
                "{} or {} says where the rows are",
                want.flags[0], want.flags[1]
            ))
        })?;
        Ok(Self {
            name,
            client,
            query,
        })
    }
}

impl Source for Queried {
    fn name(&self) -> &str {
        &self.name
    }

    fn scan(&mut self, each: &mut Each<'_>) -> Result<(), Problem> {
        let name = &self.name;
        let broken =
            |error: postgres::Error| Problem::infrastructure(format!("{name}: {}", told(&error)));
        let mut rows = self
            .client
            .query_raw(&self.query, std::iter::empty::<i32>())
            .map_err(broken)?;
        let mut skip = 0;
        while let Some(row) = rows.next().map_err(broken)? {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let text: &str = row.try_get(0).map_err(broken)?;
            match each(text.as_bytes())? {
                Next::Row => {}
                Next::Skip(rows) => skip = rows,
                Next::Stop => break,
            }
        }
        Ok(())
    }
}

/// What the server said, or the driver if it said nothing.
fn told(error: &postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// The URL without what stands between the user's name and the host, and without a password among its parameters.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or_default()),
        None => authority.to_owned(),
    };
    let path = path.split('?').next().unwrap_or(path);
    format!("{scheme}://{authority}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(
            without_password("postgres://me:secret@h:1/db?password=secret"),
            "postgres://me@h:1/db"
        );
        assert_eq!(without_password("postgresql://h/db"), "postgresql://h/db");
        assert_eq!(
            without_password("postgres://me:p@w@h/db"),
            "postgres://me@h/db"
        );
    }
}
