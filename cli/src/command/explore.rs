//! `rehearsal explore`: scenarios and seeds in, findings out.
//!
//! **Invariant**: what is kept does not grow with the number of runs; a finding is on the disk as soon as it is known, and what was counted
//! at the end, also after Ctrl-C. It judges nothing: runs bring their verdicts, and the exploration forms its own.

use std::{num::NonZeroUsize, ops::ControlFlow, path::Path, thread};

use rehearsal_sim::{
    engine::Engine,
    explore::{Ended, Exploration, Explored, Place, Shard, Subject},
    plan::Source,
    report,
    run::{self, Outcome, RunError},
    scenario,
    system::System,
    verdict::Verdict,
};
use sha2::{Digest, Sha256};

use crate::{
    artifact::Artifacts,
    bundle,
    exit::Exit,
    files::{self, Input},
    flags::{
        search::ExploreFlags,
        value::{EngineName, Format},
    },
    interrupt::Interrupt,
    printer::Printer,
    problem::Problem,
    progress::{self, Watch},
    render::explore as render,
    session::RUN_LIMIT,
    sweep::{self, Unit},
};

/// The name of the document.
pub(super) const DOCUMENT: &str = "explore.json";
/// Seeds when nothing else bounds the exploration.
const SEEDS: u64 = 100;
/// What was counted is written at least this often, in milliseconds of real time.
const WRITE_EVERY_MS: u64 = 5_000;

/// Runs the command for the system `S`.
///
/// # Errors
/// A file or a flag that cannot be used, or a machine that does not do its part.
pub(super) fn explore<S>(flags: &ExploreFlags, printer: Printer) -> Result<Exit, Problem>
where
    S: System,
{
    let variable = |name: &str| std::env::var(name).ok();
    let shard = flags.shard.resolve(variable);
    let shard = shard.map_err(|message| Problem::usage(format!("--shard: {message}")))?;
    if flags.engine == EngineName::Loopback {
        let message = "--engine: found loopback, expected pipes or turmoil: in real time no seed can be repeated";
        return Err(Problem::usage(message));
    }
    let inputs = files::load::<S>(&flags.scenarios)?;
    let subject = subject(flags, &inputs)?;
    let (from, to) = (subject.from, subject.to);
    let artifacts = Artifacts::new(&flags.out)?;
    let interrupt = Interrupt::listen()?;
    let jobs = flags
        .jobs
        .unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    let total = to.map(|_| shard.seeds(from, to).count() as u64 * inputs.len() as u64);
    let mut explorer = Explorer {
        flags,
        printer,
        inputs: &inputs,
        artifacts,
        exploration: Exploration::new(subject, shard, &S::points()),
        progress: progress::Explored::new(total),
        watch: Watch::start(),
        written_ms: 0,
        before: None,
        fresh: false,
        quiet: 0,
        ended: None,
        problem: None,
    };
    let watch = Watch::start();
    let in_time = |_: &Unit| flags.time.is_none_or(|time| watch.elapsed() < time);
    let units = units(shard, from, to, inputs.len(), flags.verify_share).take_while(in_time);
    sweep::run(
        &inputs,
        units,
        flags.engine.into(),
        jobs,
        &interrupt,
        |unit, outcome| explorer.take(unit, outcome),
    );
    let late = flags.time.is_some_and(|time| watch.elapsed() >= time);
    let interrupted = interrupt.pressed();
    let exploration = explorer.end(late, interrupted)?;
    show(printer, flags.format, &exploration, &flags.out)?;
    if let Some(diverged) = exploration.verification.diverged.first() {
        let Place { scenario, seed } = &diverged.place;
        let file = inputs.iter().find(|input| input.name() == scenario);
        let file = file.map_or_else(String::new, |input| input.file.display().to_string());
        printer.talk(&format!(
            "\n  find out why: rehearsal verify {file} --seeds {seed}..{}",
            seed + 1
        ));
    }
    Ok(if interrupted {
        printer.warn("interrupted: what was counted by then is written");
        Exit::Interrupted
    } else {
        Exit::from(exploration.verdict)
    })
}

/// Prints an exploration in the format that was asked for, and where it is.
pub(super) fn show(
    printer: Printer,
    format: Format,
    exploration: &Exploration,
    out: &Path,
) -> Result<(), Problem> {
    match format {
        Format::Human => printer.data(&render::human(printer, exploration, out))?,
        Format::Json => printer.data(&exploration.to_json())?,
        Format::Markdown => printer.data(&render::markdown(exploration, out))?,
    }
    printer.talk(&format!("  results   {}", out.join(DOCUMENT).display()));
    Ok(())
}

