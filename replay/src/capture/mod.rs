//! Captures: recorded traffic, read as a stream of exchanges.
//!
//! [`open_all`] takes files, folders and standard input, finds out each one's format (by content, then by extension) and yields a [`Record`]
//! at a time in order of time and in bounded memory; [`open`](open()) does so for one stream of bytes. [`load`](open::load) and
//! [`load_all`] collect them with the capture's SHA-256, and [`Writer`] writes our own format.
//!
//! A file is taken apart by the parser of its format, each record of it becomes an exchange, half of one, or a counted [`Skipped`]; a window
//! puts halves together and all in order.
//!
//! It deliberately does not judge a capture: what cannot be read is a counted [`Skipped`], and what it costs is the verdict's to say.

mod base64_text;
mod codec;
mod content;
mod envoy;
mod exchange;
mod fields;
mod format;
mod frames;
mod goreplay;
mod har;
mod input;
mod json_log;
mod lenient;
mod lines;
mod message;
mod mitmproxy;
mod open;
mod options;
mod otlp;
mod parsed;
mod parser;
mod problem;
mod protocol;
mod session;
mod skipped_line;
mod sorter;
mod source;
mod status;
mod target;
mod text;
mod times;
mod values;
mod window;

pub(crate) use content::codings;
pub use content::decoded;
pub(crate) use exchange::path_of;
pub use exchange::{Body, Exchange, Flag, Headers, Request, Response, header};
pub use fields::{Fields, NotAField};
pub use format::{Format, NotAFormat};
pub use lines::{Manifest, Writer};
pub use open::{Capture, Origin, Reader, load, open, open_with};
pub use options::{Limits, Options, Spans, Unreadable};
pub use problem::{CaptureError, Fault, Record, Skipped, SkippedKind};
pub(crate) use session::hex;
pub use source::{SourceFile, Stream, can_be_read_again, load_all, open_all, origin};
pub use text::TextLines;
