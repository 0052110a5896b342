//! `rehearsal shrink`: a failing plan in, the smallest plan that fails in the same way out.
//!
//! **Invariant**: what is written was run and failed by the wanted oracle and fingerprint; also after Ctrl-C, and when the time is over.

use std::{num::NonZeroUsize, path::PathBuf, thread, time::Duration};

use rehearsal_sim::{
    engine::Engine,
    shrink::{self, Refusal, Shrunk, Size, Tally, Terms, Watcher},
    system::System,
};

use crate::{
    artifact::{self, Artifacts},
    exit::Exit,
    files,
    flags::finding::ShrinkFlags,
    interrupt::Interrupt,
    printer::{Printer, Tone},
    problem::Problem,
    progress::Watch,
    render::{quoted, seconds},
};

/// One trial may take this long in real time: a plan that is worth shrinking runs in seconds.
const TRIAL_LIMIT: Duration = Duration::from_mins(1);

/// How the runs of one finding are run.
pub(super) fn terms(jobs: Option<NonZeroUsize>) -> Terms {
    let one = NonZeroUsize::MIN;
    Terms {
        engine: Engine::Pipes,
        jobs: jobs.unwrap_or_else(|| thread::available_parallelism().unwrap_or(one)),
        limit: TRIAL_LIMIT,
    }
}

/// Shrinks for the system `S`.
///
/// # Errors
/// A file that cannot be used, a plan that does not fail, or whose runs differ.
pub(super) fn shrink<S>(flags: &ShrinkFlags, printer: Printer) -> Result<Exit, Problem>
where
    S: System<Tables: Send + Sync, Operation: Send + Sync>,
{
    let (file, plan) = files::plan::<S>(&flags.plan)?;
    let out = match &flags.out {
        Some(out) => out.clone(),
        None => PathBuf::from("results").join(format!(
            "{}-{}.min.toml",
            artifact::plain(&plan.scenario),
            plan.seed
        )),
    };
    // A folder that cannot be is found before any work is done.
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    Artifacts::new(folder.unwrap_or(&PathBuf::from(".")))?;
    let wanted = flags.which.wanted(plan.found.as_ref());
    let interrupt = Interrupt::listen()?;
    let watch = Watch::start();
    let going = |tally: Tally, size: Size| {
        printer.overwrite(&format!(
            "  shrinking  {} faults, {} operations  {} runs  {}s",
            size.faults,
            size.operations,
            tally.trials,
            watch.elapsed().as_secs()
        ));
        !interrupt.pressed() && watch.elapsed() < flags.within
    };
    let shrunk = {
        let entered = || interrupt.ends_this_process();
        let watcher = Watcher {
            going: &going,
            entered: &entered,
        };
        shrink::shrink(&plan, &wanted, terms(flags.jobs), &watcher)
    };
    printer.overwrite("");
    let shrunk = shrunk.map_err(|refusal| refused(&file, &refusal))?;
    let how = match &plan.found {
        Some(found) => found.how.clone(),
        None => format!("{}, seed {}", plan.scenario, plan.seed),
    };
    artifact::write(&out, shrunk.to_toml(&how).as_bytes())?;
    let real_ms = watch.elapsed_ms();
    printer.data(&summary(printer, &shrunk, &out, real_ms))?;
    if interrupt.pressed() {
        printer.warn("interrupted: the smallest plan so far was written");
        return Ok(Exit::Interrupted);
    }
    if !shrunk.complete {
        printer.warn(&format!(
            "the time was over before nothing more could be removed; `--for` was {} s",
            flags.within.as_secs()
        ));
    }
    Ok(Exit::Pass)
}

/// The problem of a plan whose finding cannot be worked on.
pub(super) fn refused(file: &std::path::Path, refusal: &Refusal) -> Problem {
    let exit = match refusal {
        Refusal::DoesNotFail { .. } => Exit::Inconclusive,
        Refusal::Nondeterministic { .. } => Exit::Nondeterminism,
        Refusal::CannotRun(_) => Exit::Infrastructure,
    };
    let problem = Problem {
        exit,
        message: format!("{}: {refusal}", file.display()),
        hint: None,
    };
    match refusal {
        Refusal::DoesNotFail { others, .. } if !others.is_empty() => {
            problem.hint("`--oracle` and `--fingerprint` choose among a run's findings")
        }
        _ => problem,
    }
}

fn summary<S: System>(
    printer: Printer,
    shrunk: &Shrunk<S>,
    out: &std::path::Path,
    real_ms: u64,
) -> String {
    let (before, after) = (shrunk.before, shrunk.after);
    let spared = match shrunk.tally.known {
        0 => String::new(),
        known => format!(", {known} spared"),
    };
    let end = if shrunk.complete {
        "nothing more can be removed"
    } else {
        "broken off"
    };
    let file = quoted(&out.to_string_lossy());
    format!(
        "  {}      oracle {}, fingerprint {}\n            at {}  {}\n  shrunk    faults {} -> {}, operations {} -> {}, hosts {} -> {}  ({} runs{spared}, {}.{}s; {end})\n  plan      {}\n\n  reproduce: rehearsal run {file}\n  hint: `rehearsal show {file}` tells what happens, `rehearsal why {file}` when it was decided\n",
        printer.paint(Tone::Bad, "FAIL"),
        shrunk.finding.oracle,
        shrunk.finding.fingerprint,
        seconds(shrunk.finding.at_us / 1000),
        shrunk.finding.message,
        before.faults,
        after.faults,
        before.operations,
        after.operations,
        before.hosts,
        after.hosts,
        shrunk.tally.trials,
        real_ms / 1000,
        real_ms % 1000 / 100,
        out.display(),
    )
}
