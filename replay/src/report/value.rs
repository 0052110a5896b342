//! The report as data, in the form of `rehearsal.replay/1`.
//!
//! **Invariant**: fields are written in the order they stand here, and maps in the order of their keys.

use std::collections::BTreeMap;

use crate::{
    clusters::Cluster,
    plan::SkippedRecords,
    run::{Accounting, Percentiles},
    sensitivity::{BlindSpot, Caught},
    verdict::{GateKind, MismatchRate, Tally, Verdict},
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
    /// What became of every planned request.
    pub accounting: AccountingReport,
    /// What the pairs came to.
    pub pairs: Tally,
    /// The share of the capture's requests that was compared.
    pub coverage: f64,
    /// The mismatch rate and its bounds.
    pub mismatch_rate: MismatchRate,
    /// What the gate says of the rate.
    pub gate: GateReport,
    /// The pairs by endpoint.
    pub endpoints: Vec<EndpointReport>,
    /// The mismatches by cause, the largest first.
    pub clusters: Vec<Cluster>,
    /// What each rule did.
    pub rules: Vec<RuleReport>,
    /// What the comparison would still catch.
    pub sensitivity: SensitivityReport,
    /// How long answers took, in milliseconds of the host's time.
    pub latency_ms: BTreeMap<&'static str, SideLatency>,
    /// Whether the final states agree.
    pub state: StateReport,
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
}

/// The pairs of one endpoint.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EndpointReport {
    /// Its name.
    pub endpoint: String,
    /// What its pairs came to.
    #[serde(flatten)]
    pub pairs: Tally,
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
    /// How many requests it changed.
    pub rewritten: u64,
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

/// Real time, which no two runs share.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Timing {
    /// The whole command, in milliseconds.
    pub wall_ms: u64,
}

impl Report {
    /// The report as JSON, with a line feed at its end.
    pub fn json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a report holds nothing that JSON cannot");
        text.push('\n');
        text
    }
}
