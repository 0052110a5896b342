//! The report as data, in the form of `rehearsal.replay/1`.
//!
//! **Invariant**: fields are written in the order they stand here, and maps in the order of their keys.

use std::collections::BTreeMap;

use crate::{
    clusters::Cluster,
    coverage::BehaviorReport,
    diff::Conflict,
    noise::Noise,
    plan::SkippedRecords,
    report::Timing,
    reproduce::Reproducer,
    run::{Accounting, Percentiles},
    sensitivity::{BlindSpot, Caught},
    verdict::{GateKind, MismatchRate, Stopping, Tally, Verdict},
};

/// What the report's JSON calls itself.
pub const FORMAT: &str = "rehearsal.replay/1";

/// The result of a replay.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, the most important first.
    pub reasons: Vec<String>,
    /// What a reader should know beside the verdict.
    pub notes: Vec<String>,
    /// What was replayed.
    pub capture: CaptureReport,
    /// Against what.
    pub targets: Targets,
    /// How fast.
    pub pace: String,
    /// Whether a run, the second instance's too, was stopped before its end.
    pub stopped: bool,
    /// What became of every planned request.
    pub accounting: AccountingReport,
    /// What the pairs came to.
    pub pairs: Tally,
    /// Of the ignored ones, reads that overlapped a write and show what was before or after it; left out where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub overlapping_reads: u64,
    /// The share of the capture's requests that was compared.
    pub coverage: f64,
    /// The mismatch rate and its bounds.
    pub mismatch_rate: MismatchRate,
    /// What the gate says of the rate.
    pub gate: GateReport,
    /// The pairs by endpoint.
    pub endpoints: Vec<EndpointReport>,
    /// How much of the services' behavior the capture shows.
    pub behavior: BehaviorReport,
    /// The mismatches by cause, the largest first.
    pub clusters: Vec<Cluster>,
    /// What each rule did.
    pub rules: Vec<RuleReport>,
    /// How many pairings of invented values were violated, up to 1,000.
    pub violated_pairings: u64,
    /// Those that most pairs show, each with its witnesses.
    pub conflicts: Vec<Conflict>,
    /// What a second instance of legacy showed; null without one.
    pub noise: Option<Noise>,
    /// What the comparison would still catch.
    pub sensitivity: SensitivityReport,
    /// How long answers took, in milliseconds of a simulated host's time; a real one's is in [`Self::timing`].
    pub latency_ms: BTreeMap<&'static str, SideLatency>,
    /// Whether the final states agree.
    pub state: StateReport,
    /// For clusters, the few requests that show them; who replays fills it in ([`crate::reproduce::inserted`]).
    pub reproducers: Vec<Reproducer>,
    /// How long it took for real: the only part that differs between two runs of the same inputs.
    pub timing: Timing,
}

/// The capture of a report.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CaptureReport {
    /// The SHA-256 of its file.
    pub sha256: String,
    /// Its format.
    pub format: String,
    /// How many exchanges it held.
    pub exchanges: u64,
    /// What in it was no exchange.
    pub skipped: Vec<SkippedRecords>,
}

/// The targets of a report.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Targets {
    /// Legacy's URL.
    pub legacy: String,
    /// The candidate's URL.
    pub candidate: String,
    /// The URL of the second instance of legacy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary: Option<String>,
}

/// What became of every planned request: `planned = sent + skipped` and `sent = answered + failed`, for pairs and for each side.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AccountingReport {
    /// Of both sides together.
    #[serde(flatten)]
    pub pairs: PairedAccounting,
    /// Of each side alone.
    pub by_side: BTreeMap<&'static str, Accounting>,
}

/// Requests by what became of them on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PairedAccounting {
    /// Requests in the plan.
    pub planned: u64,
    /// Sent to both.
    pub sent: u64,
    /// Answered by both.
    pub answered: u64,
    /// Sent to both, and at least one did not answer.
    pub failed: u64,
    /// Not sent to at least one.
    pub skipped: u64,
}

/// The gate of a report.
#[derive(Clone, Debug, serde::Serialize)]
pub struct GateReport {
    /// Which proof it wanted.
    pub kind: GateKind,
    /// The mismatch rate has to be below this.
    pub limit: f64,
    /// What it says of the rate alone.
    pub verdict: Verdict,
    /// How it came to that, and what its word is worth.
    #[serde(flatten)]
    pub stopping: Stopping,
}

/// The pairs of one endpoint.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EndpointReport {
    /// Its name.
    pub endpoint: String,
    /// What its pairs came to.
    #[serde(flatten)]
    pub pairs: Tally,
    /// Pairs that speak for or against parity.
    pub compared: u64,
    /// The observed mismatch rate; 0 when nothing was compared.
    pub point: f64,
    /// Its upper bound, so wide that the bounds of all endpoints hold at once at 95 % (Bonferroni).
    pub upper_95_family: f64,
    /// So many further clean requests bring that bound below the limit.
    pub clean_requests_still_needed: Option<u64>,
    /// What that says of the endpoint alone.
    pub finding: EndpointFinding,
}

/// What a capture says of one endpoint's mismatch rate, all endpoints held against the limit at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointFinding {
    /// It is proven below the limit.
    Below,
    /// It is proven above the limit.
    Above,
    /// This capture has too few requests of it, or too many mismatches among them, to prove either.
    OutOfReach,
}

impl EndpointFinding {
    /// For people.
    pub fn told(self) -> &'static str {
        match self {
            Self::Below => "below the limit",
            Self::Above => "above the limit",
            Self::OutOfReach => "out of reach",
        }
    }
}

/// What one rule did.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RuleReport {
    /// Its id.
    pub rule: String,
    /// Its kind.
    pub kind: &'static str,
    /// Why it is right.
    pub reason: String,
    /// How many differences it suppressed, in answers and in final states.
    pub suppressed: u64,
    /// The last request with one, by its place in the capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// How many requests it changed.
    pub rewritten: u64,
    /// How many of the tried mutations it hid.
    pub hidden_mutations: u64,
    /// Until when it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Whether that day has passed: it then suppressed nothing.
    pub expired: bool,
}

/// The sensitivity of a report.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SensitivityReport {
    /// Mutations tried.
    pub mutations: u64,
    /// Mutations caught.
    pub caught: u64,
    /// The share that has to be caught.
    pub threshold: f64,
    /// The same by kind of mutation.
    pub by_mutation: BTreeMap<&'static str, Caught>,
    /// Where mutations pass.
    pub blind: Vec<BlindSpot>,
}

/// One side's latencies.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct SideLatency {
    /// From the intended time to the answer.
    pub response: Percentiles,
    /// From the sending to the answer.
    pub service: Percentiles,
    /// From the intended time to the sending.
    pub send_delay: Percentiles,
}

/// The final states of a report.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StateReport {
    /// How many entities the capture names.
    pub entities: u64,
    /// What their pairs came to.
    #[serde(flatten)]
    pub pairs: Tally,
    /// Entities that were not read.
    pub skipped: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it asks about by reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Report {
    /// How long answers took, by side, whoever's time it was.
    pub fn latency(&self) -> &BTreeMap<&'static str, SideLatency> {
        if self.latency_ms.is_empty() {
            &self.timing.latency_ms
        } else {
            &self.latency_ms
        }
    }

    /// The report as JSON, with a line feed at its end.
    pub fn json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a report holds nothing that JSON cannot");
        text.push('\n');
        text
    }
}
