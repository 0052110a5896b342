//! The verdict: what a trace means, by the oracles, the SLOs and the faults' effects.
//!
//! **Invariant**: nothing passes that examined nothing: an inert fault, an oracle without a case or an SLO without samples make the run
//! inconclusive. It renders nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    condition::Condition,
    fault::Effect,
    oracle::Violation,
    plan::Plan,
    system::{Figures, System},
    trace::{Event, Phase, Trace},
};

/// What a run, or a whole session, came to. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every property held, and each was examined.
    Pass,
    /// Nothing was violated, but something was not examined.
    Inconclusive,
    /// A violation or a missed SLO.
    Fail,
    /// The run itself could not be brought to an end: nothing was judged.
    Infrastructure,
}

/// Most violations of one oracle that a record keeps; the rest is counted.
const MOST_VIOLATIONS: usize = 20;

/// One fault and what it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Its kind.
    pub kind: String,
    /// When it started.
    pub at_ms: u64,
    /// What it did.
    pub effect: Effect,
}

/// One oracle and what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OracleRecord {
    /// Its name.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// How many things it examined.
    pub checked: u64,
    /// The first violations, in order.
    pub violations: Vec<Violation>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_violations: u64,
    /// Why it had nothing to examine, if that is in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<String>,
    /// Why it could not decide a case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One condition and the measure it was held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionRecord {
    /// The measure's name.
    pub name: String,
    /// The condition.
    pub target: Condition,
    /// The measure; absent when there was no sample.
    pub actual: Option<f64>,
    /// What it came to.
    pub verdict: Verdict,
}

/// A run's record in the results file, but for its timing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What the run came to.
    pub verdict: Verdict,
    /// The trace's digest.
    pub digest: String,
    /// Virtual time at the run's end, in milliseconds.
    pub virtual_ms: u64,
    /// How long the system took to become quiet once everything was healed, in milliseconds; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converge_ms: Option<u64>,
    /// The system's own part: counts, histograms, latencies.
    #[serde(flatten)]
    pub summary: serde_json::Map<String, serde_json::Value>,
    /// Every fault with its effect.
    pub faults: Vec<FaultRecord>,
    /// Every oracle.
    pub oracles: Vec<OracleRecord>,
    /// The scenario's promises.
    pub slo: Vec<ConditionRecord>,
    /// The scenario's other expectations.
    pub expect: Vec<ConditionRecord>,
}

/// Judges a run of `plan` by its trace.
pub fn judge<S: System>(plan: &Plan<S>, trace: &Trace<S::Event>) -> Record {
    let converge_us = time_to_converge(trace);
    let Figures {
        mut measures,
        summary,
    } = S::figures(trace);
    measures.extend(converge_us.map(|us| (CONVERGE_S.to_owned(), us as f64 / 1e6)));
    let slo = conditions(&plan.slo, &measures);
    let expect = conditions(&plan.expect, &measures);
    let faults = faults::<S>(plan, trace);
    let oracles = oracles::<S>(trace);
    // What no oracle of the system could examine has not been judged, whatever each of them has to say for itself; the last one is ours.
    let (_, own) = oracles.split_last().expect("the harness has an oracle");
    let vacuous = !own.is_empty() && own.iter().all(|oracle| oracle.checked == 0);
    let inert = faults
        .iter()
        .any(|fault| fault.effect.values().all(|count| *count == 0));
    let verdict = oracles
        .iter()
        .map(|oracle| oracle.verdict)
        .chain(slo.iter().chain(&expect).map(|condition| condition.verdict))
        .chain((inert || vacuous).then_some(Verdict::Inconclusive))
        .max()
        .unwrap_or(Verdict::Inconclusive);
    Record {
        scenario: plan.scenario.clone(),
        seed: plan.seed,
        verdict,
        digest: trace.digest(),
        virtual_ms: trace.entries.last().map_or(0, |entry| entry.at_us / 1000),
        converge_ms: converge_us.map(|us| us / 1000),
        summary,
        faults,
        oracles,
        slo,
        expect,
    }
}

/// What every oracle says of `trace`, the harness's own at the end.
pub fn oracles<S: System>(trace: &Trace<S::Event>) -> Vec<OracleRecord> {
    let mut oracles: Vec<OracleRecord> = S::oracles()
        .iter()
        .map(|oracle| examined(oracle.name, (oracle.check)(trace)))
        .collect();
    oracles.push(convergence(trace));
    oracles
}

