//! A capture of one or several files: files, folders and stdin, merged by time.
//!
//! **Invariant**: however many files there are, few are open at once: each is opened when its first record is due, and closed at its end.
//! It deliberately holds one window for all files, so that a request and an answer in two files of one recording find each other.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use crate::capture::{
    Capture, CaptureError, Fault, Format, Options, Origin, Record, Skipped,
    open::{collect, io_error, parser},
    parsed::Parsed,
    parser::Parser,
    session::hex,
    sorter::{Sorted, Sorter},
};

/// Files that overlap in time are open at the same time; more than this are refused.
const OPEN_FILES: usize = 128;

/// Folders in folders are followed this deep.
const FOLDER_DEPTH: u32 = 16;

/// The name of standard input.
const STDIN: &str = "-";

/// A file of a capture, before it is opened.
struct Found {
    name: String,
    /// Its length; `None` if it is no regular file: what comes through a pipe comes once.
    bytes: Option<u64>,
}

/// One file of a capture, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, as the user gave it or as it was found.
    pub name: String,
    /// Its format; `None` if it is empty.
    pub format: Option<Format>,
    /// The SHA-256 of its bytes as they are on disk.
    pub sha256: String,
    /// Its length on disk.
    pub bytes: u64,
}

#[derive(Debug)]
struct Waiting {
    index: usize,
    name: Arc<str>,
    first_ns: u64,
}

struct Feed {
    index: usize,
    name: Arc<str>,
    parser: Parser<Box<dyn Read + Send>>,
    /// The next record, and its time.
    head: Option<(u64, Parsed)>,
}

/// A capture of one or several files being read: an iterator of records in bounded memory.
pub struct Stream {
    options: Options,
    waiting: VecDeque<Waiting>,
    feeds: Vec<Feed>,
    files: Vec<Option<SourceFile>>,
    sorter: Sorter,
    total_bytes: Option<u64>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("waiting", &self.waiting)
            .field("open", &self.feeds.len())
            .finish_non_exhaustive()
    }
}

/// Opens files, folders (all files in them but those whose name begins with a dot) and standard input (`-`).
///
/// # Errors
/// A path that cannot be read, a file that is in no known format, and a list without a file.
pub fn open_all(paths: &[PathBuf], options: &Options) -> Result<Stream, CaptureError> {
    let files = find_all(paths)?;
    let listed = |found: String, fault| CaptureError {
        file: joined(paths),
        place: "the list of files".to_owned(),
        found,
        expected: "at least one capture, each once".to_owned(),
        fault,
    };
    if files.is_empty() {
        return Err(listed("no file".to_owned(), Fault::Empty));
    }
    if let Some(name) = repeated(&files) {
        return Err(listed(format!("{name} twice"), Fault::Repeated));
    }
    let total_bytes = files.iter().map(|file| file.bytes).sum();
    let one = files.len() == 1;
    let mut waiting = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let name: Arc<str> = file.name.as_str().into();
        let first_ns = if one || file.bytes.is_none() {
            0
        } else {
            first_ns(&name, options)?
        };
        waiting.push(Waiting {
            index,
            name,
            first_ns,
        });
    }
    waiting.sort_by_key(|file| (file.first_ns, file.index));
    let mut stream = Stream {
        options: options.clone(),
        waiting: waiting.into(),
        feeds: Vec::new(),
        files: vec![None; files.len()],
        sorter: Sorter::new(options),
        total_bytes,
    };
    if one && stream.open_next()? && stream.feeds.is_empty() {
        return Err(CaptureError {
            file: joined(paths),
            place: "byte 0".to_owned(),
            found: "an empty file".to_owned(),
            expected: "a capture".to_owned(),
            fault: Fault::Empty,
        });
    }
    Ok(stream)
}

/// Whether all that [`open_all`] would read can be read a second time: neither standard input nor a pipe can.
///
/// # Errors
/// A path that cannot be read.
pub fn can_be_read_again(paths: &[PathBuf]) -> Result<bool, CaptureError> {
    Ok(find_all(paths)?.iter().all(|file| file.bytes.is_some()))
}

