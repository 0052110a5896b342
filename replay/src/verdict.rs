//! The verdict: what the evidence allows to say, and why.
//!
//! | verdict | when | exit code |
//! |---|---|---|
//! | infrastructure | a target answered nothing, or could not be reached any more | 4 |
//! | fail | a final state differs; or the rate is not below the limit (n >= 1,000, or the lower bound proves it with fewer) | 1 |
//! | inconclusive | too few pairs, coverage lost, a blind comparison, or the gate's proof not reached | 3 |
//! | pass | otherwise | 0 |
//!
//! **Invariant**: a pass needs evidence; the absence of mismatches alone is never one. It deliberately decides from counts and sees no answer.

use std::{fmt, str::FromStr};

use crate::{
    rules::Side,
    statistics::{CONFIDENCE, clean_requests_still_needed, lower_bound, upper_bound},
};

/// With fewer compared pairs than this there is no verdict on a rate: the acceptance criterion's own number.
pub const PAIRS_NEEDED: u64 = 1_000;

/// At least this share of the capture's requests has to be compared.
pub const COVERAGE_NEEDED: f64 = 0.999;

/// Which proof a pass needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// The observed rate is below the limit.
    Point,
    /// The rate's upper 95 % bound is below the limit.
    Proven,
}

impl FromStr for GateKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "point" => Ok(Self::Point),
            "proven" => Ok(Self::Proven),
            other => Err(format!("found {other:?}, expected point or proven")),
        }
    }
}

/// What has to hold for a pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// Which proof.
    pub kind: GateKind,
    /// The mismatch rate has to be below this.
    pub limit: f64,
    /// At least this share of mutations has to be caught.
    pub sensitivity: f64,
}

impl Default for Gate {
    /// The mission's criterion: fewer than 0.1 % mismatches over at least 1,000 requests; and a comparison that catches 95 % of mutations.
    fn default() -> Self {
        Self {
            kind: GateKind::Point,
            limit: 0.001,
            sensitivity: 0.95,
        }
    }
}

/// A share written as `0.1%` or `0.001`.
///
/// # Errors
/// For people: what was found and expected.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    number
        .ok()
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| format!("found {text:?}, expected a share like 0.1% or 0.001"))
}

/// What a run comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate may replace legacy, as far as this capture can tell.
    Pass,
    /// It may not.
    Fail,
    /// The capture, or the comparison, cannot tell.
    Inconclusive,
    /// The run did not reach its targets.
    Infrastructure,
}

impl Verdict {
    /// Its name: `pass`, `fail`, `inconclusive`, `infrastructure`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Infrastructure => "infrastructure",
        }
    }

    /// The exit code of a command that ends with it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive => 3,
            Self::Infrastructure => 4,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many pairs came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// The same, up to declared equivalences.
    pub matched: u64,
    /// Not the same.
    pub mismatched: u64,
    /// Not the same in what a rule forgives: neither a match nor a mismatch.
    pub ignored: u64,
    /// One side gave no answer.
    pub failed_one_side: u64,
    /// Neither side gave an answer, or both a server error.
    pub failed_both: u64,
}

impl Tally {
    /// Pairs that speak for or against parity: the rate's n.
    pub fn compared(&self) -> u64 {
        self.matched + self.mismatches()
    }

    /// The rate's k: an answer of one side only is a mismatch too.
    pub fn mismatches(&self) -> u64 {
        self.mismatched + self.failed_one_side
    }
}

/// A target that did not serve the whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Which.
    pub side: Side,
    /// Its URL.
    pub url: String,
    /// From which request of the plan on it could not be reached; `None` if it answered nothing at all.
    pub from: Option<usize>,
    /// What its last failure said.
    pub message: String,
}

/// All that the verdict is made from.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The requests' pairs.
    pub pairs: Tally,
    /// The final states' pairs.
    pub state: Tally,
    /// Final states that were not read on at least one side.
    pub state_skipped: u64,
    /// Requests in the plan.
    pub planned: u64,
    /// Requests that were lost when the capture was read.
    pub lost: u64,
    /// Sessions with at least one compared pair, and those of them with a mismatch.
    pub sessions: (u64, u64),
    /// Mutations tried and caught.
    pub mutations: (u64, u64),
    /// Targets that were down.
    pub down: Vec<Down>,
    /// Whether both sides had the same URL.
    pub same_target: bool,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
    /// Whether the recorded pace was asked for and the capture's clock stands still.
    pub standing_clock: bool,
}

/// The mismatch rate and what it may be.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MismatchRate {
    /// Mismatches among compared pairs.
    pub mismatches: u64,
    /// Compared pairs.
    pub compared: u64,
    /// The observed rate; 0 when nothing was compared.
    pub point: f64,
    /// The rate's upper 95 % bound.
    pub upper_95: f64,
    /// How the bound was made.
    pub method: &'static str,
    /// The same bound with the session as the unit: for mistakes that hit whole sessions.
    pub session_upper_95: f64,
    /// So many further requests without a mismatch bring the bound below the limit; absent when no reachable number does.
    pub clean_requests_still_needed: Option<u64>,
}

/// The verdict and its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgment {
    /// The verdict on the run.
    pub verdict: Verdict,
    /// What the gate alone says of the rate.
    pub gate: Verdict,
    /// Why, the most important first.
    pub reasons: Vec<String>,
    /// The rate.
    pub rate: MismatchRate,
    /// The share of the capture's requests that was compared.
    pub coverage: f64,
}

