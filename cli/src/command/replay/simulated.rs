//! Both sides simulated, in one forked process.
//!
//! **Invariant**: the parent never simulates; the judgment is made where the observations are, and comes back as text.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rehearsal_replay::{judge::judge, rules::Side, run::Progress};
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
    replay: Replay,
    seed: u64,
    defect: Option<Defect>,
    printer: Printer,
) -> Result<Rendered, Problem> {
    let replay = Shared {
        plan: Arc::new(replay.plan),
        rules: Arc::new(replay.rules),
        replay_options: replay.options,
        gate: replay.gate,
    };
    let out = printer;
    let bytes = child::run(LIMIT, || body(&replay, seed, defect, out));
    printer.overwrite("");
    let bytes = bytes.map_err(|error| {
        Problem::infrastructure(format!("the simulated replay ended early: {error}"))
    })?;
    let answer: Result<Rendered, String> = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::infrastructure(format!("the simulated replay: {error}")))?;
    answer.map_err(Problem::infrastructure)
}

/// A [`Replay`] as the simulated hosts share it.
struct Shared {
    plan: Arc<rehearsal_replay::plan::Plan>,
    rules: Arc<rehearsal_replay::rules::Rules>,
    replay_options: rehearsal_replay::run::Options,
    gate: rehearsal_replay::verdict::Gate,
}

fn body(replay: &Shared, seed: u64, defect: Option<Defect>, out: Printer) -> Vec<u8> {
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
    let tell = move |progress: Progress| {
        if progress
            .done
            .is_multiple_of((progress.total / STEPS).max(1))
        {
            out.overwrite(&told(progress));
        }
    };
    let tell: Arc<Mutex<dyn FnMut(Progress) + Send>> = Arc::new(Mutex::new(tell));
    let observed = shadow::observe(
        &replay.plan,
        &replay.rules,
        replay.replay_options,
        &sides,
        seed,
        &storage,
        &tell,
    );
    let answer: Result<Rendered, String> = match observed.as_deref() {
        Ok([legacy, candidate]) => Ok(rendered(&judge(
            &replay.plan,
            legacy,
            candidate,
            None,
            &replay.rules,
            &replay.gate,
        ))),
        Ok(sides) => Err(format!(
            "the simulated replay observed {} of 2 sides",
            sides.len()
        )),
        Err(error) => Err(error.to_string()),
    };
    serde_json::to_vec(&answer).expect("a rendered report is plain data")
}
