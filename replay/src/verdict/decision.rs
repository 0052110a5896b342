//! What the gate says of the rate alone: by the point rule, by a plan that was fixed before, or by the evidence of a stream.
//!
//! **Invariant**: a proof rests on pairs that were chosen before they were compared, or on evidence that allows any choice; and what is known
//! beyond it never turns a rate at the limit into a pass.

use super::{Evidence, FixedPlan, Gate, GateKind, PAIRS_NEEDED, Proof, Verdict, percent};
use crate::{
    sequential::{EVIDENCE_NEEDED, Finding, Sequential},
    statistics::{CONFIDENCE, at_most, clean_requests_still_needed, lower_bound, upper_bound},
};

/// The mismatch rate and what it may be.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MismatchRate {
    /// Mismatches among compared pairs.
    pub mismatches: u64,
    /// Compared pairs.
    pub compared: u64,
    /// The observed rate; 0 when nothing was compared.
    pub point: f64,
    /// The rate's upper 95 % bound, for a number of pairs that was fixed before.
    pub upper_95: f64,
    /// How the bound was made.
    pub method: &'static str,
    /// The same bound with the session as the unit: for mistakes that hit whole sessions.
    pub session_upper_95: f64,
    /// Sessions with a compared pair.
    pub sessions: u64,
    /// Those of them with a mismatch.
    pub session_mismatches: u64,
    /// So many further requests without a mismatch bring the bound below the limit; absent when no reachable number does.
    pub clean_requests_still_needed: Option<u64>,
}

/// How the gate came to what it says.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Stopping {
    /// What the proof rests on: `capture`, `plan` or `stream`.
    pub proof: &'static str,
    /// The declared plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<FixedPlan>,
    /// The pairs that decided; absent while nothing is decided.
    pub decided_after: Option<u64>,
    /// Why it was decided there, for people.
    pub reason: String,
    /// The evidence for a rate below the limit, from 1 on; [`EVIDENCE_NEEDED`] decides a stream.
    pub e_value: f64,
    /// The evidence for a rate above it.
    pub e_value_against: f64,
    /// The rate's upper 95 % bound for any number of looks.
    pub anytime_upper_95: f64,
    /// What the point rule lets pass at this number of pairs.
    pub point_rule: PointRule,
    /// Other questions that were put to this capture by a proven gate before.
    pub earlier_judgments: u64,
}

/// What "rate below the limit" means at a number of pairs.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct PointRule {
    /// So many mismatches still pass.
    pub allowed_mismatches: u64,
    /// A candidate whose true rate is the limit passes with this probability.
    pub passes_at_limit: f64,
    /// At this number of pairs one more mismatch would pass.
    pub next_cliff: u64,
}

/// What the gate says, why, and how it came to it.
pub(super) struct Decided {
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) stopping: Stopping,
}

pub(super) fn rate(evidence: &Evidence, gate: &Gate) -> MismatchRate {
    let (n, k) = (evidence.pairs.compared(), evidence.pairs.mismatches());
    let (sessions, wrong) = evidence.sessions;
    MismatchRate {
        mismatches: k,
        compared: n,
        point: if n == 0 { 0.0 } else { k as f64 / n as f64 },
        upper_95: upper_bound(k, n, CONFIDENCE),
        method: "clopper_pearson_one_sided",
        session_upper_95: upper_bound(wrong, sessions, CONFIDENCE),
        sessions,
        session_mismatches: wrong,
        clean_requests_still_needed: clean_requests_still_needed(k, n, gate.limit, CONFIDENCE),
    }
}

/// What the point rule allows at `pairs`.
pub(super) fn point_rule(pairs: u64, limit: f64) -> PointRule {
    let passes = |k: u64, n: u64| n > 0 && (k as f64 / n as f64) < limit;
    // Division rounds; whatever the product says, the rule itself decides.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product is not negative, and `as` saturates"
    )]
    let mut allowed = (pairs as f64 * limit) as u64 + 1;
    while allowed > 0 && !passes(allowed, pairs) {
        allowed -= 1;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the quotient is not negative, and `as` saturates"
    )]
    let mut cliff = (((allowed + 1) as f64 / limit) as u64)
        .saturating_sub(1)
        .max(PAIRS_NEEDED);
    while !passes(allowed + 1, cliff) {
        cliff += 1;
    }
    PointRule {
        allowed_mismatches: allowed,
        passes_at_limit: if pairs == 0 {
            0.0
        } else {
            at_most(allowed, pairs, limit)
        },
        next_cliff: cliff,
    }
}

