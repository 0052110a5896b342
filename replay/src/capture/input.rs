//! Decompressed bytes of a capture, handed out a piece at a time.
//!
//! **Invariant**: at most one piece (a line, a record, a JSON value) is held, and no piece is longer than the limit of a record: what
//! is longer is passed over and says how long it was.

use std::{
    fmt,
    io::{self, Read},
};

use memchr::memmem::Finder;
use sha2::Sha256;

use crate::capture::{
    Limits,
    codec::{Codec, READ},
};

/// A buffer that one long record grew is given back above this.
const KEEP: usize = 1 << 20;

/// The decompressed bytes of a capture.
#[derive(Debug)]
pub(crate) struct Input<R: Read> {
    codec: Codec<R>,
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    offset: u64,
    ended: bool,
    limits: Limits,
}

/// A piece of the input up to a delimiter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Where it begins.
    pub(crate) offset: u64,
    /// Its bytes, without the delimiter; none if it is too long.
    pub(crate) bytes: &'a [u8],
    /// Whether the delimiter was there; without it the input has ended.
    pub(crate) terminated: bool,
    /// How long it is, if that is above the limit.
    pub(crate) too_long: Option<u64>,
}

impl<R: Read> Input<R> {
    /// The input behind `reader`, through its compression, and its hash.
    pub(crate) fn new(reader: R, limits: Limits) -> io::Result<Self> {
        let codec = Codec::new(reader, Some(Sha256::default()))?;
        Ok(Self::through(codec, limits))
    }

    /// The input behind `reader`, whose hash nobody asks for: to make it is most of the work of reading.
    pub(crate) fn unhashed(reader: R, limits: Limits) -> io::Result<Self> {
        let codec = Codec::new(reader, None)?;
        Ok(Self::through(codec, limits))
    }

    fn through(codec: Codec<R>, limits: Limits) -> Self {
        Self {
            codec,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            offset: 0,
            ended: false,
            limits,
        }
    }

