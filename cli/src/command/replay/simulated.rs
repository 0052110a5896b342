//! Both sides simulated, each in a forked process of its own.
//!
//! **Invariant**: the parent never simulates; it judges what the sides send back.

use std::{
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use rehearsal_replay::{
    clusters::Cluster,
    judge::judge,
    plan::Plan,
    report::Report,
    rules::{Rules, Side},
    run::{Observations, Options, Progress},
    verdict::Gate,
};
use rehearsal_sim::{
    appointments::shadow::{self, Simulated, defect::Defect},
    child, run,
    system::Storage,
};

use super::{Rendered, Replay, rendered, told};
use crate::{printer::Printer, problem::Problem};

/// A simulated replay may take this long in real time.
const LIMIT: Duration = Duration::from_mins(30);

/// Progress is told about so many times in a phase.
const STEPS: usize = 100;

/// Replays against the legacy model and the reference service, the latter with `defect`.
///
/// # Errors
/// When the simulation does not come to its end.
pub(super) fn replay(
    replay: &Shared,
    seed: u64,
    defect: Option<Defect>,
    printer: Printer,
) -> Result<Rendered, Problem> {
    let tell = move |progress: Progress| {
        if progress
            .done
            .is_multiple_of((progress.total / STEPS).max(1))
        {
            printer.overwrite(&told(progress));
        }
    };
    let report = judged(replay, seed, defect, &(Arc::new(Mutex::new(tell)) as Tell));
    printer.overwrite("");
    Ok(rendered(&replay.plan, &report?, replay.reproduce))
}

/// Whether a replay of `plan` alone shows a cluster of this fingerprint; one that does not come to its end shows nothing.
pub(super) fn shows(
    replay: &Shared,
    plan: Plan,
    seed: u64,
    defect: Option<Defect>,
    fingerprint: &str,
) -> bool {
    let part = Shared {
        plan: Arc::new(plan),
        rules: replay.rules.clone(),
        ..*replay
    };
    let quiet: Tell = Arc::new(Mutex::new(|_: Progress| ()));
    let report = judged(&part, seed, defect, &quiet);
    let same = |cluster: &Cluster| cluster.fingerprint == fingerprint;
    report.is_ok_and(|report| report.clusters.iter().any(same))
}

/// A [`Replay`] as the simulated hosts share it.
pub(super) struct Shared {
    plan: Arc<Plan>,
    rules: Arc<Rules>,
    options: Options,
    gate: Gate,
    reproduce: usize,
}

impl Shared {
    /// Shares `replay`.
    pub(super) fn new(replay: Replay) -> Self {
        Self {
            plan: Arc::new(replay.plan),
            rules: Arc::new(replay.rules),
            options: replay.options,
            gate: replay.gate,
            reproduce: replay.reproduce,
        }
    }

    /// Its rules.
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }
}

type Tell = Arc<Mutex<dyn FnMut(Progress) + Send>>;

/// Runs each side in a process of its own, both at once, and judges what they saw.
///
/// # Errors
/// When a side does not come to its end.
fn judged(
    replay: &Shared,
    seed: u64,
    defect: Option<Defect>,
    tell: &Tell,
) -> Result<Report, Problem> {
    let sides = [(Side::Legacy, None), (Side::Candidate, defect)];
    let bodies = sides.map(|(side, defect)| {
        move || {
            let storage = Storage::Simulated(run::enter(seed));
            let simulated = Simulated { side, defect };
            let (plan, rules, options) = (&replay.plan, &replay.rules, replay.options);
            shadow::observe(plan, rules, options, simulated, seed, &storage, tell)
                // How a body says that it has no result; the parent hears the message.
                .unwrap_or_else(|error| panic!("{error}"))
        }
    });
    let mut observed = Vec::new();
    let mut failed = None;
    child::expect_long_runs();
    let both = NonZeroUsize::new(sides.len()).unwrap_or(NonZeroUsize::MIN);
    child::Pool::new(both, LIMIT).run_in_order(bodies, |at, result| {
        let side = sides[at].0.name();
        let seen = result
            .map_err(|error| format!("the simulated replay against {side} ended early: {error}"))
            .and_then(|packed| {
                Observations::unpacked(packed)
                    .map_err(|error| format!("the simulated replay against {side}: {error}"))
            });
        match seen {
            Ok(seen) => {
                observed.push(seen);
                ControlFlow::Continue(())
            }
            Err(told) => {
                failed = Some(told);
                ControlFlow::Break(())
            }
        }
    });
    let (plan, rules) = (&replay.plan, &replay.rules);
    match (&observed[..], failed) {
        ([legacy, candidate], None) => {
            Ok(judge(plan, legacy, candidate, None, rules, &replay.gate))
        }
        (_, failed) => Err(Problem::infrastructure(failed.unwrap_or_else(|| {
            "the simulated replay ended without what it saw".to_owned()
        }))),
    }
}
