//! The provider's durable state: bookings by key, tombstones, and how often each operation was called for each key.
//!
//! **Invariant**: it belongs to the world, not to the process: the provider may crash and be run again on the same handle, and goes on
//! where it was. Every write is durable at once. It deliberately keeps no name and no email, only a hash that tells two payloads apart, and it never
//! forgets: it lives as long as its run.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Behaviour, Operation};

/// Whether a key is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookingStatus {
    /// At least one booking of the key is live.
    Booked,
    /// The key was cancelled, perhaps before anything was booked.
    Cancelled,
}

/// What the provider says about a key: an answer of its look-up and of its list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookingView {
    /// The caller's key.
    pub key: String,
    /// The first live booking's reference, or that of the last one cancelled; `None` for a bare tombstone.
    pub reference: Option<String>,
    /// Whether it is booked.
    pub status: BookingStatus,
    /// How many live bookings it has.
    pub bookings: u32,
}

/// A handle to the provider's durable state. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    keys: BTreeMap<String, Key>,
    calls: BTreeMap<(Operation, String), u32>,
}

#[derive(Debug, Default)]
struct Key {
    live: Vec<String>,
    last: Option<String>,
    cancelled: bool,
    /// Bookings ever made; numbers the next one.
    made: u32,
    payload: Option<Payload>,
}

/// A hash that tells a booking's payload from another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payload([u8; 32]);

impl Payload {
    pub(super) fn of(parts: [&str; 3]) -> Self {
        Self(digest(&parts))
    }
}

/// What became of a booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BookOutcome {
    Booked { reference: String, n_live: u32 },
    Replayed { reference: String },
    Duplicate { reference: String },
    Tombstoned,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every key's view, in the order of keys.
    pub fn views(&self) -> Vec<BookingView> {
        let books = self.books();
        books
            .keys
            .iter()
            .map(|(key, entry)| entry.view(key))
            .collect()
    }

    /// A key's view; `None` when it was never booked nor cancelled.
    pub fn view(&self, key: &str) -> Option<BookingView> {
        self.books().keys.get(key).map(|entry| entry.view(key))
    }

    /// How many live bookings `key` has: above one is a double booking.
    pub fn live_bookings(&self, key: &str) -> u32 {
        self.view(key).map_or(0, |view| view.bookings)
    }

    /// How many calls of `operation` for `key` have arrived.
    pub fn calls(&self, operation: Operation, key: &str) -> u32 {
        let name = (operation, key.to_owned());
        self.books().calls.get(&name).copied().unwrap_or_default()
    }

    /// Counts a call and returns its number, from 0.
    pub(super) fn number(&self, operation: Operation, key: &str) -> u32 {
        let mut books = self.books();
        let calls = books.calls.entry((operation, key.to_owned())).or_default();
        let number = *calls;
        *calls = number.saturating_add(1);
        number
    }

    pub(super) fn book(&self, key: &str, payload: Payload, behaviour: &Behaviour) -> BookOutcome {
        let mut books = self.books();
        let entry = books.keys.entry(key.to_owned()).or_default();
        if entry.cancelled && behaviour.tombstones {
            return BookOutcome::Tombstoned;
        }
        if let (true, Some(first)) = (behaviour.idempotent, entry.live.first()) {
            let reference = first.clone();
            return if entry.payload == Some(payload) {
                BookOutcome::Replayed { reference }
            } else {
                BookOutcome::Duplicate { reference }
            };
        }
        // The key and the count name the booking, so that its reference does not depend on what else was booked.
        let hash = digest(&[
            "reference",
            key,
            &format!("{:x}.{}", behaviour.seed, entry.made),
        ]);
        let mut number = [0; 8];
        number.copy_from_slice(&hash[..8]);
        let reference = format!("bk-{:016x}", u64::from_be_bytes(number));
        entry.made += 1;
        entry.cancelled = false;
        entry.payload = Some(payload);
        entry.last = Some(reference.clone());
        entry.live.push(reference.clone());
        BookOutcome::Booked {
            reference,
            n_live: count(&entry.live),
        }
    }

    /// Cancels every live booking of `key`; says whether there was one. Without `tombstones`, an unknown key stays unknown.
    pub(super) fn cancel(&self, key: &str, tombstones: bool) -> bool {
        let mut books = self.books();
        if !tombstones && !books.keys.contains_key(key) {
            return false;
        }
        let entry = books.keys.entry(key.to_owned()).or_default();
        let had_booking = !entry.live.is_empty();
        entry.live.clear();
        entry.cancelled = true;
        had_booking
    }

    /// Up to `limit` views behind `after`, in the order of keys, and whether more follow.
    pub(super) fn page(&self, after: &str, limit: usize) -> (Vec<BookingView>, bool) {
        let books = self.books();
        let mut rest = books
            .keys
            .range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        let page = rest
            .by_ref()
            .take(limit)
            .map(|(key, entry)| entry.view(key))
            .collect();
        (page, rest.next().is_some())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("no holder of the ledger panics")
    }
}

