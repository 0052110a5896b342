//! An exploration: many seeds of a few scenarios, kept as counts, `rehearsal.explore/1`.
//!
//! **Invariant**: its size does not grow with the number of runs, and everything outside `timing` and `verification` is a function of the
//! scenarios and the seeds that ran: neither the number of jobs nor the order in which shards are merged enters it. It runs nothing and
//! renders nothing.

mod merge;
mod shard;
mod spread;

use serde::{Deserialize, Serialize};

use crate::{
    finding::{self, Fingerprint},
    point::Point,
    report::Summary,
    verdict::{Record, Verdict},
};

pub use merge::{MergeError, merge};
pub use shard::Shard;
pub use spread::Spread;

/// The format's name and major version on disk.
pub const FORMAT: &str = "rehearsal.explore/1";

/// Most kinds of finding that are kept; a run can only show so many bugs at once, and memory has to be bounded.
pub const MOST_FINDINGS: usize = 1_000;
/// Most runs without a verdict that are named; the summary counts them all.
const MOST_BROKEN: usize = 20;
/// Most divergences that are named.
const MOST_DIVERGED: usize = 20;

/// What an exploration came to, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Nothing was found, and enough was examined.
    Pass,
    /// Nothing was found, but too much was not examined.
    Inconclusive,
    /// Runs did not come to an end.
    Infrastructure,
    /// Something was found.
    Fail,
    /// A seed that ran twice gave two results: nothing else here can be relied on.
    Nondeterminism,
}

/// What was explored. Shards that are merged have to agree on all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The version that ran it.
    pub version: String,
    /// The engine.
    pub engine: String,
    /// The scenarios, in order.
    pub scenarios: Vec<Explored>,
    /// The first seed.
    pub from: u64,
    /// The seed before which it ends; absent when time is its only bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// The share of inconclusive runs above which the whole is inconclusive.
    pub inconclusive_limit: f64,
    /// Whether a point that was not hit makes the whole inconclusive.
    pub require_points: bool,
}

/// A scenario that was explored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explored {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file, in hexadecimal.
    pub sha256: String,
}

/// Why a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every seed has run.
    Seeds,
    /// The time was over.
    Time,
    /// Coverage had become stable.
    Stable,
    /// At the first finding.
    Finding,
    /// A seed that ran twice gave two results.
    Diverged,
    /// By Ctrl-C.
    Interrupted,
}

/// One shard's part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardRun {
    /// Which.
    pub shard: Shard,
    /// How many seeds it ran, each with every scenario.
    pub seeds: u64,
    /// Why it ended.
    pub ended: Ended,
}

/// A scenario and a seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
}

/// One kind of finding: every run with this oracle and fingerprint is the same finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The oracle, or `slo.NAME` or `expect.NAME`.
    pub oracle: String,
    /// See [`Fingerprint`].
    pub fingerprint: Fingerprint,
    /// How many runs showed it.
    pub runs: u64,
    /// The first of them.
    pub first: Place,
    /// What that run said of it.
    pub message: String,
    /// When it happened there, in microseconds of virtual time.
    pub at_us: u64,
    /// That run's digest; empty when it panicked.
    pub digest: String,
    /// The folder with that run's plan and trace, beside this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
}

/// One reachability point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointTally {
    /// Its name.
    pub name: String,
    /// What it means.
    pub means: String,
    /// How many runs hit it.
    pub runs: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Place>,
}

/// One oracle over all runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OracleTally {
    /// Its name.
    pub name: String,
    /// Runs in which it examined something.
    pub runs: u64,
    /// Things that it examined, in all.
    pub checked: u64,
    /// Runs that it failed.
    pub failed: u64,
}

/// A run that came to no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// Which.
    pub place: Place,
    /// Why.
    pub why: String,
}

/// A run that gave two results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diverged {
    /// Which.
    pub place: Place,
    /// The two digests, or what else came.
    pub results: [String; 2],
}

/// Runs that were repeated in a process of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// How many.
    pub runs: u64,
    /// Those that differed.
    pub diverged: Vec<Diverged>,
}

/// Real time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// In milliseconds; of merged shards, the sum.
    pub wall_ms: u64,
}

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exploration {
    /// [`FORMAT`].
    pub format: String,
    /// What it came to.
    pub verdict: Conclusion,
    /// What was explored.
    pub subject: Subject,
    /// By whom, in the order of their numbers.
    pub shards: Vec<ShardRun>,
    /// How many runs came to which verdict.
    pub summary: Summary,
    /// What was found, by oracle and fingerprint.
    pub findings: Vec<Found>,
    /// Kinds of finding beyond [`MOST_FINDINGS`], counted once a run.
    pub more_findings: u64,
    /// Every reachability point.
    pub points: Vec<PointTally>,
    /// Every oracle.
    pub oracles: Vec<OracleTally>,
    /// From the heal to quiet, in milliseconds of virtual time.
    pub convergence_ms: Spread,
    /// The first runs that came to no verdict.
    pub broken: Vec<Broken>,
    /// What was repeated.
    pub verification: Verification,
    /// Real time.
    pub timing: Timing,
}

/// What a run added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Places in [`Exploration::findings`] of what was not known before.
    pub findings: Vec<usize>,
    /// Points that no run had hit.
    pub points: usize,
}

