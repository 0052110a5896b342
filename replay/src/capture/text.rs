//! A file of lines, through its compression: what the readers of captures read, for whoever has lines of another kind.
//!
//! **Invariant**: at most one line is held, and none above the limit of a record: that is an error, never a line that is cut.

use std::io::{self, Read};

use memchr::memmem::Finder;

use crate::capture::{Limits, input::Input};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a file: plain, gzip, zlib or zstd, whichever its first bytes say.
#[derive(Debug)]
pub struct TextLines<R: Read> {
    input: Input<R>,
    limits: Limits,
    number: u64,
    end: Finder<'static>,
}

impl<R: Read> TextLines<R> {
    /// The lines behind `reader`; of the limits those of a record and of a file count.
    ///
    /// # Errors
    /// What the reader says, or a compression that is damaged.
    pub fn new(reader: R, limits: Limits) -> io::Result<Self> {
        let mut input = Input::unhashed(reader, limits)?;
        if input.peek(BYTE_ORDER_MARK.len())? == BYTE_ORDER_MARK {
            input.consume(BYTE_ORDER_MARK.len());
        }
        Ok(Self {
            input,
            limits,
            number: 0,
            end: Finder::new(b"\n"),
        })
    }

    /// The first byte to come that is no white space, which stays to come; `None` at the end.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn begins_with(&mut self) -> io::Result<Option<u8>> {
        self.input.skip_space(&mut self.number)
    }

    /// Whether the file is not compressed, so that [`offset`](Self::offset) is a place in it.
    pub fn is_plain(&self) -> bool {
        self.input.is_plain()
    }

    /// Where the next line begins: so many bytes, as they are without compression, are before it.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// The next line without its end, and its number from 1; `None` at the end.
    ///
    /// # Errors
    /// As [`Self::new`], or a line above the limit.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let Some(piece) = self.input.next_piece(&self.end)? else {
            return Ok(None);
        };
        self.number += 1;
        if let Some(length) = piece.too_long {
            let (number, limit) = (self.number, self.limits.record_bytes);
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("line {number}: found {length} bytes, expected at most {limit}"),
            ));
        }
        Ok(Some((self.number, piece.bytes)))
    }

    /// All that is to come; `None` if it is more than `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn whole(&mut self, limit: usize) -> io::Result<Option<&[u8]>> {
        while self.input.available().len() <= limit && self.input.more()? {}
        let all = self.input.available();
        Ok((all.len() <= limit).then_some(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(record_bytes: usize) -> Limits {
        Limits {
            record_bytes,
            ..Limits::default()
        }
    }

    #[test]
    fn lines_are_counted_whatever_holds_them() {
        let text = b"\xef\xbb\xbf\n {\"a\":1}\r\n\nlast";
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        for bytes in [
            text.to_vec(),
            ruzstd::encoding::compress_to_vec(&text[..], level),
        ] {
            let mut lines = TextLines::new(&bytes[..], limits(64)).expect("lines");
            assert_eq!(lines.begins_with().expect("a byte"), Some(b'{'));
            let mut found = Vec::new();
            assert_eq!(lines.is_plain(), bytes == text);
            assert_eq!(lines.offset(), 5, "behind the mark and white space");
            while let Some((number, line)) = lines.next_line().expect("a line") {
                found.push((number, String::from_utf8_lossy(line).into_owned()));
            }
            let found: Vec<(u64, &str)> = found.iter().map(|(at, line)| (*at, &**line)).collect();
            assert_eq!(found, [(2, "{\"a\":1}\r"), (3, ""), (4, "last")]);
        }
    }

    #[test]
    fn what_is_too_long_is_an_error_and_never_cut() {
        let mut lines = TextLines::new(&b"1234\n12345\n"[..], limits(4)).expect("lines");
        assert_eq!(lines.next_line().expect("a line"), Some((1, &b"1234"[..])));
        assert_eq!(
            lines.next_line().expect_err("too long").to_string(),
            "line 2: found 5 bytes, expected at most 4"
        );
        let whole = |limit| {
            let mut lines = TextLines::new(&b"[1]"[..], limits(4)).expect("lines");
            lines.whole(limit).expect("bytes").map(<[u8]>::to_vec)
        };
        assert_eq!((whole(3), whole(2)), (Some(b"[1]".to_vec()), None));
    }
}