    /// What is too much.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What is there without reading.
    pub(crate) fn available(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Reads on; `false` at the end. What is available only grows.
    pub(crate) fn more(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        }
        let needed = self.filled + READ;
        let large = self.buffer.len() > KEEP && needed < KEEP / 2;
        if large || self.buffer.len() < needed {
            // A new buffer comes zeroed from the system; growing the old one would write every byte.
            let mut buffer = vec![0; READ + self.filled * 3 / 2];
            buffer[..self.filled].copy_from_slice(&self.buffer[..self.filled]);
            self.buffer = buffer;
        }
        let read = loop {
            match self.codec.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|error| self.failed(error))?,
            }
        };
        self.filled += read;
        self.ended = read == 0;
        if self.offset + self.filled as u64 > self.limits.file_bytes {
            let limit = self.limits.file_bytes;
            return Err(self.failed(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("more than {limit} bytes when decompressed"),
            )));
        }
        Ok(!self.ended)
    }

    /// `error` with the place that the reading had come to.
    fn failed(&self, error: io::Error) -> io::Error {
        let offset = self.offset + (self.filled - self.start) as u64;
        io::Error::new(error.kind(), Failed { offset, error })
    }

    /// Passes over `count` bytes that are available.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// The first `count` bytes that are still to come, or fewer at the end.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.available().len() < count && self.more()? {}
        let available = self.available();
        Ok(&available[..available.len().min(count)])
    }

    /// The next byte that is no white space, which it leaves there, and how many lines were passed; `None` at the end.
    pub(crate) fn skip_space(&mut self, lines: &mut u64) -> io::Result<Option<u8>> {
        loop {
            let available = self.available();
            let space = available
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            *lines += memchr::memchr_iter(b'\n', &available[..space]).count() as u64;
            let found = available.get(space).copied();
            self.consume(space);
            if found.is_some() || !self.more()? {
                return Ok(found);
            }
        }
    }

    /// Everything up to the next `delimiter`, or up to the end; `None` at the end.
    pub(crate) fn next_piece(&mut self, delimiter: &Finder<'_>) -> io::Result<Option<Piece<'_>>> {
        self.piece(delimiter, |_, _| After::Ends(0))
    }

    /// Everything up to the next line that is `delimiter`, which begins with the line feed before it; such a line ends in LF, in CR LF or
    /// with the input. Up to the end if there is none; `None` at the end.
    pub(crate) fn next_record(&mut self, delimiter: &Finder<'_>) -> io::Result<Option<Piece<'_>>> {
        self.piece(delimiter, |after, ended| match after {
            [b'\n', ..] => After::Ends(1),
            [b'\r', b'\n', ..] => After::Ends(2),
            [] | [b'\r'] if ended => After::Ends(after.len()),
            [] | [b'\r'] => After::Unknown,
            _ => After::GoesOn,
        })
    }

    fn piece(
        &mut self,
        delimiter: &Finder<'_>,
        after: impl Fn(&[u8], bool) -> After,
    ) -> io::Result<Option<Piece<'_>>> {
        let offset = self.offset;
        let (mut searched, mut passed) = (0, 0_u64);
        loop {
            let available = self.available();
            let found = find(delimiter, available, &mut searched, |rest| {
                after(rest, self.ended)
            });
            let length = match found {
                Some((at, _)) => at,
                None if self.ended => available.len(),
                None => {
                    if available.len() > self.limits.record_bytes {
                        passed += searched as u64;
                        self.consume(searched);
                        searched = 0;
                    }
                    self.more()?;
                    continue;
                }
            };
            if found.is_none() && length == 0 && passed == 0 {
                return Ok(None);
            }
            let begin = self.start;
            self.consume(length + found.map_or(0, |(_, width)| width));
            let whole = passed + length as u64;
            let too_long = (whole > self.limits.record_bytes as u64).then_some(whole);
            let shown = if too_long.is_some() { 0 } else { length };
            return Ok(Some(Piece {
                offset,
                bytes: &self.buffer[begin..begin + shown],
                terminated: found.is_some(),
                too_long,
            }));
        }
    }

    /// The next `count` bytes, then passes over them; fewer at the end.
    pub(crate) fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.available().len() < count && self.more()? {}
        let count = self.available().len().min(count);
        let begin = self.start;
        self.consume(count);
        Ok(&self.buffer[begin..begin + count])
    }

    /// Passes over `count` bytes; fewer at the end. How many there were.
    pub(crate) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut left = count;
        loop {
            let here = self
                .available()
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            self.consume(here);
            left -= here as u64;
            if left == 0 || !self.more()? {
                return Ok(count - left);
            }
        }
    }

    /// Where the next piece begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the file is not compressed.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.codec, Codec::Plain(_))
    }

    /// How many bytes of the file, as it is on disk, were read.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.codec.raw_bytes()
    }

    /// The SHA-256 of the file, compressed as it is, and its length; reads whatever is left.
    pub(crate) fn sha256(self) -> io::Result<(String, u64)> {
        self.codec.sha256()
    }
}

/// Why no more could be read.
#[derive(Debug)]
pub(crate) struct Failed {
    /// How many decompressed bytes could.
    pub(crate) offset: u64,
    error: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Failed {}

/// What the bytes behind a needle say of it.
enum After {
    /// It is a delimiter, and so many bytes more belong to it.
    Ends(usize),
    /// It is none.
    GoesOn,
    /// The next bytes will say.
    Unknown,
}

/// Where the first delimiter is, and how long it is; `searched` is where to look when there are more bytes.
fn find(
    delimiter: &Finder<'_>,
    bytes: &[u8],
    searched: &mut usize,
    after: impl Fn(&[u8]) -> After,
) -> Option<(usize, usize)> {
    let width = delimiter.needle().len();
    while let Some(at) = delimiter.find(&bytes[*searched..]) {
        let at = *searched + at;
        match after(&bytes[at + width..]) {
            After::Ends(more) => return Some((at, width + more)),
            After::GoesOn => *searched = at + 1,
            After::Unknown => {
                *searched = at;
                return None;
            }
        }
    }
    *searched = (*searched).max(bytes.len().saturating_sub(width - 1));
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };
    use sha2::Digest as _;

