//! `rehearsal inspect`: what is in captures.
//!
//! **Invariant**: it replays nothing and judges nothing; what was skipped is counted with its reason and its first places. Captures are read
//! as a stream, so that one of any length fits.

use std::{collections::BTreeMap, fmt::Write};

use rehearsal_replay::{
    capture::{self, SourceFile, Stream, open_all},
    profile::{EndpointProfile, Percentiles, Places, Profile, Profiler},
};
use rehearsal_sim::interpose::purge_at_once;
use serde::Serialize;

use crate::{
    exit::Exit,
    flags::{capture::InspectFlags, value::Format},
    interrupt::Interrupt,
    printer::Printer,
    problem::Problem,
    progress::Watch,
};

/// The format's name and major version.
const FORMAT: &str = "rehearsal.inspection/1";

/// Endpoints listed for people; the JSON has more.
const LISTED: usize = 20;

/// Records between two looks at the clock and at Ctrl-C.
const EVERY: u64 = 1_024;

/// What is in captures.
#[derive(Debug, Serialize)]
struct Inspection {
    format: &'static str,
    files: Vec<File>,
    #[serde(rename = "profile")]
    profile: Profile,
}

#[derive(Debug, Serialize)]
struct File {
    name: String,
    format: &'static str,
    sha256: String,
    bytes: u64,
}

/// Prints what is in the captures.
///
/// # Errors
/// A capture that cannot be used, or Ctrl-C.
pub(super) fn inspect(flags: &InspectFlags, printer: Printer) -> Result<Exit, Problem> {
    purge_at_once();
    let interrupt = Interrupt::listen()?;
    let options = flags.reading.options(flags.strict);
    let mut stream = open_all(&flags.captures, &options)?;
    let mut reading = Reading::new("reading", &interrupt, printer);
    let mut profiler = Profiler::default();
    while let Some(record) = stream.next() {
        reading.tell(&stream)?;
        profiler.add(&record?);
    }
    printer.overwrite("");
    let inspection = Inspection {
        format: FORMAT,
        files: stream.finish()?.into_iter().map(File::from).collect(),
        profile: profiler.finish(),
    };
    if inspection.profile.exchanges == 0 {
        let rows = told(&inspection.profile.skipped);
        let rows = rows.iter().fold(String::new(), |text, (_, value)| {
            text + "\n  skipped: " + value
        });
        let names: Vec<String> = inspection.files.into_iter().map(|file| file.name).collect();
        return Err(Problem::usage(format!(
            "{}: found no exchange, expected at least one{rows}",
            names.join(", ")
        )));
    }
    printer.data(&match flags.format {
        Format::Human => inspection.human(),
        Format::Json => {
            serde_json::to_string_pretty(&inspection).expect("an inspection is plain data") + "\n"
        }
        Format::Markdown => inspection.markdown(),
    })?;
    Ok(Exit::Pass)
}

/// How far a stream is read, and whether to go on.
pub(super) struct Reading<'i> {
    doing: &'static str,
    interrupt: &'i Interrupt,
    printer: Printer,
    watch: Watch,
    records: u64,
}

impl<'i> Reading<'i> {
    pub(super) fn new(doing: &'static str, interrupt: &'i Interrupt, printer: Printer) -> Self {
        Self {
            doing,
            interrupt,
            printer,
            watch: Watch::start(),
            records: 0,
        }
    }

    /// Takes note of a record.
    ///
    /// # Errors
    /// Ctrl-C.
    pub(super) fn tell(&mut self, stream: &Stream) -> Result<(), Problem> {
        self.records += 1;
        if !self.records.is_multiple_of(EVERY) {
            return Ok(());
        }
        if self.interrupt.pressed() {
            self.printer.overwrite("");
            return Err(Problem {
                exit: Exit::Interrupted,
                ..Problem::infrastructure("interrupted; nothing was written")
            });
        }
        let read = stream.read_bytes();
        let share = stream.total_bytes().filter(|total| *total > 0);
        let share = share.map_or_else(String::new, |total| format!(", {}%", read * 100 / total));
        let rate = read as f64 / 1e6 / self.watch.elapsed().as_secs_f64().max(1e-3);
        self.printer.overwrite(&format!(
            "  {}: {} records{share}, {rate:.0} MB/s",
            self.doing, self.records
        ));
        Ok(())
    }
}

