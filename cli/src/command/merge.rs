//! `rehearsal merge`: the explorations of all shards in, one out.
//!
//! **Invariant**: nothing is written unless every shard is there once and all explored the same. A finding's folder comes from the shard
//! that showed it first.

use std::{fs, path::Path};

use rehearsal_sim::explore::{self, Exploration};

use super::explore::{DOCUMENT, show};
use crate::{
    artifact::Artifacts, bundle, exit::Exit, flags::search::MergeFlags, printer::Printer,
    problem::Problem,
};

/// Runs the command.
///
/// # Errors
/// A file that cannot be used, or files that do not belong together.
pub(super) fn merge(flags: &MergeFlags, printer: Printer) -> Result<Exit, Problem> {
    let mut parts = Vec::new();
    for file in &flags.files {
        parts.push((file.display().to_string(), read(file)?));
    }
    let mut whole = explore::merge(parts.clone())
        .map_err(|error| Problem::usage(format!("these cannot be merged: {error}")))?;
    let artifacts = Artifacts::new(&flags.out)?;
    for found in &mut whole.findings {
        let owner = flags.files.iter().zip(&parts).find(|(_, (_, part))| {
            let same = |it: &explore::Found| {
                it.fingerprint == found.fingerprint && it.first == found.first
            };
            part.findings.iter().any(same)
        });
        let from = owner
            .zip(found.bundle.as_ref())
            .map(|((file, _), folder)| file.with_file_name("").join(folder));
        match from.filter(|folder| folder.is_dir()) {
            Some(folder) => copy(
                &folder,
                &flags.out.join(bundle::FOLDER).join(bundle::name(found)),
            )?,
            None => {
                if found.bundle.take().is_some() {
                    printer.warn(&format!(
                        "{}: its folder is not beside the document of its shard",
                        bundle::name(found)
                    ));
                }
            }
        }
    }
    artifacts.write(DOCUMENT, whole.to_json().as_bytes())?;
    show(printer, flags.format, &whole, &flags.out)?;
    Ok(Exit::from(whole.verdict))
}

fn read(file: &Path) -> Result<Exploration, Problem> {
    let text = fs::read_to_string(file).map_err(|error| Problem::unreadable(file, &error))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Problem::usage(format!("{}: no JSON: {error}", file.display())))?;
    let format = value.get("format").and_then(serde_json::Value::as_str);
    if format != Some(explore::FORMAT) {
        return Err(Problem::usage(format!(
            "{}: format: found {:?}, expected {:?}",
            file.display(),
            format.unwrap_or("none"),
            explore::FORMAT
        )));
    }
    serde_json::from_value(value)
        .map_err(|error| Problem::usage(format!("{}: {error}", file.display())))
}

/// Copies a finding's files; onto itself it is nothing.
fn copy(from: &Path, to: &Path) -> Result<(), Problem> {
    let artifacts = Artifacts::new(to)?;
    for name in [bundle::PLAN, bundle::TRACE, bundle::FINDING] {
        let file = from.join(name);
        if !file.exists() {
            continue;
        }
        let bytes = fs::read(&file).map_err(|error| Problem::unreadable(&file, &error))?;
        artifacts.write(name, &bytes)?;
    }
    Ok(())
}
