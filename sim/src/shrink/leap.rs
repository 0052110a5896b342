//! Leaps: guesses that make a plan much smaller at once, before the passes look at each part.
//!
//! What comes after the violation, what is about others than the violation names, whole families of faults, whole things that operations are
//! about. **Invariant**: a leap is a trial like any other: what it removes was not needed, and one that was wrong costs a run.
//!
//! It deliberately knows operations only by what they are about ([`System::about`]).

use std::collections::{BTreeMap, BTreeSet};

use super::{ddmin, pass::Best, trial::Trials};
use crate::{plan::Plan, system::System};

/// All leaps, the largest first.
pub(super) fn all<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    afterwards(best, trials);
    others(best, trials);
    families(best, trials);
    things(best, trials);
}

/// Without what was planned for after the violation. Faults that wait for an event stay: nobody knows when it comes.
fn afterwards<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let end_ms = best.failure.finding.at_us.div_ceil(1000);
    let mut plan = best.plan.clone();
    plan.steps.retain(|step| step.at_ms <= end_ms);
    plan.faults
        .retain(|fault| fault.when.is_some() || fault.at_ms <= end_ms);
    if plan.steps.len() < best.plan.steps.len() || plan.faults.len() < best.plan.faults.len() {
        best.take(&[plan], trials);
    }
}

/// Only what the violation names; or that and some of the rest, from the last to the first: what else was under way when it came to be.
fn others<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let message = &best.failure.finding.message;
    let words: BTreeSet<&str> = message
        .split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_')
        .collect();
    let named: Vec<bool> = best
        .plan
        .steps
        .iter()
        .map(|step| S::about(&step.operation).is_some_and(|thing| words.contains(thing)))
        .collect();
    let Some(first) = named.iter().position(|named| *named) else {
        return;
    };
    let count = named.len();
    let with = |keeps: &dyn Fn(usize) -> bool| {
        let mut plan = best.plan.clone();
        let mut place = 0;
        plan.steps.retain(|_| {
            place += 1;
            named[place - 1] || keeps(place - 1)
        });
        plan
    };
    let mut plans: Vec<Plan<S>> = vec![with(&|_| false)];
    plans.extend([16, 8, 4].map(|part| {
        let near = count.div_ceil(part);
        with(&|place| place.abs_diff(first) <= near)
    }));
    plans.retain(|plan| plan.steps.len() < count);
    best.take(&plans, trials);
}

/// Without any fault of a kind, for each kind.
fn families<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let kinds: BTreeSet<&'static str> = best
        .plan
        .faults
        .iter()
        .map(|fault| fault.kind.name())
        .collect();
    let kinds: Vec<_> = kinds.into_iter().collect();
    let plan = best.plan.clone();
    ddmin::minimize(kinds.len(), |candidates| {
        let with = |kept: &Vec<usize>| {
            let mut plan = Plan {
                steps: best.plan.steps.clone(),
                ..plan.clone()
            };
            plan.faults
                .retain(|fault| kept.iter().any(|at| kinds[*at] == fault.kind.name()));
            plan
        };
        let plans: Vec<_> = candidates.iter().map(with).collect();
        best.take(&plans, trials)
    });
}

/// Without all operations about a thing, for each thing. What is about nothing is a thing of its own.
fn things<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let plan = best.plan.clone();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut count = 0;
    let mut of_step = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let number = match S::about(&step.operation) {
            Some(thing) => *numbers.entry(thing).or_insert(count),
            None => count,
        };
        count = count.max(number + 1);
        of_step.push(number);
    }
    if count == plan.steps.len() {
        return;
    }
    ddmin::minimize(count, |candidates| {
        let with = |kept: &Vec<usize>| {
            let kept: BTreeSet<usize> = kept.iter().copied().collect();
            let steps = plan.steps.iter().zip(&of_step);
            Plan {
                steps: steps
                    .filter(|(_, number)| kept.contains(number))
                    .map(|(step, _)| step.clone())
                    .collect(),
                // The faults may have become fewer on the way.
                ..best.plan.clone()
            }
        };
        let plans: Vec<_> = candidates.iter().map(with).collect();
        best.take(&plans, trials)
    });
}
