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

use rehearsal_core::time::Timestamp;

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
    /// Bookings that do not show yet.
    unseen: Vec<Unseen>,
    last: Option<String>,
    cancelled: bool,
    /// Bookings ever made; numbers the next one.
    made: u32,
    payload: Option<Payload>,
}

/// A booking that does not show before a time.
#[derive(Clone, Debug)]
struct Unseen {
    reference: String,
    until: Timestamp,
    look_ups: bool,
}

/// A hash that tells a booking's payload from another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload([u8; 32]);

impl Payload {
    /// That of a booking's time, its patient's name and the address, which is empty where there is none.
    pub fn of(parts: [&str; 3]) -> Self {
        Self(digest(&parts))
    }

    /// Its first eight bytes: enough to tell two payloads of one key apart.
    pub fn short(self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|at| self.0[at]))
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

    /// A key's view as a look-up at `now` sees it, and whether that misses a booking that does not show yet.
    pub(super) fn look_up(&self, key: &str, now: Timestamp) -> (Option<BookingView>, bool) {
        let books = self.books();
        let Some(entry) = books.keys.get(key) else {
            return (None, false);
        };
        let missed = |unseen: &Unseen| unseen.look_ups && unseen.until > now;
        (entry.view_without(key, missed), entry.misses(missed))
    }

    /// Keeps `key`'s booking `reference` out of the list until a time, and out of look-ups too if they lag.
    pub(super) fn hide(&self, key: &str, reference: String, until: Timestamp, look_ups: bool) {
        if let Some(entry) = self.books().keys.get_mut(key) {
            entry.unseen.push(Unseen {
                reference,
                until,
                look_ups,
            });
        }
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

    /// Up to `limit` views behind `after`, in the order of keys, as they show at `now`.
    pub(super) fn page(&self, after: &str, limit: usize, now: Timestamp) -> Page {
        let books = self.books();
        let missed = |unseen: &Unseen| unseen.until > now;
        let mut page = Page::default();
        let rest = books
            .keys
            .range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        for (key, entry) in rest {
            if page.views.len() == limit {
                page.more = true;
                break;
            }
            page.views.extend(entry.view_without(key, missed));
            if entry.misses(missed) {
                page.missed.push(key.clone());
            }
        }
        page
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("no holder of the ledger panics")
    }
}

/// A page of the list.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) views: Vec<BookingView>,
    /// Whether more keys follow.
    pub(super) more: bool,
    /// Keys with a booking that does not show yet.
    pub(super) missed: Vec<String>,
}

impl Key {
    fn misses(&self, missed: impl Fn(&Unseen) -> bool) -> bool {
        let live = |unseen: &&Unseen| self.live.contains(&unseen.reference);
        self.unseen.iter().filter(live).any(missed)
    }

    /// The view without the bookings that are `missed`; `None` when nothing else is left of a key that is not cancelled.
    fn view_without(&self, key: &str, missed: impl Fn(&Unseen) -> bool) -> Option<BookingView> {
        if !self.misses(&missed) {
            return Some(self.view(key));
        }
        let shows = |reference: &&String| {
            let is_it = |unseen: &Unseen| unseen.reference == **reference && missed(unseen);
            !self.unseen.iter().any(is_it)
        };
        let showing: Vec<&String> = self.live.iter().filter(shows).collect();
        showing.first().map(|first| BookingView {
            key: key.to_owned(),
            reference: Some((*first).clone()),
            status: BookingStatus::Booked,
            bookings: u32::try_from(showing.len()).unwrap_or(u32::MAX),
        })
    }

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
    fn a_late_booking_shows_in_its_time_and_a_cancel_at_once() {
        let ledger = Ledger::new();
        let at = Timestamp::from_secs;
        let first = book(&ledger, "a", false, true);
        ledger.hide("a", reference(&first).to_owned(), at(10), false);
        assert!(ledger.page("", 9, at(9)).views.is_empty());
        assert_eq!(ledger.page("", 9, at(9)).missed, ["a"]);
        assert_eq!(ledger.page("", 9, at(10)).views.len(), 1);
        assert_eq!(ledger.look_up("a", at(9)), (ledger.view("a"), false));
        let second = book(&ledger, "a", false, true);
        ledger.hide("a", reference(&second).to_owned(), at(20), true);
        let (seen, misses) = ledger.look_up("a", at(12));
        assert_eq!((seen.unwrap().bookings, misses), (1, true));
        assert_eq!(ledger.live_bookings("a"), 2, "the truth is not late");
        ledger.cancel("a", true);
        let (seen, misses) = ledger.look_up("a", at(12));
        assert_eq!(
            (seen.unwrap().status, misses),
            (BookingStatus::Cancelled, false)
        );
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
            let page = ledger.page(&after, 2, Timestamp::default());
            found.extend(page.views.iter().map(|view| view.key.clone()));
            if !page.more {
                break;
            }
            after.clone_from(found.last().expect("a page before more is not empty"));
        }
        assert_eq!(found, keys);
    }
}
