//! A verification for a terminal and as Markdown.
//!
//! **Invariant**: every line can be read without its color. It decides nothing: what leaked is in the document.

use std::fmt::Write;

use rehearsal_sim::verify::{
    diagnosis::{Asked, Divergence},
    report::{Finding, Found, Pairs, Scenario, Verification},
};

use super::real;
use crate::printer::{Printer, Tone};

/// An entry of a trace is shown up to so many characters.
const ENTRY_WIDTH: usize = 300;

/// For a terminal: a line a scenario, each difference, a summary.
pub fn human(printer: Printer, document: &Verification) -> String {
    let mut text = String::new();
    let width = document
        .scenarios
        .iter()
        .map(|one| one.scenario.chars().count())
        .max()
        .unwrap_or(0);
    for one in &document.scenarios {
        let (tone, word) = word(&one.pairs);
        let head = printer.paint(tone, word);
        let _ = writeln!(text, "  {head}  {:<width$}  {}", one.scenario, counts(one));
    }
    for found in &document.differences {
        let _ = write!(text, "\n{}", difference(printer, found));
    }
    let _ = writeln!(
        text,
        "\n  summary   {} of {} pairs compared: {} the same, {} different, {} broke off alike ({})",
        compared(&document.pairs),
        document.pairs.asked,
        document.pairs.same,
        document.pairs.different,
        document.pairs.broke,
        real(document.timing.wall_ms)
    );
    text
}

/// For a report.
pub fn markdown(document: &Verification) -> String {
    let verdict = match document.verdict {
        Finding::Pass => "pass",
        Finding::Nondeterminism => "nondeterminism",
        Finding::Inconclusive => "inconclusive",
    };
    let mut text = format!(
        "# Verification: {verdict}\n\n| scenario | pairs | same | different | broke off alike |\n|---|---|---|---|---|\n"
    );
    for Scenario {
        scenario, pairs, ..
    } in &document.scenarios
    {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            scenario.replace('|', "\\|"),
            compared(pairs),
            pairs.same,
            pairs.different,
            pairs.broke
        );
    }
    let plain = Printer::plain();
    for found in &document.differences {
        let _ = write!(text, "\n```text\n{}```\n", difference(plain, found));
    }
    text
}

fn compared(pairs: &Pairs) -> u64 {
    pairs.same + pairs.different + pairs.broke
}

fn word(pairs: &Pairs) -> (Tone, &'static str) {
    match pairs {
        Pairs { different: 1.., .. } => (Tone::Bad, "DIFFERS"),
        Pairs {
            same: 1..,
            broke: 0,
            ..
        } => (Tone::Good, "SAME"),
        _ => (Tone::Doubtful, "INCONCLUSIVE"),
    }
}

fn counts(one: &Scenario) -> String {
    let mut text = format!("{} of {} pairs", compared(&one.pairs), one.pairs.asked);
    if let Some(reason) = &one.broke {
        let _ = write!(text, ", {} broke off alike: {reason}", one.pairs.broke);
    }
    text
}

fn difference(printer: Printer, found: &Found) -> String {
    let difference = &found.difference;
    let head = printer.paint(Tone::Bad, "DIFFERS");
    let mut text = format!("  {head}  {}  seed {}\n", found.scenario, found.seed);
    for source in &difference.sources {
        let _ = writeln!(
            text,
            "        leaked: {}: {}",
            source.name(),
            source.advice()
        );
    }
    let [one, other] = &difference.ended;
    let _ = writeln!(
        text,
        "        one run:    {one}\n        the other:  {other}"
    );
    if let Some(place) = &difference.divergence {
        divergence(&mut text, place);
    }
    if !difference.ladder.is_empty() {
        let _ = writeln!(
            text,
            "        fresh pairs that are alike in all but one thing:"
        );
    }
    for rung in &difference.ladder {
        let factor = rung.factor.map_or("nothing", |factor| factor.words());
        let said = if rung.differs { "differ" } else { "the same" };
        let _ = writeln!(text, "          {factor:<26} {said}");
    }
    let _ = writeln!(text, "  reproduce: {}", found.reproduce);
    text
}

fn divergence(text: &mut String, place: &Divergence) {
    let _ = writeln!(
        text,
        "        the traces part at entry {}; before it, in both:",
        place.ordinal
    );
    for entry in &place.before {
        let _ = writeln!(text, "          {}", short(entry));
    }
    for (
        entry,
        Asked {
            clock_reads,
            entropy_bytes,
        },
    ) in place.entries.iter().zip(&place.asked)
    {
        let entry = entry
            .as_deref()
            .map_or("(the trace has ended)".to_owned(), short);
        let _ = writeln!(
            text,
            "        * {entry}\n          (since the entry before: {clock_reads} clock reads, {entropy_bytes} random bytes)"
        );
    }
    if let Some(at) = place.asked_differs_at.filter(|at| *at < place.ordinal) {
        let _ = writeln!(
            text,
            "        they had asked for different clock readings or random bytes since entry {at}"
        );
    }
}

fn short(entry: &str) -> String {
    if entry.chars().count() <= ENTRY_WIDTH {
        return entry.to_owned();
    }
    entry
        .chars()
        .take(ENTRY_WIDTH)
        .chain("...".chars())
        .collect()
}
