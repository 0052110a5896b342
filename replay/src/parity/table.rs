//! One side's rows as digests, in the order of their keys.
//!
//! **Invariant**: every row that was pushed is in the table, or counted as one without a key; its number is its place in the source, from 0.
//! Rows with the same key are in the same pile on both sides. It deliberately keeps no row: about a hundred bytes stand for each, whatever its size.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    json::{Json, parse},
    parity::{
        Columns, Key,
        canonical::{Canonical, Mark, Meaning},
    },
    rules::{Rules, Side},
};

/// A row that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {number}: found {found}, expected {expected}")]
pub struct BadRow {
    /// Which row of its source, from 1.
    pub number: u64,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

/// One row's digest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digested {
    pub(super) key: u128,
    pub(super) number: u32,
    pub(super) meaning: Meaning,
    marks: u32,
    marked: u16,
}

/// Into so many piles rows are dealt by the first byte of their key's digest: a pile of a million rows fits a processor's cache, so it is sorted
/// and joined there, and no list grows so long that it has to move.
pub(super) const PILES: usize = 256;

/// Rows whose keys' digests begin alike.
#[derive(Debug, Default)]
pub(super) struct Pile {
    pub(super) rows: Vec<Digested>,
    marks: Vec<Mark>,
}

impl Pile {
    /// What one of its rows left out of its digest.
    pub(super) fn marks(&self, row: &Digested) -> &[Mark] {
        let from = row.marks as usize;
        &self.marks[from..from + usize::from(row.marked)]
    }
}

/// One side's rows.
#[derive(Debug)]
pub struct Table<'r> {
    side: Side,
    key: Key,
    columns: Columns,
    canonical: Canonical<'r>,
    pub(super) piles: Vec<Pile>,
    /// The marks of the row that is being read.
    marks: Vec<Mark>,
    pushed: u64,
    unkeyed: u64,
    /// The chosen columns that a row had.
    met: BTreeSet<String>,
}

impl<'r> Table<'r> {
    /// A table without rows.
    pub fn new(side: Side, key: &Key, columns: &Columns, rules: &'r Rules) -> Self {
        Self {
            side,
            key: key.clone(),
            columns: columns.clone(),
            canonical: Canonical::new(rules, side),
            piles: (0..PILES).map(|_| Pile::default()).collect(),
            marks: Vec::new(),
            pushed: 0,
            unkeyed: 0,
            met: BTreeSet::new(),
        }
    }

    /// Takes the next row: a JSON object.
    ///
    /// # Errors
    /// What the row is instead.
    pub fn push(&mut self, row: &[u8]) -> Result<(), BadRow> {
        let number = self.pushed;
        let bad = |found: String, expected: &str| BadRow {
            number: number + 1,
            found,
            expected: expected.to_owned(),
        };
        let object = "a JSON object";
        let mut row = parse(row).map_err(|error| bad(error.to_string(), object))?;
        if !matches!(row, Json::Object(_)) {
            return Err(bad(format!("a JSON {}", row.kind()), object));
        }
        let one_too_many = || bad("one row too many".to_owned(), "at most 2^32 of them");
        let number = u32::try_from(number).map_err(|_| one_too_many())?;
        self.pushed += 1;
        let Some(key) = self.key.hash(self.side, &row) else {
            self.unkeyed += 1;
            return Ok(());
        };
        self.columns.keep(&mut row);
        if let (false, Json::Object(members)) = (self.columns.is_all(), &row) {
            for (name, _) in members {
                if !self.met.contains(&**name) {
                    self.met.insert(name.to_string());
                }
            }
        }
        self.marks.clear();
        let meaning = self.canonical.read(&row, &mut self.marks);
        let marked = u16::try_from(self.marks.len()).map_err(|_| {
            bad(
                "more than 65535 invented values".to_owned(),
                "fewer in one row",
            )
        })?;
        let pile = &mut self.piles[usize::from(key.to_be_bytes()[0])];
        let marks = u32::try_from(pile.marks.len()).map_err(|_| one_too_many())?;
        pile.marks.extend_from_slice(&self.marks);
        pile.rows.push(Digested {
            key,
            number,
            meaning,
            marks,
            marked,
        });
        Ok(())
    }

    /// Puts the rows of each pile in the order of their keys; rows with the same key keep theirs. To be called when all are in.
    pub fn finish(&mut self) {
        for pile in &mut self.piles {
            pile.rows.sort_unstable_by_key(|row| (row.key, row.number));
        }
    }

    /// How many rows came.
    pub fn len(&self) -> u64 {
        self.pushed
    }

    /// Whether none came.
    pub fn is_empty(&self) -> bool {
        self.pushed == 0
    }

    /// How many of them have no key.
    pub fn unkeyed(&self) -> u64 {
        self.unkeyed
    }

    /// The kind of value that a `binding` rule speaks of.
    pub(super) fn kind(&self, rule: u16) -> u16 {
        self.canonical.kind(rule)
    }

    /// The paths of invented values, by the digests in marks.
    pub(super) fn places(&self) -> &BTreeMap<u32, String> {
        &self.canonical.places
    }

    /// Whether a row had this column, which is one of those that are compared.
    pub fn met(&self, column: &str) -> bool {
        self.met.contains(column)
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }
}
