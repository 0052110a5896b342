//! The legacy appointment service, defects and all: what v2 is compared with.
//!
//! In reading order: what it accepts, what it stores ([`Rows`]), how it calls the provider, what it logs ([`LegacyJournal`]), and the
//! HTTP service ([`run`]). Its defects are those that the mission names, and they stay:
//!
//! | defect | how it shows |
//! |---|---|
//! | no idempotency | a repeated `POST` books again, under a fresh key, and overwrites the row; the first booking is orphaned |
//! | blocking provider calls | the client waits for the provider, for as long as that takes |
//! | synchronous retry loop | every failure is tried again at once, up to [`TRIES`] times, a definitive refusal too |
//! | misreported timeouts | a timeout is answered with 504 and stored as failed, though the provider may have booked |
//! | no outbox | the row is written when the provider has answered; a crash before that loses it, and the booking stays |
//! | no breaker | an outage is hammered |
//! | unmasked logs | names and emails stand in every line |
//!
//! **Invariant**: it makes the same accept-or-reject decisions as v2 for ordinary input, so that what differs is a defect. It deliberately
//! shares no code with v2.

mod submission;

mod rows;

mod booking;

mod journal;

mod server;

pub use booking::TRIES;
pub use journal::LegacyJournal;
pub use rows::{LegacyState, Row, Rows};
pub use server::{LegacyConfig, run, serve};