fn examined(name: &str, findings: crate::oracle::Findings) -> OracleRecord {
    let verdict = match (findings.violations.len(), findings.checked) {
        (0, 0) if findings.not_applicable.is_none() => Verdict::Inconclusive,
        (0, _) if findings.undecided.is_some() => Verdict::Inconclusive,
        (0, _) => Verdict::Pass,
        _ => Verdict::Fail,
    };
    let more_violations = findings.violations.len().saturating_sub(MOST_VIOLATIONS) as u64;
    let violations = findings
        .violations
        .into_iter()
        .take(MOST_VIOLATIONS)
        .collect();
    OracleRecord {
        name: name.to_owned(),
        verdict,
        checked: findings.checked,
        violations,
        more_violations,
        not_applicable: findings.not_applicable,
        undecided: findings.undecided,
    }
}

/// The measure of every system: how long it took to become quiet once everything was healed, in seconds.
pub const CONVERGE_S: &str = "converge_s";

/// From the heal to the first look that found the system quiet, in microseconds: known within a look's distance, which the conductor sets.
fn time_to_converge<E>(trace: &Trace<E>) -> Option<u64> {
    let entered = |wanted: Phase| {
        let mut entries = trace.entries.iter();
        entries.find(|entry| matches!(&entry.event, Event::Phase(phase) if *phase == wanted))
    };
    let gave_up = trace
        .entries
        .iter()
        .any(|entry| matches!(entry.event, Event::NotConverged));
    let (healed, quiet) = (entered(Phase::Converge)?, entered(Phase::Observe)?);
    (!gave_up).then(|| quiet.at_us.saturating_sub(healed.at_us))
}

/// The harness's own oracle: after the heal, the system became quiet within its bound.
fn convergence<E>(trace: &Trace<E>) -> OracleRecord {
    let mut findings = crate::oracle::Findings::default();
    for entry in &trace.entries {
        match &entry.event {
            Event::Phase(Phase::Converge) => findings.examine(entry.at_us, None),
            Event::NotConverged => findings.violations.push(Violation {
                at_us: entry.at_us,
                message: "every planned fault was undone, yet the system still had work open at the phase's bound: what its tables set for good \
                          (errors, a lossy or slow network or partner) is not undone unless they say when, and what is put off for long by its settings (backoffs, \
                          waits that a partner asks for) needs shorter ones or a longer `converge_within_s`"
                    .to_owned(),
            }),
            _ => {}
        }
    }
    examined("convergence", findings)
}

fn conditions(
    table: &BTreeMap<String, Condition>,
    measures: &BTreeMap<String, f64>,
) -> Vec<ConditionRecord> {
    let record = |(name, target): (&String, &Condition)| {
        let actual = measures.get(name).copied();
        let verdict = match actual {
            None => Verdict::Inconclusive,
            Some(actual) if target.holds(actual) => Verdict::Pass,
            Some(_) => Verdict::Fail,
        };
        ConditionRecord {
            name: name.clone(),
            target: *target,
            actual,
            verdict,
        }
    };
    table.iter().map(record).collect()
}

fn faults<S: System>(plan: &Plan<S>, trace: &Trace<S::Event>) -> Vec<FaultRecord> {
    let mut records: Vec<FaultRecord> = plan
        .faults
        .iter()
        .map(|fault| FaultRecord {
            kind: fault.kind.name().to_owned(),
            at_ms: fault.at_ms,
            effect: Effect::new(),
        })
        .collect();
    for entry in &trace.entries {
        if let Event::FaultEnded { fault, effect } = &entry.event {
            records[*fault].effect.clone_from(effect);
        }
    }
    let own = S::own_faults(&plan.system, trace);
    records.extend(own.into_iter().map(|(kind, at_ms, effect)| FaultRecord {
        kind,
        at_ms,
        effect,
    }));
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Clock, Recorder};

    fn walked(through: &[(u64, Event<()>)]) -> Trace<()> {
        let clock = Clock::default();
        let recorder = Recorder::new(clock.clone(), 0);
        for (second, event) in through {
            clock.set(std::time::Duration::from_secs(*second));
            recorder.at("harness", 0).world(event.clone());
        }
        recorder.take()
    }

    #[test]
    fn the_time_to_converge_runs_from_the_heal_to_quiet() {
        let healed = (10, Event::Phase(Phase::Converge));
        let observed = (17, Event::Phase(Phase::Observe));
        let check = |events: &[(u64, Event<()>)]| time_to_converge(&walked(events));
        assert_eq!(check(&[healed.clone(), observed.clone()]), Some(7_000_000));
        assert_eq!(
            check(&[healed.clone(), (17, Event::NotConverged), observed]),
            None
        );
        assert_eq!(check(&[healed]), None);
    }

    #[test]
    fn an_excuse_is_no_violation_and_silence_is_no_excuse() {
        let silent = crate::oracle::Findings::default();
        assert_eq!(examined("o", silent.clone()).verdict, Verdict::Inconclusive);
        let record = examined("o", silent.unless(true, "retry"));
        assert_eq!((record.verdict, record.checked), (Verdict::Pass, 0));
        assert_eq!(
            record.not_applicable.as_deref(),
            Some("no retry in this run")
        );
    }
}