/// What is to be explored. Each scenario is drawn once, so that what cannot be drawn is refused before anything runs.
fn subject<S: System>(flags: &ExploreFlags, inputs: &[Input<S>]) -> Result<Subject, Problem> {
    let bounded = flags.time.is_none() && flags.until_coverage_stable.is_none();
    let (from, to) = match &flags.seeds {
        Some(seeds) => (seeds.0.start, Some(seeds.0.end)),
        None => (0, bounded.then_some(SEEDS)),
    };
    let mut scenarios: Vec<Explored> = Vec::new();
    for input in inputs {
        let file = input.file.display();
        if let Source::Plan(plan) = &input.source {
            let message = format!(
                "{file}: found a plan, expected a scenario: a plan has one seed, {}",
                plan.seed
            );
            return Err(Problem::usage(message).hint(format!("run it: rehearsal run {file}")));
        }
        input.source.plan(&input.file, from)?;
        let name = input.name().to_owned();
        if scenarios.iter().any(|it| it.name == name) {
            return Err(Problem::usage(format!(
                "{file}: found the name {name:?} again, expected scenarios with names of their own"
            )));
        }
        let text = scenario::read(&input.file)?;
        let sha256 = format!("{:x}", Sha256::digest(text.as_bytes()));
        scenarios.push(Explored { name, sha256 });
    }
    Ok(Subject {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: Engine::from(flags.engine).name().to_owned(),
        scenarios,
        from,
        to,
        inconclusive_limit: flags.inconclusive_limit,
        require_points: flags.require_points,
    })
}

/// The runs of a shard: seed after seed, each with every scenario. The first of so many seeds is run twice.
fn units(
    shard: Shard,
    from: u64,
    to: Option<u64>,
    inputs: usize,
    verify_share: f64,
) -> impl Iterator<Item = Unit> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to 20: the flag's share is 5 % at least"
    )]
    let stride = (1.0 / verify_share).floor().max(1.0) as usize;
    shard
        .seeds(from, to)
        .enumerate()
        .flat_map(move |(place, seed)| {
            let times: &[bool] = if place % stride == 0 {
                &[false, true]
            } else {
                &[false]
            };
            (0..inputs)
                .flat_map(move |input| times.iter().map(move |&again| Unit { input, seed, again }))
        })
}

/// An exploration under way.
struct Explorer<'a, S: System> {
    flags: &'a ExploreFlags,
    printer: Printer,
    inputs: &'a [Input<S>],
    artifacts: Artifacts,
    exploration: Exploration,
    progress: progress::Explored,
    watch: Watch,
    written_ms: u64,
    /// What the unit before this one came to.
    before: Option<String>,
    /// Whether the seed under way has brought something new.
    fresh: bool,
    /// Seeds in a row that have not.
    quiet: u64,
    ended: Option<Ended>,
    problem: Option<Problem>,
}

