//! How a session's results are shown: for a terminal and as Markdown; as JSON they show themselves.
//!
//! **Invariant**: a renderer reads records and decides nothing. Figures of the system under test are looked up by the names of the results
//! document, and one that is not there is shown as `-`.

pub mod human;
pub mod markdown;
pub mod explore;
pub mod verify;
pub mod cuts;
pub(crate) mod story;
pub(crate) mod curve;

use std::{fmt::Write, path::PathBuf};

use rehearsal_sim::{
    engine::Engine,
    report::{LeftOut, Results},
    verdict::{ConditionRecord, Record, Verdict},
};

/// What is rendered.
#[derive(Debug)]
pub struct Report {
    /// The results document.
    pub results: Results,
    /// For each run, in the same order, where it came from.
    pub origins: Vec<Origin>,
    /// The engine they ran on.
    pub engine: Engine,
}

/// Where a run came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// The scenario's question.
    pub question: String,
    /// Whether the file is a plan, which has its own seed.
    pub is_plan: bool,
}

/// So many runs that did not pass are told in full.
const TOLD: usize = 10;
/// So many violations of one oracle are told.
const VIOLATIONS: usize = 3;

impl Report {
    /// The runs that did not pass, and how many more there are than are told.
    fn troubled(&self) -> (Vec<(&Record, &Origin)>, usize) {
        let all = self
            .results
            .runs
            .iter()
            .zip(&self.origins)
            .filter(|(record, _)| record.verdict != Verdict::Pass);
        let mut all: Vec<_> = all.collect();
        let more = all.len().saturating_sub(TOLD);
        all.truncate(TOLD);
        (all, more)
    }

    /// The command that runs this run again.
    fn reproduce(&self, record: &Record, origin: &Origin) -> String {
        let mut command = format!("rehearsal run {}", quoted(&origin.file.to_string_lossy()));
        if !origin.is_plan {
            let _ = write!(command, " --seed {}", record.seed);
        }
        if self.engine != Engine::default() {
            let _ = write!(command, " --engine {}", self.engine.name());
        }
        command
    }
}

/// The verdict's word.
pub(crate) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Infrastructure => "INFRASTRUCTURE",
    }
}

/// The counts of a session, in words.
fn counts(results: &Results) -> String {
    let summary = &results.summary;
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
    text
}

/// What no seed of the session had in its plan and should have, a line each.
fn left_out(results: &Results) -> Vec<String> {
    let line = |left: &LeftOut| {
        format!(
            "{}: {} was left out by every seed that ran, so nothing is said of it; run more seeds",
            left.scenario, left.fault
        )
    };
    let missed: Vec<&LeftOut> = results.left_out.iter().filter(|it| !it.swarm).collect();
    let mut lines: Vec<String> = missed.iter().take(TOLD).map(|left| line(left)).collect();
    let more = missed.len().saturating_sub(TOLD);
    if more > 0 {
        lines.push(format!("and {more} more that every seed left out"));
    }
    lines
}

/// How much of what a swarm draws from was in no plan, if it was one.
fn undrawn(results: &Results) -> Option<String> {
    let count = results.left_out.iter().filter(|it| it.swarm).count();
    (count > 0).then(|| {
        format!("{count} of the swarm's faults were in no seed's plan; results.left_out names them")
    })
}

/// Why a run did not pass, a line each: oracles, promises, expectations, inert faults.
fn reasons(record: &Record) -> Vec<String> {
    let mut lines = Vec::new();
    for oracle in &record.oracles {
        match &oracle.undecided {
            Some(why) => lines.push(format!("oracle {}: {why}", oracle.name)),
            None if oracle.verdict == Verdict::Inconclusive => {
                lines.push(format!("oracle {} examined nothing", oracle.name));
            }
            None => {}
        }
        for violation in oracle.violations.iter().take(VIOLATIONS) {
            lines.push(format!(
                "at {}  oracle {}: {}",
                seconds(violation.at_us / 1000),
                oracle.name,
                violation.message
            ));
        }
        let more =
            oracle.violations.len().saturating_sub(VIOLATIONS) as u64 + oracle.more_violations;
        if more > 0 {
            lines.push(format!("oracle {}: {more} more like these", oracle.name));
        }
    }
    let conditions = record
        .slo
        .iter()
        .map(|it| ("slo", it))
        .chain(record.expect.iter().map(|it| ("expect", it)));
    lines.extend(
        conditions
            .filter(|(_, it)| it.verdict != Verdict::Pass)
            .map(|(table, it)| condition(table, it)),
    );
    for fault in record
        .faults
        .iter()
        .filter(|fault| fault.effect.values().all(|count| *count == 0))
    {
        lines.push(format!(
            "fault {} at {} did nothing",
            fault.kind,
            seconds(fault.at_ms)
        ));
    }
    lines
}

fn condition(table: &str, condition: &ConditionRecord) -> String {
    match condition.actual {
        Some(actual) => format!(
            "{table} {}: found {}, expected {}",
            condition.name,
            number(actual),
            condition.target
        ),
        None => format!(
            "{table} {}: no sample, expected {}",
            condition.name, condition.target
        ),
    }
}

/// A figure of the system's part of a record: `states.confirmed`.
fn figure(record: &Record, path: &[&str]) -> String {
    let (first, rest) = path.split_first().expect("a figure has a name");
    let value = rest
        .iter()
        .try_fold(record.summary.get(*first), |value, key| {
            Some(value?.get(key))
        })
        .flatten();
    value
        .and_then(serde_json::Value::as_f64)
        .map_or_else(|| "-".to_owned(), number)
}

/// A number with at most three decimals, and none that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// Milliseconds as seconds: `3.911s`.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{:03}s", ms / 1000, ms % 1000)
}

/// Real time: milliseconds, or seconds from one on.
fn real(ms: u64) -> String {
    if ms < 1000 {
        format!("{ms}ms")
    } else {
        format!("{}.{}s", ms / 1000, ms % 1000 / 100)
    }
}

/// A word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_alphanumeric() || "/._-+,:@%".contains(c));
    if plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
