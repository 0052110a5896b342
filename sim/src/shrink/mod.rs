//! Shrinking: the smallest plan that still fails in the same way.
//!
//! Much is guessed away at once, operations and faults are removed, then what is left is made simpler; the seed stays. What may be tried with a system's own tables, the
//! system says ([`System::simpler`]).
//!
//! **Invariant**: the result was run and fails with the finding it was asked for, by oracle and fingerprint; it is a function of the plan and
//! of how many trials there was time for, not of how many ran at once. It writes nothing.

pub mod ddmin;
mod file;
mod leap;
mod pass;
mod trial;

use std::time::Duration;

use crate::{
    engine::Engine,
    finding::{Finding, Fingerprint, findings},
    plan::Plan,
    run::{self, RunError},
    system::{System, Tables as _},
    verdict::{Record, Verdict},
};

pub(crate) use trial::record;
pub use trial::{Tally, Terms};

/// The finding that is to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Of this oracle.
    pub oracle: String,
    /// Of this kind.
    pub fingerprint: Fingerprint,
}

impl Goal {
    /// The goal of keeping `finding`.
    pub fn of(finding: &Finding) -> Self {
        Self {
            oracle: finding.oracle.clone(),
            fingerprint: finding.fingerprint.clone(),
        }
    }

    /// Whether `finding` is it.
    pub fn is_met(&self, finding: &Finding) -> bool {
        self.oracle == finding.oracle && self.fingerprint == finding.fingerprint
    }
}

/// Which of a run's findings is meant; the first one when nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this oracle.
    pub oracle: Option<String>,
    /// Of this kind.
    pub fingerprint: Option<String>,
}

impl Wanted {
    /// Whether `finding` is meant.
    pub fn is_met(&self, finding: &Finding) -> bool {
        let same = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        same(&self.oracle, &finding.oracle) && same(&self.fingerprint, &finding.fingerprint.0)
    }
}

/// How large a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Planned faults.
    pub faults: usize,
    /// Operations.
    pub operations: usize,
    /// Hosts that faults may target.
    pub hosts: usize,
}

impl Size {
    /// The size of `plan`.
    pub fn of<S: System>(plan: &Plan<S>) -> Self {
        Self {
            faults: plan.faults.len(),
            operations: plan.steps.len(),
            hosts: plan.system.hosts().len(),
        }
    }
}

/// What shrinking came to.
#[derive(Clone, Debug)]
pub struct Shrunk<S: System> {
    /// The smallest plan that was found.
    pub plan: Plan<S>,
    /// How it fails.
    pub finding: Finding,
    /// The digest of its run.
    pub digest: String,
    /// The size of the plan to begin with.
    pub before: Size,
    /// The size of the smallest plan.
    pub after: Size,
    /// How many runs it took.
    pub tally: Tally,
    /// Whether nothing more could be removed; otherwise it was broken off before that was known.
    pub complete: bool,
}

/// A plan that cannot be shrunk.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It does not fail, or not with the wanted finding.
    #[error("the plan does not fail {wanted}: its run came to {verdict:?}{others}")]
    DoesNotFail {
        /// What was wanted, in words.
        wanted: String,
        /// What the run came to.
        verdict: Verdict,
        /// Its other findings, in words; empty when there is none.
        others: String,
    },
    /// Two runs of one plan differ.
    #[error("two runs of the same plan differ: their digests are {first} and {second}")]
    Nondeterministic {
        /// Of the one.
        first: String,
        /// Of the other.
        second: String,
    },
    /// The first run came to no verdict.
    #[error("the plan cannot be run: {0}")]
    CannotRun(String),
}

/// A run that failed as it was to.
#[derive(Clone, Debug, PartialEq)]
pub struct Failing {
    /// What was wanted.
    pub finding: Finding,
    /// The run's record.
    pub record: Record,
    /// Its trace as JSON lines; a run that panicked has none.
    pub trace: Option<String>,
}

