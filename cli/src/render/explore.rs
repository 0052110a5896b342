//! An exploration for a terminal and as Markdown; as JSON it shows itself.
//!
//! **Invariant**: every line can be read without its color. It reads counts and decides nothing.

use std::{fmt::Write, path::Path};

use rehearsal_sim::explore::{Conclusion, Ended, Exploration, Found};

use super::{quoted, real, seconds};
use crate::{
    bundle,
    printer::{Printer, Tone},
};

/// So many findings are told in full; all of them are in the document.
const TOLD: usize = 20;
/// So many points that were not hit are named.
const NAMED: usize = 30;

/// The conclusion's word.
fn word(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Pass => "PASS",
        Conclusion::Fail => "FAIL",
        Conclusion::Inconclusive => "INCONCLUSIVE",
        Conclusion::Infrastructure => "INFRASTRUCTURE",
        Conclusion::Nondeterminism => "NONDETERMINISM",
    }
}

fn tone(conclusion: Conclusion) -> Tone {
    match conclusion {
        Conclusion::Pass => Tone::Good,
        Conclusion::Inconclusive => Tone::Doubtful,
        Conclusion::Fail | Conclusion::Infrastructure | Conclusion::Nondeterminism => Tone::Bad,
    }
}

/// One finding, as it is told: what, how often, where first, how to see it again.
pub fn finding(printer: Printer, found: &Found, out: &Path) -> String {
    let head = printer.paint(Tone::Bad, "FAIL");
    let runs = if found.runs == 1 { "run" } else { "runs" };
    // A promise about a whole run was not broken at one moment.
    let when = if found.at_us == 0 {
        String::new()
    } else {
        format!(" at {} virtual", seconds(found.at_us / 1000))
    };
    let mut text = format!(
        "\n  {head}  oracle {}  {} {runs}, first {} seed {}{when}\n        {}\n",
        found.oracle,
        found.runs,
        found.first.scenario,
        found.first.seed,
        found.message.replace('\n', "\n        "),
    );
    if let Some(folder) = &found.bundle {
        let _ = writeln!(text, "  reproduce: {}", reproduce(out, folder));
    }
    text
}

fn reproduce(out: &Path, folder: &str) -> String {
    let plan = out.join(folder).join(bundle::PLAN);
    format!("rehearsal run {}", quoted(&plan.to_string_lossy()))
}

/// The whole exploration, for a terminal. `files` are the scenarios' files where they are known, for commands.
pub fn human(printer: Printer, exploration: &Exploration, out: &Path) -> String {
    let mut text = String::new();
    for found in exploration.findings.iter().take(TOLD) {
        text.push_str(&finding(printer, found, out));
    }
    let more = exploration.findings.len().saturating_sub(TOLD) as u64 + exploration.more_findings;
    if more > 0 {
        let _ = writeln!(text, "\n  and {more} more findings");
    }
    for diverged in &exploration.verification.diverged {
        let head = printer.paint(Tone::Bad, "NONDETERMINISM");
        let place = &diverged.place;
        let [first, again] = &diverged.results;
        let _ = writeln!(
            text,
            "\n  {head}  {} seed {}: two processes gave {first:.16} and {again:.16}",
            place.scenario, place.seed,
        );
    }
    for broken in &exploration.broken {
        let head = printer.paint(Tone::Bad, "INFRASTRUCTURE");
        let place = &broken.place;
        let _ = writeln!(
            text,
            "\n  {head}  {} seed {}: {}",
            place.scenario, place.seed, broken.why
        );
    }
    text.push('\n');
    for (name, line) in lines(exploration) {
        let _ = writeln!(text, "  {name:<9} {line}");
    }
    let conclusion = printer.paint(tone(exploration.verdict), word(exploration.verdict));
    let _ = writeln!(text, "  verdict   {conclusion}");
    text
}

