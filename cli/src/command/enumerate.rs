//! `rehearsal enumerate`: a flow with its power cut at every operation of its disks.
//!
//! **Invariant**: nothing is cut before every flow is understood and has run once without a cut. Runs are taken in order, so the document does
//! not depend on how many ran at once. Each kind of violation leaves one plan that shows it.

use std::{num::NonZeroUsize, ops::ControlFlow, path::Path, thread};

use rehearsal_sim::{
    child::Pool,
    disk::Loss,
    engine::Engine,
    enumerate::{self, Cut, Flow, Report, Survey},
    plan::Plan,
    run::{self, Outcome, RunError},
    system::System,
};

use crate::{
    artifact::Artifacts,
    exit::Exit,
    files,
    flags::{search::EnumerateFlags, value::Format},
    interrupt::Interrupt,
    printer::Printer,
    problem::Problem,
    progress::{Progress, Watch},
    render::cuts,
    session::RUN_LIMIT,
};

/// The name of the document.
const RESULTS: &str = "enumerate.json";

/// Most runs of one enumeration.
const MOST_RUNS: usize = 1_000_000;

/// A run to be done: of which flow, cut where.
struct Job {
    flow: usize,
    cut: Cut,
}

/// Runs the command for the system `S`.
///
/// # Errors
/// A file that cannot be used, a flow that does not run at all, or a machine that does not do its part.
pub(super) fn enumerate<S>(flags: &EnumerateFlags, printer: Printer) -> Result<Exit, Problem>
where
    S: System,
{
    let inputs = files::load::<S>(&flags.paths)?;
    let plans = inputs
        .iter()
        .map(|input| Ok(input.source.plan(&input.file, flags.seed)?))
        .collect::<Result<Vec<Plan<S>>, Problem>>()?;
    let artifacts = Artifacts::new(&flags.out)?;
    let interrupt = Interrupt::listen()?;
    let watch = Watch::start();
    let one = NonZeroUsize::MIN;
    let jobs = flags
        .jobs
        .unwrap_or_else(|| thread::available_parallelism().unwrap_or(one));
    let pool = Pool::new(jobs, RUN_LIMIT);
    let surveys = surveys(&plans, &pool, &interrupt)?;
    if interrupt.pressed() {
        printer.warn("interrupted before any power was cut");
        return Ok(Exit::Interrupted);
    }
    let (jobs, points) = planned(&surveys, flags)?;
    let mut flows: Vec<Flow> = surveys.iter().map(Flow::new).collect();
    let mut saved = Ok(());
    let mut done = 0;
    cut(&plans, &jobs, &pool, &interrupt, |job, outcome| {
        done += 1;
        let record = outcome.as_ref().map(|outcome| &outcome.record);
        let Some(name) = flows[job.flow].take(&job.cut, record) else {
            return ControlFlow::Continue(());
        };
        let plan = enumerate::cut(&plans[job.flow], &job.cut.point, job.cut.loss);
        match artifacts.write(&name, plan.to_toml().as_bytes()) {
            Ok(_) => ControlFlow::Continue(()),
            Err(problem) => {
                saved = Err(problem);
                ControlFlow::Break(())
            }
        }
    });
    saved?;
    for (flow, points) in flows.iter_mut().zip(points) {
        flow.close(points);
    }
    let report = Report::new(flags.losses.clone(), flows, watch.elapsed_ms());
    let file = artifacts.write(RESULTS, report.to_json().as_bytes())?;
    print(&report, flags, printer)?;
    printer.talk(&format!("  results   {}", file.display()));
    if interrupt.pressed() {
        printer.warn(&format!(
            "interrupted: {done} of {} runs were finished",
            jobs.len()
        ));
        return Ok(Exit::Interrupted);
    }
    Ok(Exit::from(report.verdict))
}

fn print(report: &Report, flags: &EnumerateFlags, printer: Printer) -> Result<(), Problem> {
    let folder: &Path = &flags.out;
    match flags.format {
        Format::Human => printer.data(&cuts::human(printer, report, folder)),
        Format::Json => printer.data(&report.to_json()),
        Format::Markdown => printer.data(&cuts::markdown(report, folder)),
    }
}

/// Each flow once, without a cut.
fn surveys<S>(plans: &[Plan<S>], pool: &Pool, interrupt: &Interrupt) -> Result<Vec<Survey>, Problem>
where
    S: System,
{
    let mut surveys = Vec::new();
    let mut broken = None;
    let bodies = plans.iter().map(|plan| {
        move || {
            interrupt.ends_this_process();
            enumerate::survey(plan)
        }
    });
    pool.run_in_order(bodies, |position, result| {
        let survey = result
            .map_err(run::failed)
            .and_then(|bytes| enumerate::read_survey(&bytes));
        match survey {
            Ok(survey) => surveys.push(survey),
            Err(error) if !interrupt.pressed() => {
                broken = Some(Problem::infrastructure(format!(
                    "{}: the flow does not run without a cut either: {error}",
                    plans[position].scenario
                )));
            }
            Err(_) => {}
        }
        if broken.is_some() || interrupt.pressed() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    broken.map_or(Ok(surveys), Err)
}

/// Every run to be done, flow by flow and point by point, and how many points each flow has.
fn planned(surveys: &[Survey], flags: &EnumerateFlags) -> Result<(Vec<Job>, Vec<u64>), Problem> {
    let (mut jobs, mut counts) = (Vec::new(), Vec::new());
    for (flow, survey) in surveys.iter().enumerate() {
        let points = survey.points();
        if points.is_empty() {
            return Err(Problem::usage(format!(
                "{}: no operation changes a disk, expected a flow that writes",
                survey.record.scenario
            )));
        }
        let taken = points.into_iter().step_by(flags.stride.get());
        let before = jobs.len();
        for point in taken {
            jobs.extend(flags.losses.iter().map(|loss| Job {
                flow,
                cut: Cut {
                    point: point.clone(),
                    loss: *loss,
                },
            }));
        }
        counts.push(((jobs.len() - before) / flags.losses.len()) as u64);
    }
    if jobs.len() > MOST_RUNS {
        return Err(Problem::usage(format!(
            "{} runs, expected at most {MOST_RUNS} in one enumeration",
            jobs.len()
        ))
        .hint(
            "a flow of a few requests has some hundred points; `--stride 10` takes every tenth",
        ));
    }
    Ok((jobs, counts))
}

/// Runs `jobs` and hands each on, in order.
fn cut<S>(
    plans: &[Plan<S>],
    jobs: &[Job],
    pool: &Pool,
    interrupt: &Interrupt,
    mut receive: impl FnMut(&Job, Result<Outcome, RunError>) -> ControlFlow<()>,
) where
    S: System,
{
    let progress = Progress::new("cuts", jobs.len() as u64);
    let bodies = jobs.iter().take_while(|_| !interrupt.pressed()).map(|job| {
        move || {
            interrupt.ends_this_process();
            let plan = enumerate::cut(&plans[job.flow], &job.cut.point, job.cut.loss);
            run::body(&plan, Engine::Pipes, false)
        }
    });
    pool.run_in_order(bodies, |position, result| {
        if interrupt.pressed() {
            return ControlFlow::Break(());
        }
        progress.set(position as u64 + 1);
        let outcome = result
            .map_err(run::failed)
            .and_then(|bytes| run::read(&bytes));
        receive(&jobs[position], outcome)
    });
}

/// A loss model by its name, for a flag.
pub(crate) fn loss(name: &str) -> Result<Loss, String> {
    Loss::try_from(name.to_owned())
}