/// Runs `plan` twice, each in a process of its own, and looks for the finding that is `wanted`.
///
/// # Errors
/// When it does not fail in that way, or the runs differ.
pub fn failing<S: System>(
    plan: &Plan<S>,
    engine: Engine,
    limit: Duration,
    wanted: &Wanted,
) -> Result<Failing, Refusal> {
    let once = || {
        let mut outcome = run::in_child(plan, engine, limit, true);
        let trace = outcome
            .as_mut()
            .ok()
            .and_then(|outcome| outcome.trace.take());
        match &outcome {
            Err(error) if !matches!(error, RunError::Panicked(_)) => {
                Err(Refusal::CannotRun(error.to_string()))
            }
            _ => Ok((crate::report::record(plan, outcome), trace)),
        }
    };
    let (record, trace) = once()?;
    let (again, _) = once()?;
    if record.digest != again.digest {
        return Err(Refusal::Nondeterministic {
            first: record.digest,
            second: again.digest,
        });
    }
    let found = findings(&record);
    match found.iter().find(|finding| wanted.is_met(finding)) {
        Some(finding) => Ok(Failing {
            finding: finding.clone(),
            record,
            trace,
        }),
        None => Err(refusal(wanted, record.verdict, &found)),
    }
}

fn refusal(wanted: &Wanted, verdict: Verdict, found: &[Finding]) -> Refusal {
    let mut words: Vec<String> = Vec::new();
    if let Some(oracle) = &wanted.oracle {
        words.push(format!("by oracle {oracle}"));
    }
    if let Some(fingerprint) = &wanted.fingerprint {
        words.push(format!("with fingerprint {fingerprint}"));
    }
    let others: Vec<String> = found
        .iter()
        .map(|finding| format!("{} ({})", finding.oracle, finding.fingerprint))
        .collect();
    Refusal::DoesNotFail {
        wanted: if words.is_empty() {
            "at all".to_owned()
        } else {
            words.join(" ")
        },
        verdict,
        others: if others.is_empty() {
            String::new()
        } else {
            format!(", with {}", others.join(", "))
        },
    }
}

/// What shrinking tells while it works.
pub struct Watcher<'a> {
    /// Asked again and again, with what was tried and the smallest plan so far: whether to go on.
    pub going: &'a dyn Fn(Tally, Size) -> bool,
    /// Called in each trial's process, first of all.
    pub entered: &'a dyn Fn(),
}

impl std::fmt::Debug for Watcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

/// Shrinks `plan`, keeping the finding that is `wanted`. To be called where runs may be forked from.
///
/// # Errors
/// [`Refusal`], when the plan does not fail in that way or its runs differ.
pub fn shrink<S: System>(
    plan: &Plan<S>,
    wanted: &Wanted,
    terms: Terms,
    watcher: &Watcher<'_>,
) -> Result<Shrunk<S>, Refusal> {
    let before = Size::of(plan);
    let Failing {
        finding, record, ..
    } = failing(plan, terms.engine, terms.limit, wanted)?;
    let goal = Goal::of(&finding);
    let size = std::cell::Cell::new(before);
    let going = |tally| (watcher.going)(tally, size.get());
    let mut trials = trial::Trials::new(terms, goal.clone(), &going, watcher.entered);
    let failure =
        trial::failure(&record, &goal, plan.faults.len()).expect("it has just been found");
    trials.begin(plan, &failure);
    let mut best = pass::Best {
        plan: plan.clone(),
        failure,
        size: &size,
    };
    let complete = pass::all(&mut best, &mut trials, &goal);
    let (digest, finding) = (best.failure.digest, best.failure.finding);
    let last = run::in_child(&best.plan, terms.engine, terms.limit, false);
    let last = crate::report::record(&best.plan, last);
    if last.digest != digest {
        return Err(Refusal::Nondeterministic {
            first: digest,
            second: last.digest,
        });
    }
    Ok(Shrunk {
        after: Size::of(&best.plan),
        plan: best.plan,
        finding,
        digest,
        before,
        tally: trials.tally(),
        complete,
    })
}
