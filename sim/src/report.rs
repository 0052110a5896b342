//! The report: the results document of a session of runs, `rehearsal.results/1`.
//!
//! **Invariant**: everything outside `timing` is a function of the plans, byte for byte. It reads verdicts and never decides.

use serde::{Deserialize, Serialize};

use crate::{
    oracle::Violation,
    plan::Plan,
    run::{Outcome, RunError},
    system::System,
    verdict::{OracleRecord, Record, Verdict},
};

/// The format's name and major version on disk.
pub const FORMAT: &str = "rehearsal.results/1";

/// A session's results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: String,
    /// The worst of the runs' verdicts; inconclusive when nothing ran.
    pub verdict: Verdict,
    /// Counts.
    pub summary: Summary,
    /// What a scenario asks to go wrong and no seed of the session had in its plan. It was not examined, so the session is inconclusive,
    /// unless the scenario is a swarm, whose seeds are meant to leave things out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Every run, in the order it was asked for.
    pub runs: Vec<Record>,
    /// What real time it took: the only part that differs between two sessions over the same plans.
    pub timing: Timing,
}

/// Something that a scenario lists and that its seeds' draws left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The scenario.
    pub scenario: String,
    /// The fault, by its place in the scenario.
    pub fault: String,
    /// Whether the scenario is a swarm.
    pub swarm: bool,
}

/// How many runs came to which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// All of them.
    pub runs: u64,
    /// [`Verdict::Pass`].
    pub passed: u64,
    /// [`Verdict::Fail`].
    pub failed: u64,
    /// [`Verdict::Inconclusive`].
    pub inconclusive: u64,
    /// [`Verdict::Infrastructure`].
    pub infrastructure: u64,
}

/// Real time, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The session.
    pub wall_ms: u64,
    /// Each run, in the order of [`Results::runs`].
    pub runs_ms: Vec<u64>,
}

impl Results {
    /// The results of `runs`, each with its real time in milliseconds.
    pub fn new(runs: Vec<(Record, u64)>, wall_ms: u64) -> Self {
        let count = |verdict| {
            runs.iter()
                .filter(|(run, _)| run.verdict == verdict)
                .count() as u64
        };
        let summary = Summary {
            runs: runs.len() as u64,
            passed: count(Verdict::Pass),
            failed: count(Verdict::Fail),
            inconclusive: count(Verdict::Inconclusive),
            infrastructure: count(Verdict::Infrastructure),
        };
        let verdict = runs
            .iter()
            .map(|(run, _)| run.verdict)
            .max()
            .unwrap_or(Verdict::Inconclusive);
        let (runs, runs_ms) = runs.into_iter().unzip();
        Self {
            format: FORMAT.to_owned(),
            verdict,
            summary,
            left_out: Vec::new(),
            runs,
            timing: Timing { wall_ms, runs_ms },
        }
    }

    /// The same, when `left_out` was in the plan of no run.
    #[must_use]
    pub fn without(self, left_out: Vec<LeftOut>) -> Self {
        let missed = left_out.iter().any(|left| !left.swarm);
        let open = missed.then_some(Verdict::Inconclusive);
        Self {
            verdict: self.verdict.max(open.unwrap_or(Verdict::Pass)),
            left_out,
            ..self
        }
    }

    /// As JSON, indented, with a final newline.
    ///
    /// # Panics
    /// When a record cannot be written as JSON, which is a defect of its type.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("results are plain data");
        text.push('\n');
        text
    }
}

/// The record of a run, also of one that came to no verdict: a panic is a violation, anything else the infrastructure's fault.
pub fn record<S: System>(plan: &Plan<S>, outcome: Result<Outcome, RunError>) -> Record {
    let error = match outcome {
        Ok(outcome) => return outcome.record,
        Err(error) => error,
    };
    let (name, verdict) = match &error {
        RunError::Panicked(_) => ("no_panic", Verdict::Fail),
        _ => ("run_ends", Verdict::Infrastructure),
    };
    let oracle = OracleRecord {
        name: name.to_owned(),
        verdict,
        checked: 1,
        violations: vec![Violation {
            at_us: 0,
            message: error.to_string(),
        }],
        more_violations: 0,
        not_applicable: None,
        undecided: None,
    };
    Record {
        scenario: plan.scenario.clone(),
        seed: plan.seed,
        verdict,
        digest: String::new(),
        virtual_ms: 0,
        converge_ms: None,
        summary: serde_json::Map::new(),
        faults: Vec::new(),
        oracles: vec![oracle],
        slo: Vec::new(),
        expect: Vec::new(),
    }
}
