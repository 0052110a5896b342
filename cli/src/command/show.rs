//! `rehearsal show`: the story of a run, from a plan, which is run first, or from the trace of one.
//!
//! **Invariant**: nothing is judged here; what is told is what the run, or the trace, says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rehearsal_sim::{
    engine::Engine,
    report, run,
    show::{self, Story, Telling},
    system::System,
    trace::Trace,
};

use crate::{
    exit::Exit,
    files,
    flags::{finding::ShowFlags, value::Format},
    printer::Printer,
    problem::Problem,
    render::{quoted, story},
    session::RUN_LIMIT,
};

/// Tells for the system `S`.
///
/// # Errors
/// A file that cannot be used, a request that is not in the run, or a run that did not come to its end.
pub(super) fn show<S>(flags: &ShowFlags, printer: Printer) -> Result<Exit, Problem>
where
    S: System,
{
    let telling = Telling {
        around: flags.around,
        all: flags.all,
        request: flags.request.clone(),
    };
    let (story, file) = if flags.path.is_file() && is_trace(&flags.path)? {
        (from_trace::<S>(&flags.path, &telling)?, None)
    } else {
        let (story, file) = from_plan::<S>(&flags.path, &telling)?;
        (story, Some(file))
    };
    if let Some(request) = &flags.request
        && !story::concerns_anything(&story)
    {
        return Err(Problem::usage(format!(
            "--request {request}: found nothing of this name in the run, expected a request's key or an appointment's id"
        )));
    }
    let reproduce = file.map(|file| format!("rehearsal run {}", quoted(&file.to_string_lossy())));
    let reproduce = reproduce.as_deref();
    match flags.format {
        Format::Human => printer.data(&story::human(printer, &story, reproduce))?,
        Format::Markdown => printer.data(&story::markdown(
            &story,
            reproduce,
            flags.request.as_deref(),
        ))?,
        Format::Json => printer.data(&story::json(&story, reproduce))?,
    }
    Ok(Exit::Pass)
}

/// A trace is lines of JSON, a plan is TOML, and neither begins as the other.
fn is_trace(path: &Path) -> Result<bool, Problem> {
    let bytes = fs::read(path).map_err(|error| Problem::unreadable(path, &error))?;
    Ok(bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
}

fn from_trace<S: System>(path: &Path, telling: &Telling) -> Result<Story, Problem> {
    let text = fs::read_to_string(path).map_err(|error| Problem::unreadable(path, &error))?;
    let trace: Trace<S::Event> = show::read(&text)
        .map_err(|error| Problem::usage(format!("{}: {error}", path.display())))?;
    Ok(show::story::<S>(None, None, &trace, telling))
}

fn from_plan<S>(path: &Path, telling: &Telling) -> Result<(Story, PathBuf), Problem>
where
    S: System,
{
    let (file, plan) = files::plan::<S>(path)?;
    let outcome = run::in_child(&plan, Engine::Pipes, RUN_LIMIT, true);
    let text = outcome
        .as_ref()
        .ok()
        .and_then(|outcome| outcome.trace.clone());
    let record = report::record(&plan, outcome);
    let trace = match text {
        Some(text) => show::read(&text).map_err(|error| {
            Problem::infrastructure(format!("the run's trace cannot be read: {error}"))
        })?,
        // A panic takes the trace with it; what it said is in the record.
        None => Trace {
            entries: Vec::new(),
        },
    };
    Ok((
        show::story(Some(&plan), Some(&record), &trace, telling),
        file,
    ))
}
