//! Results as Markdown, for a report or a pull request.
//!
//! **Invariant**: no cell breaks its table: a name or a message is escaped.

use std::fmt::Write;

use rehearsal_sim::verdict::{Record, Verdict};

use super::{Report, counts, figure, left_out, real, reasons, seconds, undrawn, word};

/// The columns of the table.
const COLUMNS: [&str; 10] = [
    "verdict",
    "scenario",
    "seed",
    "simulated",
    "real",
    "confirmed",
    "failed",
    "cancelled",
    "worst attempts",
    "API p95 ms",
];

/// The whole report.
pub fn markdown(report: &Report) -> String {
    let results = &report.results;
    let mut text = format!(
        "# Runs: {}\n\n{} ({})\n\n",
        word(results.verdict),
        counts(results),
        real(results.timing.wall_ms)
    );
    let _ = writeln!(
        text,
        "| {} |\n|{}",
        COLUMNS.join(" | "),
        "---|".repeat(COLUMNS.len())
    );
    for (record, real_ms) in results.runs.iter().zip(&results.timing.runs_ms) {
        let _ = writeln!(text, "| {} |", cells(record, *real_ms).join(" | "));
    }
    let (troubled, more) = report.troubled();
    for (record, origin) in troubled {
        let _ = writeln!(
            text,
            "\n## {}: {}, seed {}\n",
            word(record.verdict),
            cell(&record.scenario),
            record.seed
        );
        let _ = writeln!(text, "{}\n", cell(&origin.question));
        for reason in reasons(record) {
            let _ = writeln!(text, "- {}", cell(&reason));
        }
        let _ = writeln!(text, "\n```\n{}\n```", report.reproduce(record, origin));
    }
    if more > 0 {
        let _ = writeln!(text, "\nAnd {more} more runs that did not pass.");
    }
    let left_out = left_out(results);
    if !left_out.is_empty() {
        let _ = writeln!(text, "\n## {}: the session\n", word(Verdict::Inconclusive));
    }
    for line in left_out {
        let _ = writeln!(text, "- {}", cell(&line));
    }
    if let Some(line) = undrawn(results) {
        let _ = writeln!(text, "\n{}.", cell(&line));
    }
    text
}

fn cells(record: &Record, real_ms: u64) -> [String; 10] {
    [
        word(record.verdict).to_owned(),
        cell(&record.scenario),
        record.seed.to_string(),
        seconds(record.virtual_ms),
        real(real_ms),
        figure(record, &["states", "confirmed"]),
        figure(record, &["states", "failed"]),
        figure(record, &["states", "cancelled"]),
        figure(record, &["attempts", "max"]),
        figure(record, &["latency_ms", "api", "p95"]),
    ]
}

/// Text that stays within a cell or a list item.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace(['\n', '\r'], " ")
        .replace('<', "&lt;")
}
