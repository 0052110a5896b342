//! The scenarios and plans that paths name.
//!
//! **Invariant**: every file is read and understood before anything runs; what cannot be is named, all of it at once. In a folder, nothing
//! is passed over in silence: a file that is no scenario and no plan says in its format what else it is, or is refused; and a swarm says so itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rehearsal_sim::{
    plan::{Plan, Source},
    scenario::{self, nearest},
    system::System,
};

use crate::{bundle::PLAN, problem::Problem};

/// A file that can be run.
#[derive(Debug)]
pub struct Input<S: System> {
    /// The file, as the user would name it.
    pub file: PathBuf,
    /// What is in it.
    pub source: Source<S>,
}

impl<S: System> Input<S> {
    /// The scenario's name.
    pub fn name(&self) -> &str {
        match &self.source {
            Source::Scenario(scenario) => &scenario.name,
            Source::Plan(plan) => &plan.scenario,
        }
    }

    /// The scenario's question.
    pub fn question(&self) -> &str {
        match &self.source {
            Source::Scenario(scenario) => &scenario.question,
            Source::Plan(plan) => &plan.question,
        }
    }
}

/// Reads all that `paths` name: files in the given order, a folder's by name.
///
/// # Errors
/// Every file that cannot be used, in one problem.
pub fn load<S: System>(paths: &[PathBuf]) -> Result<Vec<Input<S>>, Problem> {
    let mut inputs = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for path in paths {
        let files = if path.is_dir() {
            folder(path)
        } else {
            Ok(vec![path.clone()])
        };
        for file in files.unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        }) {
            match read(&file) {
                Ok(source) => inputs.push(Input { file, source }),
                Err(problem) => problems.push(problem),
            }
        }
    }
    together(problems).map_or(Ok(inputs), Err)
}

/// Reads one scenario or plan.
///
/// # Errors
/// Where it cannot be used, and why; for a name that does not exist, the nearest one that does.
pub fn read<S: System>(file: &Path) -> Result<Source<S>, Problem> {
    Source::load(file).map_err(|refused| {
        let problem = Problem::from(refused);
        match neighbor(file) {
            Some(name) if !file.exists() => {
                problem.hint(format!("did you mean {}?", name.display()))
            }
            _ => problem,
        }
    })
}

/// Reads one plan: a file, or a bundle's.
///
/// # Errors
/// Where it cannot be used, and why; a scenario is not a plan yet.
pub fn plan<S: System>(path: &Path) -> Result<(PathBuf, Plan<S>), Problem> {
    let file = if path.is_dir() {
        path.join(PLAN)
    } else {
        path.to_owned()
    };
    if path.is_dir() && !file.exists() {
        return Err(Problem::usage(format!(
            "{}: found no {PLAN} in it, expected a bundle of `rehearsal explore`",
            path.display()
        )));
    }
    match read(&file)? {
        Source::Plan(plan) => Ok((file, *plan)),
        Source::Scenario(scenario) => Err(Problem::usage(format!(
            "{}: found the scenario {:?}, expected a plan: one seed's operations and faults",
            file.display(),
            scenario.name
        ))
        .hint(format!(
            "`rehearsal plan {} --seed S > plan.toml` writes the plan of the seed that failed",
            file.display()
        ))),
    }
}

/// Several problems as one, with the worst exit code; hints are left out unless there is one problem.
fn together(mut problems: Vec<Problem>) -> Option<Problem> {
    if problems.len() < 2 {
        return problems.pop();
    }
    let messages: Vec<&str> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    Some(Problem::usage(format!(
        "{} files cannot be used\n\n{}",
        problems.len(),
        messages.join("\n\n")
    )))
}

/// The scenarios and plans directly in `folder`, by name.
fn folder(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: std::io::Error| Problem::unreadable(folder, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
            && path.is_file()
            && !is_left_out(&path)
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let expected =
            "expected a .toml file with format = \"rehearsal.scenario/1\" directly in it";
        return Err(Problem::usage(format!(
            "{}: found no scenario, {expected}",
            folder.display()
        )));
    }
    Ok(files)
}

/// Whether a file says by its format that it is one of ours, but nothing to run (rules, say), or that it is a swarm: one seed of a swarm
/// answers nothing, so it is run by its own name, over many seeds.
fn is_left_out(file: &Path) -> bool {
    let table = scenario::read(file)
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok());
    let Some(table) = table else { return false };
    let format = table.get("format").and_then(toml::Value::as_str);
    table.contains_key("swarm")
        || format.is_some_and(|format| {
            format.starts_with("rehearsal.")
                && !format.starts_with("rehearsal.scenario/")
                && !format.starts_with("rehearsal.plan/")
        })
}

/// The file beside `file` whose name is nearest to its name.
fn neighbor(file: &Path) -> Option<PathBuf> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let names: Vec<String> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let near = nearest(
        file.file_name()?.to_str()?,
        names.iter().map(String::as_str),
    )?;
    Some(file.with_file_name(near))
}
