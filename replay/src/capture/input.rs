//! Bytes of a capture: hashed as they are read, gunzipped if they are gzip, handed out up to a delimiter.
//!
//! **Invariant**: at most one piece (a line, a record) is held, and no piece is longer than [`PIECE_LIMIT`].

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use memchr::memmem::Finder;
use sha2::{Digest, Sha256};

use crate::capture::session::hex;

/// A line or record above this is refused: a recorder's own limit is 5 MB a body.
pub(crate) const PIECE_LIMIT: usize = 64 << 20;

const READ: usize = 64 << 10;

/// Hashes what passes.
#[derive(Debug)]
struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.hasher.update(&buf[..read]);
        Ok(read)
    }
}

type Raw<R> = Hashing<Chain<Cursor<Vec<u8>>, R>>;

#[derive(Debug)]
enum Source<R: Read> {
    Plain(Raw<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Raw<R>>>>),
}

/// The decompressed bytes of a capture.
#[derive(Debug)]
pub(crate) struct Input<R: Read> {
    source: Source<R>,
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    ended: bool,
}

/// A piece of the input up to a delimiter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Where it begins.
    pub(crate) offset: u64,
    /// Its bytes, without the delimiter.
    pub(crate) bytes: &'a [u8],
    /// Whether the delimiter was there; without it the input has ended.
    pub(crate) terminated: bool,
}

impl<R: Read> Input<R> {
    /// The input behind `reader`, through gzip if it begins like gzip.
    pub(crate) fn new(mut reader: R) -> io::Result<Self> {
        let mut magic = vec![0; 2];
        let mut filled = 0;
        while filled < magic.len() {
            match reader.read(&mut magic[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        magic.truncate(filled);
        let gzip = magic == [0x1f, 0x8b];
        let raw = Hashing {
            inner: Cursor::new(magic).chain(reader),
            hasher: Sha256::new(),
        };
        let source = if gzip {
            Source::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(
                READ, raw,
            ))))
        } else {
            Source::Plain(raw)
        };
        Ok(Self {
            source,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            ended: false,
        })
    }

    /// The first `count` bytes that are still to come, or fewer at the end.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.buffer.len() - self.start < count && !self.ended {
            self.fill()?;
        }
        let available = &self.buffer[self.start..];
        Ok(&available[..available.len().min(count)])
    }

    /// Everything up to the next `delimiter`, or up to the end; `None` at the end.
    pub(crate) fn next_piece(&mut self, delimiter: &Finder<'_>) -> io::Result<Option<Piece<'_>>> {
        let width = delimiter.needle().len();
        let mut searched = 0;
        loop {
            let found = delimiter.find(&self.buffer[self.start + searched..]);
            let (length, terminated) = match found {
                Some(at) => (searched + at, true),
                None if self.ended && self.buffer.len() == self.start => return Ok(None),
                None if self.ended => (self.buffer.len() - self.start, false),
                None => {
                    let available = self.buffer.len() - self.start;
                    if available > PIECE_LIMIT {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            format!(
                                "a record of more than {PIECE_LIMIT} bytes at byte {}",
                                self.offset
                            ),
                        ));
                    }
                    searched = available.saturating_sub(width - 1);
                    // Making room moves bytes to the front of the buffer, and `searched` counts from `start`, so it stays right.
                    self.fill()?;
                    continue;
                }
            };
            let consumed = length + if terminated { width } else { 0 };
            let (begin, offset) = (self.start, self.offset);
            self.start += consumed;
            self.offset += consumed as u64;
            return Ok(Some(Piece {
                offset,
                bytes: &self.buffer[begin..begin + length],
                terminated,
            }));
        }
    }

    /// Where the next piece begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The SHA-256 of the raw bytes, compressed as they are; reads whatever is left.
    pub(crate) fn sha256(self) -> io::Result<String> {
        let mut raw = match self.source {
            Source::Plain(raw) => raw,
            Source::Gzip(gzip) => gzip.into_inner().into_inner(),
        };
        io::copy(&mut raw, &mut io::sink())?;
        Ok(hex(&raw.hasher.finalize()))
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ.max(filled / 2), 0);
        let target = &mut self.buffer[filled..];
        let read = loop {
            let result = match &mut self.source {
                Source::Plain(raw) => raw.read(target),
                Source::Gzip(gzip) => gzip.read(target),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

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

    fn pieces(reader: impl Read, delimiter: &str) -> Vec<(u64, Vec<u8>, bool)> {
        let mut input = Input::new(reader).expect("memory");
        let finder = Finder::new(delimiter);
        let mut pieces = Vec::new();
        while let Some(piece) = input.next_piece(&finder).expect("memory") {
            pieces.push((piece.offset, piece.bytes.to_vec(), piece.terminated));
        }
        pieces
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
        assert_eq!(pieces(&text[..], "--"), expected);
        assert_eq!(pieces(Slow(text), "--"), expected);
        assert_eq!(pieces(&b""[..], "--"), vec![]);
    }

    #[test]
    fn gzip_is_seen_by_its_magic_and_hashed_as_it_is() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"a\nb\n").expect("memory");
        let bytes = gzip.finish().expect("memory");
        assert_eq!(pieces(&bytes[..], "\n").len(), 2);
        let input = Input::new(&bytes[..]).expect("memory");
        assert_eq!(
            input.sha256().expect("memory"),
            hex(&Sha256::digest(&bytes))
        );
    }

    #[test]
    fn truncated_gzip_is_an_error() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&[b'x'; 4096]).expect("memory");
        let bytes = gzip.finish().expect("memory");
        let mut input = Input::new(&bytes[..bytes.len() - 6]).expect("memory");
        let error = input
            .next_piece(&Finder::new("\n"))
            .expect_err("the stream is cut");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
