//! What a session's runs exercised: how often each oracle had a case, and how long runs took to converge.
//!
//! **Invariant**: a function of the records. An oracle that no run of a session exercised has shown nothing, however many runs passed; this says
//! which those are. It judges nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verdict::Record;

/// A session's coverage by oracles, and its times to converge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exercise {
    /// By oracle.
    pub oracles: BTreeMap<String, Exercised>,
    /// Of the runs that converged; absent when none did.
    pub converge_ms: Option<Spread>,
}

/// How much one oracle had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exercised {
    /// Runs in which it examined something.
    pub runs: u64,
    /// What it examined in all of them.
    pub checked: u64,
    /// Runs that had no case for it.
    pub not_applicable: u64,
    /// Why the first of these had none.
    pub because: Option<String>,
}

/// How values spread: nearest ranks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// How many values.
    pub count: u64,
    /// The smallest.
    pub min: u64,
    /// Half of them are at most this.
    pub p50: u64,
    /// 95 of a hundred are at most this.
    pub p95: u64,
    /// The largest.
    pub max: u64,
}

impl Exercise {
    /// The exercise of these runs.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut exercise = Self::default();
        let mut times = Vec::new();
        for record in records {
            times.extend(record.converge_ms);
            for oracle in &record.oracles {
                let one = exercise.oracles.entry(oracle.name.clone()).or_default();
                one.runs += u64::from(oracle.checked > 0);
                one.checked += oracle.checked;
                one.not_applicable += u64::from(oracle.not_applicable.is_some());
                if one.because.is_none() {
                    one.because.clone_from(&oracle.not_applicable);
                }
            }
        }
        exercise.converge_ms = Spread::of(times);
        exercise
    }

    /// The oracles that no run exercised.
    pub fn idle(&self) -> impl Iterator<Item = (&str, &Exercised)> {
        self.oracles
            .iter()
            .filter(|(_, one)| one.runs == 0)
            .map(|(name, one)| (name.as_str(), one))
    }
}

impl Spread {
    /// How `values` spread; `None` without any.
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let rank = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
        Some(Self {
            count: values.len() as u64,
            min: *values.first()?,
            p50: rank(50),
            p95: rank(95),
            max: *values.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{OracleRecord, Verdict};

    fn record(converge_ms: Option<u64>, checked: u64) -> Record {
        let oracle = OracleRecord {
            name: "breaker_recovers".to_owned(),
            verdict: Verdict::Pass,
            checked,
            violations: Vec::new(),
            more_violations: 0,
            not_applicable: (checked == 0).then(|| "no open breaker in this run".to_owned()),
            undecided: None,
        };
        Record {
            scenario: "s".to_owned(),
            seed: 0,
            verdict: Verdict::Pass,
            digest: String::new(),
            virtual_ms: 0,
            converge_ms,
            summary: serde_json::Map::new(),
            faults: Vec::new(),
            oracles: vec![oracle],
            slo: Vec::new(),
            expect: Vec::new(),
        }
    }

    #[test]
    fn an_oracle_that_no_run_exercised_is_named() {
        let idle = |runs: &[Record]| {
            let exercise = Exercise::of(runs);
            exercise.idle().count()
        };
        assert_eq!(idle(&[record(None, 0), record(None, 0)]), 1);
        assert_eq!(idle(&[record(None, 0), record(None, 3)]), 0);
        let exercise = Exercise::of(&[record(None, 0), record(None, 3)]);
        let one = &exercise.oracles["breaker_recovers"];
        assert_eq!((one.runs, one.checked, one.not_applicable), (1, 3, 1));
        assert_eq!(one.because.as_deref(), Some("no open breaker in this run"));
    }

    #[test]
    fn times_to_converge_are_those_of_the_runs_that_did() {
        let runs: Vec<Record> = (1..=100).map(|ms| record(Some(ms), 1)).collect();
        let spread = Exercise::of(runs.iter().chain([&record(None, 1)])).converge_ms;
        let expected = Spread {
            count: 100,
            min: 1,
            p50: 50,
            p95: 95,
            max: 100,
        };
        assert_eq!(spread, Some(expected));
        assert_eq!(Exercise::of(&[record(None, 1)]).converge_ms, None);
    }
}