    use super::*;
    use crate::capture::session::hex;

    /// Yields one byte a call, as a slow pipe may.
    struct Slow<'a>(&'a [u8]);
    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1);
            buf[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn input<R: Read>(reader: R) -> Input<R> {
        Input::new(reader, Limits::default()).expect("memory")
    }

    fn pieces(mut input: Input<impl Read>, delimiter: &str) -> Vec<(u64, Vec<u8>, bool)> {
        let finder = Finder::new(delimiter);
        let mut pieces = Vec::new();
        while let Some(piece) = input.next_piece(&finder).expect("memory") {
            pieces.push((piece.offset, piece.bytes.to_vec(), piece.terminated));
        }
        pieces
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(bytes).expect("memory");
        gzip.finish().expect("memory")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(bytes, level)
    }

    #[test]
    fn pieces_are_the_same_whatever_the_reads() {
        let text = b"one--two----four";
        let expected = vec![
            (0, b"one".to_vec(), true),
            (5, b"two".to_vec(), true),
            (10, b"".to_vec(), true),
            (12, b"four".to_vec(), false),
        ];
        assert_eq!(pieces(input(&text[..]), "--"), expected);
        assert_eq!(pieces(input(Slow(text)), "--"), expected);
        assert_eq!(pieces(input(&b""[..]), "--"), vec![]);
    }

    #[test]
    fn a_piece_above_the_limit_is_passed_over_and_says_how_long_it_was() {
        let limits = Limits {
            record_bytes: 10,
            ..Limits::default()
        };
        let text = [b"short--".as_slice(), &vec![b'x'; 900_000], b"--after"].concat();
        for whole in [true, false] {
            let reader: Box<dyn Read> = if whole {
                Box::new(&text[..])
            } else {
                Box::new(Slow(&text))
            };
            let mut input = Input::new(reader, limits).expect("memory");
            let finder = Finder::new("--");
            let mut next = || {
                let piece = input.next_piece(&finder).expect("memory").expect("a piece");
                (piece.offset, piece.bytes.to_vec(), piece.too_long)
            };
            assert_eq!(next(), (0, b"short".to_vec(), None));
            assert_eq!(next(), (7, Vec::new(), Some(900_000)));
            assert_eq!(next(), (900_009, b"after".to_vec(), None));
        }
    }

    #[test]
    fn compression_is_seen_by_its_magic_and_hashed_as_it_is() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"a\nb\n").expect("memory");
        let twice = [
            zstd(b"a\n"),
            b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(),
            zstd(b"b\n"),
        ]
        .concat();
        let members = [gzip(b"a\n"), gzip(b"b\n")].concat();
        for bytes in [
            gzip(b"a\nb\n"),
            members,
            zlib.finish().expect("memory"),
            zstd(b"a\nb\n"),
            twice,
        ] {
            assert_eq!(pieces(input(&bytes[..]), "\n").len(), 2);
            assert_eq!(pieces(input(Slow(&bytes)), "\n").len(), 2);
            let (sha256, length) = input(&bytes[..]).sha256().expect("memory");
            assert_eq!(sha256, hex(&Sha256::digest(&bytes)));
            assert_eq!(length, bytes.len() as u64);
        }
    }

    #[test]
    fn truncated_compression_is_an_error() {
        for bytes in [
            gzip(&[b'x'; 4096]),
            zstd(&(0..=255).cycle().take(9_000).collect::<Vec<u8>>()),
        ] {
            let mut input = input(&bytes[..bytes.len() - 6]);
            let error = input
                .next_piece(&Finder::new("\n"))
                .expect_err("the stream is cut");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
        }
    }

    #[test]
    fn a_file_above_its_limit_is_refused() {
        let limits = Limits {
            file_bytes: 1_000,
            ..Limits::default()
        };
        let bytes = gzip(&vec![b'x'; 1 << 20]);
        let mut input = Input::new(&bytes[..], limits).expect("memory");
        let error = input.next_piece(&Finder::new("\n")).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
