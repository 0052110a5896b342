//! `rehearsal verify`: each seed twice, in processes that differ in all that must not matter; and the far side of such a pair.
//!
//! **Invariant**: nothing is run before every file is understood and every seed drawn. It stops at the first difference, which is diagnosed,
//! and ends with the code for nondeterminism; it judges no run by its verdict, which is `run`'s to do.

use std::{
    env, io,
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    thread,
};

use rehearsal_sim::{
    plan::Source,
    scenario,
    system::System,
    verify::{
        self, Checked, Compared, Launcher,
        report::{Conditions, Finding, Verification},
        worker,
    },
};

use crate::{
    artifact::Artifacts,
    exit::Exit,
    files::{self, Input},
    flags::{search::VerifyFlags, value::Format},
    interrupt::Interrupt,
    printer::Printer,
    problem::Problem,
    progress::{Progress, Watch},
    render::verify::{human, markdown},
    session::{self, Job, RUN_LIMIT},
};

/// The name of the document.
const RESULTS: &str = "verify.json";

/// The hidden command that is the far side of a pair.
const SIDE: &str = "verify-side";

/// Runs the command for the system `S`.
///
/// # Errors
/// A file that cannot be used, or a machine that does not do its part.
pub(super) fn verify<S: System>(flags: &VerifyFlags, printer: Printer) -> Result<Exit, Problem> {
    let inputs = files::load::<S>(&flags.paths)?;
    let jobs = session::jobs(&inputs, &(flags.seeds.0.start..=flags.seeds.0.end - 1))?;
    let texts = texts(&inputs)?;
    let artifacts = Artifacts::new(&flags.out)?;
    let interrupt = Interrupt::listen()?;
    let at_once = flags
        .jobs
        .unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    let watch = Watch::start();
    let mut document = empty(&inputs, &jobs);
    let progress = Progress::new("pairs", jobs.len() as u64);
    let orders: Vec<(usize, u64)> = jobs.iter().map(|job| (job.input, job.seed)).collect();
    let mut done = 0;
    let conditions = verify::check(&launcher()?, &texts, &orders, at_once, |checked| {
        done += 1;
        progress.set(done);
        let differs = matches!(checked.outcome, Compared::Differs(_));
        let again = reproduce(&inputs[checked.input], &checked);
        document.take(checked, || again);
        if differs || interrupt.pressed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    drop(progress);
    document.conditions = ran(conditions, &interrupt)?;
    document.timing.wall_ms = watch.elapsed_ms();
    let json = document.to_json();
    let written = artifacts.write(RESULTS, json.as_bytes())?;
    match flags.format {
        Format::Human => printer.data(&human(printer, &document))?,
        Format::Json => printer.data(&json)?,
        Format::Markdown => printer.data(&markdown(&document))?,
    }
    printer.talk(&format!("  results   {}", written.display()));
    if document
        .conditions
        .is_some_and(|conditions| !conditions.addresses_differ)
    {
        printer
            .warn("this machine does not let addresses stay: both processes of a pair drew them");
    }
    if interrupt.pressed() {
        printer.warn(&format!(
            "interrupted: {done} of {} pairs were compared",
            jobs.len()
        ));
        return Ok(Exit::Interrupted);
    }
    Ok(match document.verdict {
        Finding::Pass => Exit::Pass,
        Finding::Nondeterminism => Exit::Nondeterminism,
        Finding::Inconclusive => Exit::Inconclusive,
    })
}

/// The far side of a pair, until the near one closes.
///
/// # Errors
/// When it was not started by `verify`.
pub(super) fn side<S: System>() -> Result<Exit, Problem> {
    worker::serve::<S>().map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            Problem::infrastructure("the other side has gone")
        }
        _ => Problem::usage(error.to_string()),
    })?;
    Ok(Exit::Pass)
}

/// How this binary starts the far side of a pair.
///
/// # Errors
/// When the operating system does not say which file this program is.
pub(super) fn launcher() -> Result<Launcher, Problem> {
    let program = env::current_exe().map_err(|error| {
        Problem::infrastructure(format!("cannot find this program's own file: {error}"))
    })?;
    Ok(Launcher {
        program,
        arguments: vec![SIDE.into()],
        environment: Vec::new(),
        limit: RUN_LIMIT,
    })
}

/// Names and texts of the inputs: the far side reads no files.
fn texts<S: System>(inputs: &[Input<S>]) -> Result<Vec<verify::Input>, Problem> {
    let text = |file: &Path| Ok((PathBuf::from(file), scenario::read(file)?));
    inputs.iter().map(|input| text(&input.file)).collect()
}

fn empty<S: System>(inputs: &[Input<S>], jobs: &[Job]) -> Verification {
    Verification::new(inputs.iter().enumerate().map(|(number, input)| {
        let pairs = jobs.iter().filter(|job| job.input == number).count();
        (input.name().to_owned(), pairs as u64)
    }))
}

/// Ctrl-C reaches the far sides as well and ends them at once: what they had compared by then stands.
fn ran(
    conditions: io::Result<Conditions>,
    interrupt: &Interrupt,
) -> Result<Option<Conditions>, Problem> {
    match conditions {
        Ok(conditions) => Ok(Some(conditions)),
        Err(_) if interrupt.pressed() => Ok(None),
        Err(error) => Err(Problem::infrastructure(format!(
            "a pair could not be run: {error}"
        ))),
    }
}

fn reproduce<S: System>(input: &Input<S>, checked: &Checked) -> String {
    let file = crate::render::quoted(&input.file.to_string_lossy());
    match input.source {
        Source::Plan(_) => format!("rehearsal verify {file}"),
        Source::Scenario(_) => format!(
            "rehearsal verify {file} --seeds {}..{}",
            checked.seed,
            checked.seed + 1
        ),
    }
}