/// Judges the evidence by the gate.
pub fn verdict(evidence: &Evidence, gate: &Gate) -> Judgment {
    let rate = rate(evidence, gate);
    let coverage = coverage(evidence);
    let (gate_verdict, gate_reason) = by_gate(&rate, gate);
    let infrastructure: Vec<String> = evidence.down.iter().map(told).collect();
    let mut failures = Vec::new();
    let wrong_states = evidence.state.mismatches();
    if wrong_states > 0 {
        failures.push(format!(
            "the final state of {} differs",
            counted(wrong_states, "entity", "entities")
        ));
    }
    if gate_verdict == Verdict::Fail {
        failures.push(gate_reason.clone());
    }
    let mut doubts = doubts(evidence, gate, coverage);
    if gate_verdict == Verdict::Inconclusive {
        doubts.insert(0, gate_reason.clone());
    }
    let (verdict, mut reasons) = if !infrastructure.is_empty() {
        (Verdict::Infrastructure, infrastructure)
    } else if !failures.is_empty() {
        (Verdict::Fail, failures)
    } else if !doubts.is_empty() {
        return Judgment {
            verdict: Verdict::Inconclusive,
            gate: gate_verdict,
            reasons: doubts,
            rate,
            coverage,
        };
    } else {
        (Verdict::Pass, vec![gate_reason])
    };
    reasons.extend(doubts);
    Judgment {
        verdict,
        gate: gate_verdict,
        reasons,
        rate,
        coverage,
    }
}

fn rate(evidence: &Evidence, gate: &Gate) -> MismatchRate {
    let (n, k) = (evidence.pairs.compared(), evidence.pairs.mismatches());
    let (sessions, wrong) = evidence.sessions;
    MismatchRate {
        mismatches: k,
        compared: n,
        point: if n == 0 { 0.0 } else { k as f64 / n as f64 },
        upper_95: upper_bound(k, n, CONFIDENCE),
        method: "clopper_pearson_one_sided",
        session_upper_95: upper_bound(wrong, sessions, CONFIDENCE),
        clean_requests_still_needed: clean_requests_still_needed(k, n, gate.limit, CONFIDENCE),
    }
}

fn coverage(evidence: &Evidence) -> f64 {
    let seen = evidence.pairs.compared() + evidence.pairs.ignored;
    match evidence.planned + evidence.lost {
        0 => 0.0,
        all => seen as f64 / all as f64,
    }
}

fn by_gate(rate: &MismatchRate, gate: &Gate) -> (Verdict, String) {
    let (k, n, limit) = (rate.mismatches, rate.compared, gate.limit);
    let observed = format!(
        "{k} of {n} compared pairs differ ({}, upper 95 % bound {})",
        percent(rate.point),
        percent(rate.upper_95)
    );
    let limit_shown = percent(limit);
    let proven_bad = lower_bound(k, n, CONFIDENCE) >= limit;
    if (n >= PAIRS_NEEDED && rate.point >= limit) || proven_bad {
        return (
            Verdict::Fail,
            format!("{observed}; the limit is {limit_shown}"),
        );
    }
    if n < PAIRS_NEEDED {
        let reason = format!("{observed}; a verdict needs at least {PAIRS_NEEDED}");
        return (Verdict::Inconclusive, reason);
    }
    match gate.kind {
        GateKind::Point => (
            Verdict::Pass,
            format!("{observed}; below the limit of {limit_shown}"),
        ),
        GateKind::Proven if rate.upper_95 < limit => (
            Verdict::Pass,
            format!("{observed}; proven below {limit_shown}"),
        ),
        GateKind::Proven => {
            let needed = rate.clean_requests_still_needed.map_or_else(
                || "no reachable number".to_owned(),
                |needed| needed.to_string(),
            );
            let reason = format!(
                "{observed}; to prove less than {limit_shown}, {needed} further clean requests are needed"
            );
            (Verdict::Inconclusive, reason)
        }
    }
}

fn doubts(evidence: &Evidence, gate: &Gate, coverage: f64) -> Vec<String> {
    let mut doubts = Vec::new();
    if evidence.stopped {
        doubts.push("the run was stopped before its end".to_owned());
    }
    if evidence.same_target {
        doubts.push("both sides are the same target: it agrees with itself".to_owned());
    }
    if evidence.standing_clock {
        doubts.push(
            "every exchange carries the same time, so the recorded pace is unknown".to_owned(),
        );
    }
    if coverage < COVERAGE_NEEDED {
        doubts.push(format!(
            "only {} of the capture's requests were compared, {} are needed",
            percent(coverage),
            percent(COVERAGE_NEEDED)
        ));
    }
    let unread = evidence.state_skipped + evidence.state.failed_both;
    if unread > 0 {
        doubts.push(format!(
            "the final state of {} could not be read",
            counted(unread, "entity", "entities")
        ));
    }
    let (tried, caught) = evidence.mutations;
    if tried == 0 {
        doubts.push(
            "no answer could be mutated, so nothing shows that a mistake would be seen".to_owned(),
        );
    } else if (caught as f64) < gate.sensitivity * tried as f64 {
        doubts.push(format!(
            "the comparison is blind: it catches {caught} of {tried} mutations, {} are needed",
            percent(gate.sensitivity)
        ));
    }
    doubts
}

fn told(down: &Down) -> String {
    let side = down.side.name();
    match down.from {
        None => format!("{side} at {} answered nothing: {}", down.url, down.message),
        Some(from) => format!(
            "{side} at {} could not be reached any more from request {from} on: {}",
            down.url, down.message
        ),
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A share for people: `0.0285%`, without trailing zeros.
pub fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}

#[cfg(test)]
mod tests;
