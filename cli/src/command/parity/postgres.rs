//! Rows from a PostgreSQL database: a table, or a query whose columns are the fields. The server makes the JSON.
//!
//! **Invariant**: all reads see one snapshot: a read-only transaction, repeatable read, with parallel and synchronized scans off, so that a
//! second look sees the rows in the same order. A password is never shown.

use postgres::{Client, Config, NoTls, config::Host, fallible_iterator::FallibleIterator};

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
        let config = config(want.place)?;
        let name = shown(&config);
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

/// Where the database is: its user, hosts and name, as the driver understood them.
fn shown(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.to_string_lossy().replace('/', "%2F"),
        };
        let ports = config.get_ports();
        match ports.get(at).or(ports.first()) {
            Some(port) => format!("{name}:{port}"),
            None => name,
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let user = config.get_user().map(|user| format!("{user}@"));
    let database = config.get_dbname().map(|database| format!("/{database}"));
    let (user, database) = (user.unwrap_or_default(), database.unwrap_or_default());
    format!("postgres://{user}{hosts}{database}")
}

/// Reads a URL. What is wrong with it is told without it: nobody knows which part of a bad one is the password.
fn config(url: &str) -> Result<Config, Problem> {
    let expected = "expected postgres://USER@HOST:PORT/DATABASE";
    let rest = url.split_once('@').map_or("", |(_, rest)| rest);
    if rest
        .split('?')
        .next()
        .is_some_and(|rest| rest.contains('@'))
    {
        return Err(Problem::usage(format!(
            "postgres://...: found more than one @, {expected}: in a password it is written %40"
        )));
    }
    url.parse().map_err(|error: postgres::Error| {
        Problem::usage(format!("postgres://...: {error}: {expected}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let check = |url: &str, expect: &str| assert_eq!(shown(&config(url).expect(url)), expect);
        check(
            "postgres://me:secret@h:1/db?password=secret",
            "postgres://me@h:1/db",
        );
        check("postgres://me:sec/r?et@h/db", "postgres://me@h:5432/db");
        check("postgresql://h/db", "postgres://h:5432/db");
        check(
            "postgres://me@%2Ftmp%2Fs/db",
            "postgres://me@%2Ftmp%2Fs:5432/db",
        );
        check(
            "postgres://me:secret@a:1,b:2/db",
            "postgres://me@a:1,b:2/db",
        );
        for bad in [
            "postgres://me:sec@ret@h/db",
            "postgres://me:sec@ret/more@h/db",
            "postgres://me:secret@h:secret/db",
            "postgres://me:secret@h/db?secret",
        ] {
            let message = config(bad).expect_err(bad).message;
            assert!(
                !message.contains("sec") && !message.contains("ret"),
                "{message}"
            );
        }
    }
}