impl Key {
    fn view(&self, key: &str) -> BookingView {
        let (reference, status) = match self.live.first() {
            Some(first) => (Some(first.clone()), BookingStatus::Booked),
            None => (self.last.clone(), BookingStatus::Cancelled),
        };
        BookingView {
            key: key.to_owned(),
            reference,
            status,
            bookings: count(&self.live),
        }
    }
}

fn count(live: &[String]) -> u32 {
    u32::try_from(live.len()).unwrap_or(u32::MAX)
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: Payload = Payload([1; 32]);

    fn book(ledger: &Ledger, key: &str, idempotent: bool, tombstones: bool) -> BookOutcome {
        let behaviour = Behaviour {
            idempotent,
            tombstones,
            ..Behaviour::healthy(7)
        };
        ledger.book(key, PAYLOAD, &behaviour)
    }

    fn reference(outcome: &BookOutcome) -> &str {
        match outcome {
            BookOutcome::Booked { reference, .. } => reference,
            other => panic!("expected a booking, found {other:?}"),
        }
    }

    #[test]
    fn references_depend_on_key_and_count_alone() {
        let (one, other) = (Ledger::new(), Ledger::new());
        let first = book(&one, "a", true, true);
        book(&other, "b", true, true);
        assert_eq!(first, book(&other, "a", true, true));
        let again = Ledger::new();
        let (x, y) = (
            book(&again, "a", false, true),
            book(&again, "a", false, true),
        );
        assert_eq!(reference(&x), reference(&first));
        assert_ne!(reference(&x), reference(&y));
    }

    #[test]
    fn a_tombstone_outlives_everything_but_a_provider_without_them() {
        let ledger = Ledger::new();
        assert!(!ledger.cancel("early", true));
        assert_eq!(book(&ledger, "early", true, true), BookOutcome::Tombstoned);
        assert_eq!(ledger.live_bookings("early"), 0);
        assert!(!ledger.cancel("unknown", false));
        assert_eq!(ledger.view("unknown"), None);
        book(&ledger, "late", true, false);
        assert!(ledger.cancel("late", false));
        book(&ledger, "late", true, false);
        assert_eq!(ledger.live_bookings("late"), 1);
    }

    #[test]
    fn another_payload_under_a_booked_key_is_a_duplicate() {
        let ledger = Ledger::new();
        let first = book(&ledger, "a", true, true);
        let reference = reference(&first).to_owned();
        assert_eq!(
            book(&ledger, "a", true, true),
            BookOutcome::Replayed {
                reference: reference.clone()
            }
        );
        let other = ledger.book("a", Payload([2; 32]), &Behaviour::healthy(7));
        assert_eq!(other, BookOutcome::Duplicate { reference });
    }

    #[test]
    fn pages_cover_every_key_once() {
        let ledger = Ledger::new();
        let keys = ["a", "b", "c", "d", "e"];
        for key in keys {
            book(&ledger, key, true, true);
        }
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let (page, more) = ledger.page(&after, 2);
            found.extend(page.iter().map(|view| view.key.clone()));
            if !more {
                break;
            }
            after.clone_from(found.last().expect("a page before more is not empty"));
        }
        assert_eq!(found, keys);
    }
}