/// What the gate says of the rate.
pub(super) fn decide(evidence: &Evidence, rate: &MismatchRate, gate: &Gate) -> Decided {
    let stream = evidence
        .stream
        .unwrap_or_else(|| Sequential::new(gate.limit));
    let observed = format!(
        "{} of {} compared pairs differ ({}, upper 95 % bound {})",
        rate.mismatches,
        rate.compared,
        percent(rate.point),
        percent(rate.upper_95)
    );
    let (verdict, said, decided_after) = match refused(rate, gate, &stream) {
        Some((said, after)) => (Verdict::Fail, said, Some(after)),
        None => match (gate.kind, gate.proof) {
            (GateKind::Point, _) if rate.compared < PAIRS_NEEDED => too_few(),
            (GateKind::Point, _) => {
                let said = format!("below the limit of {}", percent(gate.limit));
                (Verdict::Pass, said, Some(rate.compared))
            }
            (GateKind::Proven, Proof::Capture) => whole(rate, gate),
            (GateKind::Proven, Proof::Plan(plan)) => fixed(evidence.first, plan, gate),
            (GateKind::Proven, Proof::Stream) => sequential(&stream, gate),
        },
    };
    let basis = match (gate.kind, gate.proof) {
        (GateKind::Point, _) => "the point rule was applied once, to all compared pairs".to_owned(),
        (_, Proof::Capture) => {
            "no plan was declared, so the whole capture was the plan: its size was fixed before anything was compared".to_owned()
        }
        (_, Proof::Plan(plan)) => format!("the plan {plan} was declared before the run"),
        (_, Proof::Stream) => "the evidence was looked at after every pair, in the capture's order".to_owned(),
    };
    Decided {
        verdict,
        stopping: Stopping {
            proof: gate.proof.name(),
            plan: match gate.proof {
                Proof::Plan(plan) => Some(plan),
                Proof::Capture | Proof::Stream => None,
            },
            decided_after,
            reason: format!("{basis}; {said}"),
            e_value: shown(stream.evidence()),
            e_value_against: shown(stream.evidence_against()),
            anytime_upper_95: stream.upper_bound(),
            point_rule: point_rule(rate.compared, gate.limit),
            earlier_judgments: gate.earlier,
        },
        reason: format!("{observed}; {said}"),
    }
}

type Said = (Verdict, String, Option<u64>);

/// Why the rate is too high, whatever the gate, and after how many pairs that was clear.
fn refused(rate: &MismatchRate, gate: &Gate, stream: &Sequential) -> Option<(String, u64)> {
    let limit = percent(gate.limit);
    if (gate.kind, gate.proof) == (GateKind::Proven, Proof::Stream)
        && let Some(made) = stream.decision()
        && made.finding == Finding::Above
    {
        let said = format!(
            "proven above the limit of {limit} after {} pairs with {} mismatches",
            made.after, made.mismatches
        );
        return Some((said, made.after));
    }
    let proven_bad = lower_bound(rate.mismatches, rate.compared, CONFIDENCE) >= gate.limit;
    let over = rate.compared >= PAIRS_NEEDED && rate.point >= gate.limit;
    (over || proven_bad).then(|| (format!("the limit is {limit}"), rate.compared))
}

fn too_few() -> Said {
    let said = format!("a verdict needs at least {PAIRS_NEEDED}");
    (Verdict::Inconclusive, said, None)
}

fn whole(rate: &MismatchRate, gate: &Gate) -> Said {
    let limit = percent(gate.limit);
    if rate.compared >= PAIRS_NEEDED && rate.upper_95 < gate.limit {
        let said = format!("proven below {limit}");
        return (Verdict::Pass, said, Some(rate.compared));
    }
    if rate.compared < PAIRS_NEEDED {
        return too_few();
    }
    let needed = number(rate.clean_requests_still_needed);
    let said = format!("to prove less than {limit}, {needed} further clean requests are needed");
    (Verdict::Inconclusive, said, None)
}

fn fixed((pairs, mismatches): (u64, u64), plan: FixedPlan, gate: &Gate) -> Said {
    let FixedPlan {
        requests,
        mismatches: allowed,
    } = plan;
    if pairs < requests {
        let said = format!("the declared plan {plan} needs {requests} compared pairs");
        return (Verdict::Inconclusive, said, None);
    }
    if mismatches <= allowed {
        let said = format!(
            "proven below {}: the plan {plan} was fulfilled with {mismatches} in the first {requests}",
            percent(gate.limit)
        );
        return (Verdict::Pass, said, Some(requests));
    }
    let said = format!(
        "the plan {plan} was not fulfilled: {mismatches} mismatches in the first {requests}; it is spent, another proof needs other traffic"
    );
    (Verdict::Inconclusive, said, Some(requests))
}

fn sequential(stream: &Sequential, gate: &Gate) -> Said {
    let limit = percent(gate.limit);
    if let Some(made) = stream.decision() {
        let said = format!(
            "proven below {limit} after {} pairs with {} mismatches",
            made.after, made.mismatches
        );
        return (Verdict::Pass, said, Some(made.after));
    }
    let needed = number(stream.clean_pairs_still_needed());
    let said = format!(
        "the evidence for less than {limit} is {:.2}, {EVIDENCE_NEEDED} decides: {needed} further clean requests are needed",
        stream.evidence()
    );
    (Verdict::Inconclusive, said, None)
}

fn number(needed: Option<u64>) -> String {
    needed.map_or_else(
        || "no reachable number of".to_owned(),
        |needed| needed.to_string(),
    )
}

/// Evidence with six significant digits, so that a report shows no noise of the last bit.
fn shown(evidence: f64) -> f64 {
    format!("{evidence:.5e}").parse().unwrap_or(evidence)
}
