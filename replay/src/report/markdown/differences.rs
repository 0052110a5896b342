//! What differs, and what each rule made of it.
//!
//! **Invariant**: at most [`ROWS`] clusters and twice as many rules; the JSON has the rest, and how many are left out is said.

use std::fmt::{self, Write};

use super::{ROWS, cell, left_out};
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
