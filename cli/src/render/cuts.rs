//! An enumeration for a terminal and as Markdown.
//!
//! **Invariant**: it reads the report and decides nothing; every line can be read without its color.

use std::{fmt::Write, path::Path};

use rehearsal_sim::{
    disk::Operation,
    enumerate::{Cut, Flow, Found, Report},
    verdict::Verdict,
};

use super::{human::painted, quoted, real, word};
use crate::printer::{Printer, Tone};

/// For a terminal: each flow, what was found in it, and the counts.
pub fn human(printer: Printer, report: &Report, folder: &Path) -> String {
    let mut text = String::new();
    for flow in &report.flows {
        let head = painted(printer, flow.verdict);
        let _ = writeln!(
            text,
            "  {head}  {}  seed {}  {} points ({}), {} runs: {}",
            flow.scenario,
            flow.seed,
            flow.tally.points,
            operations(flow),
            flow.tally.runs,
            counts(flow)
        );
        for line in troubles(flow) {
            let _ = writeln!(text, "        {line}");
        }
        for found in &flow.found {
            let _ = writeln!(
                text,
                "\n        oracle {}: {}",
                found.oracle,
                found.message.replace('\n', "\n          ")
            );
            let _ = writeln!(
                text,
                "        at {} cuts, the first {}",
                found.cuts,
                place(&found.first)
            );
            let _ = writeln!(text, "  reproduce: {}", reproduce(found, folder));
        }
    }
    let _ = writeln!(
        text,
        "\n  summary   {} points, {} runs with {} lost: {} passed, {} failed, {} inconclusive, {} without a verdict ({})",
        report.total.points,
        report.total.runs,
        losses(report),
        report.total.passed,
        report.total.failed,
        report.total.inconclusive,
        report.total.infrastructure,
        real(report.timing.wall_ms)
    );
    if report.verdict == Verdict::Fail {
        let hint = printer.paint(Tone::Faint, "hint:");
        let _ = writeln!(
            text,
            "\n  {hint} a plan beside the results holds the one power cut that shows its violation first"
        );
    }
    text
}

/// As Markdown.
pub fn markdown(report: &Report, folder: &Path) -> String {
    let mut text = format!(
        "# Power cuts: {}\n\n{} points, {} runs with {} lost ({})\n\n\
         | verdict | flow | seed | points | operations | runs | passed | failed | inconclusive | without a verdict |\n|{}\n",
        word(report.verdict),
        report.total.points,
        report.total.runs,
        losses(report),
        real(report.timing.wall_ms),
        "---|".repeat(10)
    );
    for flow in &report.flows {
        let tally = &flow.tally;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            word(flow.verdict),
            flow.scenario.replace('|', "\\|"),
            flow.seed,
            tally.points,
            operations(flow),
            tally.runs,
            tally.passed,
            tally.failed,
            tally.inconclusive,
            tally.infrastructure
        );
    }
    for flow in &report.flows {
        let lines = troubles(flow);
        if lines.is_empty() && flow.found.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n## {}, seed {}\n", flow.scenario, flow.seed);
        for line in lines {
            let _ = writeln!(text, "- {}", line.replace('\n', " "));
        }
        for found in &flow.found {
            let _ = writeln!(
                text,
                "- oracle {}: {}, at {} cuts, the first {}\n\n```\n{}\n```",
                found.oracle,
                found.message.replace('\n', " ").replace('<', "&lt;"),
                found.cuts,
                place(&found.first),
                reproduce(found, folder)
            );
        }
    }
    text
}

fn losses(report: &Report) -> String {
    let names: Vec<String> = report.losses.iter().map(|loss| loss.name()).collect();
    names.join(", ")
}

/// What kinds of operations the points are of: `120 writes, 9 syncs`.
fn operations(flow: &Flow) -> String {
    let disks = flow.operations.values();
    let counts = disks.flatten().map(|(operation, count)| {
        let plural = match operation {
            Operation::Read => "reads",
            Operation::Write => "writes",
            Operation::Resize => "resizes",
            Operation::Sync => "syncs",
            Operation::Create => "creations",
            Operation::Delete => "removals",
        };
        format!("{count} {plural}")
    });
    format!("of {}", counts.collect::<Vec<_>>().join(", "))
}

fn counts(flow: &Flow) -> String {
    let tally = &flow.tally;
    let mut text = format!("{} passed", tally.passed);
    for (count, name) in [
        (tally.failed, "failed"),
        (tally.inconclusive, "inconclusive"),
        (tally.infrastructure, "without a verdict"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {name}");
        }
    }
    text
}

/// Why a flow did not pass, but for what was found.
fn troubles(flow: &Flow) -> Vec<String> {
    let mut lines = Vec::new();
    if flow.uncut != Verdict::Pass {
        lines.push(format!(
            "without a cut the flow already comes to {}: `rehearsal run` says why",
            word(flow.uncut)
        ));
    }
    let idle = flow.idle.iter();
    lines.extend(idle.map(|name| format!("oracle {name} examined nothing at any point")));
    let listed = flow.without_verdict.iter();
    lines.extend(listed.map(|(cut, why)| format!("cut {}: {why}", place(cut))));
    lines
}

fn place(cut: &Cut) -> String {
    let what = match cut.point.operation {
        Operation::Read => "read",
        Operation::Write => "write",
        Operation::Resize => "resize",
        Operation::Sync => "sync",
        Operation::Create => "creation",
        Operation::Delete => "removal",
    };
    format!(
        "at operation {} of {} (a {what}) with {} lost",
        cut.point.index,
        cut.point.host,
        cut.loss.name()
    )
}

fn reproduce(found: &Found, folder: &Path) -> String {
    let file = folder.join(&found.plan);
    format!("rehearsal run {}", quoted(&file.to_string_lossy()))
}
