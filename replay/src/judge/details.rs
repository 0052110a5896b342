//! The parts of a report that need more than a copy: rules, endpoints, notes.
//!
//! **Invariant**: nothing here decides; what a note says is in the report's figures too.

use std::collections::BTreeMap;

use crate::{
    comparing::Hits,
    judge::count::Count,
    plan::Plan,
    report::{EndpointFinding, EndpointReport, RuleReport},
    rules::{Effect, Rules},
    statistics::{clean_requests_still_needed, family_confidence, lower_bound, upper_bound},
    verdict::{Evidence, Gate, GateKind, Judgment, Verdict, over, percent},
};

pub(super) fn rule_reports(
    plan: &Plan,
    rules: &Rules,
    hits: &[Hits],
    hidden: &BTreeMap<usize, u64>,
) -> Vec<RuleReport> {
    let rewritten = |rule: &crate::rules::Rule| {
        let fits = |planned: &&crate::plan::Planned| {
            let covers = |endpoint: &crate::rules::Endpoint| {
                endpoint.covers(&planned.method, planned.path())
            };
            planned.unreplayable.is_none() && rule.endpoints.iter().any(covers)
        };
        match rule.effect {
            Effect::Rewrite { .. } => plan.requests.iter().filter(fits).count() as u64,
            _ => 0,
        }
    };
    let reports = rules.rules.iter().zip(hits).enumerate();
    reports
        .map(|(at, (rule, hits))| RuleReport {
            rule: rule.id.clone(),
            kind: rule.effect.kind(),
            reason: rule.reason.clone(),
            suppressed: hits.suppressed,
            last: hits.last,
            rewritten: rewritten(rule),
            hidden_mutations: hidden.get(&at).copied().unwrap_or(0),
            expires: rule.expires.map(|day| day.to_string()),
            expired: rule.expired,
        })
        .collect()
}

/// The endpoints, each against the limit for itself, with bounds that hold for all of them at once.
pub(super) fn endpoint_reports(count: &Count<'_>, limit: f64) -> Vec<EndpointReport> {
    let compared = |pairs: &&crate::verdict::Tally| pairs.compared() > 0;
    let family = count.endpoints.values().filter(compared).count();
    let confidence = family_confidence(family);
    let one = |(endpoint, pairs): (&String, &crate::verdict::Tally)| {
        let (k, n) = (pairs.mismatches(), pairs.compared());
        let upper = upper_bound(k, n, confidence);
        EndpointReport {
            endpoint: endpoint.clone(),
            pairs: *pairs,
            compared: n,
            point: if n == 0 { 0.0 } else { k as f64 / n as f64 },
            upper_95_family: upper,
            clean_requests_still_needed: clean_requests_still_needed(k, n, limit, confidence),
            finding: if n > 0 && lower_bound(k, n, confidence) >= limit {
                EndpointFinding::Above
            } else if upper < limit {
                EndpointFinding::Below
            } else {
                EndpointFinding::OutOfReach
            },
        }
    };
    count.endpoints.iter().map(one).collect()
}

pub(super) fn notes(
    plan: &Plan,
    hits: &[Hits],
    judgment: &Judgment,
    evidence: &Evidence,
    rules: &Rules,
    gate: &Gate,
) -> Vec<String> {
    let mut notes = of_the_gate(judgment, evidence, gate);
    if rules.state.is_none() {
        notes.push(
            "the rules do not say how to read the final state, so it was not compared".to_owned(),
        );
    } else if plan.entities.is_empty() {
        notes.push(
            "the capture creates no entity, so there was no final state to compare".to_owned(),
        );
    }
    if judgment.verdict == Verdict::Pass {
        notes.push(
            "for this capture the rate is exact; the bound speaks of future traffic like it"
                .to_owned(),
        );
    }
    let suppressed: Vec<u64> = hits.iter().map(|hits| hits.suppressed).collect();
    notes.extend(rules.wear(&suppressed).notes());
    notes
}

/// What the gate's word is worth.
fn of_the_gate(judgment: &Judgment, evidence: &Evidence, gate: &Gate) -> Vec<String> {
    let mut notes = Vec::new();
    let (rate, limit) = (&judgment.rate, percent(gate.limit));
    if gate.kind == GateKind::Point {
        notes.extend(over(evidence, gate));
        let rule = judgment.stopping.point_rule;
        if judgment.gate == Verdict::Pass {
            notes.push(format!(
                "the point rule lets {} of {} pairs differ, and one more from {} pairs on; a candidate whose true rate is {limit} passes it with a probability of {}",
                rule.allowed_mismatches,
                rate.compared,
                rule.next_cliff,
                percent((rule.passes_at_limit * 1_000.0).round() / 1_000.0)
            ));
        }
        match rate.clean_requests_still_needed {
            Some(0) => notes.push(format!("the upper bound proves less than {limit} too")),
            Some(needed) => notes.push(format!(
                "to prove less than {limit}, {needed} further clean requests are needed"
            )),
            None => {}
        }
    }
    notes
}
