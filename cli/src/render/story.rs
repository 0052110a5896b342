//! The story of a run for a terminal, as Markdown (with a sequence diagram for one request) and as JSON.
//!
//! **Invariant**: a story is shown as it was told, entry by entry; what a color says stands beside it as a sign.

use std::{collections::BTreeMap, fmt::Write};

use rehearsal_sim::show::{Broken, Line, Story, Weight};

use super::{seconds, word};
use crate::printer::{Printer, Tone};

/// Most messages of a sequence diagram: more cannot be read.
const MOST_MESSAGES: usize = 80;

/// Whether the story tells anything of a request.
pub(crate) fn concerns_anything(story: &Story) -> bool {
    let concerned =
        |line: &Line| matches!(line, Line::Entry { weight, .. } if *weight == Weight::Concerned);
    story.chronology.iter().any(concerned)
}

/// For a terminal.
pub(crate) fn human(printer: Printer, story: &Story, reproduce: Option<&str>) -> String {
    let mut text = String::new();
    for line in &story.setup {
        let _ = writeln!(text, "  {line}");
    }
    if !story.setup.is_empty() {
        text.push('\n');
    }
    let width = width(story);
    for line in &story.chronology {
        let line = match line {
            Line::Entry {
                at_us,
                host,
                what,
                weight,
                ..
            } => {
                let (sign, tone) = match weight {
                    Weight::Plain => (' ', Tone::Plain),
                    Weight::World => ('*', Tone::Doubtful),
                    Weight::Concerned => ('>', Tone::Plain),
                };
                let line = format!(
                    "{sign} {:>10}  {host:width$}  {what}",
                    seconds(at_us / 1000)
                );
                printer.paint(tone, &line)
            }
            Line::Violation(number) => {
                let broken = &story.violations[*number];
                let line = format!(
                    "! {:>10}  VIOLATION of {}: {}",
                    seconds(broken.at_us.unwrap_or_default() / 1000),
                    broken.oracle,
                    broken.message
                );
                printer.paint(Tone::Bad, &line)
            }
            Line::Fold { .. } => printer.paint(Tone::Faint, &format!("  {}", fold(line))),
        };
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
    for broken in &story.violations {
        let _ = writeln!(
            text,
            "  {}  oracle {}, fingerprint {}{}",
            printer.paint(Tone::Bad, "FAIL"),
            broken.oracle,
            broken.fingerprint,
            at(broken)
        );
        let _ = writeln!(text, "        what has to hold: {}", broken.property);
        let _ = writeln!(text, "        what happened:    {}", broken.message);
        if broken.more > 0 {
            let _ = writeln!(text, "        and {} more like this", broken.more);
        }
    }
    if story.violations.is_empty() {
        let _ = writeln!(text, "  {}", outcome(story));
    }
    if let Some(command) = reproduce {
        let _ = writeln!(text, "\n  reproduce: {command}");
    }
    text
}

/// As Markdown; `request` is the one that the story is about.
pub(crate) fn markdown(story: &Story, reproduce: Option<&str>, request: Option<&str>) -> String {
    let mut text = match request {
        Some(request) => format!("# The story of {request}\n\n"),
        None => "# The story of a run\n\n".to_owned(),
    };
    for line in &story.setup {
        let _ = writeln!(text, "- {line}");
    }
    if !story.setup.is_empty() {
        text.push('\n');
    }
    for broken in &story.violations {
        let _ = writeln!(
            text,
            "**FAIL** oracle `{}`, fingerprint `{}`{}\n\n- what has to hold: {}\n- what happened: {}\n",
            broken.oracle,
            broken.fingerprint,
            at(broken),
            broken.property,
            broken.message
        );
    }
    if story.violations.is_empty() {
        let _ = writeln!(text, "{}\n", outcome(story));
    }
    if request.is_some() {
        text.push_str(&diagram(story));
    }
    text.push_str("| time | host | what |\n|---|---|---|\n");
    for line in &story.chronology {
        let _ = match line {
            Line::Entry {
                at_us, host, what, ..
            } => {
                writeln!(
                    text,
                    "| {} | {host} | {} |",
                    seconds(at_us / 1000),
                    cell(what)
                )
            }
            Line::Violation(number) => {
                let broken = &story.violations[*number];
                let time = seconds(broken.at_us.unwrap_or_default() / 1000);
                writeln!(
                    text,
                    "| {time} | | **violation of {}**: {} |",
                    broken.oracle,
                    cell(&broken.message)
                )
            }
            Line::Fold { .. } => writeln!(text, "| | | *{}* |", cell(&fold(line))),
        };
    }
    if let Some(command) = reproduce {
        let _ = writeln!(text, "\nReproduce: `{command}`");
    }
    text
}

/// As JSON.
pub(crate) fn json(story: &Story, reproduce: Option<&str>) -> String {
    let mut value = serde_json::to_value(story).expect("a story is plain data");
    value["reproduce"] = reproduce.into();
    let mut text = serde_json::to_string_pretty(&value).expect("a value is plain data");
    text.push('\n');
    text
}

fn width(story: &Story) -> usize {
    let hosts = story.chronology.iter().filter_map(|line| match line {
        Line::Entry { host, .. } => Some(host.chars().count()),
        _ => None,
    });
    hosts.max().unwrap_or(0)
}

fn at(broken: &Broken) -> String {
    broken
        .at_us
        .map(|at_us| format!(", at {}", seconds(at_us / 1000)))
        .unwrap_or_default()
}

fn outcome(story: &Story) -> String {
    let entries = story.entries;
    match story.verdict {
        Some(verdict) => format!("{}  no violation in {entries} entries", word(verdict)),
        None => format!(
            "no violation in {entries} entries; promises cannot be judged from a trace alone"
        ),
    }
}

fn fold(line: &Line) -> String {
    let Line::Fold {
        from_us,
        to_us,
        entries,
        kinds,
    } = line
    else {
        return String::new();
    };
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    format!(
        "... {entries} entries from {} to {}: {}",
        seconds(from_us / 1000),
        seconds(to_us / 1000),
        kinds.join(", ")
    )
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A Mermaid sequence diagram of what is told: arrows between hosts, notes on what a host does by itself.
fn diagram(story: &Story) -> String {
    let mut text = "```mermaid\nsequenceDiagram\n".to_owned();
    // Mermaid's names are letters and digits; hosts get one each.
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    let mut body = String::new();
    for line in story.chronology.iter().take(MOST_MESSAGES) {
        let Line::Entry {
            at_us,
            host,
            what,
            to,
            ..
        } = line
        else {
            continue;
        };
        for name in std::iter::once(host).chain(to) {
            if !names.contains_key(name.as_str()) {
                let short = format!("h{}", names.len());
                let _ = writeln!(text, "    participant {short} as {name}");
                names.insert(name, short);
            }
        }
        let time = seconds(at_us / 1000);
        let what: String = what
            .chars()
            .map(|c| if ";#\n".contains(c) { ',' } else { c })
            .collect();
        let from = &names[host.as_str()];
        let _ = match to {
            Some(to) => writeln!(body, "    {from}->>{}: {time} {what}", names[to.as_str()]),
            None => writeln!(body, "    Note over {from}: {time} {what}"),
        };
    }
    text.push_str(&body);
    text.push_str("```\n\n");
    text
}
