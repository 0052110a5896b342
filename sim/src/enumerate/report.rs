//! What an enumeration came to: `rehearsal.enumerate/1`.
//!
//! **Invariant**: everything outside `timing` is a function of the plans, byte for byte, if the cuts are taken in order. Nothing passes that
//! examined nothing: a cut that did not strike, or an oracle that had no case at any point, leaves the flow inconclusive.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Point, Survey, judge};
use crate::{
    disk::{Loss, Operation},
    finding::{Fingerprint, findings},
    run::RunError,
    verdict::{Record, Verdict},
};

/// The format's name and major version on disk.
pub const FORMAT: &str = "rehearsal.enumerate/1";

/// Most cuts without a verdict that a flow lists; all are counted.
const MOST_LISTED: usize = 20;

/// An enumeration's results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// The worst of the flows' verdicts; inconclusive when nothing ran.
    pub verdict: Verdict,
    /// What was lost with the power, model by model.
    pub losses: Vec<Loss>,
    /// Over all flows.
    pub total: Tally,
    /// Each flow, in the order it was asked for.
    pub flows: Vec<Flow>,
    /// Real time.
    pub timing: Timing,
}

/// Real time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The whole enumeration.
    pub wall_ms: u64,
}

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Places where the power was cut.
    pub points: u64,
    /// Runs with a cut: for each point, one a loss model.
    pub runs: u64,
    /// Runs in which everything held.
    pub passed: u64,
    /// Runs with a violation.
    pub failed: u64,
    /// Runs whose cut did not strike.
    pub inconclusive: u64,
    /// Runs that came to no end.
    pub infrastructure: u64,
}

/// A run with a cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Where.
    pub point: Point,
    /// What was lost.
    pub loss: Loss,
}

/// A violation, once for all cuts that show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The oracle.
    pub oracle: String,
    /// Its kind.
    pub fingerprint: Fingerprint,
    /// The first one, in full.
    pub message: String,
    /// The first cut that shows it.
    pub first: Cut,
    /// How many do.
    pub cuts: u64,
    /// The file with the first cut's plan, beside this document.
    pub plan: String,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What the flow comes to.
    pub verdict: Verdict,
    /// What it came to without a cut.
    pub uncut: Verdict,
    /// How many operations of each kind change each disk, by host.
    pub operations: BTreeMap<String, BTreeMap<Operation, u64>>,
    /// Counts.
    pub tally: Tally,
    /// How many things each oracle examined, over all cuts.
    pub checked: BTreeMap<String, u64>,
    /// The oracles that were inconclusive at every cut.
    pub idle: BTreeSet<String>,
    /// What was violated.
    pub found: Vec<Found>,
    /// The first cuts without a verdict, and why.
    pub without_verdict: Vec<(Cut, String)>,
}

impl Flow {
    /// A flow of which only the survey is known.
    pub fn new(survey: &Survey) -> Self {
        let count = |journal: &Vec<Operation>| {
            let mut counts = BTreeMap::new();
            for operation in journal {
                *counts.entry(*operation).or_default() += 1;
            }
            counts
        };
        let record = &survey.record;
        Self {
            scenario: record.scenario.clone(),
            seed: record.seed,
            verdict: Verdict::Inconclusive,
            uncut: record.verdict,
            operations: survey
                .disks
                .iter()
                .map(|(host, journal)| (host.clone(), count(journal)))
                .collect(),
            tally: Tally::default(),
            checked: BTreeMap::new(),
            idle: BTreeSet::new(),
            found: Vec::new(),
            without_verdict: Vec::new(),
        }
    }

    /// Takes one run; answers with the name for its plan's file if it shows something that no cut has shown before.
    pub fn take(&mut self, cut: &Cut, outcome: Result<&Record, &RunError>) -> Option<String> {
        self.tally.runs += 1;
        let record = match outcome {
            Ok(record) => record,
            Err(error) => {
                self.tally.infrastructure += 1;
                self.list(cut, error.to_string());
                return None;
            }
        };
        let first = self.checked.is_empty();
        for oracle in &record.oracles {
            if oracle.verdict != Verdict::Inconclusive {
                self.idle.remove(&oracle.name);
            } else if first {
                self.idle.insert(oracle.name.clone());
            }
            *self.checked.entry(oracle.name.clone()).or_default() += oracle.checked;
        }
        match judge(record) {
            Verdict::Pass => {
                self.tally.passed += 1;
                None
            }
            Verdict::Fail => {
                self.tally.failed += 1;
                self.find(cut, record)
            }
            Verdict::Inconclusive | Verdict::Infrastructure => {
                self.tally.inconclusive += 1;
                self.list(cut, "the operation never came".to_owned());
                None
            }
        }
    }

    /// All runs were taken: says what the flow comes to.
    pub fn close(&mut self, points: u64) {
        self.tally.points = points;
        let of = |verdict, happened: bool| if happened { verdict } else { Verdict::Pass };
        self.verdict = [
            self.uncut,
            of(Verdict::Infrastructure, self.tally.infrastructure > 0),
            of(Verdict::Fail, self.tally.failed > 0),
            of(
                Verdict::Inconclusive,
                self.tally.inconclusive > 0 || self.tally.runs == 0 || !self.idle.is_empty(),
            ),
        ]
        .into_iter()
        .max()
        .expect("several");
    }

    fn find(&mut self, cut: &Cut, record: &Record) -> Option<String> {
        let mut new = None;
        for finding in findings(record) {
            let mut known = self.found.iter_mut();
            let known = known.find(|one| one.fingerprint == finding.fingerprint);
            if let Some(known) = known {
                known.cuts += 1;
                continue;
            }
            let Point { host, index, .. } = &cut.point;
            let plan = format!(
                "{}-{}-{host}-{index}-{}.plan.toml",
                plain(&self.scenario),
                self.seed,
                cut.loss.name()
            );
            new = Some(plan.clone());
            self.found.push(Found {
                oracle: finding.oracle,
                fingerprint: finding.fingerprint,
                message: finding.message,
                first: cut.clone(),
                cuts: 1,
                plan,
            });
        }
        new
    }

    fn list(&mut self, cut: &Cut, why: String) {
        if self.without_verdict.len() < MOST_LISTED {
            self.without_verdict.push((cut.clone(), why));
        }
    }
}

impl Report {
    /// The report of flows that were closed.
    pub fn new(losses: Vec<Loss>, flows: Vec<Flow>, wall_ms: u64) -> Self {
        let mut total = Tally::default();
        for Flow { tally, .. } in &flows {
            total.points += tally.points;
            total.runs += tally.runs;
            total.passed += tally.passed;
            total.failed += tally.failed;
            total.inconclusive += tally.inconclusive;
            total.infrastructure += tally.infrastructure;
        }
        let worst = flows.iter().map(|flow| flow.verdict).max();
        Self {
            format: FORMAT.to_owned(),
            verdict: worst.unwrap_or(Verdict::Inconclusive),
            losses,
            total,
            flows,
            timing: Timing { wall_ms },
        }
    }

    /// The document.
    ///
    /// # Panics
    /// Never: it is plain data.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report is plain data");
        text.push('\n');
        text
    }
}

/// A scenario's name is free text; a file's is not.
fn plain(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}
