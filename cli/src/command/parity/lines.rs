//! Rows from a file: JSON lines, gzip or not, or one JSON array.
//!
//! **Invariant**: a line that is blank is no row; every other one is, and whether it is a good one is the table's to say.
//! It deliberately holds one line at a time, but an array whole: that is how it was written.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use rehearsal_replay::json::{Json, parse};

use super::source::{Each, Next, Source};
use crate::problem::Problem;

/// Bytes that are read at a time.
const READ: usize = 1 << 20;

/// An array above this is refused: as JSON lines it would be read row by row.
const ARRAY: u64 = 1 << 30;

/// A file of rows.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    name: String,
    array: bool,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let mut lines = Self {
            path: path.to_owned(),
            name: path.display().to_string(),
            array: false,
        };
        let mut reader = lines.reader()?;
        let unreadable = |error: io::Error| Problem::unreadable(path, &error);
        let begin = reader.fill_buf().map_err(unreadable)?;
        lines.array = begin.trim_ascii_start().first() == Some(&b'[');
        Ok(lines)
    }

    fn reader(&self) -> Result<Box<dyn BufRead>, Problem> {
        let unreadable = |error: io::Error| Problem::unreadable(&self.path, &error);
        let file = File::open(&self.path).map_err(unreadable)?;
        let mut raw = BufReader::with_capacity(READ, file);
        let begin = raw.fill_buf().map_err(unreadable)?;
        Ok(if begin.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(READ, MultiGzDecoder::new(raw)))
        } else {
            Box::new(raw)
        })
    }

    fn lines(&self, each: &mut Each<'_>) -> Result<(), Problem> {
        let mut reader = self.reader()?;
        let mut line = Vec::new();
        let mut skip = 0;
        loop {
            line.clear();
            let read = reader
                .read_until(b'\n', &mut line)
                .map_err(|error| Problem::unreadable(&self.path, &error))?;
            if read == 0 {
                return Ok(());
            }
            let row = line.trim_ascii();
            if row.is_empty() {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            match each(row)? {
                Next::Row => {}
                Next::Skip(rows) => skip = rows,
                Next::Stop => return Ok(()),
            }
        }
    }

    fn items(&self, each: &mut Each<'_>) -> Result<(), Problem> {
        let mut bytes = Vec::new();
        let read = self.reader()?.take(ARRAY + 1).read_to_end(&mut bytes);
        read.map_err(|error| Problem::unreadable(&self.path, &error))?;
        if bytes.len() as u64 > ARRAY {
            let message = format!(
                "{}: found an array of more than {ARRAY} bytes, expected JSON lines",
                self.name
            );
            return Err(Problem::usage(message));
        }
        let json = parse(&bytes).map_err(|error| {
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
