//! Many runs, each in a process of its own, as one session.
//!
//! **Invariant**: runs are handed on in the order in which they were asked for, whatever order they end in, so a session's output does not
//! depend on how many ran at once. It judges nothing: a run brings its verdict with it.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    num::NonZeroUsize,
    ops::{ControlFlow, RangeInclusive},
    time::Duration,
};

use rehearsal_sim::{
    child::Pool,
    engine::Engine,
    plan::Source,
    report,
    run::{self, RunError},
    system::System,
    verdict::Record,
};

use crate::{
    files::Input,
    interrupt::Interrupt,
    problem::Problem,
    progress::{Progress, Watch},
};

/// A single run may take this long in real time; then it is ended. Only a real engine comes near.
pub const RUN_LIMIT: Duration = Duration::from_mins(10);

/// Most runs of one session: their records are kept in memory.
pub const MOST_RUNS: u64 = 100_000;

/// One run to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Which of the inputs.
    pub input: usize,
    /// With which seed.
    pub seed: u64,
}

/// How a session is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// On which engine.
    pub engine: Engine,
    /// At most so many at once.
    pub jobs: NonZeroUsize,
    /// Whether each run hands its trace back.
    pub keep_trace: bool,
}

/// A run that is done.
#[derive(Debug)]
pub struct Finished {
    /// What was asked.
    pub job: Job,
    /// What it came to.
    pub record: Record,
    /// Real time from its start to its end.
    pub real_ms: u64,
    /// Its trace, when it was asked for.
    pub trace: Option<String>,
}

/// Every input with every seed, input by input; a plan keeps its own seed and runs once. Each is drawn once here, so that what cannot be
/// drawn is refused before anything runs.
///
/// # Errors
/// A scenario that asks for what cannot be, or more than [`MOST_RUNS`].
pub fn jobs<S: System>(
    inputs: &[Input<S>],
    seeds: &RangeInclusive<u64>,
) -> Result<Vec<Job>, Problem> {
    let each = (seeds.end() - seeds.start()).saturating_add(1);
    let asked = (inputs.len() as u64).saturating_mul(each);
    if asked > MOST_RUNS {
        return Err(Problem::usage(format!(
            "--seeds: found {asked} runs, expected at most {MOST_RUNS} in one session"
        )));
    }
    let mut jobs = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        let mut add = |seed: u64| {
            input.source.plan(&input.file, seed)?;
            jobs.push(Job {
                input: number,
                seed,
            });
            Ok::<_, Problem>(())
        };
        match &input.source {
            Source::Plan(plan) => add(plan.seed)?,
            Source::Scenario(_) => seeds.clone().try_for_each(add)?,
        }
    }
    Ok(jobs)
}

/// Runs `jobs` and hands each on, in order, until all are done, `receive` breaks off or Ctrl-C is pressed.
pub fn run<S>(
    inputs: &[Input<S>],
    jobs: &[Job],
    options: Options,
    interrupt: &Interrupt,
    mut receive: impl FnMut(Finished, &Progress) -> ControlFlow<()>,
) where
    S: System,
{
    let pool = Pool::new(options.jobs, RUN_LIMIT).until(interrupt.flag());
    let watch = Watch::start();
    let progress = Progress::new("runs", jobs.len() as u64);
    let started: RefCell<BTreeMap<usize, u64>> = RefCell::default();
    let bodies = jobs
        .iter()
        .enumerate()
        .take_while(|_| !interrupt.pressed())
        .map(|(position, job)| {
            started.borrow_mut().insert(position, watch.elapsed_ms());
            let input = &inputs[job.input];
            move || {
                interrupt.ends_this_process();
                let plan = input
                    .source
                    .plan(&input.file, job.seed)
                    .expect("it was drawn before");
                run::body(&plan, options.engine, options.keep_trace)
            }
        });
    let mut waiting = BTreeMap::new();
    let (mut next, mut done) = (0, 0);
    pool.run(bodies, |position, result| {
        if interrupt.pressed() {
            return ControlFlow::Break(());
        }
        let began = started.borrow_mut().remove(&position).unwrap_or_default();
        let real_ms = watch.elapsed_ms().saturating_sub(began);
        let outcome = result
            .map_err(run::failed)
            .and_then(|bytes| run::read(&bytes));
        waiting.insert(position, (outcome, real_ms));
        done += 1;
        progress.set(done);
        while let Some((outcome, real_ms)) = waiting.remove(&next) {
            let job = jobs[next];
            next += 1;
            receive(
                finished(&inputs[job.input], job, outcome, real_ms),
                &progress,
            )?;
        }
        ControlFlow::Continue(())
    });
}

fn finished<S: System>(
    input: &Input<S>,
    job: Job,
    outcome: Result<run::Outcome, RunError>,
    real_ms: u64,
) -> Finished {
    match outcome {
        Ok(outcome) => Finished {
            job,
            record: outcome.record,
            real_ms,
            trace: outcome.trace,
        },
        Err(error) => {
            // A run that broke brings no record; one is made of its plan.
            let plan = input
                .source
                .plan(&input.file, job.seed)
                .expect("it was drawn before");
            Finished {
                job,
                record: report::record(&plan, Err(error)),
                real_ms,
                trace: None,
            }
        }
    }
}
