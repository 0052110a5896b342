//! Where rows come from, found out from how a side is named and, for a file, from its first bytes.
//!
//! **Invariant**: a source gives the same rows in the same order each time it is read, and is never written to.

use std::{fs::File, io::Read, path::Path};

use super::{http, lines, postgres, sqlite};
use crate::{flags::parity::ParityFlags, interrupt::Interrupt, problem::Problem};

/// What the reader of a row wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The row after it.
    Row,
    /// A row further on: so many are of no interest.
    Skip(u32),
    /// No more.
    Stop,
}

/// Takes rows, one JSON object after another.
pub(super) type Each<'e> = dyn FnMut(&[u8]) -> Result<Next, Problem> + 'e;

/// Rows as JSON objects.
pub(super) trait Source: Send {
    /// The source as the user named it, without secrets.
    fn name(&self) -> &str;

    /// Gives every row from the first on.
    ///
    /// # Errors
    /// What the source says, or what `each` said.
    fn scan(&mut self, each: &mut Each<'_>) -> Result<(), Problem>;

    /// The rows with these numbers, counted from 0 and in order.
    ///
    /// # Errors
    /// What the source says, or when it has fewer rows than before.
    fn pick(&mut self, numbers: &[u32]) -> Result<Vec<Vec<u8>>, Problem> {
        let mut rows: Vec<Vec<u8>> = Vec::with_capacity(numbers.len());
        let Some(first) = numbers.first() else {
            return Ok(rows);
        };
        let mut before = *first;
        self.scan(&mut |row| {
            if before > 0 {
                // This row is one of those before the first.
                let more = std::mem::take(&mut before) - 1;
                return Ok(if more == 0 {
                    Next::Row
                } else {
                    Next::Skip(more)
                });
            }
            rows.push(row.to_vec());
            Ok(
                match (numbers.get(rows.len() - 1), numbers.get(rows.len())) {
                    (Some(at), Some(next)) if next - at > 1 => Next::Skip(next - at - 1),
                    (_, Some(_)) => Next::Row,
                    (_, None) => Next::Stop,
                },
            )
        })?;
        if rows.len() < numbers.len() {
            let message = format!("{}: changed while it was read: rows are gone", self.name());
            return Err(Problem::infrastructure(message));
        }
        Ok(rows)
    }
}

/// A side as it was typed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'f> {
    pub(super) place: &'f str,
    pub(super) table: &'f str,
    pub(super) query: Option<&'f str>,
    pub(super) ids: Option<&'f Path>,
    pub(super) flags: [&'static str; 2],
    pub(super) interrupt: &'f Interrupt,
}

impl<'f> Want<'f> {
    pub(super) fn left(flags: &'f ParityFlags, interrupt: &'f Interrupt) -> Self {
        Self {
            place: &flags.left,
            table: &flags.left_table,
            query: flags.left_query.as_deref(),
            ids: flags.ids.as_deref(),
            flags: ["--left-table", "--left-query"],
            interrupt,
        }
    }

    pub(super) fn right(flags: &'f ParityFlags, interrupt: &'f Interrupt) -> Self {
        Self {
            place: &flags.right,
            table: &flags.right_table,
            query: flags.right_query.as_deref(),
            ids: flags.ids.as_deref(),
            flags: ["--right-table", "--right-query"],
            interrupt,
        }
    }
}

/// Opens a side.
///
/// # Errors
/// A place that cannot be used, and why.
pub(super) fn open(want: Want<'_>) -> Result<Box<dyn Source>, Problem> {
    let place = want.place;
    if place.starts_with("http://") {
        return Ok(Box::new(http::Fetched::open(want)?));
    }
    if place.starts_with("postgres://") || place.starts_with("postgresql://") {
        return Ok(Box::new(postgres::Queried::open(want)?));
    }
    if let Some((scheme, _)) = place.split_once("://") {
        return Err(Problem::usage(format!(
            "{}: found the scheme {scheme:?}, expected http, postgres or a file's name",
            shown(place)
        )));
    }
    let path = Path::new(place);
    let mut magic = [0; 16];
    let mut file = File::open(path).map_err(|error| Problem::unreadable(path, &error))?;
    let read = file
        .read(&mut magic)
        .map_err(|error| Problem::unreadable(path, &error))?;
    if magic[..read] == *b"SQLite format 3\0" {
        return Ok(Box::new(sqlite::Database::open(want)?));
    }
    Ok(Box::new(lines::Lines::open(path)?))
}

/// A URL without what may be secret: a user's name and password, and the query.
pub(super) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    // A password may hold a slash that should have been written as %2F: all before the last @ is suspect.
    if let Some((_, rest)) = rest.rsplit_once('@') {
        return format!("{scheme}://{rest}");
    }
    let authority = rest.split('/').next().unwrap_or(rest);
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let is_port = port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
    // What is no port is the begin of a password with a question mark.
    let rest = if is_port { rest } else { "..." };
    format!("{scheme}://{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let check = |url: &str, expect: &str| assert_eq!(shown(url), expect);
        check("http://h:1/a/{id}?token=secret#x", "http://h:1/a/{id}");
        check("http://me:secret@h:1/a?x=1", "http://h:1/a");
        check("mysql://me:sec/ret@h/db", "mysql://h/db");
        check("mysql://me:sec?ret@h/db", "mysql://...");
        check("http://[::1]/a", "http://[::1]/a");
        check("http://[::1]:80/a", "http://[::1]:80/a");
    }
}
