//! zstd in frames of bounded length: what is written is compressed as it comes.
//!
//! One compressor with its buffers makes all frames: made anew for each, its megabytes would be scattered among the exchanges that are read
//! meanwhile, and the process would grow by several times what it needs.
//!
//! **Invariant**: the same bytes give the same frames, however they were cut into writes of whole lines.

use std::{
    fmt,
    io::{self, Cursor, Write},
};

use ruzstd::encoding::{CompressionLevel, FrameCompressor, MatchGeneratorDriver};

/// A frame holds about this much. The compressor looks back 128 KiB, so that larger ones gain less than 1 %.
const FRAME: usize = 256 << 10;

/// Compresses into frames.
pub(crate) struct Frames<W: Write> {
    out: W,
    /// What makes the next frame.
    waiting: Vec<u8>,
    /// The frame made last, kept for its memory.
    frame: Vec<u8>,
    compressor: Box<FrameCompressor<Cursor<Vec<u8>>, Vec<u8>, MatchGeneratorDriver>>,
}

impl<W: Write> fmt::Debug for Frames<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl<W: Write> Frames<W> {
    /// Frames written to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            waiting: Vec::new(),
            frame: Vec::new(),
            compressor: Box::new(FrameCompressor::new(CompressionLevel::Fastest)),
        }
    }

    /// Takes a line.
    ///
    /// # Errors
    /// What `out` says.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(line);
        if self.waiting.len() < FRAME {
            return Ok(());
        }
        self.end_frame()
    }

    /// Writes what is left, and gives the output back.
    ///
    /// # Errors
    /// What `out` says.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.waiting.is_empty() {
            self.end_frame()?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn end_frame(&mut self) -> io::Result<()> {
        let source = Cursor::new(std::mem::take(&mut self.waiting));
        self.compressor.set_source(source);
        self.compressor.set_drain(std::mem::take(&mut self.frame));
        self.compressor.compress();
        self.frame = self.compressor.take_drain().unwrap_or_default();
        let source = self.compressor.take_source().unwrap_or_default();
        self.waiting = source.into_inner();
        self.waiting.clear();
        let written = self.out.write_all(&self.frame);
        self.frame.clear();
        written
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use ruzstd::decoding::StreamingDecoder;

    use super::*;

    #[test]
    fn many_frames_of_one_compressor_are_read_back() {
        let lines: Vec<String> = (0..20_000_u64)
            .map(|number| format!("{{\"n\":{number},\"x\":{}}}\n", number * number % 7_919))
            .collect();
        // Lines above a frame's length make frames of their own.
        let long = format!("{}\n", "abc ".repeat(FRAME / 3));
        let lines = [&lines[..], &[long.clone(), "end\n".to_owned(), long]].concat();
        let mut frames = Frames::new(Vec::new());
        for line in &lines {
            frames.write(line.as_bytes()).expect("memory");
        }
        let written = frames.finish().expect("memory");
        let (mut rest, mut plain, mut count) = (&written[..], Vec::new(), 0);
        while !rest.is_empty() {
            let mut decoder = StreamingDecoder::new(&mut rest).expect("a frame");
            decoder.read_to_end(&mut plain).expect("a whole frame");
            count += 1;
        }
        assert!(count >= 3, "{count} frames");
        assert!(plain == lines.concat().as_bytes());
    }
}
