//! The report for a terminal: one screen, readable without color.
//!
//! **Invariant**: at most about thirty lines; the files have the rest.

use std::fmt::{self, Write};

use crate::{report::Report, verdict::percent};

/// So many clusters are shown.
const CLUSTERS: usize = 5;

/// The report as a few lines of text.
pub fn human(report: &Report) -> String {
    let mut text = String::new();
    write(&mut text, report).expect("writing to a string does not fail");
    text
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    let (pairs, rate, state) = (&report.pairs, &report.mismatch_rate, &report.state);
    let accounting = &report.accounting.pairs;
    let mut row = |name: &str, value: &str| writeln!(out, "  {name:<12} {value}");
    row("verdict", &report.verdict.name().to_uppercase())?;
    for reason in report.reasons.iter().take(4) {
        row("", reason)?;
    }
    row(
        "capture",
        &format!(
            "{} exchanges, {}",
            report.capture.exchanges, report.capture.format
        ),
    )?;
    row(
        "requests",
        &format!(
            "{} planned: {} answered by both, {} failed, {} skipped",
            accounting.planned, accounting.answered, accounting.failed, accounting.skipped
        ),
    )?;
    row(
        "pairs",
        &format!(
            "{} matched, {} mismatched, {} ignored, {} noise, {} failed on one side, {} on both",
            pairs.matched,
            pairs.mismatched,
            pairs.ignored,
            pairs.noise,
            pairs.failed_one_side,
            pairs.failed_both
        ),
    )?;
    row(
        "mismatches",
        &format!(
            "{} ({} of {}), upper 95 % bound {}, by session {}",
            percent(rate.point),
            rate.mismatches,
            rate.compared,
            percent(rate.upper_95),
            percent(rate.session_upper_95)
        ),
    )?;
    row("gate", &report.gate.stopping.reason)?;
    row(
        "state",
        &format!(
            "{} entities: {} matched, {} mismatched, {} ignored",
            state.entities,
            state.pairs.matched,
            state.pairs.mismatches(),
            state.pairs.ignored
        ),
    )?;
    row(
        "sensitivity",
        &format!(
            "{} of {} mutations caught",
            report.sensitivity.caught, report.sensitivity.mutations
        ),
    )?;
    let behavior = &report.behavior;
    row(
        "behavior",
        &format!(
            "classes {}, seen once {}, not seen about {}",
            behavior.classes,
            behavior.seen_once,
            percent(behavior.missing_mass)
        ),
    )?;
    for (side, latency) in report.latency() {
        let of = &latency.response;
        row(
            &format!("{side} ms"),
            &format!(
                "p50 {}, p95 {}, p99 {}, max {}",
                of.p50, of.p95, of.p99, of.max
            ),
        )?;
    }
    differences(&mut row, report)?;
    for note in report.timing.notes.iter().chain(&report.notes).take(3) {
        row("note", note)?;
    }
    Ok(())
}

fn differences(row: &mut impl FnMut(&str, &str) -> fmt::Result, report: &Report) -> fmt::Result {
    for cluster in report.clusters.iter().take(CLUSTERS) {
        row(
            "differs",
            &format!("{} times: {}", cluster.count, cluster.fingerprint),
        )?;
        if let Some(cause) = &cluster.hypothesis {
            row("", &cause.to_string())?;
        }
        if let Some(example) = cluster.examples.first() {
            let value =
                |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_owned());
            let shown = format!(
                "request {}: {} -> {}",
                example.seq,
                value(&example.legacy),
                value(&example.candidate)
            );
            row("", &shown)?;
        }
    }
    let more = report.clusters.len().saturating_sub(CLUSTERS);
    if more > 0 {
        row("", &format!("and {more} more in the report"))?;
    }
    Ok(())
}
