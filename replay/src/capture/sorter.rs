//! Records in order of time: between the parsers of files and who reads them.
//!
//! **Invariant**: after an error nothing more is handed out.

use std::{collections::VecDeque, sync::Arc};

use crate::capture::{
    CaptureError, Fault, Options, Record, Skipped, Unreadable, parsed::Parsed, window::Window,
};

/// What fills a sorter, and is read as an iterator through it.
pub(crate) trait Sorted {
    /// The sorter that it fills.
    fn sorter(&mut self) -> &mut Sorter;

    /// Reads on, and pushes what it found; `false` at the end.
    fn advance(&mut self) -> Result<bool, CaptureError>;

    /// The next record in order.
    fn next_record(&mut self) -> Option<Result<Record, CaptureError>> {
        loop {
            if let Some(record) = self.sorter().pop() {
                if record.is_err() {
                    self.sorter().end();
                }
                return Some(record);
            }
            if self.sorter().ended {
                return None;
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => {
                    let sorter = self.sorter();
                    sorter.ended = true;
                    sorter.window.finish(&mut sorter.ready);
                }
                Err(error) => {
                    self.sorter().end();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Puts the records of one or several files in order, and hands them out.
#[derive(Debug)]
pub(crate) struct Sorter {
    window: Window,
    ready: VecDeque<Record>,
    options: Options,
    records: u64,
    /// Nothing more is to come.
    ended: bool,
}

impl Sorter {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            window: Window::default(),
            ready: VecDeque::new(),
            options: options.clone(),
            records: 0,
            ended: false,
        }
    }

    pub(crate) fn push(&mut self, file: &Arc<str>, parsed: Parsed) {
        self.window.push(file, parsed, &mut self.ready);
    }

    /// Hands out nothing more.
    fn end(&mut self) {
        self.ended = true;
        self.window = Window::default();
        self.ready.clear();
    }

    /// The next record that is ready.
    fn pop(&mut self) -> Option<Result<Record, CaptureError>> {
        let record = self.ready.pop_front()?;
        self.records += 1;
        let limit = self.options.limits.records;
        if self.records > limit {
            return Some(Err(CaptureError {
                file: "the capture".to_owned(),
                place: format!("record {}", self.records),
                found: "one more record".to_owned(),
                expected: format!("at most {limit}"),
                fault: Fault::TooLarge,
            }));
        }
        if let Record::Skipped(skipped) = &record
            && skipped.kind.loses_a_request()
            && self.options.unreadable == Unreadable::Stop
        {
            return Some(Err(strict(skipped)));
        }
        Some(Ok(record))
    }
}

fn strict(skipped: &Skipped) -> CaptureError {
    let place = match skipped.line {
        Some(line) => format!("line {line}, byte {}", skipped.offset),
        None => format!("byte {}", skipped.offset),
    };
    CaptureError {
        file: skipped.file.to_string(),
        place,
        found: skipped.reason.clone(),
        expected: "a record that can be read: the reading is strict".to_owned(),
        fault: Fault::Strict,
    }
}
