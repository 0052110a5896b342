//! What differs, and what each rule made of it.
//!
//! **Invariant**: at most [`ROWS`] clusters and twice as many rules; the JSON has the rest, and how many are left out is said.

use std::fmt::{self, Write};

use super::{ROWS, cell, left_out, line};
use crate::report::Report;

pub(super) fn clusters(out: &mut String, report: &Report) -> fmt::Result {
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
        if let Some(cause) = &cluster.hypothesis {
            writeln!(out, "Supposed cause: {}.\n", line(&cause.to_string()))?;
        }
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

pub(super) fn rules(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "\n## Rules\n")?;
    if report.rules.is_empty() {
        return writeln!(out, "None.");
    }
    writeln!(
        out,
        "| rule | kind | suppressed | rewritten | mutations hidden | reason |\n|---|---|---:|---:|---:|---|"
    )?;
    let mut shown: Vec<_> = report.rules.iter().collect();
    shown.sort_by_key(|rule| {
        std::cmp::Reverse(rule.suppressed + rule.rewritten + rule.hidden_mutations)
    });
    for rule in shown.into_iter().take(2 * ROWS) {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {}{} |",
            cell(&rule.rule),
            rule.kind,
            rule.suppressed,
            rule.rewritten,
            rule.hidden_mutations,
            if rule.expired { "(expired) " } else { "" },
            cell(&rule.reason)
        )?;
    }
    left_out(out, report.rules.len().saturating_sub(ROWS), "rules")
}

/// Invented values that stood beside the wrong one.
pub(super) fn pairings(out: &mut String, report: &Report) -> fmt::Result {
    if report.conflicts.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Swapped identifiers\n\n{} pairings of invented values were violated.\n",
        report.violated_pairings
    )?;
    for conflict in report.conflicts.iter().take(ROWS) {
        writeln!(
            out,
            "- {} (in {} pairs)",
            line(&conflict.to_string()),
            conflict.pairs
        )?;
    }
    let total = usize::try_from(report.violated_pairings).unwrap_or(usize::MAX);
    match total.saturating_sub(ROWS) {
        0 => Ok(()),
        more => writeln!(out, "\nAnd {more} more, some of them in the JSON report."),
    }
}

/// Where legacy does not agree with a second instance of itself.
pub(super) fn noise(out: &mut String, report: &Report) -> fmt::Result {
    let Some(noise) = &report.noise else {
        return Ok(());
    };
    writeln!(
        out,
        "\n## Noise\n\nA second instance of legacy answered {} pairs too; it differs from legacy at {} places.\n",
        noise.pairs,
        noise.places.len()
    )?;
    writeln!(
        out,
        "| endpoint | place | kind | pairs | candidate differs | second legacy differs | only candidate | only second | p | so |\n|---|---|---|---:|---:|---:|---:|---:|---:|---|"
    )?;
    for place in noise.places.iter().take(ROWS) {
        let so = match (place.worse, place.excused) {
            (true, _) => "worse than noise: all count",
            (false, true) => "noise",
            (false, false) => "too little noise to excuse",
        };
        writeln!(
            out,
            "| `{}` | `{}` | {} | {} | {} | {} | {} | {} | {:.3e} | {so} |",
            cell(&place.endpoint),
            cell(&place.path),
            place.kind,
            place.pairs,
            place.candidate,
            place.noise,
            place.only_candidate,
            place.only_noise,
            place.p
        )?;
    }
    left_out(out, noise.places.len(), "places")?;
    for blind in noise.blind.iter().take(ROWS) {
        writeln!(
            out,
            "\n- so noisy that a wrong value cannot be seen: `{}`",
            cell(blind)
        )?;
    }
    Ok(())
}
