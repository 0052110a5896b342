//! Rows from a file: JSON lines or one JSON array; plain, gzip, zlib or zstd, as the files of captures are.
//!
//! **Invariant**: a line that is blank is no row; every other one is, and whether it is a good one is the table's to say.
//! It deliberately holds one line at a time, but an array whole: that is how it was written.

use std::{
    fs::File,
    io,
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
        let begin = lines.text()?.begins_with();
        let begin = begin.map_err(|error| lines.unreadable(&error))?;
        lines.array = begin == Some(b'[');
        Ok(lines)
    }

    fn unreadable(&self, error: &io::Error) -> Problem {
        Problem::unreadable(&self.path, error)
    }

    fn text(&self) -> Result<TextLines<File>, Problem> {
        let limits = Limits {
            record_bytes: LINE,
            ..Limits::default()
        };
        File::open(&self.path)
            .and_then(|file| TextLines::new(file, limits))
            .map_err(|error| self.unreadable(&error))
    }

    fn lines(&self, each: &mut Each<'_>) -> Result<(), Problem> {
        let mut text = self.text()?;
        let mut skip = 0;
        while let Some((_, line)) = text.next_line().map_err(|error| self.unreadable(&error))? {
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
                Next::Stop => break,
            }
        }
        Ok(())
    }

    fn items(&self, each: &mut Each<'_>) -> Result<(), Problem> {
        let mut text = self.text()?;
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
