//! The verdict: what the evidence allows to say, and why.
//!
//! | verdict | when | exit code |
//! |---|---|---|
//! | infrastructure | a target answered nothing, or could not be reached any more | 4 |
//! | fail | a final state differs; or the rate is not below the limit (n >= 1,000, or the lower bound proves it with fewer); or, where a proof is asked for, an endpoint alone is proven above it | 1 |
//! | inconclusive | too few pairs, coverage lost, a blind or empty comparison, a capture that is spent, or the gate's proof not reached | 3 |
//! | pass | otherwise | 0 |
//!
//! **Invariant**: a pass needs evidence; the absence of mismatches alone is never one. It deliberately decides from counts and sees no answer.

mod decision;
mod gate;

use std::fmt;

use self::decision::{Decided, decide, rate};
pub use self::{
    decision::{MismatchRate, PointRule, Stopping},
    gate::{FixedPlan, Gate, GateKind, Proof, parse_share},
};
use crate::{rules::Side, sequential::Sequential};

/// With fewer compared pairs than this there is no verdict on a rate: the acceptance criterion's own number.
pub const PAIRS_NEEDED: u64 = 1_000;

/// At least this share of the capture's requests has to be compared.
pub const COVERAGE_NEEDED: f64 = 0.999;

/// With a larger share of what the capture shows accepted refused by both sides, they were not asked what the capture asks. It is generous: a
/// part of a capture depends on what came before it.
const REFUSED_BEARABLE: f64 = 0.1;

/// Where more than this share of pairs is noise, the rest is no sample of the traffic any more: a quarter.
pub const NOISE_BEARABLE: f64 = 0.25;

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
    /// Not the same where legacy differs from itself as often: neither a match nor a mismatch.
    pub noise: u64,
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a doubt of its own, and they come in any combination"
)]
pub struct Evidence {
    /// The requests' pairs.
    pub pairs: Tally,
    /// The final states' pairs.
    pub state: Tally,
    /// Final states that were not read on at least one side, though they should have been.
    pub state_skipped: u64,
    /// Requests in the plan, but for those that were not sent because the question was decided before.
    pub planned: u64,
    /// Requests that were lost when the capture was read.
    pub lost: u64,
    /// Sessions with at least one compared pair, and those of them with a mismatch.
    pub sessions: (u64, u64),
    /// The compared pairs as a stream, in the plan's order.
    pub stream: Option<Sequential>,
    /// How many of the pairs that a declared plan asks for there were, and mismatches among them.
    pub first: (u64, u64),
    /// Pairs that both sides answered.
    pub answered: u64,
    /// Those of them that neither side refused.
    pub accepted: u64,
    /// Those of them that both sides refused because there were too many requests (429).
    pub throttled: u64,
    /// Endpoints that are proven to be above the limit each for itself: name, mismatches, compared pairs.
    pub over: Vec<(String, u64, u64)>,
    /// Mutations tried and caught.
    pub mutations: (u64, u64),
    /// Targets that were down.
    pub down: Vec<Down>,
    /// Whether both sides had the same URL.
    pub same_target: bool,
    /// Requests that the recorded service had accepted, and those of them that both sides refused.
    pub recorded: (u64, u64),
    /// The share of all pairs that may be regressions that hide in the noise which was excused, at 95 % confidence.
    pub hidden: f64,
    /// Whether the second instance of legacy had the candidate's URL.
    pub secondary_is_candidate: bool,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
    /// Whether the recorded pace was asked for and the capture's clock stands still.
    pub standing_clock: bool,
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
    /// How the gate came to what it says.
    pub stopping: Stopping,
}

