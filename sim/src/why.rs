//! Why: when a run's failure became likely, and when it became certain.
//!
//! The plan is run again and again with chance that is another one from a moment t on: latencies, entropy, the order of hosts that wake
//! together. The share of those runs that still fail in the same way is P(violation | t). Where it rises, the failure was decided.
//!
//! **Invariant**: the same plan, count and samples give the same curve. What the plan spells out (operations, faults, what providers draw
//! from their own seed) stays as it is.

use std::{num::NonZeroUsize, ops::ControlFlow};

use rehearsal_replay::statistics::{lower_bound, upper_bound};
use serde::Serialize;

use crate::{
    chance::{Chance, Fork},
    child::Pool,
    finding::{Finding, findings},
    plan::Plan,
    run, show,
    shrink::{self, Goal, Refusal, Terms, Wanted},
    system::System,
    trace::Trace,
};

/// The format's name and major version, as JSON.
pub const FORMAT: &str = "rehearsal.why/1";

/// So much of a 95 % interval lies on each side (Clopper and Pearson 1934).
const SIDE: f64 = 0.975;
/// From this share on a failure is called likely.
const LIKELY: f64 = 0.5;
/// A rise is told by at most so many entries.
const MOST_ENTRIES: usize = 12;

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// How many moments.
    pub moments: NonZeroUsize,
    /// How many runs for each.
    pub samples: NonZeroUsize,
}

/// P(violation | t) at one t.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// t: from here on chance was another one.
    pub at_ms: u64,
    /// Runs.
    pub samples: u64,
    /// How many of them failed in the same way.
    pub violations: u64,
    /// The share.
    pub share: f64,
    /// The exact 95 % interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Point {
    /// The point of so many violations in so many runs.
    pub fn new(at_ms: u64, violations: u64, samples: u64) -> Self {
        Self {
            at_ms,
            samples,
            violations,
            share: violations as f64 / samples as f64,
            low: lower_bound(violations, samples, SIDE),
            high: upper_bound(violations, samples, SIDE),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// [`FORMAT`].
    pub format: &'static str,
    /// The finding that is asked about.
    pub finding: Finding,
    /// By time.
    pub points: Vec<Point>,
    /// The first t from which on at least half of the runs fail.
    pub likely_from_ms: Option<u64>,
    /// The first t from which on every run fails.
    pub certain_from_ms: Option<u64>,
    /// The greatest rise between two neighbors, if there is one.
    pub rise: Option<Rise>,
}

/// Where P rises most.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rise {
    /// The earlier t.
    pub from_ms: u64,
    /// The later one.
    pub to_ms: u64,
    /// By so much.
    pub by: f64,
    /// What happened in between, in words: host and event. The last ones, if there are many.
    pub entries: Vec<String>,
    /// How many entries before them are not told.
    pub more: usize,
}

/// Asks why `plan` fails. To be called where runs may be forked from. `going` is asked after each run, with how many of how many are done;
/// `entered` is called in each run's process.
///
/// # Errors
/// [`Refusal`], when the plan does not fail with the finding that is `wanted`; `None` when `going` broke it off.
pub fn ask<S: System>(
    plan: &Plan<S>,
    wanted: &Wanted,
    question: Question,
    terms: Terms,
    going: &dyn Fn(usize, usize) -> bool,
    entered: &dyn Fn(),
) -> Result<Option<Curve>, Refusal> {
    let failing = shrink::failing(plan, terms.engine, terms.limit, wanted)?;
    let finding = failing.finding;
    let text = failing.trace.unwrap_or_default();
    let trace: Trace<S::Event> =
        show::read(&text).map_err(|error| Refusal::CannotRun(error.to_string()))?;
    let all = question.moments.get();
    let mut points: Vec<Point> = Vec::new();
    let mut asker = Asker {
        plan,
        goal: Goal::of(&finding),
        samples: question.samples.get(),
        terms,
        total: all * question.samples.get(),
        done: 0,
        going,
        entered,
    };
    let mut times = spread(&trace, all.div_ceil(2).max(2).min(all));
    while points.len() < all {
        let Some(at_ms) = times.pop().or_else(|| between(&points)) else {
            break;
        };
        let Some(violations) = asker.count(at_ms) else {
            return Ok(None);
        };
        points.push(Point::new(at_ms, violations, question.samples.get() as u64));
        points.sort_by_key(|point| point.at_ms);
    }
    Ok(Some(curve::<S>(plan, finding, points, &trace)))
}

/// The first moments, the latest first: the start, and equal parts of what happened. A violation's own time says little: an oracle may put
/// what the end shows to the moment at which it was promised.
fn spread<E>(trace: &Trace<E>, count: usize) -> Vec<u64> {
    let last = trace.entries.len().saturating_sub(1);
    let mut times: Vec<u64> = (0..count)
        .map(|number| trace.entries.get(last * number / (count - 1).max(1)))
        .map(|entry| entry.map_or(0, |entry| entry.at_us.div_ceil(1000)))
        .collect();
    times.sort_unstable();
    times.dedup();
    times.reverse();
    times
}

