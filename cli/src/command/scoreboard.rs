//! `rehearsal scoreboard`: the harness measured on itself: every planted defect is hunted, and the clean service is watched for false alarms.
//!
//! Hunts advance together, in waves, so that all processors are busy and no hunt runs much further than its detection.
//!
//! **Invariant**: what is written says what was done, also after Ctrl-C: a defect appears when all its hunts have ended. The board's figures do
//! not depend on the waves or on how many runs went on at once.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    thread,
};

use rehearsal_sim::{
    engine::Engine,
    finding::findings,
    plan::Source,
    scenario::nearest,
    scoreboard::{Alarm, Clean, FORMAT, Hunt, Line, Plantable, Scoreboard, Timing},
    system::System,
};

use crate::{
    artifact::Artifacts,
    exit::Exit,
    files::{self, Input},
    flags::{search::ScoreboardFlags, value::Format},
    interrupt::Interrupt,
    printer::{Printer, Tone},
    problem::Problem,
    progress::Watch,
    session::{self, Job, Options},
};

/// Seeds that one hunt may take, and how often each hunt is repeated over other seeds, in full and in short.
const FULL: Extent = Extent {
    budget: 500,
    hunts: 20,
    clean: 1_000,
};
const SHORT: Extent = Extent {
    budget: 500,
    hunts: 3,
    clean: 100,
};
/// The longest step of a hunt between two looks at whether it is over.
const LONGEST_STEP: u64 = 32;
/// Seeds of the clean service that one wave runs.
const CLEAN_WAVE: u64 = 200;

#[derive(Clone, Copy)]
struct Extent {
    budget: u64,
    hunts: u64,
    clean: u64,
}

/// Runs the command for the system `S`.
///
/// # Errors
/// A name or a file that cannot be used, or a machine that does not do its part.
pub(super) fn scoreboard<S>(flags: &ScoreboardFlags, printer: Printer) -> Result<Exit, Problem>
where
    S: System,
{
    let defects = chosen::<S>(&flags.only)?;
    let short = if flags.short { SHORT } else { FULL };
    let extent = Extent {
        budget: flags
            .budget
            .map_or(short.budget, |budget| budget.get().into()),
        hunts: flags.hunts.map_or(short.hunts, |hunts| hunts.get().into()),
        clean: flags.clean_seeds.map_or(short.clean, u64::from),
    };
    let inputs = inputs::<S>(&defects, flags)?;
    let artifacts = Artifacts::new(&flags.out)?;
    let interrupt = Interrupt::listen()?;
    let one = NonZeroUsize::MIN;
    let options = Options {
        engine: Engine::Pipes,
        jobs: flags
            .jobs
            .unwrap_or_else(|| thread::available_parallelism().unwrap_or(one)),
        keep_trace: false,
    };
    let mut board = Board {
        printer,
        inputs: &inputs,
        defects: &defects,
        extent,
        options,
        interrupt: &interrupt,
        artifacts: &artifacts,
        watch: Watch::start(),
        runs: 0,
        quiet: flags.format != Format::Human,
        clean: Clean::default(),
        lines: BTreeMap::new(),
        whole: flags.only.is_empty(),
    };
    board.hunt()?;
    board.watch_the_clean()?;
    let scoreboard = board.write()?;
    match flags.format {
        Format::Human => printer.talk(&format!("  scoreboard  {}", flags.out.join(PAGE).display())),
        Format::Json => printer.data(&scoreboard.to_json())?,
        Format::Markdown => printer.data(&scoreboard.to_markdown())?,
    }
    if interrupt.pressed() {
        printer.warn(&format!(
            "interrupted: {} of {} defects were hunted to the end",
            scoreboard.defects.len(),
            defects.len()
        ));
        return Ok(Exit::Interrupted);
    }
    Ok(if scoreboard.holds() {
        Exit::Pass
    } else {
        Exit::Fail
    })
}

/// The names of the two documents.
const DOCUMENT: &str = "scoreboard.json";
const PAGE: &str = "scoreboard.md";

