//! Rows from a SQLite database: a table, or a query whose columns are the fields.
//!
//! **Invariant**: all reads see one snapshot, in one read transaction; the file is opened for reading only.
//! A table of the reference service is given as its API shows it, so that the same rules speak of both.

use std::fmt::Write as _;

use rehearsal_core::time::Timestamp;
use rehearsal_sim::scenario::nearest;
use rusqlite::{Connection, OpenFlags, types::ValueRef};

use super::source::{Each, Next, Source, Want};
use crate::problem::Problem;

/// The columns by which a table is known to be the reference service's.
const SERVICE: [&str; 4] = ["request_id", "generation", "cancel_requested", "created_at"];

/// What the service's API shows of its table. `version`, `generation`, `tenant`, `email` and `note` are not shown.
const VIEW: &str = "id, request_id, state, provider, time, patient_name, attempts, \
                    reference AS provider_reference, failure, cancel_requested, created_at, updated_at";

/// How a column becomes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Plain,
    /// Left out when NULL.
    Optional,
    /// JSON text; left out when NULL.
    Document,
    Boolean,
    /// Microseconds since the epoch.
    Instant,
}

/// A database.
#[derive(Debug)]
pub(super) struct Database {
    name: String,
    connection: Connection,
    query: String,
    view: bool,
}

impl Database {
    pub(super) fn open(want: Want<'_>) -> Result<Self, Problem> {
        let name = want.place.to_owned();
        let broken = |error: rusqlite::Error| Problem::usage(format!("{name}: {error}"));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(want.place, flags).map_err(broken)?;
        connection.execute_batch("BEGIN").map_err(broken)?;
        let (query, view) = match want.query {
            Some(query) => (query.to_owned(), false),
            None => table(&connection, want).map_err(|problem| Problem {
                message: format!("{name}: {}", problem.message),
                ..problem
            })?,
        };
        let prepared = connection
            .prepare(&query)
            .map(|statement| statement.readonly());
        match prepared {
            Ok(true) => {}
            Ok(false) => {
                return Err(Problem::usage(format!(
                    "{}: found {query:?}, expected a query that only reads",
                    want.flags[1]
                )));
            }
            Err(error) => return Err(Problem::usage(format!("{name}: {query:?}: {error}"))),
        }
        Ok(Self {
            name,
            connection,
            query,
            view,
        })
    }
}

/// The query for a table, and whether it is the reference service's.
fn table(connection: &Connection, want: Want<'_>) -> Result<(String, bool), Problem> {
    let broken = |error: rusqlite::Error| Problem::usage(error.to_string());
    let names = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    let tables = names("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name").map_err(broken)?;
    let quoted = format!("\"{}\"", want.table.replace('"', "\"\""));
    if !tables.iter().any(|table| table == want.table) {
        let near = nearest(want.table, tables.iter().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        let message = format!(
            "found no table {:?}, expected one of: {}{near}",
            want.table,
            tables.join(", ")
        );
        return Err(Problem::usage(message).hint(format!(
            "{} or {} says where the rows are",
            want.flags[0], want.flags[1]
        )));
    }
    let columns = names(&format!(
        "SELECT name FROM pragma_table_info('{}')",
        want.table.replace('\'', "''")
    ))
    .map_err(broken)?;
    let view = SERVICE
        .iter()
        .all(|column| columns.iter().any(|known| known == column));
    let shown = if view { VIEW } else { "*" };
    Ok((format!("SELECT {shown} FROM {quoted}"), view))
}

impl Source for Database {
    fn name(&self) -> &str {
        &self.name
    }

    fn scan(&mut self, each: &mut Each<'_>) -> Result<(), Problem> {
        let broken =
            |error: rusqlite::Error| Problem::infrastructure(format!("{}: {error}", self.name));
        let mut statement = self.connection.prepare(&self.query).map_err(broken)?;
        let fields: Vec<(String, Field)> = statement
            .column_names()
            .map(|name| {
                (
                    format!("{}:", serde_json::Value::from(name)),
                    self.field(name),
                )
            })
            .collect();
        let mut rows = statement.query([]).map_err(broken)?;
        let (mut text, mut skip) = (String::new(), 0);
        while let Some(row) = rows.next().map_err(broken)? {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            text.clear();
            text.push('{');
            for (at, (name, field)) in fields.iter().enumerate() {
                let value = row.get_ref(at).map_err(broken)?;
                member(&mut text, name, *field, value);
            }
            text.push('}');
            match each(text.as_bytes())? {
                Next::Row => {}
                Next::Skip(rows) => skip = rows,
                Next::Stop => break,
            }
        }
        Ok(())
    }
}

impl Database {
    fn field(&self, column: &str) -> Field {
        match column {
            _ if !self.view => Field::Plain,
            "provider_reference" => Field::Optional,
            "failure" => Field::Document,
            "cancel_requested" => Field::Boolean,
            "created_at" | "updated_at" => Field::Instant,
            _ => Field::Plain,
        }
    }
}

fn member(text: &mut String, name: &str, field: Field, value: ValueRef<'_>) {
    let left_out = matches!(field, Field::Optional | Field::Document) && value == ValueRef::Null;
    if left_out {
        return;
    }
    if text.len() > 1 {
        text.push(',');
    }
    text.push_str(name);
    match (field, value) {
        (Field::Boolean, ValueRef::Integer(number)) => {
            text.push_str(if number == 0 { "false" } else { "true" });
        }
        (Field::Instant, ValueRef::Integer(number)) => {
            let _ = write!(text, "\"{}\"", Timestamp::from_micros(number));
        }
        (Field::Document, ValueRef::Text(bytes)) => match std::str::from_utf8(bytes) {
            Ok(document) => text.push_str(document),
            Err(_) => string(text, &String::from_utf8_lossy(bytes)),
        },
        (_, ValueRef::Null) => text.push_str("null"),
        (_, ValueRef::Integer(number)) => {
            let _ = write!(text, "{number}");
        }
        (_, ValueRef::Real(number)) if number.is_finite() => {
            let _ = write!(text, "{number}");
        }
        (_, ValueRef::Real(number)) => string(text, &number.to_string()),
        (_, ValueRef::Text(bytes)) => string(text, &String::from_utf8_lossy(bytes)),
        // As PostgreSQL writes its own.
        (_, ValueRef::Blob(bytes)) => {
            text.push_str("\"\\\\x");
            for byte in bytes {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('"');
        }
    }
}

/// Text as a JSON string. Most has nothing to escape, which is cheap to see.
fn string(text: &mut String, value: &str) {
    let plain = value
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if plain {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&serde_json::Value::from(value).to_string());
    }
}