fn joined(paths: &[PathBuf]) -> String {
    let shown = paths.iter().map(|path| path.display().to_string());
    shown.collect::<Vec<_>>().join(", ")
}

/// The first file that is there a second time, by another name perhaps.
fn repeated(files: &[Found]) -> Option<&str> {
    let mut known = BTreeSet::new();
    let again = files.iter().find(|file| {
        let path = PathBuf::from(&file.name);
        !known.insert(fs::canonicalize(&path).unwrap_or(path))
    })?;
    Some(match again.name.as_str() {
        STDIN => "standard input",
        name => name,
    })
}

fn find_all(paths: &[PathBuf]) -> Result<Vec<Found>, CaptureError> {
    let mut files = Vec::new();
    for path in paths {
        find(path, FOLDER_DEPTH, &mut files)?;
    }
    Ok(files)
}

/// All files below `path`, in the order of their names.
fn find(path: &Path, depth: u32, files: &mut Vec<Found>) -> Result<(), CaptureError> {
    let name = path.to_string_lossy().into_owned();
    if name == STDIN {
        files.push(Found { name, bytes: None });
        return Ok(());
    }
    let fail = |error: &io::Error| io_error(&name, 0, error);
    let metadata = fs::metadata(path).map_err(|error| fail(&error))?;
    if !metadata.is_dir() {
        let bytes = metadata.is_file().then_some(metadata.len());
        files.push(Found { name, bytes });
        return Ok(());
    }
    if depth == 0 {
        return Err(CaptureError {
            file: name,
            place: "the folder".to_owned(),
            found: format!("folders nested deeper than {FOLDER_DEPTH}"),
            expected: "a folder of captures".to_owned(),
            fault: Fault::TooLarge,
        });
    }
    let mut inner = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| fail(&error))? {
        let entry = entry.map_err(|error| fail(&error))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            inner.push(entry.path());
        }
    }
    inner.sort();
    inner
        .iter()
        .try_for_each(|path| find(path, depth - 1, files))
}

fn reader(name: &str) -> Result<Box<dyn Read + Send>, CaptureError> {
    if name == STDIN {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(name).map_err(|error| io_error(name, 0, &error))?;
    Ok(Box::new(file))
}

/// When the first record of a file happened; 0 if there is none that says.
fn first_ns(name: &Arc<str>, options: &Options) -> Result<u64, CaptureError> {
    let Some(mut parser) = parser(name, reader(name)?, options)? else {
        return Ok(0);
    };
    loop {
        // What is wrong with the file is told when it is read.
        match parser.next() {
            Ok(Some(parsed)) => {
                if let Some(ts_ns) = parsed.ts_ns() {
                    return Ok(ts_ns);
                }
            }
            Ok(None) | Err(_) => return Ok(0),
        }
    }
}

impl Stream {
    /// Bytes read so far, compressed as they are.
    pub fn read_bytes(&self) -> u64 {
        let ended: u64 = self.files.iter().flatten().map(|file| file.bytes).sum();
        let open: u64 = self
            .feeds
            .iter()
            .map(|feed| feed.parser.input().raw_bytes())
            .sum();
        ended + open
    }

    /// Bytes of all files together; `None` where that is not known beforehand, as of standard input.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// The files, in the order they were given or found in; reads what is left of them.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn finish(mut self) -> Result<Vec<SourceFile>, CaptureError> {
        while !self.feeds.is_empty() {
            self.close(0)?;
        }
        while self.open_next()? {
            while !self.feeds.is_empty() {
                self.close(0)?;
            }
        }
        Ok(self.files.into_iter().flatten().collect())
    }

    /// Opens the file that is due next; `false` if there is none.
    fn open_next(&mut self) -> Result<bool, CaptureError> {
        let Some(Waiting { index, name, .. }) = self.waiting.pop_front() else {
            return Ok(false);
        };
        let Some(parser) = parser(&name, reader(&name)?, &self.options)? else {
            self.files[index] = Some(SourceFile {
                name: name.to_string(),
                format: None,
                sha256: hex(&Sha256::digest(b"")),
                bytes: 0,
            });
            return Ok(true);
        };
        if self.feeds.len() >= OPEN_FILES {
            return Err(CaptureError {
                file: name.to_string(),
                place: "byte 0".to_owned(),
                found: format!("more than {OPEN_FILES} files that overlap in time"),
                expected: "fewer: import them in groups, then what that wrote".to_owned(),
                fault: Fault::TooLarge,
            });
        }
        self.feeds.push(Feed {
            index,
            name,
            parser,
            head: None,
        });
        Ok(true)
    }

    /// Closes the feed at `at`.
    fn close(&mut self, at: usize) -> Result<(), CaptureError> {
        let feed = self.feeds.remove(at);
        let format = feed.parser.format();
        let (sha256, bytes) = feed
            .parser
            .into_input()
            .sha256()
            .map_err(|error| io_error(&feed.name, 0, &error))?;
        self.files[feed.index] = Some(SourceFile {
            name: feed.name.to_string(),
            format: Some(format),
            sha256,
            bytes,
        });
        Ok(())
    }

    /// Reads the next record of the feed at `at` that has a time; what has none goes on at once. `false` at its end.
    fn refill(&mut self, at: usize) -> Result<bool, CaptureError> {
        let feed = &mut self.feeds[at];
        while let Some(parsed) = feed.parser.next()? {
            if let Some(ts_ns) = parsed.ts_ns() {
                feed.head = Some((ts_ns, parsed));
                return Ok(true);
            }
            self.sorter.push(&feed.name, parsed);
        }
        Ok(false)
    }
}

