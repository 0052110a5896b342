//! mitmproxy's own flow dumps (`-w`, `save_stream_file`), versions 7 to 21 of its flows; for others mitmproxy itself writes HAR.
//!
//! **Invariant**: content is kept as it was on the wire; a flow without its answer has none, a flow of another protocol is counted.
//! It deliberately ignores keys that it does not know: each version added some, none of those read here changed.

mod flow;
mod tnetstring;

use std::{io::Read, sync::Arc};

use crate::capture::{
    CaptureError, Fault, SkippedKind,
    input::Input,
    open::io_error,
    parsed::{Next, Parsed, What},
};

/// Versions of a flow that are read.
const VERSIONS: std::ops::RangeInclusive<i64> = 7..=21;

/// Takes a dump apart.
#[derive(Debug)]
pub(crate) struct Mitmproxy<R: Read> {
    name: Arc<str>,
    input: Input<R>,
}

impl<R: Read> Mitmproxy<R> {
    pub(crate) fn new(name: Arc<str>, input: Input<R>) -> Self {
        Self { name, input }
    }

    pub(crate) fn input(&self) -> &Input<R> {
        &self.input
    }

    pub(crate) fn into_input(self) -> Input<R> {
        self.input
    }

    /// The next flow.
    pub(crate) fn next(&mut self) -> Next {
        let name = Arc::clone(&self.name);
        let offset = self.input.offset();
        let fail = |error| io_error(&name, offset, &error);
        let fault = |found: String, expected: &str, fault| CaptureError {
            file: name.to_string(),
            place: format!("byte {offset}"),
            found,
            expected: expected.to_owned(),
            fault,
        };
        let cut = || {
            fault(
                "the end of the file within a flow".to_owned(),
                "a whole flow",
                Fault::Truncated,
            )
        };
        let limit = self.input.limits().record_bytes;
        let begin = self.input.peek(tnetstring::DIGITS + 1).map_err(fail)?;
        if begin.is_empty() {
            return Ok(None);
        }
        let Some((count, head)) = tnetstring::length(begin) else {
            if begin.iter().all(u8::is_ascii_digit) && begin.len() <= tnetstring::DIGITS {
                return Err(cut());
            }
            let shown = String::from_utf8_lossy(begin).into_owned();
            return Err(fault(
                format!("{shown:?}"),
                "a flow's length and a colon",
                Fault::Damaged,
            ));
        };
        let parsed = |what| {
            Ok(Some(Parsed {
                offset,
                line: None,
                what,
            }))
        };
        if count > limit as u64 {
            let whole = head as u64 + count + 1;
            if self.input.skip(whole).map_err(fail)? < whole {
                return Err(cut());
            }
            let reason = format!("a flow of {count} bytes, above the limit of a record");
            return parsed(What::Skipped(SkippedKind::TooLarge, reason));
        }
        let end = head + usize::try_from(count).unwrap_or(limit);
        let bytes = self.input.take(end + 1).map_err(fail)?;
        if bytes.len() <= end {
            return Err(cut());
        }
        let flow = match tnetstring::value(&bytes[head..end], bytes[end]) {
            Ok(flow) => flow,
            Err(reason) => return parsed(What::Skipped(SkippedKind::Malformed, reason)),
        };
        match flow.get("version") {
            Some(tnetstring::Value::Int(version)) if VERSIONS.contains(version) => {}
            version => {
                let (found, kind) = match version {
                    Some(tnetstring::Value::Int(version)) => {
                        let newer = version > VERSIONS.end();
                        let kind = if newer {
                            Fault::NewerMajor
                        } else {
                            Fault::OldVersion
                        };
                        (format!("a flow of version {version}"), kind)
                    }
                    Some(_) => (
                        "a flow of a version before 1.0".to_owned(),
                        Fault::OldVersion,
                    ),
                    None => ("a value that is no flow".to_owned(), Fault::UnknownFormat),
                };
                let expected = "mitmproxy flows of version 7 to 21; mitmproxy converts others: mitmdump -n -r FILE --set hardump=OUT.har";
                return Err(fault(found, expected, kind));
            }
        }
        parsed(
            flow::read(&flow)
                .unwrap_or_else(|reason| What::Skipped(SkippedKind::Malformed, reason)),
        )
    }
}
