//! The report as Markdown: the verdict and its reason first, then what supports it.
//!
//! **Invariant**: at most [`LIMIT_BYTES`], whatever the run; what is left out is said. No cell breaks its table.

use std::fmt::{self, Write};

use crate::{
    report::Report,
    run::Percentiles,
    verdict::{GateKind, Verdict, percent},
};

/// A report is never longer than this.
pub const LIMIT_BYTES: usize = 200_000;

/// So many clusters, rules, endpoints and the like are shown; the JSON has more.
const ROWS: usize = 25;

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
        kind(report.gate.kind),
        percent(report.gate.limit),
        report.gate.verdict
    )?;
    let more = report.reasons.iter().skip(2).map(|reason| ("also", reason));
    let notes = report.notes.iter().map(|note| ("note", note));
    for (what, said) in more.chain(notes).take(ROWS) {
        writeln!(out, "- {what}: {}", line(said))?;
    }
    counts(out, report)?;
    clusters(out, report)?;
    rules(out, report)?;
    latency(out, report)?;
    state(out, report)?;
    sensitivity(out, report)
}

fn counts(out: &mut String, report: &Report) -> fmt::Result {
    let (pairs, accounting, rate) = (
        &report.pairs,
        &report.accounting.pairs,
        &report.mismatch_rate,
    );
    let needed = rate
        .clean_requests_still_needed
        .map_or_else(|| "more than 10^12".to_owned(), |needed| needed.to_string());
    writeln!(out, "\n## What was compared\n\n| | |\n|---|---:|")?;
    let capture = &report.capture;
    let skipped: u64 = capture.skipped.iter().map(|kind| kind.count).sum();
    let rows: [(&str, String); 16] = [
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
            "failed on one side, on both",
            format!("{}, {}", pairs.failed_one_side, pairs.failed_both),
        ),
        ("coverage", percent(report.coverage)),
        (
            "upper 95 % bound by session",
            percent(rate.session_upper_95),
        ),
        ("clean requests still needed for the bound", needed),
    ];
    for (name, value) in rows {
        writeln!(out, "| {name} | {value} |")?;
    }
    writeln!(
        out,
        "\n| endpoint | matched | mismatched | ignored | failed on one side | on both |\n|---|---:|---:|---:|---:|---:|"
    )?;
    for row in report.endpoints.iter().take(ROWS) {
        let pairs = &row.pairs;
        writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} |",
            cell(&row.endpoint),
            pairs.matched,
            pairs.mismatched,
            pairs.ignored,
            pairs.failed_one_side,
            pairs.failed_both
        )?;
    }
    left_out(out, report.endpoints.len(), "endpoints")
}

fn clusters(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "\n## Differences\n")?;
    if report.clusters.is_empty() {
        return writeln!(out, "None.");
    }
    for cluster in report.clusters.iter().take(ROWS) {
        let place = if cluster.path.is_empty() {
            String::new()
        } else {
            format!(" `{}`", cell(&cluster.path))
        };
        writeln!(
            out,
            "### {} times: {}{place} at `{}`\n",
            cluster.count,
            cluster.kind,
            cell(&cluster.endpoint)
        )?;
        writeln!(
            out,
            "| request | asked | legacy | candidate |\n|---:|---|---|---|"
        )?;
        for example in &cluster.examples {
            let value = |value: &Option<String>| match value {
                Some(value) => format!("`{}`", cell(value)),
                None => "(absent)".to_owned(),
            };
            let at = example
                .at
                .as_ref()
                .map_or_else(String::new, |at| format!(" at `{}`", cell(at)));
            writeln!(
                out,
                "| {} | `{}`{at} | {} | {} |",
                example.seq,
                cell(&example.asked),
                value(&example.legacy),
                value(&example.candidate)
            )?;
        }
        writeln!(out)?;
    }
    left_out(out, report.clusters.len(), "clusters")
}

fn rules(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "\n## Rules\n")?;
    if report.rules.is_empty() {
        return writeln!(out, "None.");
    }
    writeln!(
        out,
        "| rule | kind | suppressed | rewritten | reason |\n|---|---|---:|---:|---|"
    )?;
    let mut shown: Vec<_> = report.rules.iter().collect();
    shown.sort_by_key(|rule| std::cmp::Reverse(rule.suppressed + rule.rewritten));
    for rule in shown.into_iter().take(2 * ROWS) {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            cell(&rule.rule),
            rule.kind,
            rule.suppressed,
            rule.rewritten,
            cell(&rule.reason)
        )?;
    }
    left_out(out, report.rules.len().saturating_sub(ROWS), "rules")
}

fn latency(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "\n## Latency, in ms\n")?;
    writeln!(
        out,
        "| side | from | p50 | p95 | p99 | max |\n|---|---|---:|---:|---:|---:|"
    )?;
    for (side, latency) in &report.latency_ms {
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
    for spot in &sensitivity.blind {
        writeln!(
            out,
            "\n- not caught {} times: {} of `{}` at `{}`",
            spot.count,
            spot.mutation,
            cell(&spot.path),
            cell(&spot.endpoint)
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

fn kind(kind: GateKind) -> &'static str {
    match kind {
        GateKind::Point => "point",
        GateKind::Proven => "proven",
    }
}

/// A text as one line of prose.
fn line(text: &str) -> String {
    crate::diff::shortened(text).replace('<', "&lt;")
}

/// A text as a table's cell, with or without backticks around it.
fn cell(text: &str) -> String {
    crate::diff::shortened(text)
        .replace('|', "\\|")
        .replace('`', "'")
        .replace('<', "&lt;")
}
