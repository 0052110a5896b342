//! How far a replay is, all its runs in one line, and how long it still takes.
//!
//! **Invariant**: on a terminal it is one line that is written over; elsewhere a line now and then, so that a log shows that something happens.

use std::{
    io::{IsTerminal, stderr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rehearsal_replay::run::{Phase, Progress};

use crate::{printer::Printer, progress::Watch};

/// A replay that takes no longer than this is not worth a line.
const QUIET: Duration = Duration::from_secs(2);
/// A terminal's line is written at most this often.
const EVERY: Duration = Duration::from_millis(200);
/// A log's line is written this often.
const LOGGED: Duration = Duration::from_secs(10);

/// The progress of all runs. Clones share it.
#[derive(Clone)]
pub(super) struct Board(Arc<Mutex<State>>);

struct State {
    printer: Printer,
    terminal: bool,
    watch: Watch,
    next: Duration,
    /// When the plan's last request is due.
    last_due: Duration,
    runs: Vec<(&'static str, Option<Progress>)>,
}

impl Board {
    /// A board for the runs of these names; the last request is due at `last_due`.
    pub(super) fn new(printer: Printer, names: &[&'static str], last_due: Duration) -> Self {
        let terminal = stderr().is_terminal();
        Self(Arc::new(Mutex::new(State {
            printer,
            terminal,
            watch: Watch::start(),
            next: if terminal { QUIET } else { LOGGED },
            last_due,
            runs: names.iter().map(|name| (*name, None)).collect(),
        })))
    }

    /// Takes the progress of the run of this number.
    pub(super) fn told(&self, run: usize, progress: Progress) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.runs[run].1 = Some(progress);
        let now = state.watch.elapsed();
        if now < state.next {
            return;
        }
        state.next = now + if state.terminal { EVERY } else { LOGGED };
        let text = line(&state.runs, now, state.last_due);
        if state.terminal {
            state.printer.overwrite(&text);
        } else {
            state.printer.talk(&text);
        }
    }

    /// Clears the line.
    pub(super) fn clear(&self) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.printer.overwrite("");
    }
}

fn line(runs: &[(&'static str, Option<Progress>)], now: Duration, last_due: Duration) -> String {
    let mut parts = Vec::new();
    let (mut failed, mut left) = (0, Duration::ZERO);
    for (name, progress) in runs {
        let Some(progress) = progress else { continue };
        failed += progress.failed;
        parts.push(match progress.phase {
            Phase::Replay => format!("{name} {} of {}", progress.done, progress.total),
            Phase::Settle => format!("{name} settling"),
            Phase::State => format!("{name} states {} of {}", progress.done, progress.total),
        });
        if progress.phase == Phase::Replay && progress.done > 0 {
            let open = progress.total.saturating_sub(progress.done) as f64;
            let by_rate = now.mul_f64(open / progress.done as f64);
            let by_plan = last_due.saturating_sub(now);
            // A paced plan ends when its last request is due; at full speed the rate so far is all there is to go by.
            left = left.max(if last_due.is_zero() { by_rate } else { by_plan });
        }
    }
    let left = if left.is_zero() {
        String::new()
    } else {
        format!(", about {} left", rounded(left))
    };
    format!("  replaying    {}, {failed} failed{left}", parts.join(", "))
}

fn rounded(left: Duration) -> String {
    let seconds = left.as_secs_f64().ceil();
    match seconds {
        ..120.0 => format!("{seconds} s"),
        ..7200.0 => format!("{} min", (seconds / 60.0).round()),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use rehearsal_replay::rules::Side;

    use super::*;

    #[test]
    fn the_line_tells_all_runs_and_the_time_left() {
        let at = |phase, done, failed, total| {
            Some(Progress {
                side: Side::Legacy,
                phase,
                done,
                failed,
                total,
            })
        };
        let second = Duration::from_secs(1);
        let runs = [
            ("legacy", at(Phase::Replay, 500, 0, 1_000)),
            ("candidate", at(Phase::Replay, 250, 3, 1_000)),
            ("secondary", None),
        ];
        assert_eq!(
            line(&runs, second * 10, Duration::ZERO),
            "  replaying    legacy 500 of 1000, candidate 250 of 1000, 3 failed, about 30 s left"
        );
        assert!(line(&runs, second * 10, second * 3_610).ends_with("about 60 min left"));
        let runs = [("legacy", at(Phase::Settle, 0, 0, 5))];
        assert_eq!(
            line(&runs, second, second),
            "  replaying    legacy settling, 0 failed"
        );
    }
}