/// What was skipped, for people: a row for each kind.
pub(super) fn told(skipped: &BTreeMap<String, Places>) -> Vec<(String, String)> {
    let row = |(kind, places): (&String, &Places)| {
        let first = places.first.first().map_or("", String::as_str);
        (
            "skipped".to_owned(),
            format!("{kind} {}, first {first}", places.count),
        )
    };
    skipped.iter().map(row).collect()
}

impl From<SourceFile> for File {
    fn from(file: SourceFile) -> Self {
        Self {
            name: file.name,
            format: file.format.map_or("unknown", capture::Format::name),
            sha256: file.sha256,
            bytes: file.bytes,
        }
    }
}

impl Inspection {
    fn rows(&self) -> Vec<(String, String)> {
        let profile = &self.profile;
        let mut rows = Vec::new();
        let mut push = |name: &str, value: String| rows.push((name.to_owned(), value));
        for file in &self.files {
            push(
                "file",
                format!(
                    "{}: {}, {} bytes, sha256 {}",
                    file.name, file.format, file.bytes, file.sha256
                ),
            );
        }
        push(
            "exchanges",
            format!(
                "{}, {} of them without a response",
                profile.exchanges, profile.without_response
            ),
        );
        push("span", format!("{:.1} s", profile.span_s));
        let rate = profile.rate_per_s.map(|rate| format!("{rate:.2} a second"));
        push(
            "rate",
            rate.unwrap_or_else(|| "the clock stands still".to_owned()),
        );
        let bursts = profile.burstiness.iter().map(|at| {
            format!(
                "{:.2} in {:.1} s windows, at most {}",
                at.dispersion, at.window_s, at.most
            )
        });
        let bursts: Vec<String> = bursts.collect();
        push(
            "burstiness",
            if bursts.is_empty() {
                "too short to tell".to_owned()
            } else {
                format!("dispersion {} (1 is Poisson)", bursts.join("; "))
            },
        );
        let about = if profile.sessions.exact { "" } else { "about " };
        push("sessions", format!("{about}{}", profile.sessions.count));
        push("writes", format!("{:.1}%", profile.share_of_writes * 100.0));
        let ids = profile.request_ids;
        let limit = if ids.complete {
            ""
        } else {
            ", looked for among the first half million"
        };
        push(
            "request ids",
            format!(
                "{} requests have one, {} of them again{limit}",
                ids.with_id, ids.repeated
            ),
        );
        push("methods", listed(&profile.methods));
        push("statuses", listed(&profile.statuses));
        push("latency", latency(profile.latency_ms));
        push("flags", listed(&profile.flags));
        if profile.skipped.is_empty() {
            push("skipped", "none".to_owned());
        }
        rows.extend(told(&profile.skipped));
        rows
    }

    fn human(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.rows() {
            let _ = writeln!(text, "  {name:<12} {value}");
        }
        let _ = writeln!(text, "\n  endpoints");
        for endpoint in self.profile.endpoints.iter().take(LISTED) {
            let _ = writeln!(text, "    {}", about(endpoint).join("  "));
        }
        text + &self.more("    ")
    }

    fn markdown(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|");
        let mut text = "| | |\n|---|---|\n".to_owned();
        for (name, value) in self.rows() {
            let _ = writeln!(text, "| {name} | {} |", cell(&value));
        }
        text += "\n| requests | endpoint | statuses | latency |\n|---|---|---|---|\n";
        for endpoint in self.profile.endpoints.iter().take(LISTED) {
            let _ = writeln!(
                text,
                "| {} |",
                about(endpoint).map(|part| cell(&part)).join(" | ")
            );
        }
        text + &self.more("\n")
    }

    fn more(&self, before: &str) -> String {
        match self.profile.endpoints.len().saturating_sub(LISTED) {
            0 => String::new(),
            more => format!("{before}and {more} more, in the JSON\n"),
        }
    }
}

fn about(endpoint: &EndpointProfile) -> [String; 4] {
    [
        endpoint.requests.to_string(),
        endpoint.endpoint.clone(),
        listed(&endpoint.statuses),
        latency(endpoint.latency_ms),
    ]
}

fn latency(latency: Option<Percentiles>) -> String {
    latency.map_or_else(
        || "no latency".to_owned(),
        |ms| {
            format!(
                "p50 {:.1} ms, p90 {:.1}, p99 {:.1}, max {:.1}",
                ms.p50, ms.p90, ms.p99, ms.max
            )
        },
    )
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let items: Vec<String> = counts
        .iter()
        .map(|(key, count)| format!("{key} {count}"))
        .collect();
    items.join(", ")
}
