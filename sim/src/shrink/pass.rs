//! The passes of shrinking, each with one way to make a plan smaller.
//!
//! **Invariant**: a pass takes only plans that were tried and failed, and every one it takes is smaller than the one before in some respect
//! and larger in none, so the passes come to an end.

use std::cell::Cell;

use super::{
    Goal, Size, ddmin, leap,
    trial::{Failure, Trials},
};
use crate::{fault::Fault, plan::Plan, range::Latency, system::System};

/// The smallest plan so far.
pub(super) struct Best<'a, S: System> {
    pub(super) plan: Plan<S>,
    pub(super) failure: Failure,
    pub(super) size: &'a Cell<Size>,
}

impl<S: System> Best<'_, S> {
    /// Takes the first of `plans` that fails; answers with its position.
    pub(super) fn take(&mut self, plans: &[Plan<S>], trials: &mut Trials<'_>) -> Option<usize> {
        let (position, plan, failure) = trials.first(plans)?;
        self.size.set(Size::of(&plan));
        self.plan = plan;
        self.failure = failure;
        Some(position)
    }
}

/// All passes, again and again until none finds anything. False when it was broken off.
pub(super) fn all<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>, goal: &Goal) -> bool {
    conditions(best, trials, goal);
    leap::all(best, trials);
    tables(best, trials);
    loop {
        let before = serde_json::to_vec(&best.plan).expect("a plan is plain data");
        faults(best, trials);
        steps(best, trials);
        durations(best, trials);
        sides(best, trials);
        network(best, trials);
        clients(best, trials);
        tables(best, trials);
        times(best, trials);
        if trials.stopped() {
            return false;
        }
        if serde_json::to_vec(&best.plan).expect("a plan is plain data") == before {
            return true;
        }
    }
}

/// Promises that other runs keep say nothing about this finding, and a small run cannot keep most of them.
fn conditions<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>, goal: &Goal) {
    let mut plan = best.plan.clone();
    plan.slo
        .retain(|name, _| goal.oracle == format!("slo.{name}"));
    plan.expect
        .retain(|name, _| goal.oracle == format!("expect.{name}"));
    best.take(&[plan], trials);
}

fn faults<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let plan = best.plan.clone();
    ddmin::minimize(plan.faults.len(), |candidates| {
        let with = |kept: &Vec<usize>| Plan {
            faults: kept.iter().map(|at| plan.faults[*at].clone()).collect(),
            ..plan.clone()
        };
        let plans: Vec<_> = candidates.iter().map(with).collect();
        best.take(&plans, trials)
    });
}

fn steps<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let plan = best.plan.clone();
    ddmin::minimize(plan.steps.len(), |candidates| {
        // The faults may have become fewer on the way.
        let with = |kept: &Vec<usize>| Plan {
            steps: kept.iter().map(|at| plan.steps[*at].clone()).collect(),
            ..best.plan.clone()
        };
        let plans: Vec<_> = candidates.iter().map(with).collect();
        best.take(&plans, trials)
    });
}

/// The same plan with another one in place of the fault `number`.
fn with_fault<S: System>(plan: &Plan<S>, number: usize, change: impl Fn(&mut Fault)) -> Plan<S> {
    let mut plan = plan.clone();
    change(&mut plan.faults[number]);
    plan
}

/// Shorter faults: a millisecond, powers of ten, parts of what it is, then what it is without its odd digits.
fn durations<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let mut number = 0;
    while number < best.plan.faults.len() {
        let fault = &best.plan.faults[number];
        let lasts = fault.until_ms - fault.at_ms;
        let mut shorter: Vec<u64> = vec![1, 10, 100, 1000, 10_000, lasts / 8, lasts / 4, lasts / 2];
        shorter.extend([1000, 100, 10].map(|unit| lasts / unit * unit));
        shorter.retain(|ms| *ms > 0 && *ms < lasts);
        shorter.sort_unstable();
        shorter.dedup();
        let with = |ms: &u64| {
            with_fault(&best.plan, number, |fault| {
                fault.until_ms = fault.at_ms + ms;
            })
        };
        let plans: Vec<_> = shorter.iter().map(with).collect();
        best.take(&plans, trials);
        number += 1;
    }
}

