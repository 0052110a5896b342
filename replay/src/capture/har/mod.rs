//! HAR 1.2, the HTTP archive of browsers and proxies: one JSON document, read an entry at a time.
//!
//! ```json
//! {"log": {"version": "1.2", "creator": {..}, "pages": [..], "entries": [{..}, {..}]}}
//! ```
//!
//! Documents may follow one another in a file, and each may hold several lists of entries: all are read.
//!
//! **Invariant**: only `log.entries` is held, one element at a time; all else is passed over. An entry that cannot be read is skipped with its place,
//! and so is what follows a document and is none; a document without entries, or one that ends early, is an error.

mod entry;
mod form;
mod headers;

use std::{io, io::Read, sync::Arc};

use crate::capture::{
    CaptureError, Fault, SkippedKind,
    input::Input,
    open::io_error,
    parsed::{Next, Parsed, What},
    values::{self, Resync},
};

/// A key longer than this is none that a HAR has.
const KEY_BYTES: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a document.
    Start,
    /// In a list of entries.
    Entries,
    /// In the object that holds such a list, or in the one that holds that: so many braces are open.
    Tail(u32),
    /// Behind a document.
    Between,
}

/// Takes a HAR apart.
#[derive(Debug)]
pub(crate) struct Har<R: Read> {
    name: Arc<str>,
    input: Input<R>,
    state: State,
}

impl<R: Read> Har<R> {
    pub(crate) fn new(name: Arc<str>, input: Input<R>) -> Self {
        Self {
            name,
            input,
            state: State::Start,
        }
    }

    pub(crate) fn input(&self) -> &Input<R> {
        &self.input
    }

    pub(crate) fn into_input(self) -> Input<R> {
        self.input
    }