impl<S: System> Explorer<'_, S> {
    fn take(&mut self, unit: Unit, outcome: Result<Outcome, RunError>) -> ControlFlow<()> {
        let taken = if unit.again {
            Ok(self.compare(unit, &outcome))
        } else {
            self.count(unit, outcome)
        };
        match taken {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(ended)) => {
                self.ended = Some(ended);
                ControlFlow::Break(())
            }
            Err(problem) => {
                self.problem = Some(problem);
                ControlFlow::Break(())
            }
        }
    }

    /// A repeated run against the one before it.
    fn compare(&mut self, unit: Unit, outcome: &Result<Outcome, RunError>) -> Option<Ended> {
        let first = self.before.take()?;
        let again = result(outcome)?;
        self.differ(unit, &first, &again)
    }

    fn differ(&mut self, unit: Unit, first: &str, again: &str) -> Option<Ended> {
        let scenario = self.inputs[unit.input].name().to_owned();
        self.exploration.verified(
            Place {
                scenario,
                seed: unit.seed,
            },
            first,
            again,
        );
        (first != again && !self.flags.keep_going).then_some(Ended::Diverged)
    }

    fn count(
        &mut self,
        unit: Unit,
        outcome: Result<Outcome, RunError>,
    ) -> Result<Option<Ended>, Problem> {
        let input = &self.inputs[unit.input];
        self.before = result(&outcome);
        let (hits, converged_us) = outcome
            .as_ref()
            .map(|outcome| (outcome.hits.clone(), outcome.converged_us))
            .unwrap_or_default();
        let record = match outcome {
            Ok(outcome) => outcome.record,
            Err(error) => report::record(&input.source.plan(&input.file, unit.seed)?, Err(error)),
        };
        let news = self.exploration.take(&record, &hits, converged_us);
        self.fresh |= !news.findings.is_empty() || news.points > 0;
        for place in news.findings {
            if let Some(ended) = self.keep(unit, place)? {
                return Ok(Some(ended));
            }
        }
        let last_of_seed = unit.input + 1 == self.inputs.len();
        if last_of_seed {
            self.exploration.shards[0].seeds += 1;
            self.quiet = if std::mem::take(&mut self.fresh) {
                0
            } else {
                self.quiet + 1
            };
        }
        let runs = self.exploration.summary.runs;
        if let Some(line) = self.progress.set(runs, self.exploration.findings.len()) {
            self.printer.talk(&line);
        }
        if self.watch.elapsed_ms() - self.written_ms >= WRITE_EVERY_MS {
            self.write()?;
        }
        let failed = record.verdict == Verdict::Fail && !self.flags.keep_going;
        Ok(if failed {
            Some(Ended::Finding)
        } else {
            (last_of_seed && self.stable()).then_some(Ended::Stable)
        })
    }

    fn stable(&self) -> bool {
        let enough = self.flags.until_coverage_stable;
        enough.is_some_and(|enough| self.quiet >= enough.get())
            && (!self.flags.require_points || self.exploration.unhit().next().is_none())
    }

    /// Writes a new finding's folder. Its run is repeated for the trace, which must be the same again.
    fn keep(&mut self, unit: Unit, place: usize) -> Result<Option<Ended>, Problem> {
        let input = &self.inputs[unit.input];
        let engine = self.flags.engine.into();
        let plan = input.source.plan(&input.file, unit.seed)?;
        let again = run::in_child(&plan, engine, RUN_LIMIT, true);
        let trace = again
            .as_ref()
            .ok()
            .and_then(|outcome| outcome.trace.as_deref());
        let found = &mut self.exploration.findings[place];
        let folder = bundle::write(
            &self.flags.out,
            found,
            &input.file,
            engine,
            Some((&plan, trace)),
        )?;
        found.bundle = Some(folder);
        if self.flags.format == Format::Human && self.flags.keep_going {
            let line = format!(
                "  found     {} in {} seed {}: {}",
                found.oracle, found.first.scenario, found.first.seed, found.message
            );
            self.progress.aside(|| self.printer.talk(&line));
        }
        match (self.before.clone(), result(&again)) {
            (Some(first), Some(again)) if first != again => Ok(self.differ(unit, &first, &again)),
            _ => Ok(None),
        }
    }

    fn write(&mut self) -> Result<(), Problem> {
        self.exploration.timing.wall_ms = self.watch.elapsed_ms();
        self.written_ms = self.exploration.timing.wall_ms;
        let mut document = self.exploration.clone();
        document.conclude();
        self.artifacts
            .write(DOCUMENT, document.to_json().as_bytes())?;
        Ok(())
    }

    /// Forms the verdict and writes everything a last time.
    fn end(mut self, late: bool, interrupted: bool) -> Result<Exploration, Problem> {
        let why = match self.ended {
            Some(ended) => ended,
            None if interrupted => Ended::Interrupted,
            None if late => Ended::Time,
            None => Ended::Seeds,
        };
        self.exploration.shards[0].ended = why;
        self.write()?;
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        for found in self
            .exploration
            .findings
            .iter()
            .filter(|found| found.bundle.is_some())
        {
            let input = self
                .inputs
                .iter()
                .find(|input| input.name() == found.first.scenario);
            if let Some(input) = input {
                bundle::write::<S>(
                    &self.flags.out,
                    found,
                    &input.file,
                    self.flags.engine.into(),
                    None,
                )?;
            }
        }
        self.exploration.conclude();
        Ok(self.exploration)
    }
}

/// What a run came to, to be compared with what it comes to again; nothing for one that the machine broke.
fn result(outcome: &Result<Outcome, RunError>) -> Option<String> {
    match outcome {
        Ok(outcome) => Some(outcome.record.digest.clone()),
        Err(RunError::Panicked(message)) => Some(message.clone()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_the_share_is_run_twice_in_every_shard() {
        for (share, of) in [(0.05, 1), (0.05, 7), (0.3, 2), (1.0, 3)] {
            for index in 1..=of {
                let shard = Shard::new(index, of).unwrap();
                let all: Vec<Unit> = units(shard, 0, Some(200), 2, share).collect();
                let twice = all.iter().filter(|unit| unit.again).count();
                let once = all.len() - twice;
                assert_eq!(once, shard.seeds(0, Some(200)).count() * 2);
                assert!(
                    twice as f64 >= share * once as f64,
                    "{share} {shard}: {twice} of {once}"
                );
                let follows = |pair: &[Unit]| {
                    !pair[1].again
                        || pair[0]
                            == Unit {
                                again: false,
                                ..pair[1]
                            }
                };
                assert!(all.windows(2).all(follows), "a repeat follows its first");
            }
        }
    }
}
