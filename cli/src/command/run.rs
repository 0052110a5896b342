//! `rehearsal run`: scenarios in, verdicts out.
//!
//! **Invariant**: nothing is run or written before every file is understood and every seed drawn; and what was finished is on the disk, also
//! after Ctrl-C.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    ops::ControlFlow,
    path::PathBuf,
    thread,
};

use rehearsal_sim::{
    plan::{Plan, Source},
    report::{LeftOut, Results},
    system::System,
    verdict::Record,
};

use crate::{
    artifact::{Artifacts, plain},
    exit::Exit,
    files::{self, Input},
    flags::{RunFlags, value::Format},
    interrupt::Interrupt,
    printer::Printer,
    problem::Problem,
    progress::{Progress, Watch},
    render::{Origin, Report, human, markdown},
    session::{self, Finished, Options},
};

/// The name of the results document.
pub(super) const RESULTS: &str = "results_post.json";

/// What is finished is written at least this often, in milliseconds of real time.
const WRITE_EVERY_MS: u64 = 1_000;

/// Runs the command for the system `S`.
///
/// # Errors
/// A file that cannot be used, or a machine that does not do its part.
pub(super) fn run<S>(flags: &RunFlags, printer: Printer) -> Result<Exit, Problem>
where
    S: System,
{
    let inputs = files::load::<S>(&flags.paths)?;
    let seeds = flags
        .seeds
        .as_ref()
        .map_or(flags.seed..=flags.seed, |seeds| {
            seeds.0.start..=seeds.0.end - 1
        });
    let jobs = session::jobs(&inputs, &seeds)?;
    let artifacts = Artifacts::new(&flags.out)?;
    let interrupt = Interrupt::listen()?;
    let one = NonZeroUsize::MIN;
    let options = Options {
        engine: flags.engine.into(),
        jobs: flags
            .jobs
            .unwrap_or_else(|| thread::available_parallelism().unwrap_or(one)),
        keep_trace: flags.trace,
    };
    let mut done = Done::new(flags, printer, &inputs, artifacts);
    let mut ended = Ok(());
    session::run(
        &inputs,
        &jobs,
        options,
        &interrupt,
        |finished, progress| match done.take(finished, progress) {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => {
                ended = Err(problem);
                ControlFlow::Break(())
            }
        },
    );
    ended?;
    let results = done.write()?;
    let verdict = Exit::from(results.verdict);
    let report = Report {
        results,
        origins: done.origins,
        engine: options.engine,
    };
    match flags.format {
        Format::Human => printer.data(&human::closing(printer, &report))?,
        Format::Json => printer.data(&report.results.to_json())?,
        Format::Markdown => printer.data(&markdown::markdown(&report))?,
    }
    printer.talk(&format!(
        "  results   {}",
        flags.out.join(RESULTS).display()
    ));
    if interrupt.pressed() {
        printer.warn(&format!(
            "interrupted: {} of {} runs were finished",
            report.results.summary.runs,
            jobs.len()
        ));
        return Ok(Exit::Interrupted);
    }
    Ok(verdict)
}

/// What is finished so far.
struct Done<'a, S: System> {
    flags: &'a RunFlags,
    printer: Printer,
    inputs: &'a [Input<S>],
    artifacts: Artifacts,
    watch: Watch,
    written_ms: u64,
    width: usize,
    runs: Vec<(Record, u64)>,
    origins: Vec<Origin>,
    /// By input: what every seed so far has left out of its plan.
    left_out: BTreeMap<usize, BTreeSet<String>>,
}

impl<'a, S: System> Done<'a, S> {
    fn new(
        flags: &'a RunFlags,
        printer: Printer,
        inputs: &'a [Input<S>],
        artifacts: Artifacts,
    ) -> Self {
        let width = inputs
            .iter()
            .map(|input| input.name().chars().count())
            .max()
            .unwrap_or(0);
        let (runs, origins) = (Vec::new(), Vec::new());
        Self {
            flags,
            printer,
            inputs,
            artifacts,
            watch: Watch::start(),
            written_ms: 0,
            width,
            runs,
            origins,
            left_out: BTreeMap::new(),
        }
    }

    /// Shows and keeps a run; writes it, and its trace, if it is time to.
    fn take(&mut self, finished: Finished, progress: &Progress) -> Result<(), Problem> {
        let Finished {
            job,
            record,
            real_ms,
            trace,
        } = finished;
        if self.flags.format == Format::Human {
            let line = human::line(self.printer, &record, real_ms, self.width);
            progress.aside(|| self.printer.data(&line))?;
        }
        if let Some(trace) = trace {
            self.artifacts
                .write(&trace_name(&record), trace.as_bytes())?;
        }
        let input = &self.inputs[job.input];
        self.origins.push(Origin {
            file: PathBuf::from(&input.file),
            question: input.question().to_owned(),
            is_plan: matches!(input.source, Source::Plan(_)),
        });
        if let Source::Scenario(scenario) = &input.source {
            let left_out = Plan::<S>::left_out(scenario, job.seed);
            let so_far = self.left_out.entry(job.input);
            so_far
                .and_modify(|names| names.retain(|name| left_out.contains(name)))
                .or_insert(left_out);
        }
        self.runs.push((record, real_ms));
        if self.watch.elapsed_ms() - self.written_ms >= WRITE_EVERY_MS {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<Results, Problem> {
        let left_out = self.left_out.iter().flat_map(|(input, names)| {
            let input = &self.inputs[*input];
            let swarm =
                matches!(&input.source, Source::Scenario(scenario) if scenario.swarm.is_some());
            names.iter().map(move |fault| LeftOut {
                scenario: input.name().to_owned(),
                fault: fault.clone(),
                swarm,
            })
        });
        let results =
            Results::new(self.runs.clone(), self.watch.elapsed_ms()).without(left_out.collect());
        self.artifacts
            .write(RESULTS, results.to_json().as_bytes())?;
        self.written_ms = self.watch.elapsed_ms();
        Ok(results)
    }
}

/// A trace's file name.
fn trace_name(record: &Record) -> String {
    format!("{}-{}.trace.jsonl", plain(&record.scenario), record.seed)
}