fn chosen<S: System>(only: &[String]) -> Result<Vec<Plantable>, Problem> {
    let all = S::plantable();
    if only.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let known = all.iter().find(|defect| defect.name == name.as_str());
        known.copied().ok_or_else(|| {
            let near = nearest(name, all.iter().map(|defect| defect.name));
            let problem = Problem::usage(format!(
                "--only {name}: no such defect, expected one of {}",
                all.iter()
                    .map(|defect| defect.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
            match near {
                Some(near) => problem.hint(format!("did you mean {near}?")),
                None => problem,
            }
        })
    };
    only.iter().map(find).collect()
}

/// For each defect its scenario with the defect planted, then each of these scenarios once, clean.
fn inputs<S: System>(
    defects: &[Plantable],
    flags: &ScoreboardFlags,
) -> Result<Vec<Input<S>>, Problem> {
    let file = |defect: &Plantable| {
        flags.scenario.clone().unwrap_or_else(|| {
            flags
                .scenarios
                .join(Path::new(defect.hunt).with_extension("toml"))
        })
    };
    let mut inputs = Vec::new();
    let mut clean: Vec<PathBuf> = Vec::new();
    for defect in defects {
        let file = file(defect);
        let mut input = scenario::<S>(&file)?;
        if let Source::Scenario(scenario) = &mut input.source {
            S::plant(&mut scenario.tables, defect.name)
                .map_err(|message| Problem::usage(format!("{}: {message}", file.display())))?;
        }
        inputs.push(input);
        if !clean.contains(&file) {
            clean.push(file);
        }
    }
    for file in clean {
        inputs.push(scenario(&file)?);
    }
    Ok(inputs)
}

fn scenario<S: System>(file: &Path) -> Result<Input<S>, Problem> {
    let source = files::read(file)?;
    if matches!(source, Source::Plan(_)) {
        return Err(Problem::usage(format!(
            "{}: found a plan, expected a scenario: a hunt needs many seeds",
            file.display()
        )));
    }
    Ok(Input {
        file: file.to_owned(),
        source,
    })
}

/// One hunt under way.
struct Pursuit {
    defect: usize,
    /// Its first seed.
    from: u64,
    /// Seeds that were run.
    run: u64,
    step: u64,
    ended: Option<Hunt>,
}

struct Board<'a, S: System> {
    printer: Printer,
    inputs: &'a [Input<S>],
    defects: &'a [Plantable],
    extent: Extent,
    options: Options,
    interrupt: &'a Interrupt,
    artifacts: &'a Artifacts,
    watch: Watch,
    runs: u64,
    quiet: bool,
    clean: Clean,
    lines: BTreeMap<usize, Line>,
    whole: bool,
}

impl<S> Board<'_, S>
where
    S: System,
{
    fn hunt(&mut self) -> Result<(), Problem> {
        let Extent { budget, hunts, .. } = self.extent;
        let mut pursuits: Vec<Pursuit> = (0..self.defects.len())
            .flat_map(|defect| {
                (0..hunts).map(move |number| Pursuit {
                    defect,
                    from: number * budget,
                    run: 0,
                    step: 1,
                    ended: None,
                })
            })
            .collect();
        loop {
            let (jobs, owners) = wave(&pursuits, budget);
            if jobs.is_empty() {
                return Ok(());
            }
            let found = self.run(&jobs)?;
            if self.interrupt.pressed() {
                return Ok(());
            }
            advance(&mut pursuits, &owners, &found, budget);
            self.report(&pursuits)?;
            self.write()?;
        }
    }

    /// Runs the clean service, scenario by scenario in turn.
    fn watch_the_clean(&mut self) -> Result<(), Problem> {
        let clean = self.defects.len()..self.inputs.len();
        let count = clean.len() as u64;
        let mut next = 0;
        while next < self.extent.clean && count > 0 && !self.interrupt.pressed() {
            let end = self.extent.clean.min(next + CLEAN_WAVE);
            let jobs: Vec<Job> = (next..end)
                .map(|number| Job {
                    input: clean.start + usize::try_from(number % count).unwrap_or_default(),
                    seed: number / count,
                })
                .collect();
            let found = self.run(&jobs)?;
            for (job, found) in jobs.iter().zip(found) {
                let alarm = |(oracle, message): (String, String)| Alarm {
                    scenario: self.inputs[job.input].name().to_owned(),
                    seed: job.seed,
                    oracle,
                    message,
                };
                self.clean.count(found.into_iter().next().map(alarm));
            }
            next = end;
            self.write()?;
        }
        if !self.quiet {
            let line = format!(
                "  clean service: {} alarms in {} seeds",
                self.clean.alarms, self.clean.seeds
            );
            self.printer.data(&format!("{line}\n"))?;
        }
        Ok(())
    }

    /// What was found in each of `jobs`, oracle and message; fewer when Ctrl-C was pressed.
    fn run(&mut self, jobs: &[Job]) -> Result<Vec<Vec<(String, String)>>, Problem> {
        // Drawn here once, so that what cannot be drawn is refused and not taken for a finding.
        for job in jobs {
            let input = &self.inputs[job.input];
            input.source.plan(&input.file, job.seed)?;
        }
        let mut all = Vec::with_capacity(jobs.len());
        session::run(
            self.inputs,
            jobs,
            self.options,
            self.interrupt,
            |finished, _| {
                let found = findings(&finished.record);
                all.push(
                    found
                        .into_iter()
                        .map(|finding| (finding.oracle, finding.message))
                        .collect(),
                );
                ControlFlow::Continue(())
            },
        );
        self.runs += all.len() as u64;
        Ok(all)
    }

    /// Notes and shows the defects whose hunts have all ended.
    fn report(&mut self, pursuits: &[Pursuit]) -> Result<(), Problem> {
        for (number, defect) in self.defects.iter().enumerate() {
            let hunts: Option<Vec<Hunt>> = pursuits
                .iter()
                .filter(|pursuit| pursuit.defect == number)
                .map(|pursuit| pursuit.ended.clone())
                .collect();
            let Some(hunts) = hunts.filter(|_| !self.lines.contains_key(&number)) else {
                continue;
            };
            let line = Line::new(defect, self.inputs[number].name(), &hunts);
            if !self.quiet {
                self.printer.data(&format!("{}\n", self.shown(&line)))?;
            }
            self.lines.insert(number, line);
        }
        Ok(())
    }

    fn shown(&self, line: &Line) -> String {
        let (tone, word) = if line.found {
            (Tone::Good, "found ")
        } else {
            (Tone::Bad, "missed")
        };
        let seeds = |seeds: Option<u64>| {
            seeds.map_or(format!("over {}", self.extent.budget), |it| it.to_string())
        };
        format!(
            "  {} {:34} median {:>3}, p95 {:>3} seeds, by {}",
            self.printer.paint(tone, word),
            line.name,
            seeds(line.seeds_median),
            seeds(line.seeds_p95),
            line.oracle.as_deref().unwrap_or("nothing")
        )
    }

    fn write(&self) -> Result<Scoreboard, Problem> {
        let hunted = self.lines.len() == self.defects.len();
        let board = Scoreboard {
            format: FORMAT.to_owned(),
            complete: self.whole && hunted && self.clean.seeds == self.extent.clean,
            budget: self.extent.budget,
            defects: self.lines.values().cloned().collect(),
            clean: self.clean.clone(),
            timing: Timing {
                wall_ms: self.watch.elapsed_ms(),
                runs: self.runs,
            },
        };
        self.artifacts.write(DOCUMENT, board.to_json().as_bytes())?;
        self.artifacts.write(PAGE, board.to_markdown().as_bytes())?;
        Ok(board)
    }
}

/// The next seeds of every hunt that has not ended, and whose each is.
fn wave(pursuits: &[Pursuit], budget: u64) -> (Vec<Job>, Vec<usize>) {
    let mut jobs = Vec::new();
    let mut owners = Vec::new();
    for (owner, pursuit) in pursuits.iter().enumerate() {
        if pursuit.ended.is_some() {
            continue;
        }
        for seed in pursuit.run..budget.min(pursuit.run + pursuit.step) {
            jobs.push(Job {
                input: pursuit.defect,
                seed: pursuit.from + seed,
            });
            owners.push(owner);
        }
    }
    (jobs, owners)
}

/// Takes what a wave found, in the order of its seeds.
fn advance(
    pursuits: &mut [Pursuit],
    owners: &[usize],
    found: &[Vec<(String, String)>],
    budget: u64,
) {
    for (owner, found) in owners.iter().zip(found) {
        let pursuit = &mut pursuits[*owner];
        if pursuit.ended.is_some() {
            continue;
        }
        pursuit.run += 1;
        if !found.is_empty() {
            let mut oracles: Vec<String> = found.iter().map(|(oracle, _)| oracle.clone()).collect();
            oracles.sort();
            oracles.dedup();
            pursuit.ended = Some(Hunt::Found {
                seeds: pursuit.run,
                oracles,
            });
        } else if pursuit.run == budget {
            pursuit.ended = Some(Hunt::Missed);
        }
    }
    for pursuit in pursuits {
        pursuit.step = (pursuit.step * 2).min(LONGEST_STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pursuit() -> Pursuit {
        Pursuit {
            defect: 3,
            from: 1_000,
            run: 0,
            step: 1,
            ended: None,
        }
    }

    fn hunt(finds_at: u64, budget: u64) -> (Hunt, u64) {
        let mut pursuits = [pursuit()];
        let mut runs = 0;
        loop {
            let (jobs, owners) = wave(&pursuits, budget);
            if jobs.is_empty() {
                return (pursuits[0].ended.clone().unwrap(), runs);
            }
            runs += jobs.len() as u64;
            let found: Vec<_> = jobs
                .iter()
                .map(|job| {
                    let hit = job.seed == 1_000 + finds_at;
                    hit.then(|| ("o".to_owned(), "m".to_owned()))
                        .into_iter()
                        .collect()
                })
                .collect();
            advance(&mut pursuits, &owners, &found, budget);
        }
    }

    #[test]
    fn a_hunt_counts_seeds_up_to_the_first_finding_whatever_its_steps_are() {
        for at in [0, 1, 2, 5, 6, 30, 31, 99] {
            let (ended, runs) = hunt(at, 100);
            let oracles = vec!["o".to_owned()];
            let seeds = at + 1;
            assert_eq!(ended, Hunt::Found { seeds, oracles });
            assert!(runs < 2 * seeds + LONGEST_STEP, "{runs} runs for {seeds}");
        }
    }

    #[test]
    fn a_hunt_ends_at_its_budget() {
        assert_eq!(hunt(100, 100), (Hunt::Missed, 100));
    }
}