/// Judges the evidence by the gate.
pub fn verdict(evidence: &Evidence, gate: &Gate) -> Judgment {
    let rate = rate(evidence, gate);
    let coverage = coverage(evidence);
    let Decided {
        verdict: by_gate,
        reason,
        stopping,
    } = decide(evidence, &rate, gate);
    let infrastructure: Vec<String> = evidence.down.iter().map(told).collect();
    let failures = failures(evidence, gate, by_gate, &reason);
    let mut doubts = doubts(evidence, gate, coverage);
    if gate.kind == GateKind::Proven
        && evidence.hidden > 0.0
        && evidence.hidden + rate.upper_95 >= gate.limit
    {
        doubts.push(format!(
            "noise may hide regressions in up to {} of the pairs (95 % confidence): with them, less than {} is not proven",
            percent(evidence.hidden),
            percent(gate.limit)
        ));
    }
    if by_gate == Verdict::Inconclusive {
        doubts.insert(0, reason.clone());
    }
    let (verdict, mut reasons) = if !infrastructure.is_empty() {
        (Verdict::Infrastructure, infrastructure)
    } else if !failures.is_empty() {
        (Verdict::Fail, failures)
    } else if !doubts.is_empty() {
        (Verdict::Inconclusive, std::mem::take(&mut doubts))
    } else {
        (Verdict::Pass, vec![reason])
    };
    reasons.extend(doubts);
    Judgment {
        verdict,
        gate: by_gate,
        reasons,
        rate,
        coverage,
        stopping,
    }
}

fn failures(evidence: &Evidence, gate: &Gate, by_gate: Verdict, reason: &str) -> Vec<String> {
    let mut failures = Vec::new();
    let wrong_states = evidence.state.mismatches();
    if wrong_states > 0 {
        failures.push(format!(
            "the final state of {} differs",
            counted(wrong_states, "entity", "entities")
        ));
    }
    if by_gate == Verdict::Fail {
        failures.push(reason.to_owned());
    }
    // The mission's own rule is on the whole; a proof is held against each endpoint too.
    if gate.kind == GateKind::Proven {
        failures.extend(over(evidence, gate));
    }
    failures
}

/// Endpoints that the mix hides: their own rate is above the limit.
pub(crate) fn over(evidence: &Evidence, gate: &Gate) -> impl Iterator<Item = String> {
    let limit = percent(gate.limit);
    evidence.over.iter().map(move |(endpoint, mismatches, compared)| {
        format!("{endpoint} alone is proven above the limit of {limit}: {mismatches} of {compared} differ")
    })
}

fn coverage(evidence: &Evidence) -> f64 {
    let seen = evidence.pairs.compared() + evidence.pairs.ignored + evidence.pairs.noise;
    match evidence.planned + evidence.lost {
        0 => 0.0,
        all => seen as f64 / all as f64,
    }
}

fn doubts(evidence: &Evidence, gate: &Gate, coverage: f64) -> Vec<String> {
    let mut doubts = Vec::new();
    if evidence.stopped {
        doubts.push("the run was stopped before its end".to_owned());
    }
    if gate.kind == GateKind::Proven && gate.earlier > 0 {
        doubts.push(format!(
            "this capture is spent: {} put to it by a proven gate before; a proof needs traffic that was not seen yet",
            counted(gate.earlier, "other question was", "other questions were")
        ));
    }
    if evidence.same_target {
        doubts.push("both sides are the same target: it agrees with itself".to_owned());
    }
    if evidence.secondary_is_candidate {
        doubts.push(
            "the second instance of legacy is the candidate: all its mistakes would be noise"
                .to_owned(),
        );
    }
    if evidence.standing_clock {
        doubts.push(
            "every exchange carries the same time, so the recorded pace is unknown".to_owned(),
        );
    }
    doubts.extend(emptiness(evidence));
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

/// What makes a comparison of many pairs one of nothing.
fn emptiness(evidence: &Evidence) -> Vec<String> {
    let mut doubts = Vec::new();
    let (answered, noise) = (evidence.answered, evidence.pairs.noise);
    if answered > 0 && evidence.accepted == 0 {
        doubts.push(format!(
            "no request was accepted by both sides: only refusals were compared, {answered} of them"
        ));
    } else if evidence.throttled as f64 > (1.0 - COVERAGE_NEEDED) * answered as f64 {
        doubts.push(format!(
            "both sides refused {} of {answered} requests with 429: they were not asked what the capture asks",
            evidence.throttled
        ));
    }
    let (recorded, refused) = evidence.recorded;
    if evidence.accepted > 0 && refused as f64 > REFUSED_BEARABLE * recorded as f64 {
        doubts.push(format!(
            "both sides refused {refused} of {recorded} requests that were accepted when the capture was made: what it asks for is not there"
        ));
    }
    let judged = evidence.pairs.compared() + noise;
    if noise as f64 > NOISE_BEARABLE * judged as f64 {
        doubts.push(format!(
            "{noise} of {judged} pairs are noise: where legacy differs from itself that often, likeness to it says little"
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
