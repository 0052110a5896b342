//! The legacy service's store: one row for each appointment, the last write wins.
//!
//! **Invariant**: it belongs to the world, not to the process, as a database does: rows survive a crash of the service. It deliberately has
//! no unique index on `request_id` and no version: two writers overwrite each other.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};

/// The state of a legacy appointment. There is no pending: the request waits until it is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegacyState {
    /// The provider said yes.
    Confirmed,
    /// The provider said no, or said nothing in time.
    Failed,
    /// The provider took the cancel.
    Cancelled,
}

/// A legacy appointment: the row, and the object that the API answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The client's id of the appointment.
    pub id: String,
    /// The request that wrote the row last.
    pub request_id: String,
    /// Its state.
    pub state: LegacyState,
    /// The provider's name.
    pub provider: String,
    /// As given.
    pub time: String,
    /// As given.
    pub patient_name: String,
    /// The provider's reference of the last booking.
    pub reference: Option<String>,
    /// Tries of the last `POST`.
    pub attempts: u32,
    /// Provider bookings made for this id, as far as the service knows: those behind a timeout are not among them.
    pub bookings: u32,
}

/// A handle to the legacy service's rows. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Rows(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    rows: BTreeMap<String, Row>,
    /// How often each id was posted: the number in its provider key.
    posts: BTreeMap<String, u32>,
}

impl Rows {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// The row of `id`.
    pub fn row(&self, id: &str) -> Option<Row> {
        self.table().rows.get(id).cloned()
    }

    /// Every row, in the order of ids.
    pub fn all(&self) -> Vec<Row> {
        self.table().rows.values().cloned().collect()
    }

    /// Counts a `POST` of `id` and returns its number, from 1.
    pub(super) fn number(&self, id: &str) -> u32 {
        let mut table = self.table();
        let posts = table.posts.entry(id.to_owned()).or_default();
        *posts = posts.saturating_add(1);
        *posts
    }

    /// The number of the last `POST` of `id`; 0 when there was none.
    pub(super) fn last_number(&self, id: &str) -> u32 {
        self.table().posts.get(id).copied().unwrap_or_default()
    }

    /// Writes `row` over whatever is there, adding the bookings known so far, and returns it as written.
    pub(super) fn overwrite(&self, mut row: Row) -> Row {
        let mut table = self.table();
        let before = table.rows.get(&row.id).map_or(0, |old| old.bookings);
        row.bookings = row.bookings.saturating_add(before);
        table.rows.insert(row.id.clone(), row.clone());
        row
    }

    /// Marks the row of `id` cancelled and returns it.
    pub(super) fn mark_cancelled(&self, id: &str) -> Option<Row> {
        let mut table = self.table();
        let row = table.rows.get_mut(id)?;
        row.state = LegacyState::Cancelled;
        Some(row.clone())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().expect("no holder of the rows panics")
    }
}
