//! P(violation | t) for a terminal, as Markdown and as JSON.
//!
//! **Invariant**: every figure is printed with its interval; a bar says nothing that the number beside it does not.

use std::fmt::Write;

use rehearsal_sim::why::Curve;

use super::seconds;
use crate::printer::{Printer, Tone};

/// The length of a bar for a share of 1.
const BAR: usize = 30;

/// For a terminal.
pub(crate) fn human(printer: Printer, curve: &Curve) -> String {
    let mut text = format!(
        "  {}  oracle {}, fingerprint {}\n        {}\n\n",
        printer.paint(Tone::Bad, "FAIL"),
        curve.finding.oracle,
        curve.finding.fingerprint,
        curve.finding.message
    );
    let _ = writeln!(text, "  {:>10}  P(violation | t)  95 % interval", "t");
    for point in &curve.points {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of 30"
        )]
        let full = (point.share * BAR as f64).round() as usize;
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR - full));
        let _ = writeln!(
            text,
            "  {:>10}  {bar}  {:.2}  [{:.2}, {:.2}]",
            seconds(point.at_ms),
            point.share,
            point.low,
            point.high
        );
    }
    text.push('\n');
    for line in conclusions(curve) {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(rise) = &curve.rise {
        if rise.more > 0 {
            let _ = writeln!(text, "    ... {} entries before these", rise.more);
        }
        for entry in &rise.entries {
            let _ = writeln!(text, "    {entry}");
        }
    }
    text
}

/// As Markdown.
pub(crate) fn markdown(curve: &Curve) -> String {
    let mut text = format!(
        "# Why `{}` ({})\n\n{}\n\n| t | P(violation \\| t) | 95 % interval | runs |\n|---|---|---|---|\n",
        curve.finding.oracle, curve.finding.fingerprint, curve.finding.message
    );
    for point in &curve.points {
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} to {:.2} | {} of {} |",
            seconds(point.at_ms),
            point.share,
            point.low,
            point.high,
            point.violations,
            point.samples
        );
    }
    text.push('\n');
    for line in conclusions(curve) {
        let _ = writeln!(text, "{line}\n");
    }
    if let Some(rise) = &curve.rise {
        for entry in &rise.entries {
            let _ = writeln!(text, "- `{entry}`");
        }
    }
    text
}

/// As JSON.
pub(crate) fn json(curve: &Curve) -> String {
    let mut text = serde_json::to_string_pretty(curve).expect("a curve is plain data");
    text.push('\n');
    text
}

fn conclusions(curve: &Curve) -> Vec<String> {
    let mut lines = Vec::new();
    let always = curve.points.first().is_some_and(|point| point.share >= 1.0);
    if always {
        lines.push(
            "every run failed, whatever chance did: the plan itself decides it (operations, faults, settings)"
                .to_owned(),
        );
        return lines;
    }
    if let Some(at_ms) = curve.likely_from_ms {
        lines.push(format!(
            "likely (at least half of the runs) from {}",
            seconds(at_ms)
        ));
    }
    if let Some(at_ms) = curve.certain_from_ms {
        lines.push(format!("certain (every run) from {}", seconds(at_ms)));
    }
    match &curve.rise {
        Some(rise) => lines.push(format!(
            "the greatest rise, by {:.2}, lies between {} and {}; there:",
            rise.by,
            seconds(rise.from_ms),
            seconds(rise.to_ms)
        )),
        None => lines.push("P rises nowhere: no moment decided it".to_owned()),
    }
    lines
}
