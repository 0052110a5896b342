//! The scheduling provider: bookings by key, tombstone cancels, a list, and every way in which a third party fails.
//!
//! In reading order: what it is told to do ([`Behaviour`]), what that means for one call ([`Course`]), what it remembers ([`Ledger`]),
//! what it tells the harness ([`ProviderEvent`]), and the HTTP service itself ([`run`]).
//!
//! **Invariant**: a booking in the ledger has a [`ProviderEvent::Booked`], and the other way round. It deliberately knows nothing of
//! appointments: a key, a time, a name.

mod behaviour;

mod check;

mod units;

mod course;

mod ledger;

mod journal;

mod request;

mod server;

pub use behaviour::{Behaviour, ErrorRule, GarbleRule, Garbling, Latency, ListingLag, Window};
pub use check::InvalidBehaviour;
pub use course::{Course, Fault, Hidden, Silence};
pub use journal::{Operation, ProviderEvent, ProviderJournal};
pub use ledger::{BookingStatus, BookingView, Ledger, Payload};
pub use server::{run, serve};
