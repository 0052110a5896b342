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
