//! How far a long command is, on a terminal's stderr and nowhere else.
//!
//! **Invariant**: it starts no thread: a process that forks runs must have one. So it is drawn when something has happened, not by a clock.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rehearsal_host::{Machine, real::RealMachine};

/// Real time since it was made: what a user waits.
#[derive(Debug)]
pub struct Watch(RealMachine);

impl Watch {
    /// Starts now.
    pub fn start() -> Self {
        Self(RealMachine::new())
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Since the start, in whole milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// How often a log is told how far an exploration is, in milliseconds.
const TOLD_EVERY_MS: u64 = 10_000;

/// An exploration's progress: a bar on a terminal, a line now and then elsewhere.
#[derive(Debug)]
pub struct Explored {
    bar: ProgressBar,
    watch: Watch,
    told_ms: u64,
}

impl Explored {
    /// At 0 of `total` runs, if there is an end.
    pub fn new(total: Option<u64>) -> Self {
        let (bar, style) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "  {pos}/{len} runs {wide_bar} {msg}  {elapsed}",
            ),
            None => (
                ProgressBar::no_length(),
                "  {pos} runs {spinner} {msg}  {elapsed}",
            ),
        };
        bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant"));
        bar.tick();
        let watch = Watch::start();
        Self {
            bar,
            watch,
            told_ms: 0,
        }
    }

    /// So many runs are done and so much was found. Returns a line for a log when it is time for one and stderr is no terminal.
    pub fn set(&mut self, runs: u64, findings: usize) -> Option<String> {
        let elapsed_ms = self.watch.elapsed_ms();
        let rate = runs as f64 * 1000.0 / elapsed_ms.max(1) as f64;
        let state = format!("{rate:.1} runs/s, {findings} findings");
        if !self.bar.is_hidden() {
            self.bar.set_message(state);
            self.bar.set_position(runs);
            return None;
        }
        if elapsed_ms - self.told_ms < TOLD_EVERY_MS {
            return None;
        }
        self.told_ms = elapsed_ms;
        Some(format!("  {runs} runs, {state}"))
    }

    /// Prints something while the bar is out of the way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Explored {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar that counts to a total. Hidden when stderr is no terminal.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar at 0 of `total`, labeled with what is counted.
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_message(what);
        let style = ProgressStyle::with_template("  {msg} {pos}/{len} {wide_bar} {elapsed}");
        bar.set_style(style.expect("the template is a constant"));
        bar.tick();
        Self(bar)
    }

    /// So many are done.
    pub fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// Prints something while the bar is out of the way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
