//! Both sides simulated, in one forked process.
//!
//! **Invariant**: the parent never simulates; the judgment is made where the observations are, and comes back as text.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rehearsal_replay::{
    clusters::Cluster,
    judge::judge,
    plan::Plan,
    report::Report,
    rules::{Rules, Side},
    run::{Options, Progress},
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
    let out = printer;
    let bytes = child::run(LIMIT, || body(replay, seed, defect, out));
    printer.overwrite("");
    let bytes = bytes.map_err(|error| {
        Problem::infrastructure(format!("the simulated replay ended early: {error}"))
    })?;
    let answer: Result<Rendered, String> = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::infrastructure(format!("the simulated replay: {error}")))?;
    answer.map_err(Problem::infrastructure)
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
    let found = child::run(LIMIT, || {
        let quiet: Tell = Arc::new(Mutex::new(|_: Progress| ()));
        let report = judged(&part, seed, defect, &quiet);
        let same = |cluster: &Cluster| cluster.fingerprint == fingerprint;
        let shown = report.is_ok_and(|report| report.clusters.iter().any(same));
        vec![u8::from(shown)]
    });
    found.is_ok_and(|bytes| bytes == [1])
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

fn body(replay: &Shared, seed: u64, defect: Option<Defect>, out: Printer) -> Vec<u8> {
    let tell = move |progress: Progress| {
        if progress
            .done
            .is_multiple_of((progress.total / STEPS).max(1))
        {
            out.overwrite(&told(progress));
        }
    };
    let tell: Tell = Arc::new(Mutex::new(tell));
    let report = judged(replay, seed, defect, &tell);
    let answer: Result<Rendered, String> =
        report.map(|report| rendered(&replay.plan, &report, replay.reproduce));
    serde_json::to_vec(&answer).expect("a rendered report is plain data")
}

/// Runs both sides in this process, and judges them.
fn judged(
    replay: &Shared,
    seed: u64,
    defect: Option<Defect>,
    tell: &Tell,
) -> Result<Report, String> {
    let storage = Storage::Simulated(run::enter(seed));
    let sides = [
        Simulated {
            side: Side::Legacy,
            defect: None,
        },
        Simulated {
            side: Side::Candidate,
            defect,
        },
    ];
    let options = replay.options;
    let (plan, rules) = (&replay.plan, &replay.rules);
    let observed = shadow::observe(plan, rules, options, &sides, seed, &storage, tell);
    match observed.as_deref() {
        Ok([legacy, candidate]) => Ok(judge(plan, legacy, candidate, None, rules, &replay.gate)),
        Ok(sides) => Err(format!(
            "the simulated replay observed {} of 2 sides",
            sides.len()
        )),
        Err(error) => Err(error.to_string()),
    }
}