impl Exploration {
    /// Before the first run.
    pub fn new(subject: Subject, shard: Shard, points: &[Point]) -> Self {
        let tally = |point: &Point| PointTally {
            name: point.name.to_owned(),
            means: point.means.to_owned(),
            runs: 0,
            first: None,
        };
        Self {
            format: FORMAT.to_owned(),
            verdict: Conclusion::Inconclusive,
            subject,
            shards: vec![ShardRun {
                shard,
                seeds: 0,
                ended: Ended::Interrupted,
            }],
            summary: Summary::default(),
            findings: Vec::new(),
            more_findings: 0,
            points: points.iter().map(tally).collect(),
            oracles: Vec::new(),
            convergence_ms: Spread::default(),
            broken: Vec::new(),
            verification: Verification::default(),
            timing: Timing::default(),
        }
    }

    /// Counts a run: its record, the points that it hit and its time from the heal to quiet.
    pub fn take(&mut self, record: &Record, hits: &[u16], converged_us: Option<u64>) -> News {
        let place = || Place {
            scenario: record.scenario.clone(),
            seed: record.seed,
        };
        self.summary.runs += 1;
        match record.verdict {
            Verdict::Pass => self.summary.passed += 1,
            Verdict::Fail => self.summary.failed += 1,
            Verdict::Inconclusive => self.summary.inconclusive += 1,
            Verdict::Infrastructure => {
                self.summary.infrastructure += 1;
                if self.broken.len() < MOST_BROKEN {
                    let violations = record.oracles.iter().flat_map(|it| &it.violations);
                    let why = violations.map(|it| it.message.as_str()).next();
                    self.broken.push(Broken {
                        place: place(),
                        why: why.unwrap_or("no verdict").to_owned(),
                    });
                }
                return News::default();
            }
        }
        if let Some(us) = converged_us {
            self.convergence_ms.add(us / 1000);
        }
        self.examined(record);
        let mut news = News::default();
        for hit in hits {
            let Some(point) = self.points.get_mut(usize::from(*hit)) else {
                continue;
            };
            point.runs += 1;
            if point.first.is_none() {
                point.first = Some(place());
                news.points += 1;
            }
        }
        for one in finding::findings(record) {
            let same = |found: &&mut Found| found.fingerprint == one.fingerprint;
            if let Some(found) = self.findings.iter_mut().find(same) {
                found.runs += 1;
            } else if self.findings.len() < MOST_FINDINGS {
                news.findings.push(self.findings.len());
                self.findings.push(Found {
                    oracle: one.oracle,
                    fingerprint: one.fingerprint,
                    runs: 1,
                    first: place(),
                    message: one.message,
                    at_us: one.at_us,
                    digest: record.digest.clone(),
                    bundle: None,
                });
            } else {
                self.more_findings += 1;
            }
        }
        news
    }

    fn examined(&mut self, record: &Record) {
        for oracle in &record.oracles {
            let known = self.oracles.iter().position(|it| it.name == oracle.name);
            let place = known.unwrap_or_else(|| {
                self.oracles.push(OracleTally {
                    name: oracle.name.clone(),
                    runs: 0,
                    checked: 0,
                    failed: 0,
                });
                self.oracles.len() - 1
            });
            let tally = &mut self.oracles[place];
            tally.runs += u64::from(oracle.checked > 0);
            tally.checked += oracle.checked;
            tally.failed += u64::from(oracle.verdict == Verdict::Fail);
        }
    }

    /// Counts a repeated run: what came first and what came again.
    pub fn verified(&mut self, place: Place, first: &str, again: &str) {
        self.verification.runs += 1;
        if first != again && self.verification.diverged.len() < MOST_DIVERGED {
            self.verification.diverged.push(Diverged {
                place,
                results: [first.to_owned(), again.to_owned()],
            });
        }
    }

    /// The points that no run hit.
    pub fn unhit(&self) -> impl Iterator<Item = &PointTally> {
        self.points.iter().filter(|point| point.runs == 0)
    }

    /// Brings the document into its final form: its lists in order, its verdict formed.
    pub fn conclude(&mut self) {
        self.findings
            .sort_by(|a, b| (&a.oracle, &a.fingerprint).cmp(&(&b.oracle, &b.fingerprint)));
        self.oracles.sort_by(|a, b| a.name.cmp(&b.name));
        self.shards.sort_by_key(|one| one.shard.index);
        self.verdict = self.conclusion();
    }

    fn conclusion(&self) -> Conclusion {
        let summary = &self.summary;
        let doubtful = summary.inconclusive as f64 / summary.runs.max(1) as f64;
        let cut = self
            .shards
            .iter()
            .any(|one| one.ended == Ended::Interrupted);
        if !self.verification.diverged.is_empty() {
            Conclusion::Nondeterminism
        } else if summary.failed > 0 {
            Conclusion::Fail
        } else if summary.infrastructure > 0 {
            Conclusion::Infrastructure
        } else if summary.runs == 0
            || cut
            || doubtful > self.subject.inconclusive_limit
            || (self.subject.require_points && self.unhit().next().is_some())
        {
            Conclusion::Inconclusive
        } else {
            Conclusion::Pass
        }
    }

    /// As JSON, indented, with a final newline.
    ///
    /// # Panics
    /// When it cannot be written as JSON, which is a defect of its types.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("counts are plain data");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests;
