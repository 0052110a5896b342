//! What the gate's word is worth: bounds, endpoints, and how much of the behavior was seen.
//!
//! **Invariant**: every figure of the gate is shown, whatever the verdict.

use std::fmt::{self, Write};

use super::{ROWS, cell, left_out, line};
use crate::{
    report::{EndpointFinding, Report},
    sequential::EVIDENCE_NEEDED,
    verdict::percent,
};

pub(super) fn gate(out: &mut String, report: &Report) -> fmt::Result {
    let (rate, stopping) = (&report.mismatch_rate, &report.gate.stopping);
    writeln!(out, "\n## Gate\n\n{}.\n", capital(&line(&stopping.reason)))?;
    let needed = rate
        .clean_requests_still_needed
        .map_or_else(|| "more than 10^12".to_owned(), |needed| needed.to_string());
    let rule = stopping.point_rule;
    let rows: [(&str, String); 9] = [
        (
            "gate",
            format!(
                "{} at {}",
                report.gate.kind.name(),
                percent(report.gate.limit)
            ),
        ),
        (
            "decided after",
            stopping
                .decided_after
                .map_or_else(|| "undecided".to_owned(), |after| format!("{after} pairs")),
        ),
        ("upper 95 % bound (exact, one look)", percent(rate.upper_95)),
        (
            "upper 95 % bound for any number of looks",
            percent(stopping.anytime_upper_95),
        ),
        (
            "upper 95 % bound by session",
            format!(
                "{} ({} of {} sessions)",
                percent(rate.session_upper_95),
                rate.session_mismatches,
                rate.sessions
            ),
        ),
        ("clean requests still needed for the exact bound", needed),
        (
            "evidence for less than the limit",
            format!("{:.2} of {EVIDENCE_NEEDED}", stopping.e_value.min(1e9)),
        ),
        (
            "evidence for more",
            format!(
                "{:.2} of {EVIDENCE_NEEDED}",
                stopping.e_value_against.min(1e9)
            ),
        ),
        (
            "mismatches that the point rule lets pass here",
            format!(
                "{}; from {} pairs on {}",
                rule.allowed_mismatches,
                rule.next_cliff,
                rule.allowed_mismatches + 1
            ),
        ),
    ];
    writeln!(out, "| | |\n|---|---:|")?;
    for (name, value) in rows {
        writeln!(out, "| {name} | {value} |")?;
    }
    Ok(())
}

pub(super) fn endpoints(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(
        out,
        "\n## Endpoints\n\nEach is held against the limit for itself; the bounds are so wide that all of them hold at once at 95 %.\n"
    )?;
    writeln!(
        out,
        "| endpoint | matched | mismatched | ignored | noise | failed on one side | on both | upper bound | alone |\n|---|---:|---:|---:|---:|---:|---:|---:|---|"
    )?;
    for row in report.endpoints.iter().take(ROWS) {
        let pairs = &row.pairs;
        let alone = match (row.finding, row.clean_requests_still_needed) {
            (EndpointFinding::OutOfReach, Some(needed)) => {
                format!("out of reach: {needed} further clean requests")
            }
            (finding, _) => finding.told().to_owned(),
        };
        writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} | {alone} |",
            cell(&row.endpoint),
            pairs.matched,
            pairs.mismatched,
            pairs.ignored,
            pairs.noise,
            pairs.failed_one_side,
            pairs.failed_both,
            percent(row.upper_95_family)
        )?;
    }
    left_out(out, report.endpoints.len(), "endpoints")
}

pub(super) fn behavior(out: &mut String, report: &Report) -> fmt::Result {
    let behavior = &report.behavior;
    writeln!(
        out,
        "\n## Behavior\n\n{} exchanges of {} classes (endpoint, status, shape, and the step before); {} classes were seen once. The next exchange is of a class that was not seen with a probability of about {} (Good-Turing).\n",
        behavior.exchanges,
        behavior.classes,
        behavior.seen_once,
        percent(behavior.missing_mass)
    )?;
    writeln!(
        out,
        "| endpoint | exchanges | classes | seen once | not seen, about |\n|---|---:|---:|---:|---:|"
    )?;
    for row in behavior.endpoints.iter().take(ROWS) {
        writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            cell(&row.endpoint),
            row.exchanges,
            row.classes,
            row.seen_once,
            percent(row.missing_mass)
        )?;
    }
    left_out(out, behavior.endpoints.len(), "endpoints")
}

/// A sentence's beginning.
fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}