/// Faults between fewer hosts: each host alone, then without each.
fn sides<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let mut number = 0;
    while number < best.plan.faults.len() {
        for side in [peers, targets] {
            let Some(fault) = best.plan.faults.get(number) else {
                return;
            };
            let hosts = side(&mut fault.clone()).clone();
            if hosts.len() < 2 {
                continue;
            }
            let alone = hosts.iter().map(|host| vec![host.clone()]);
            let without = hosts.iter().map(|left_out| {
                let rest = hosts.iter().filter(|host| *host != left_out);
                rest.cloned().collect()
            });
            let plans: Vec<_> = alone
                .chain(without)
                .map(|hosts| with_fault(&best.plan, number, |fault| side(fault).clone_from(&hosts)))
                .collect();
            best.take(&plans, trials);
        }
        number += 1;
    }
}

fn peers(fault: &mut Fault) -> &mut Vec<String> {
    &mut fault.peers
}

fn targets(fault: &mut Fault) -> &mut Vec<String> {
    &mut fault.targets
}

/// A network that loses nothing, and one whose latency is always the same.
fn network<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    if best.plan.network.loss > 0.0 {
        let mut plan = best.plan.clone();
        plan.network.loss = 0.0;
        best.take(&[plan], trials);
    }
    if !matches!(best.plan.network.latency, Latency::FixedMs(_)) {
        let mut plan = best.plan.clone();
        plan.network.latency = Latency::FixedMs(1.0);
        best.take(&[plan], trials);
    }
}

/// One client for everything, or fewer at least.
fn clients<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let most = best.plan.steps.iter().map(|step| step.client).max();
    let with = |clients: u32| {
        let mut plan = best.plan.clone();
        for step in &mut plan.steps {
            step.client %= clients;
        }
        plan
    };
    let plans: Vec<_> = (1..=most.unwrap_or(0).min(4)).map(with).collect();
    best.take(&plans, trials);
}

/// Whatever the system says is simpler.
fn tables<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    let mut from = 0;
    loop {
        let mut simpler = S::simpler(&best.plan.system, &best.plan.steps);
        let all = simpler.len();
        // Those before the last one taken were tried a moment ago with nearly the same plan: they come last.
        simpler.rotate_left(from.min(all));
        let with = |system| Plan {
            system,
            ..best.plan.clone()
        };
        let plans: Vec<_> = simpler.into_iter().map(with).collect();
        match best.take(&plans, trials) {
            Some(position) => from = (from.min(all) + position) % all,
            None => return,
        }
    }
}

/// Round times: of everything at once, then of each, as coarse as may be.
fn times<S: System>(best: &mut Best<'_, S>, trials: &mut Trials<'_>) {
    const UNITS: [u64; 3] = [1000, 100, 10];
    let round = |fault: &mut Fault, unit: u64| {
        let lasts = fault.until_ms - fault.at_ms;
        fault.at_ms = fault.at_ms / unit * unit;
        fault.until_ms = fault.at_ms + lasts;
    };
    let all = |unit: u64| {
        let mut plan = best.plan.clone();
        plan.faults.iter_mut().for_each(|fault| round(fault, unit));
        plan.steps
            .iter_mut()
            .for_each(|step| step.at_ms = step.at_ms / unit * unit);
        plan
    };
    let same =
        |plan: &Plan<S>, other: &Plan<S>| plan.faults == other.faults && plan.steps == other.steps;
    let mut plans: Vec<_> = UNITS.into_iter().map(all).collect();
    plans.retain(|plan| !same(plan, &best.plan));
    if best.take(&plans, trials) == Some(0) {
        return;
    }
    let mut number = 0;
    while number < best.plan.faults.len() + best.plan.steps.len() {
        let faults = best.plan.faults.len();
        let one = |unit: u64| {
            let mut plan = best.plan.clone();
            match number.checked_sub(faults) {
                None => round(&mut plan.faults[number], unit),
                Some(step) => {
                    let step = &mut plan.steps[step];
                    step.at_ms = step.at_ms / unit * unit;
                }
            }
            plan
        };
        let mut plans: Vec<_> = UNITS.into_iter().map(one).collect();
        plans.retain(|plan| !same(plan, &best.plan));
        best.take(&plans, trials);
        number += 1;
    }
}
