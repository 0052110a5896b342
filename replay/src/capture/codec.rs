//! The bytes of a file: hashed as they are on disk, decompressed if they are compressed.
//!
//! **Invariant**: the magic bytes decide, never the name; the hash is of what is on disk.
//! It deliberately reads compressed files that were appended to: several gzip members or zstd frames are one file.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Chain, Cursor, Read},
};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use sha2::{Digest as _, Sha256};

use crate::capture::session::hex;

/// How much is asked of a file at once.
pub(crate) const READ: usize = 128 << 10;

/// Counts what passes, and hashes it where somebody will ask for the hash.
#[derive(Debug)]
pub(crate) struct Hashing<R> {
    inner: R,
    hasher: Option<Sha256>,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buf[..read]);
        }
        self.bytes += read as u64;
        Ok(read)
    }
}

pub(crate) type Raw<R> = Hashing<Chain<Cursor<Vec<u8>>, R>>;

/// A file through its compression.
#[derive(Debug)]
pub(crate) enum Codec<R: Read> {
    Plain(Raw<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Raw<R>>>>),
    Zlib(Box<ZlibDecoder<BufReader<Raw<R>>>>),
    Zstd(Box<Frames<BufReader<Raw<R>>>>),
}

impl<R: Read> Codec<R> {
    /// The bytes behind `reader`; without a hasher nobody may ask for their hash.
    pub(crate) fn new(mut reader: R, hasher: Option<Sha256>) -> io::Result<Self> {
        let mut magic = vec![0; 4];
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
        let compressed = |raw| BufReader::with_capacity(READ, raw);
        let begins = magic.clone();
        let raw = Hashing {
            inner: Cursor::new(magic).chain(reader),
            hasher,
            bytes: 0,
        };
        Ok(match begins[..] {
            [0x1f, 0x8b, ..] => Self::Gzip(Box::new(MultiGzDecoder::new(compressed(raw)))),
            // zlib's head is a multiple of 31; 0x78 is what every writer uses, and `x` begins no format that is read.
            [0x78, second, ..] if (0x7800 | u16::from(second)).is_multiple_of(31) => {
                Self::Zlib(Box::new(ZlibDecoder::new(compressed(raw))))
            }
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                Self::Zstd(Box::new(Frames {
                    inner: compressed(raw),
                    decoder: FrameDecoder::new(),
                    in_frame: false,
                }))
            }
            _ => Self::Plain(raw),
        })
    }

    /// How many bytes of the file were read.
    pub(crate) fn raw_bytes(&self) -> u64 {
        match self {
            Self::Plain(raw) => raw.bytes,
            Self::Gzip(gzip) => gzip.get_ref().get_ref().bytes,
            Self::Zlib(zlib) => zlib.get_ref().get_ref().bytes,
            Self::Zstd(frames) => frames.inner.get_ref().bytes,
        }
    }

    /// The SHA-256 of the whole file as it is on disk, and its length; reads what is left.
    ///
    /// # Panics
    /// Without a hasher.
    pub(crate) fn sha256(self) -> io::Result<(String, u64)> {
        let mut raw = match self {
            Self::Plain(raw) => raw,
            Self::Gzip(gzip) => gzip.into_inner().into_inner(),
            Self::Zlib(zlib) => zlib.into_inner().into_inner(),
            Self::Zstd(frames) => frames.inner.into_inner(),
        };
        io::copy(&mut raw, &mut io::sink())?;
        let hasher = raw.hasher.expect("who asks for a hash has it made");
        Ok((hex(&hasher.finalize()), raw.bytes))
    }
}

impl<R: Read> Read for Codec<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.read(buf),
            Self::Gzip(gzip) => gzip.read(buf),
            Self::Zlib(zlib) => zlib.read(buf),
            Self::Zstd(frames) => frames.read(buf),
        }
    }
}

/// The frames of a zstd file, one after the other.
pub(crate) struct Frames<B> {
    inner: B,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<B> fmt::Debug for Frames<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("in_frame", &self.in_frame)
            .finish_non_exhaustive()
    }
}

impl<B: BufRead> Read for Frames<B> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if self.inner.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.begin()?;
                continue;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.inner, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| damaged(&error))?;
            }
            let read = self.decoder.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            let stated = self.decoder.get_checksum_from_data();
            if stated.is_some() && stated != self.decoder.get_calculated_checksum() {
                return Err(damaged(&"a frame whose checksum is wrong"));
            }
            self.in_frame = false;
        }
    }
}

impl<B: BufRead> Frames<B> {
    /// Begins the frame that is next, or skips it where it is to be skipped.
    fn begin(&mut self) -> io::Result<()> {
        match self.decoder.init(&mut self.inner) {
            Ok(()) => self.in_frame = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let mut skipped = self.inner.by_ref().take(u64::from(length));
                io::copy(&mut skipped, &mut io::sink())?;
            }
            Err(error) => return Err(damaged(&error)),
        }
        Ok(())
    }
}

fn damaged(error: &impl fmt::Display) -> io::Error {
    // The decoder has no kind of its own for an end of the file; its message is all there is.
    let text = error.to_string();
    let kind = if text.contains("failed to fill whole buffer") {
        io::ErrorKind::UnexpectedEof
    } else {
        io::ErrorKind::InvalidData
    };
    io::Error::new(kind, format!("not valid zstd: {text}"))
}
