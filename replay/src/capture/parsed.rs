//! What a parser takes from a file, before anything is put in order.
//!
//! **Invariant**: each record of a file is one [`Parsed`]: an exchange, half of one, or a record that is skipped with its reason.

use std::fmt;

use crate::capture::{Body, CaptureError, Exchange, Flag, Headers, SkippedKind};

/// A record of a file.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Where it begins: bytes from the start of the decompressed file.
    pub(crate) offset: u64,
    /// The line it is on, where the format has lines.
    pub(crate) line: Option<u64>,
    /// What it is.
    pub(crate) what: What,
}

/// What a record is.
#[derive(Debug)]
pub(crate) enum What {
    /// A whole exchange, or one that never had an answer.
    Exchange(Box<Exchange>),
    /// A request whose answer is a record of its own, with the same id.
    Request(Id, Box<Exchange>),
    /// An answer that looks for its request.
    Response(Box<ResponseHalf>),
    /// No exchange.
    Skipped(SkippedKind, String),
    /// So many that were no exchange when the file was imported.
    SkippedBefore(SkippedKind, String, u64),
}

/// What a parser yields at its next record; `None` at the end of the file.
pub(crate) type Next = Result<Option<Parsed>, CaptureError>;

/// An answer that looks for its request.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHalf {
    pub(crate) id: Id,
    pub(crate) ts_ns: u64,
    /// The meta line's fourth field: the round trip in old files, the time of receiving in newer ones.
    pub(crate) receive_ns: u64,
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
    pub(crate) flags: Vec<Flag>,
}

impl Parsed {
    /// When it happened, in nanoseconds since the Unix epoch; `None` of what is skipped.
    pub(crate) fn ts_ns(&self) -> Option<u64> {
        match &self.what {
            What::Exchange(exchange) | What::Request(_, exchange) => Some(exchange.ts_ns),
            What::Response(response) => Some(response.ts_ns),
            What::Skipped(..) | What::SkippedBefore(..) => None,
        }
    }
}

/// What joins a request and its answer: hexadecimal digits mostly, which need no allocation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Id {
    Hex([u8; 20], u8),
    Text(Box<str>),
}

impl Id {
    pub(crate) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        if bytes.len().is_multiple_of(2) && bytes.len() <= 40 {
            let mut packed = [0; 20];
            let mut digits = bytes.chunks_exact(2);
            let hex = packed.iter_mut().zip(&mut digits).all(|(to, pair)| {
                let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                    return false;
                };
                *to = high << 4 | low;
                true
            });
            if hex {
                return Self::Hex(packed, u8::try_from(bytes.len() / 2).unwrap_or(0));
            }
        }
        Self::Text(text.into())
    }
}

/// Lower case only, so that an id is printed as it was written.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hex(packed, count) => packed[..usize::from(*count)]
                .iter()
                .try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printed_as_they_were_written() {
        for text in [
            "",
            "a",
            "ab",
            "AB",
            "0123456789abcdef01234567",
            "x y",
            &"f".repeat(40),
            &"f".repeat(42),
        ] {
            assert_eq!(Id::new(text).to_string(), *text);
        }
        assert_ne!(Id::new("00"), Id::new("0000"));
    }
}
