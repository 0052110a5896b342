//! A capture of one or several files: files, folders and stdin, merged by time.
//!
//! **Invariant**: however many files there are, few are open at once: each is opened when its first record is due, and closed at its end; a
//! small one is read whole when it is due. Of files whose records have one time, or none that is known, one is read after the other.
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

/// Files that overlap in time are open at the same time, but for small ones; more than this are refused.
const OPEN_FILES: usize = 128;

/// A file is small up to this length, decompressed: most of those that a tap or a browser writes one by one.
const SMALL_FILE: u64 = 256 << 10;

/// Small files that overlap in time hold at most this much together, decompressed; those beyond it are kept open as others are.
const SMALL_FILES: u64 = 32 << 20;

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
    small: bool,
}

struct Feed {
    index: usize,
    name: Arc<str>,
    /// What reads on; none once the file is at its end and closed.
    parser: Option<Parser<Box<dyn Read + Send>>>,
    /// The next records, with their times.
    heads: VecDeque<(u64, Parsed)>,
    /// How much was read of the file when it was read whole.
    held: u64,
}

impl Feed {
    /// When its next record happened, and which of several at that time goes first.
    fn due(&self) -> Option<(u64, usize)> {
        let (ts_ns, _) = self.heads.front()?;
        Some((*ts_ns, self.index))
    }
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

/// Opens files, folders (all files in them but those whose name begins with a dot, and the one that is passed over) and standard input (`-`).
///
/// # Errors
/// A path that cannot be read, a file that is in no known format, and a list without a file.
pub fn open_all(paths: &[PathBuf], options: &Options) -> Result<Stream, CaptureError> {
    let files = find_all(paths, options.passed_over.as_deref())?;
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
            small: !one && file.bytes.is_some_and(|bytes| bytes <= SMALL_FILE),
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
    Ok(find_all(paths, None)?
        .iter()
        .all(|file| file.bytes.is_some()))
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

fn find_all(paths: &[PathBuf], passed_over: Option<&Path>) -> Result<Vec<Found>, CaptureError> {
    let mut files = Vec::new();
    let passed_over = passed_over.and_then(|path| fs::canonicalize(path).ok());
    for path in paths {
        find(path, FOLDER_DEPTH, passed_over.as_deref(), &mut files)?;
    }
    Ok(files)
}

/// All files below `path`, in the order of their names.
fn find(
    path: &Path,
    depth: u32,
    passed_over: Option<&Path>,
    files: &mut Vec<Found>,
) -> Result<(), CaptureError> {
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
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let written =
            passed_over.is_some() && fs::canonicalize(&path).ok().as_deref() == passed_over;
        if !hidden && !written {
            inner.push(path);
        }
    }
    inner.sort();
    inner
        .iter()
        .try_for_each(|path| find(path, depth - 1, passed_over, files))
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
            .filter_map(|feed| Some(feed.parser.as_ref()?.input().raw_bytes()))
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
        loop {
            while let Some(mut feed) = self.feeds.pop() {
                self.close(&mut feed)?;
            }
            if !self.open_next()? {
                break;
            }
        }
        Ok(self.files.into_iter().flatten().collect())
    }

    /// Opens the file that is due next; `false` if there is none.
    fn open_next(&mut self) -> Result<bool, CaptureError> {
        let Some(file) = self.waiting.pop_front() else {
            return Ok(false);
        };
        let Waiting {
            index, name, small, ..
        } = file;
        let Some(parser) = parser(&name, reader(&name)?, &self.options)? else {
            self.files[index] = Some(SourceFile {
                name: name.to_string(),
                format: None,
                sha256: hex(&Sha256::digest(b"")),
                bytes: 0,
            });
            return Ok(true);
        };
        let mut feed = Feed {
            index,
            name,
            parser: Some(parser),
            heads: VecDeque::new(),
            held: 0,
        };
        if small && self.held() < SMALL_FILES {
            while feed.held <= SMALL_FILE && self.refill(&mut feed)? {
                let parser = feed.parser.as_ref();
                feed.held = parser.map_or(feed.held, |parser| parser.input().offset());
            }
        }
        let open = self.feeds.iter().filter(|feed| feed.parser.is_some());
        if feed.parser.is_some() && open.count() >= OPEN_FILES {
            return Err(CaptureError {
                file: feed.name.to_string(),
                place: "byte 0".to_owned(),
                found: format!("more than {OPEN_FILES} files that overlap in time"),
                expected: "fewer: import them in groups, then what that wrote".to_owned(),
                fault: Fault::TooLarge,
            });
        }
        self.feeds.push(feed);
        Ok(true)
    }

    /// How much the small files that were read whole hold.
    fn held(&self) -> u64 {
        self.feeds.iter().map(|feed| feed.held).sum()
    }

    /// Closes a file at its end, or reads what is left of it.
    fn close(&mut self, feed: &mut Feed) -> Result<(), CaptureError> {
        let Some(parser) = feed.parser.take() else {
            return Ok(());
        };
        let format = parser.format();
        let (sha256, bytes) = parser
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

    /// Reads the next record that has a time; what has none goes on at once. `false` at the end of the file, which is then closed.
    fn refill(&mut self, feed: &mut Feed) -> Result<bool, CaptureError> {
        let Some(parser) = &mut feed.parser else {
            return Ok(false);
        };
        while let Some(parsed) = parser.next()? {
            if let Some(ts_ns) = parsed.ts_ns() {
                feed.heads.push_back((ts_ns, parsed));
                return Ok(true);
            }
            self.sorter.push(&feed.name, parsed);
        }
        self.close(feed)?;
        Ok(false)
    }
}

impl Sorted for Stream {
    fn sorter(&mut self) -> &mut Sorter {
        &mut self.sorter
    }

    /// Of the file whose record is the oldest.
    fn advance(&mut self) -> Result<bool, CaptureError> {
        let mut feeds = std::mem::take(&mut self.feeds);
        let mut refilled = Ok(());
        feeds.retain_mut(|feed| {
            if refilled.is_ok() && feed.heads.is_empty() {
                refilled = self.refill(feed).map(drop);
            }
            !feed.heads.is_empty()
        });
        self.feeds = feeds;
        refilled?;
        let oldest = self.feeds.iter_mut().min_by_key(|feed| feed.due());
        let due = oldest.as_ref().and_then(|feed| feed.due());
        if let Some(next) = self.waiting.front()
            && due.is_none_or(|due| (next.first_ns, next.index) <= due)
        {
            return self.open_next();
        }
        let Some(feed) = oldest else {
            return Ok(false);
        };
        if let Some((_, parsed)) = feed.heads.pop_front() {
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
