//! How captures are read: limits, strictness, and what a format leaves to its user.
//!
//! **Invariant**: with the same options the same bytes give the same records.

use std::path::PathBuf;

use crate::capture::{Body, Exchange, Fields, Flag, Format};

/// How captures are read. The default reads any format, goes on past what cannot be read, and counts it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format, where it is not to be found out.
    pub format: Option<Format>,
    /// What happens at a record that cannot be read.
    pub unreadable: Unreadable,
    /// What is too much.
    pub limits: Limits,
    /// What an access log of JSON objects calls its fields.
    pub fields: Fields,
    /// Which spans of a trace are requests.
    pub spans: Spans,
    /// A file that is passed over where it is found in a folder: the one that is written of what is read.
    pub passed_over: Option<PathBuf>,
}

/// What happens at a record that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unreadable {
    /// It is counted with its place, and the reading goes on.
    #[default]
    Count,
    /// It ends the reading.
    Stop,
}

/// Which spans of a trace are requests. Both kinds together would be each request twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spans {
    /// What a server answered.
    #[default]
    Server,
    /// What a client asked.
    Client,
}

/// What is too much. What is above is counted or ends the reading; it is never cut in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A record (a line, an entry, a flow) above this is skipped. Recorders keep bodies of at most 5 MB, and text coding doubles them.
    pub record_bytes: usize,
    /// A body above this is dropped and flagged; its request is not replayed.
    pub body_bytes: usize,
    /// A file above this, decompressed, ends the reading: a small compressed file can hold terabytes.
    pub file_bytes: u64,
    /// More records than this end the reading.
    pub records: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes: 16 << 20,
            body_bytes: 8 << 20,
            file_bytes: u64::MAX,
            records: u64::MAX,
        }
    }
}

impl Limits {
    /// Drops the bodies of `exchange` that are above the limit.
    pub(crate) fn bound(&self, exchange: &mut Exchange) {
        let request = self.bound_body(&mut exchange.request.body);
        let response = exchange
            .response
            .as_mut()
            .is_some_and(|response| self.bound_body(&mut response.body));
        if request || response {
            exchange.flag(Flag::BodyTooLarge);
        }
    }

    /// Drops `body` if it is above the limit, and says whether it was.
    pub(crate) fn bound_body(&self, body: &mut Body) -> bool {
        let (Body::Whole(bytes) | Body::Truncated { bytes, .. }) = &*body else {
            return false;
        };
        let length = bytes.len();
        if length <= self.body_bytes {
            return false;
        }
        *body = Body::Truncated {
            bytes: bytes::Bytes::new(),
            length: Some(length as u64),
        };
        true
    }
}
