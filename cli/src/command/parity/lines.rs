//! Rows from a file: JSON lines or one JSON array; plain, gzip, zlib or zstd, as the files of captures are.
//!
//! **Invariant**: a line that is blank is no row; every other one is, and whether it is a good one is the table's to say.
//! It deliberately holds one line at a time, but an array whole: that is how it was written. Where rows of a plain file begin is remembered now
//! and then, so that those which are read again are not searched for.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use rehearsal_replay::{
    capture::{Limits, TextLines},
    json::{Json, parse},
};

use super::source::{Each, Next, Source};
use crate::problem::Problem;

/// A line above this is refused: no row is so long, and a file without line ends is no file of rows.
const LINE: usize = 64 << 20;

/// An array above this is refused: as JSON lines it would be read row by row.
const ARRAY: usize = 1 << 30;

/// Rows between two whose places in the file are remembered.
const STEP: u64 = 4_096;

/// A file of rows.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    name: String,
    array: bool,
    /// Every [`STEP`]th row as far as was read, and the byte with which it begins; none in a compressed file.
    steps: Vec<(u64, u64)>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let mut lines = Self {
            path: path.to_owned(),
            name: path.display().to_string(),
            array: false,
            steps: Vec::new(),
        };
        let begin = lines.text(0)?.begins_with();
        let begin = begin.map_err(|error| lines.unreadable(&error))?;
        lines.array = begin == Some(b'[');
        Ok(lines)
    }

    fn unreadable(&self, error: &io::Error) -> Problem {
        Problem::unreadable(&self.path, error)
    }

    /// What is in the file from a byte on.
    fn text(&self, from: u64) -> Result<TextLines<File>, Problem> {
        let limits = Limits {
            record_bytes: LINE,
            ..Limits::default()
        };
        let open = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(from))?;
            TextLines::new(file, limits)
        };
        open().map_err(|error| self.unreadable(&error))
    }

    fn lines(&mut self, each: &mut Each<'_>) -> Result<(), Problem> {
        let mut text = self.text(0)?;
        let (mut begin, mut next, mut wanted) = (0, 0, 0);
        loop {
            let place = text.is_plain().then(|| begin + text.offset());
            let Some((_, line)) = text.next_line().map_err(|error| self.unreadable(&error))? else {
                break;
            };
            let row = line.trim_ascii();
            if row.is_empty() {
                continue;
            }
            if next == self.steps.len() as u64 * STEP {
                self.steps.extend(place.map(|place| (next, place)));
            }
            next += 1;
            if next <= wanted {
                continue;
            }
            match each(row)? {
                Next::Row => {}
                Next::Skip(rows) => {
                    wanted = next + u64::from(rows);
                    let known = self.steps.partition_point(|(row, _)| *row <= wanted);
                    let step = self.steps[..known].last();
                    if let Some((row, place)) = step.filter(|(row, _)| *row > next) {
                        (next, begin) = (*row, *place);
                        text = self.text(begin)?;
                    }
                }
                Next::Stop => break,
            }
        }
        Ok(())
    }

    fn items(&self, each: &mut Each<'_>) -> Result<(), Problem> {
        let mut text = self.text(0)?;
        let bytes = text.whole(ARRAY).map_err(|error| self.unreadable(&error))?;
        let bytes = bytes.ok_or_else(|| {
            Problem::usage(format!(
                "{}: found an array of more than {ARRAY} bytes, expected JSON lines",
                self.name
            ))
        })?;
        let json = parse(bytes).map_err(|error| {
            Problem::usage(format!(
                "{}: {error}: expected a JSON array of rows",
                self.name
            ))
        })?;
        let Json::Array(items) = json else {
            let message = format!(
                "{}: found a JSON {}, expected an array of rows",
                self.name,
                json.kind()
            );
            return Err(Problem::usage(message));
        };
        give(items.iter().map(|item| item.to_string().into_bytes()), each)
    }
}

/// Gives rows that are in memory.
pub(super) fn give<R: AsRef<[u8]>>(
    rows: impl Iterator<Item = R>,
    each: &mut Each<'_>,
) -> Result<(), Problem> {
    let mut skip = 0;
    for row in rows {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        match each(row.as_ref())? {
            Next::Row => {}
            Next::Skip(rows) => skip = rows,
            Next::Stop => return Ok(()),
        }
    }
    Ok(())
}

impl Source for Lines {
    fn name(&self) -> &str {
        &self.name
    }

    fn scan(&mut self, each: &mut Each<'_>) -> Result<(), Problem> {
        if self.array {
            self.items(each)
        } else {
            self.lines(each)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    /// The rows with `numbers`, after a scan of the whole file that holds `text`.
    fn picked(text: &[u8], numbers: &[u32]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, text).expect("a file");
        let mut lines = Lines::open(&path).expect("a file of rows");
        let mut scanned = 0;
        lines
            .scan(&mut |_| {
                scanned += 1;
                Ok(Next::Row)
            })
            .expect("rows");
        assert_eq!(scanned, 10_000);
        let rows = lines.pick(numbers).expect("rows");
        let texts = rows.into_iter().map(String::from_utf8);
        texts.collect::<Result<_, _>>().expect("text")
    }

    #[test]
    fn rows_are_found_again_wherever_they_stand() {
        let mut text = b"\xef\xbb\xbf".to_vec();
        for number in 0..10_000 {
            let blank = if number % 3 == 0 { "\n \r\n" } else { "" };
            text.extend_from_slice(format!("{blank}  {{\"n\":{number}}}\r\n").as_bytes());
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).expect("memory");
        for bytes in [text, gzip.finish().expect("memory")] {
            let all: Vec<u32> = (0..10_000).collect();
            for numbers in [
                &[0_u32, 4_095, 4_096, 4_097, 8_191, 8_192, 9_999][..],
                &[5_000],
                &[9_998, 9_999],
                &[1, 2, 9_000],
                &all,
            ] {
                let expect: Vec<String> =
                    numbers.iter().map(|n| format!("{{\"n\":{n}}}")).collect();
                assert_eq!(picked(&bytes, numbers), expect);
            }
        }
    }
}