/// The middle of the neighbors between which P changes most; of equals, of those furthest apart. `None` when no two have a moment between.
fn between(points: &[Point]) -> Option<u64> {
    points
        .windows(2)
        .filter(|pair| pair[1].at_ms - pair[0].at_ms >= 2)
        .map(|pair| {
            let change = (pair[1].share - pair[0].share).abs();
            (change, pair[1].at_ms - pair[0].at_ms, pair[0].at_ms)
        })
        .max_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)))
        .map(|(_, apart, from)| from + apart / 2)
}

struct Asker<'a, S: System> {
    plan: &'a Plan<S>,
    goal: Goal,
    samples: usize,
    terms: Terms,
    total: usize,
    done: usize,
    going: &'a dyn Fn(usize, usize) -> bool,
    entered: &'a dyn Fn(),
}

impl<S: System> Asker<'_, S> {
    /// How many runs fail when chance is another one from `at_ms` on; `None` when it was broken off.
    fn count(&mut self, at_ms: u64) -> Option<u64> {
        let chance = Chance::new(self.plan.seed).named("why");
        let plans: Vec<Plan<S>> = (0..self.samples)
            .map(|sample| Plan {
                fork: Some(Fork {
                    at_ms,
                    // TOML keeps 63 bits.
                    seed: chance.named(sample).seed() >> 1,
                }),
                ..self.plan.clone()
            })
            .collect();
        let (engine, entered) = (self.terms.engine, self.entered);
        let bodies = plans.iter().map(|plan| {
            move || {
                entered();
                run::body(plan, engine, false)
            }
        });
        let mut violations = 0;
        let mut broken_off = !(self.going)(self.done, self.total);
        if broken_off {
            return None;
        }
        Pool::new(self.terms.jobs, self.terms.limit).run(bodies, |position, result| {
            let record = shrink::record(&plans[position], result);
            let found = findings(&record);
            violations += u64::from(found.iter().any(|finding| self.goal.is_met(finding)));
            self.done += 1;
            broken_off = !(self.going)(self.done, self.total);
            if broken_off {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        (!broken_off).then_some(violations)
    }
}

fn curve<S: System>(
    plan: &Plan<S>,
    finding: Finding,
    points: Vec<Point>,
    trace: &Trace<S::Event>,
) -> Curve {
    let from = |least: f64| {
        let kept = points.iter().rev().take_while(|point| point.share >= least);
        kept.last().map(|point| point.at_ms)
    };
    let rise = points
        .windows(2)
        .filter(|pair| pair[1].share > pair[0].share)
        .max_by(|one, other| {
            let rise = |pair: &[Point]| pair[1].share - pair[0].share;
            rise(one).total_cmp(&rise(other))
        })
        .map(|pair| {
            let told = S::tell(trace);
            let within = trace.entries.iter().filter(|entry| {
                (pair[0].at_ms * 1000..pair[1].at_ms * 1000).contains(&entry.at_us)
            });
            let mut entries: Vec<String> = within
                .map(|entry| {
                    let (what, _) = show::words(entry, &told, Some(&plan.faults));
                    let ms = entry.at_us / 1000;
                    format!("{}.{:03}s  {}: {what}", ms / 1000, ms % 1000, entry.host)
                })
                .collect();
            let more = entries.len().saturating_sub(MOST_ENTRIES);
            entries.drain(..more);
            Rise {
                from_ms: pair[0].at_ms,
                to_ms: pair[1].at_ms,
                by: pair[1].share - pair[0].share,
                entries,
                more,
            }
        });
    Curve {
        format: FORMAT,
        finding,
        likely_from_ms: from(LIKELY),
        certain_from_ms: from(1.0),
        rise,
        points,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_exact_one() {
        // Clopper and Pearson, 95 %: 0 of 20 is [0, 0.1684], 10 of 20 is [0.2720, 0.7280], 20 of 20 is [0.8316, 1].
        for (violations, low, high) in [(0, 0.0, 0.1684), (10, 0.2720, 0.7280), (20, 0.8316, 1.0)] {
            let point = Point::new(0, violations, 20);
            assert!((point.low - low).abs() < 1e-4, "{point:?}");
            assert!((point.high - high).abs() < 1e-4, "{point:?}");
        }
    }

    #[test]
    fn the_next_moment_lies_where_the_share_changes_most() {
        let points = [(0, 2), (100, 3), (200, 20), (1000, 20)]
            .map(|(at_ms, violations)| Point::new(at_ms, violations, 20));
        assert_eq!(between(&points), Some(150));
        assert_eq!(
            between(&points[2..]),
            Some(600),
            "nothing changes: the widest gap"
        );
        let near = [(0, 0), (1, 20)].map(|(at_ms, violations)| Point::new(at_ms, violations, 20));
        assert_eq!(between(&near), None);
    }
}