    /// The next entry.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            match self.state {
                State::Start => self.start()?,
                State::Entries => {
                    if let Some(parsed) = self.entry()? {
                        return Ok(Some(parsed));
                    }
                }
                State::Tail(open) => self.tail(open)?,
                State::Between => match self.space()? {
                    None => return Ok(None),
                    Some(b'{' | b'\xef') => self.state = State::Start,
                    Some(_) => return self.rest().map(Some),
                },
            }
        }
    }

    /// The next entry of the list; `None` at its end.
    fn entry(&mut self) -> Next {
        loop {
            match self.space()? {
                Some(b',') => self.input.consume(1),
                Some(b']') => {
                    self.input.consume(1);
                    self.state = State::Tail(2);
                    return Ok(None);
                }
                Some(_) => break,
                None => return Err(self.cut("its entries")),
            }
        }
        let (name, place) = (Arc::clone(&self.name), self.input.offset());
        let value = values::next(&mut self.input, Resync::Never)
            .map_err(|error| io_error(&name, place, &error))?;
        let what = match value.too_long {
            Some(length) => {
                let reason = format!("an entry of {length} bytes, above the limit of a record");
                What::Skipped(SkippedKind::TooLarge, reason)
            }
            None if value.cut => {
                return Err(truncated(&name, place, "an entry"));
            }
            None => entry::read(value.bytes)
                .unwrap_or_else(|reason| What::Skipped(SkippedKind::Malformed, reason)),
        };
        Ok(Some(Parsed {
            offset: place,
            line: None,
            what,
        }))
    }

    /// Goes to the first entry.
    fn start(&mut self) -> Result<(), CaptureError> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if self.passed(|input| Ok(input.peek(MARK.len())? == MARK))? {
            self.input.consume(MARK.len());
        }
        self.expect(b'{', "{\"log\": ..}")?;
        self.descend("log", b'{')?;
        self.descend("entries", b'[')?;
        self.state = State::Entries;
        Ok(())
    }

    /// Goes into the value of `wanted` in the object that it stands in, past all other keys.
    fn descend(&mut self, wanted: &str, opening: u8) -> Result<(), CaptureError> {
        let missing = |found: &str| format!("{found} without a key \"{wanted}\"");
        loop {
            match self.space()? {
                Some(b',') => self.input.consume(1),
                Some(b'"') => {
                    let key = self.key()?;
                    self.expect(b':', "a colon after a key")?;
                    if key == wanted {
                        let shown = format!("the value of \"{wanted}\"");
                        return self.expect(opening, &shown);
                    }
                    self.space()?;
                    if !self.passed(values::pass)? {
                        return Err(self.cut("a value"));
                    }
                }
                Some(b'}') => {
                    return Err(self.damaged(
                        missing("an object"),
                        "HAR 1.2: {\"log\": {\"entries\": [..]}}",
                    ));
                }
                Some(byte) => {
                    return Err(self.damaged(format!("{:?}", char::from(byte)), "a key in quotes"));
                }
                None => return Err(self.cut("its first keys")),
            }
        }
    }

    /// What follows a list of entries has to close what was opened, or is another list.
    fn tail(&mut self, mut open: u32) -> Result<(), CaptureError> {
        while open > 0 {
            match self.space()? {
                Some(b'}') => {
                    self.input.consume(1);
                    open -= 1;
                }
                Some(b',') => self.input.consume(1),
                Some(b'"') => {
                    let key = self.key()?;
                    self.expect(b':', "a colon after a key")?;
                    match (open, &*key) {
                        (1, "log") => {
                            self.expect(b'{', "the value of \"log\"")?;
                            self.descend("entries", b'[')?;
                        }
                        (2, "entries") => self.expect(b'[', "the value of \"entries\"")?,
                        _ => {
                            self.space()?;
                            if !self.passed(values::pass)? {
                                return Err(self.cut("what follows its entries"));
                            }
                            continue;
                        }
                    }
                    self.state = State::Entries;
                    return Ok(());
                }
                Some(byte) => {
                    let found = format!("{:?}", char::from(byte));
                    return Err(self.damaged(found, "a key in quotes or a closing brace"));
                }
                None => return Err(self.cut("what follows its entries")),
            }
        }
        self.state = State::Between;
        Ok(())
    }

    /// What follows a document and is none, as one record that cannot be read.
    fn rest(&mut self) -> Result<Parsed, CaptureError> {
        let offset = self.input.offset();
        let length = self.passed(|input| input.skip(u64::MAX))?;
        let reason = format!("{length} bytes behind a document, which are none");
        Ok(Parsed {
            offset,
            line: None,
            what: What::Skipped(SkippedKind::Malformed, reason),
        })
    }

    fn key(&mut self) -> Result<String, CaptureError> {
        let (name, place) = (Arc::clone(&self.name), self.input.offset());
        let value = values::next(&mut self.input, Resync::Never)
            .map_err(|error| io_error(&name, place, &error))?;
        if value.cut {
            return Err(truncated(&name, place, "a key"));
        }
        if value.bytes.len() > KEY_BYTES {
            return Ok(String::new());
        }
        Ok(serde_json::from_slice(value.bytes).unwrap_or_default())
    }

    fn expect(&mut self, byte: u8, expected: &str) -> Result<(), CaptureError> {
        match self.space()? {
            Some(found) if found == byte => {
                self.input.consume(1);
                Ok(())
            }
            Some(found) => Err(self.damaged(format!("{:?}", char::from(found)), expected)),
            None => Err(self.cut("its first keys")),
        }
    }

    fn space(&mut self) -> Result<Option<u8>, CaptureError> {
        self.passed(|input| input.skip_space(&mut 0))
    }

    fn passed<T>(
        &mut self,
        read: impl FnOnce(&mut Input<R>) -> io::Result<T>,
    ) -> Result<T, CaptureError> {
        let place = self.input.offset();
        read(&mut self.input).map_err(|error| io_error(&self.name, place, &error))
    }

    fn damaged(&self, found: String, expected: &str) -> CaptureError {
        CaptureError {
            file: self.name.to_string(),
            place: format!("byte {}", self.input.offset()),
            found,
            expected: expected.to_owned(),
            fault: Fault::Damaged,
        }
    }

    fn cut(&self, within: &str) -> CaptureError {
        truncated(&self.name, self.input.offset(), within)
    }
}

fn truncated(name: &str, place: u64, within: &str) -> CaptureError {
    CaptureError {
        file: name.to_owned(),
        place: format!("byte {place}"),
        found: format!("the end of the file within {within}"),
        expected: "a whole HAR document".to_owned(),
        fault: Fault::Truncated,
    }
}
