//! Results for a terminal: a line for each run as it ends, then what did not pass, and a summary.
//!
//! **Invariant**: every line can be read without its color.

use std::fmt::Write;

use rehearsal_sim::verdict::{Record, Verdict};

use super::{Report, counts, figure, left_out, real, reasons, seconds, undrawn, word};
use crate::printer::{Printer, Tone};

/// One run, in one line; `width` is that of the longest scenario's name.
pub fn line(printer: Printer, record: &Record, real_ms: u64, width: usize) -> String {
    format!(
        "  {}  {:<width$}  seed {}  {} simulated in {}  confirmed {}, failed {}, cancelled {}  worst attempts {}  api p95 {} ms\n",
        painted(printer, record.verdict),
        record.scenario,
        record.seed,
        seconds(record.virtual_ms),
        real(real_ms),
        figure(record, &["states", "confirmed"]),
        figure(record, &["states", "failed"]),
        figure(record, &["states", "cancelled"]),
        figure(record, &["attempts", "max"]),
        figure(record, &["latency_ms", "api", "p95"]),
    )
}

/// What follows the lines: every run that did not pass, with the command that runs it again, then the counts and at most one hint.
pub fn closing(printer: Printer, report: &Report) -> String {
    let mut text = String::new();
    let (troubled, more) = report.troubled();
    for (record, origin) in &troubled {
        let head = painted(printer, record.verdict);
        let _ = writeln!(
            text,
            "\n  {head}  {}  seed {}  {}",
            record.scenario, record.seed, origin.question
        );
        for reason in reasons(record) {
            let _ = writeln!(text, "        {}", reason.replace('\n', "\n          "));
        }
        let _ = writeln!(text, "  reproduce: {}", report.reproduce(record, origin));
    }
    if more > 0 {
        let _ = writeln!(text, "\n  and {more} more runs that did not pass");
    }
    let left_out = left_out(&report.results);
    if !left_out.is_empty() {
        let head = painted(printer, Verdict::Inconclusive);
        let _ = writeln!(text, "\n  {head}  the session");
    }
    for line in left_out {
        let _ = writeln!(text, "        {line}");
    }
    if let Some(line) = undrawn(&report.results) {
        let _ = writeln!(text, "\n  left out  {line}");
    }
    let _ = writeln!(
        text,
        "\n  summary   {} ({})",
        counts(&report.results),
        real(report.results.timing.wall_ms)
    );
    if !troubled.is_empty() {
        let hint = printer.paint(Tone::Faint, "hint:");
        let _ = writeln!(
            text,
            "\n  {hint} with `--trace` a run also writes every event and its time, as a file beside the results"
        );
    }
    text
}

pub(super) fn painted(printer: Printer, verdict: Verdict) -> String {
    let tone = match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Inconclusive => Tone::Doubtful,
        Verdict::Fail | Verdict::Infrastructure => Tone::Bad,
    };
    printer.paint(tone, word(verdict))
}
