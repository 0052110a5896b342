//! Trials: does this plan still fail in the same way? Many at once, each in a process of its own, none twice.
//!
//! **Invariant**: of several plans the first one that fails is the answer, whatever runs at once; what was tried is remembered by its digest.
//! A plan with a planned fault that did nothing does not count as failing, unless it fails without that fault, too: then that one is taken.

use std::{collections::BTreeMap, num::NonZeroUsize, ops::ControlFlow, time::Duration};

use sha2::{Digest, Sha256};

use super::Goal;
use crate::{
    child::{ChildError, Pool},
    engine::Engine,
    finding::{Finding, findings},
    plan::Plan,
    report, run,
    system::System,
    verdict::Record,
};

/// How trials are run.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// On which engine.
    pub engine: Engine,
    /// At most so many at once.
    pub jobs: NonZeroUsize,
    /// Each for so long in real time; one that takes longer does not count as failing.
    pub limit: Duration,
}

/// How a plan failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) finding: Finding,
    pub(super) digest: String,
    /// The planned faults that did nothing, by position.
    inert: Vec<usize>,
}

/// How far trying is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs that came to an end.
    pub trials: u64,
    /// Runs that were spared, because the same plan was tried before.
    pub known: u64,
}

/// Runs plans for one goal.
pub(super) struct Trials<'a> {
    terms: Terms,
    goal: Goal,
    tried: BTreeMap<[u8; 32], Option<Failure>>,
    tally: Tally,
    /// Whether inert faults are accepted, because the first plan had some.
    inert_too: bool,
    /// Asked before each trial in the parent, and called in its child.
    going: &'a dyn Fn(Tally) -> bool,
    entered: &'a dyn Fn(),
    stopped: bool,
}

impl<'a> Trials<'a> {
    pub(super) fn new(
        terms: Terms,
        goal: Goal,
        going: &'a dyn Fn(Tally) -> bool,
        entered: &'a dyn Fn(),
    ) -> Self {
        Self {
            terms,
            goal,
            tried: BTreeMap::new(),
            tally: Tally::default(),
            inert_too: false,
            going,
            entered,
            stopped: false,
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether trying was broken off: from then on nothing fails.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// The plan to begin with: what is inert in it may stay so.
    pub(super) fn begin<S: System>(&mut self, plan: &Plan<S>, failure: &Failure) {
        self.inert_too = !failure.inert.is_empty();
        self.tried.insert(digest(plan), Some(failure.clone()));
    }

    /// The first of `plans` that fails with the goal's finding, and how.
    pub(super) fn first<S: System>(
        &mut self,
        plans: &[Plan<S>],
    ) -> Option<(usize, Plan<S>, Failure)> {
        let mut from = 0;
        loop {
            let (offset, failure) = self.failing(&plans[from..])?;
            let position = from + offset;
            let plan = &plans[position];
            if self.inert_too || failure.inert.is_empty() {
                return Some((position, plan.clone(), failure));
            }
            let mut without = plan.clone();
            let mut number = 0;
            without.faults.retain(|_| {
                number += 1;
                !failure.inert.contains(&(number - 1))
            });
            // Without them another one may have become inert; such a plan is not taken.
            if let Some((_, failure)) = self.failing(std::slice::from_ref(&without))
                && failure.inert.is_empty()
            {
                return Some((position, without, failure));
            }
            from = position + 1;
        }
    }

    fn failing<S: System>(&mut self, plans: &[Plan<S>]) -> Option<(usize, Failure)> {
        let digests: Vec<[u8; 32]> = plans.iter().map(digest).collect();
        let known = |digest| self.tried.get(digest).and_then(Option::as_ref);
        // Plans behind one that is known to fail need not be tried.
        let end = digests
            .iter()
            .position(|digest| known(digest).is_some())
            .unwrap_or(plans.len());
        let open: Vec<usize> = (0..end)
            .filter(|position| plans[*position].check().is_ok())
            .filter(|position| !self.tried.contains_key(&digests[*position]))
            .collect();
        self.tally.known += (end - open.len()) as u64;
        let found = self.run(plans, &open, &digests);
        let position = found.or_else(|| (end < plans.len() && !self.stopped).then_some(end))?;
        Some((position, self.tried[&digests[position]].clone()?))
    }

    /// Runs those of `plans` that are `open` and answers with the first that fails.
    fn run<S: System>(
        &mut self,
        plans: &[Plan<S>],
        open: &[usize],
        digests: &[[u8; 32]],
    ) -> Option<usize> {
        let pool = Pool::new(self.terms.jobs, self.terms.limit);
        let (engine, going, entered) = (self.terms.engine, self.going, self.entered);
        let bodies = open.iter().map(|position| {
            let plan = &plans[*position];
            move || {
                entered();
                run::body(plan, engine, false)
            }
        });
        let mut found = None;
        if self.stopped || !going(self.tally) {
            self.stopped = true;
            return None;
        }
        pool.run_in_order(bodies, |number, result| {
            self.tally.trials += 1;
            let position = open[number];
            let failure = failure(
                &record(&plans[position], result),
                &self.goal,
                plans[position].faults.len(),
            );
            if failure.is_some() {
                found = Some(position);
            }
            self.tried.insert(digests[position], failure);
            self.stopped |= !going(self.tally);
            if found.is_some() || self.stopped {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        found
    }
}

/// The record of a run that ended in any way.
pub(crate) fn record<S: System>(plan: &Plan<S>, result: Result<Vec<u8>, ChildError>) -> Record {
    let outcome = result
        .map_err(run::failed)
        .and_then(|bytes| run::read(&bytes));
    report::record(plan, outcome)
}

/// How the run failed with the goal's finding, if it did.
pub(super) fn failure(record: &Record, goal: &Goal, faults: usize) -> Option<Failure> {
    let finding = findings(record)
        .into_iter()
        .find(|finding| goal.is_met(finding))?;
    let inert = |(position, fault): (usize, &crate::verdict::FaultRecord)| {
        let nothing = fault.effect.values().all(|count| *count == 0);
        nothing.then_some(position)
    };
    Some(Failure {
        finding,
        digest: record.digest.clone(),
        inert: record
            .faults
            .iter()
            .take(faults)
            .enumerate()
            .filter_map(inert)
            .collect(),
    })
}

/// JSON and not TOML, whose writer draws a hash map's keys: entropy that the children would inherit.
fn digest<S: System>(plan: &Plan<S>) -> [u8; 32] {
    let bytes = serde_json::to_vec(plan).expect("a plan is plain data");
    Sha256::digest(bytes).into()
}
