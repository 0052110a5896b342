//! Every bug that was found stays fixed: the plans in `sim/regressions/` are run, each with the finding that it was kept for.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rehearsal_sim::{
    appointments::Appointments,
    engine::Engine,
    finding::findings,
    plan::{Plan, Source},
    report, run,
};

const LIMIT: Duration = Duration::from_mins(2);

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let entries = std::fs::read_dir(folder).expect("the repository has this folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

/// What is wrong with a regression, if anything: a closed one fails again, an open one no longer does.
fn wrong(file: &Path, plan: &Plan<Appointments>) -> Option<String> {
    let name = file.display();
    let Some(found) = &plan.found else {
        return Some(format!("{name}: no `[found]` table says what it found"));
    };
    let outcome = run::in_child(plan, Engine::Pipes, LIMIT, false);
    let record = report::record(plan, outcome);
    let now = findings(&record);
    if found.open {
        let still = now.iter().any(|one| one.fingerprint == found.fingerprint);
        return (!still).then(|| {
            format!(
                "{name}: open, and it no longer fails by {}: remove `open`",
                found.oracle
            )
        });
    }
    let one = now.first()?;
    Some(format!("{name}: fails by {}: {}", one.oracle, one.message))
}

#[test]
fn no_bug_comes_back() {
    let mut broken = Vec::new();
    let files = files();
    assert!(!files.is_empty(), "the repository ships regressions");
    for file in files {
        match Source::<Appointments>::load(&file) {
            Ok(Source::Plan(plan)) => broken.extend(wrong(&file, &plan)),
            Ok(Source::Scenario(_)) => broken.push(format!("{}: is no plan", file.display())),
            Err(refused) => broken.push(refused.to_string()),
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