impl Sorted for Stream {
    fn sorter(&mut self) -> &mut Sorter {
        &mut self.sorter
    }

    /// Of the file whose record is the oldest.
    fn advance(&mut self) -> Result<bool, CaptureError> {
        let mut at = 0;
        while at < self.feeds.len() {
            if self.feeds[at].head.is_some() || self.refill(at)? {
                at += 1;
            } else {
                self.close(at)?;
            }
        }
        let due = |feed: &Feed| feed.head.as_ref().map(|(ts_ns, _)| (*ts_ns, feed.index));
        let oldest = (0..self.feeds.len()).min_by_key(|at| due(&self.feeds[*at]));
        let oldest_ns = oldest
            .and_then(|at| due(&self.feeds[at]))
            .map(|(ts_ns, _)| ts_ns);
        if let Some(next) = self.waiting.front()
            && oldest_ns.is_none_or(|oldest_ns| next.first_ns <= oldest_ns)
        {
            return self.open_next();
        }
        let Some(at) = oldest else {
            return Ok(false);
        };
        let feed = &mut self.feeds[at];
        if let Some((_, parsed)) = feed.head.take() {
            self.sorter.push(&feed.name, parsed);
        }
        Ok(true)
    }
}

impl Iterator for Stream {
    type Item = Result<Record, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record()
    }
}

/// Reads a whole capture of one or several files.
///
/// # Errors
/// What ends the reading, and a capture without a single exchange.
pub fn load_all(paths: &[PathBuf], options: &Options) -> Result<Capture, CaptureError> {
    let mut stream = open_all(paths, options)?;
    let (exchanges, skipped) = collect(&joined(paths), &mut stream)?;
    let origin = origin(&stream.finish()?, skipped);
    Ok(Capture {
        sha256: origin.sha256,
        format: origin.format,
        exchanges,
        skipped: origin.skipped,
    })
}

/// What a capture is that was read from these files.
pub fn origin(files: &[SourceFile], skipped: Vec<Skipped>) -> Origin {
    let formats: Vec<Format> = files.iter().filter_map(|file| file.format).collect();
    let format = match &formats[..] {
        [first, rest @ ..] if rest.iter().all(|format| format == first) => *first,
        _ => Format::Mixed,
    };
    let sha256 = match files {
        [one] => one.sha256.clone(),
        several => {
            let hashes: Vec<&str> = several.iter().map(|file| &*file.sha256).collect();
            hex(&Sha256::digest(hashes.join("\n") + "\n"))
        }
    };
    Origin {
        sha256,
        format,
        skipped,
    }
}
