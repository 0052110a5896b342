//! Captures: recorded traffic, read as a stream of exchanges.
//!
//! [`open`](open()) finds out the format (by content, then by extension), [`Reader`] yields a [`Record`] at a time in bounded memory,
//! [`load`](open::load) collects them with the capture's SHA-256, and [`Writer`] writes our own format.
//!
//! It deliberately does not judge a capture: what cannot be read is a counted [`Skipped`], and what it costs is the verdict's to say.

mod content;
mod exchange;
mod goreplay;
mod input;
mod lines;
mod message;
mod open;
mod pairing;
mod problem;
mod session;

pub use content::decoded;
pub use exchange::{Body, Exchange, Flag, Headers, Request, Response, header};
pub use goreplay::GoReplay;
pub use lines::{Lines, Manifest, Writer};
pub use open::{Capture, Format, Reader, load, open};
pub use problem::{CaptureError, Fault, Record, Skipped, SkippedKind};
pub(crate) use session::hex;