/// The whole exploration as Markdown.
pub fn markdown(exploration: &Exploration, out: &Path) -> String {
    let mut text = format!("# Exploration: {}\n\n", word(exploration.verdict));
    for (name, line) in lines(exploration) {
        let _ = writeln!(text, "- {name}: {line}");
    }
    if !exploration.findings.is_empty() {
        text.push_str(
            "\n| oracle | runs | first | what it said | reproduce |\n|---|---|---|---|---|\n",
        );
    }
    for found in &exploration.findings {
        let folder = found.bundle.as_deref();
        let command = folder.map_or_else(|| "-".to_owned(), |folder| reproduce(out, folder));
        let _ = writeln!(
            text,
            "| {} | {} | {} seed {} | {} | `{}` |",
            cell(&found.oracle),
            found.runs,
            cell(&found.first.scenario),
            found.first.seed,
            cell(&found.message),
            cell(&command),
        );
    }
    text.push_str("\n| point | runs | first |\n|---|---|---|\n");
    for point in &exploration.points {
        let first = point.first.as_ref();
        let first = first.map_or_else(
            || "-".to_owned(),
            |place| format!("{} seed {}", cell(&place.scenario), place.seed),
        );
        let _ = writeln!(
            text,
            "| {}: {} | {} | {first} |",
            point.name,
            cell(&point.means),
            point.runs
        );
    }
    text
}

/// The facts, a line each.
fn lines(exploration: &Exploration) -> Vec<(&'static str, String)> {
    let mut lines = vec![("explored", explored(exploration))];
    if !exploration.points.is_empty() {
        let unhit: Vec<&str> = exploration.unhit().map(|it| it.name.as_str()).collect();
        let all = exploration.points.len();
        let mut line = format!("{} of {all} points hit", all - unhit.len());
        if !unhit.is_empty() {
            let named = unhit.len().min(NAMED);
            let _ = write!(line, "; not: {}", unhit[..named].join(", "));
            if unhit.len() > named {
                let _ = write!(line, " and {} more", unhit.len() - named);
            }
        }
        lines.push(("coverage", line));
    }
    let idle: Vec<&str> = exploration
        .oracles
        .iter()
        .filter(|oracle| oracle.runs == 0)
        .map(|oracle| oracle.name.as_str())
        .collect();
    let mut line = format!("{} exercised", exploration.oracles.len() - idle.len());
    if !idle.is_empty() {
        let _ = write!(line, "; examined nothing: {}", idle.join(", "));
    }
    lines.push(("oracles", line));
    let spread = &exploration.convergence_ms;
    let at = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), seconds);
    lines.push((
        "converge",
        format!(
            "{} runs after the heal: p50 {}, p95 {}, p99 {}, max {} virtual",
            spread.count,
            at(spread.p50),
            at(spread.p95),
            at(spread.p99),
            at(spread.max)
        ),
    ));
    let verification = &exploration.verification;
    lines.push((
        "verified",
        format!(
            "{} runs repeated in another process, {} differed",
            verification.runs,
            verification.diverged.len()
        ),
    ));
    lines.push(("summary", summary(exploration)));
    lines
}

fn explored(exploration: &Exploration) -> String {
    let subject = &exploration.subject;
    let names: Vec<&str> = subject
        .scenarios
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    let seeds: u64 = exploration.shards.iter().map(|one| one.seeds).sum();
    let range = match subject.to {
        Some(to) => format!("{} to {}", subject.from, to - 1),
        None => format!("{} on", subject.from),
    };
    let ended: Vec<String> = exploration
        .shards
        .iter()
        .map(|one| {
            let why = match one.ended {
                Ended::Seeds => "every seed ran",
                Ended::Time => "the time was over",
                Ended::Stable => "coverage was stable",
                Ended::Finding => "stopped at the first finding",
                Ended::Diverged => "stopped at a difference",
                Ended::Interrupted => "interrupted",
            };
            if one.shard.of.get() == 1 {
                why.to_owned()
            } else {
                format!("shard {} {why}", one.shard)
            }
        })
        .collect();
    format!(
        "{}: {seeds} of the seeds from {range}; {}",
        names.join(", "),
        ended.join(", ")
    )
}

fn summary(exploration: &Exploration) -> String {
    let summary = &exploration.summary;
    let mut text = format!("{} runs: {} passed", summary.runs, summary.passed);
    for (count, name) in [
        (summary.failed, "failed"),
        (summary.inconclusive, "inconclusive"),
        (summary.infrastructure, "without a verdict"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {name}");
        }
    }
    let wall_ms = exploration.timing.wall_ms;
    let rate = summary.runs as f64 * 1000.0 / wall_ms.max(1) as f64;
    let _ = write!(text, " ({}, {rate:.1} runs/s)", real(wall_ms));
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
