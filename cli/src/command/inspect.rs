//! `rehearsal inspect`: what is in a capture.
//!
//! **Invariant**: it replays nothing and judges nothing; what was skipped is counted with its reason.

use std::{collections::BTreeMap, fmt::Write};

use rehearsal_replay::capture::{self, Capture, Options};
use serde::Serialize;

use crate::{
    exit::Exit,
    flags::{replay::InspectFlags, value::Format},
    printer::Printer,
    problem::Problem,
};

/// The format's name and major version.
const FORMAT: &str = "rehearsal.inspection/1";

/// What is in a capture.
#[derive(Debug, Serialize)]
struct Inspection {
    format: &'static str,
    sha256: String,
    capture_format: &'static str,
    exchanges: usize,
    without_response: usize,
    sessions: usize,
    span_s: f64,
    rate_per_s: Option<f64>,
    methods: BTreeMap<String, u64>,
    statuses: BTreeMap<u16, u64>,
    flags: BTreeMap<String, u64>,
    skipped: BTreeMap<String, u64>,
}

/// Prints what is in the capture.
///
/// # Errors
/// A capture that cannot be used.
pub(super) fn inspect(flags: &InspectFlags, printer: Printer) -> Result<Exit, Problem> {
    let capture = read(&flags.capture)?;
    let inspection = Inspection::of(&capture);
    printer.data(&match flags.format {
        Format::Human => inspection.human(),
        Format::Json => format!(
            "{}\n",
            serde_json::to_string_pretty(&inspection).expect("an inspection is plain data")
        ),
        Format::Markdown => inspection.markdown(),
    })?;
    Ok(Exit::Pass)
}

/// Reads a capture.
///
/// # Errors
/// Where it cannot be used, and why.
pub(super) fn read(path: &std::path::Path) -> Result<Capture, Problem> {
    Ok(capture::load_all(&[path.to_owned()], &Options::default())?)
}

impl Inspection {
    fn of(capture: &Capture) -> Self {
        let exchanges = &capture.exchanges;
        let ends = exchanges.first().zip(exchanges.last());
        let span_s = ends.map_or(0.0, |(first, last)| {
            last.ts_ns.saturating_sub(first.ts_ns) as f64 / 1e9
        });
        let mut sessions: Vec<&str> = exchanges
            .iter()
            .filter_map(|exchange| exchange.session.as_deref())
            .collect();
        sessions.sort_unstable();
        sessions.dedup();
        let answered = || {
            exchanges
                .iter()
                .filter_map(|exchange| exchange.response.as_ref())
        };
        let flags = exchanges.iter().flat_map(|exchange| &exchange.flags);
        Self {
            format: FORMAT,
            sha256: capture.sha256.clone(),
            capture_format: capture.format.name(),
            exchanges: exchanges.len(),
            without_response: exchanges.len() - answered().count(),
            sessions: sessions.len(),
            span_s,
            rate_per_s: (span_s > 0.0).then(|| exchanges.len() as f64 / span_s),
            methods: count(
                exchanges
                    .iter()
                    .map(|exchange| exchange.request.method.clone()),
            ),
            statuses: count(answered().map(|response| response.status)),
            flags: count(flags.map(name)),
            skipped: count(capture.skipped.iter().map(|skipped| name(&skipped.kind))),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let rate = self.rate_per_s.map_or_else(
            || "the clock stands still".to_owned(),
            |rate| format!("{rate:.2} a second"),
        );
        vec![
            ("format", self.capture_format.to_owned()),
            ("sha256", self.sha256.clone()),
            (
                "exchanges",
                format!(
                    "{}, {} of them without a response",
                    self.exchanges, self.without_response
                ),
            ),
            ("sessions", self.sessions.to_string()),
            ("span", format!("{:.1} s", self.span_s)),
            ("rate", rate),
            ("methods", listed(&self.methods)),
            ("statuses", listed(&self.statuses)),
            ("flags", listed(&self.flags)),
            ("skipped", listed(&self.skipped)),
        ]
    }

    fn human(&self) -> String {
        self.rows()
            .iter()
            .fold(String::new(), |mut text, (name, value)| {
                let _ = writeln!(text, "  {name:<10} {value}");
                text
            })
    }

    fn markdown(&self) -> String {
        self.rows().iter().fold(
            "| | |\n|---|---|\n".to_owned(),
            |mut text, (name, value)| {
                let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
                text
            },
        )
    }
}

fn count<K: Ord>(items: impl Iterator<Item = K>) -> BTreeMap<K, u64> {
    items.fold(BTreeMap::new(), |mut counts, item| {
        *counts.entry(item).or_default() += 1;
        counts
    })
}

/// The name under which a unit variant is written.
fn name(variant: &impl Serialize) -> String {
    let value = serde_json::to_value(variant).expect("a unit variant is plain data");
    value.as_str().unwrap_or_default().to_owned()
}

fn listed<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let items: Vec<String> = counts
        .iter()
        .map(|(key, count)| format!("{key} {count}"))
        .collect();
    items.join(", ")
}
