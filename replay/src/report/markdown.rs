//! The report as Markdown: the verdict and its reason first, then what supports it.
//!
//! **Invariant**: at most [`LIMIT_BYTES`], whatever the run; what is left out is said. No cell breaks its table.

mod differences;
mod gate;

use std::fmt::{self, Write};

use self::{
    differences::{clusters, noise, pairings, rules},
    gate::{behavior, endpoints, gate},
};
use crate::{
    report::Report,
    run::Percentiles,
    verdict::{Verdict, percent},
};

/// A report is never longer than this: 200 KB, without what its reproducers may take.
pub const LIMIT_BYTES: usize = 180_000;

/// So many clusters, rules, endpoints and the like are shown; the JSON has more.
const ROWS: usize = 25;

/// A reason or a note is shown up to so many characters.
const LINE: usize = 500;

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    write(&mut text, report).expect("writing to a string does not fail");
    if text.len() > LIMIT_BYTES {
        let notice = "\n\n(cut here: the JSON report has the rest)\n";
        let room = LIMIT_BYTES - notice.len();
        let end = text.as_bytes()[..room]
            .iter()
            .rposition(|byte| *byte == b'\n');
        text.truncate(end.unwrap_or(0));
        text.push_str(notice);
    }
    text
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    let rate = &report.mismatch_rate;
    writeln!(out, "# Comparison: {}\n", shout(report.verdict))?;
    for reason in report.reasons.iter().take(2) {
        writeln!(out, "{}", line(reason))?;
    }
    writeln!(
        out,
        "\nMismatch rate {} ({} of {}), upper 95 % bound {}; gate {} at {}: {}.\n",
        percent(rate.point),
        rate.mismatches,
        rate.compared,
        percent(rate.upper_95),
        report.gate.kind.name(),
        percent(report.gate.limit),
        report.gate.verdict
    )?;
    let more = report.reasons.iter().skip(2).map(|reason| ("also", reason));
    let said = report.timing.notes.iter().chain(&report.notes);
    let notes = said.map(|note| ("note", note));
    for (what, said) in more.chain(notes).take(ROWS) {
        writeln!(out, "- {what}: {}", line(said))?;
    }
    counts(out, report)?;
    gate(out, report)?;
    endpoints(out, report)?;
    clusters(out, report)?;
    pairings(out, report)?;
    noise(out, report)?;
    rules(out, report)?;
    behavior(out, report)?;
    latency(out, report)?;
    state(out, report)?;
    sensitivity(out, report)
}

fn counts(out: &mut String, report: &Report) -> fmt::Result {
    let (pairs, accounting) = (&report.pairs, &report.accounting.pairs);
    writeln!(out, "\n## What was compared\n\n| | |\n|---|---:|")?;
    let capture = &report.capture;
    let skipped: u64 = capture.skipped.iter().map(|kind| kind.count).sum();
    let rows: [(&str, String); 15] = [
        (
            "capture",
            format!("{} exchanges, {}", capture.exchanges, capture.format),
        ),
        ("capture's SHA-256", format!("`{}`", capture.sha256)),
        ("records that were no exchange", skipped.to_string()),
        ("legacy", cell(&report.targets.legacy)),
        ("candidate", cell(&report.targets.candidate)),
        ("pace", report.pace.clone()),
        ("planned", accounting.planned.to_string()),
        ("answered by both", accounting.answered.to_string()),
        (
            "failed, skipped",
            format!("{}, {}", accounting.failed, accounting.skipped),
        ),
        ("matched", pairs.matched.to_string()),
        ("mismatched", pairs.mismatched.to_string()),
        ("ignored by a rule", pairs.ignored.to_string()),
        (
            "noise: legacy differs from itself as often",
            pairs.noise.to_string(),
        ),
        (
            "failed on one side, on both",
            format!("{}, {}", pairs.failed_one_side, pairs.failed_both),
        ),
        ("coverage", percent(report.coverage)),
    ];
    for (name, value) in rows {
        writeln!(out, "| {name} | {value} |")?;
    }
    Ok(())
}

fn latency(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "\n## Latency, in ms\n")?;
    writeln!(
        out,
        "| side | from | p50 | p95 | p99 | max |\n|---|---|---:|---:|---:|---:|"
    )?;
    for (side, latency) in report.latency() {
        let mut row = |from: &str, of: &Percentiles| {
            writeln!(
                out,
                "| {side} | {from} | {} | {} | {} | {} |",
                of.p50, of.p95, of.p99, of.max
            )
        };
        row("intended time to answer", &latency.response)?;
        row("sending to answer", &latency.service)?;
        row("intended time to sending", &latency.send_delay)?;
    }
    Ok(())
}

fn state(out: &mut String, report: &Report) -> fmt::Result {
    let state = &report.state;
    writeln!(
        out,
        "\n## Final state\n\n{} entities: {} matched, {} mismatched, {} ignored by a rule, {} read on one side only, {} on neither, {} not read.",
        state.entities,
        state.pairs.matched,
        state.pairs.mismatched,
        state.pairs.ignored,
        state.pairs.failed_one_side,
        state.pairs.failed_both,
        state.skipped
    )
}

fn sensitivity(out: &mut String, report: &Report) -> fmt::Result {
    let sensitivity = &report.sensitivity;
    writeln!(
        out,
        "\n## Sensitivity\n\nOf {} mutations of the candidate's answers, {} would have been caught; at least {} are needed.\n",
        sensitivity.mutations,
        sensitivity.caught,
        percent(sensitivity.threshold)
    )?;
    writeln!(out, "| mutation | tried | caught |\n|---|---:|---:|")?;
    for (name, kind) in &sensitivity.by_mutation {
        writeln!(out, "| {name} | {} | {} |", kind.mutations, kind.caught)?;
    }
    if !sensitivity.blind.is_empty() {
        writeln!(
            out,
            "\n| not caught | times | at | place | hidden by |\n|---|---:|---|---|---|"
        )?;
    }
    for spot in &sensitivity.blind {
        writeln!(
            out,
            "| {} | {} | `{}` | `{}` | {} |",
            spot.mutation,
            spot.count,
            cell(&spot.endpoint),
            cell(&spot.path),
            cell(&spot.rules.join(", "))
        )?;
    }
    Ok(())
}

fn left_out(out: &mut String, total: usize, what: &str) -> fmt::Result {
    match total.checked_sub(ROWS) {
        Some(more) if more > 0 => writeln!(out, "\n{more} more {what} are in the JSON report."),
        _ => Ok(()),
    }
}

fn shout(verdict: Verdict) -> String {
    verdict.name().to_uppercase()
}

/// A text as one line of prose.
fn line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .take(LINE)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line.replace('<', "&lt;")
}

/// A text as a table's cell, with or without backticks around it.
fn cell(text: &str) -> String {
    crate::diff::shortened(text)
        .replace('|', "\\|")
        .replace('`', "'")
        .replace('<', "&lt;")
}
