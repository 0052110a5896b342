//! `rehearsal promote`: a finding's plan becomes a regression, which every test run repeats.
//!
//! **Invariant**: what is written says what it found and how, and was just run: without its finding when the bug is fixed, or with it and
//! marked as open. A regression of this name is never overwritten.

use std::path::Path;

use rehearsal_host::{Machine, real::RealMachine};
use rehearsal_sim::{
    engine::Engine,
    finding::{Found, findings},
    plan::Plan,
    report, run,
    system::System,
    verdict::{Record, Verdict},
};

use crate::{
    artifact::{self, Artifacts},
    exit::Exit,
    files,
    flags::finding::PromoteFlags,
    printer::Printer,
    problem::Problem,
    render::quoted,
    session::RUN_LIMIT,
};

/// Promotes for the system `S`.
///
/// # Errors
/// A plan without a finding, one that still fails, a name that is taken.
pub(super) fn promote<S>(flags: &PromoteFlags, printer: Printer) -> Result<Exit, Problem>
where
    S: System,
{
    let (file, plan) = files::plan::<S>(&flags.plan)?;
    let outcome = run::in_child(&plan, Engine::Pipes, RUN_LIMIT, false);
    let record = report::record(&plan, outcome);
    if record.verdict == Verdict::Infrastructure {
        return Err(Problem::infrastructure(format!(
            "{}: its run came to no verdict",
            file.display()
        )));
    }
    let found = found(&plan, &record, &file, flags.expect_fail)?;
    let name = match &flags.name {
        Some(name) if artifact::plain(name) == *name && !name.is_empty() => name.clone(),
        Some(name) => {
            return Err(Problem::usage(format!(
                "--name: found {name:?}, expected letters, digits, `-`, `_` and `.` only"
            )));
        }
        None => format!(
            "{}-{}",
            artifact::plain(&found.oracle),
            artifact::plain(&plan.scenario)
        ),
    };
    let path = flags.into.join(format!("{name}.toml"));
    if path.exists() {
        return Err(Problem::usage(format!(
            "{}: is there already; a regression is never overwritten",
            path.display()
        ))
        .hint("`--name` gives it another name"));
    }
    let text = format!(
        "# oracle {}, fingerprint {}: {}\n# found by {} on {}\n\n{}",
        found.oracle,
        found.fingerprint,
        one_line(&found.message),
        one_line(&found.how),
        found.on.as_deref().unwrap_or("an unknown day"),
        Plan {
            found: Some(found.clone()),
            ..plan
        }
        .to_toml()
    );
    Artifacts::new(&flags.into)?;
    artifact::write(&path, text.as_bytes())?;
    let state = if found.open {
        "open: it has to fail with this finding until the bug is fixed"
    } else if record.verdict == Verdict::Pass {
        "it passes, and has to from now on"
    } else {
        "its finding is gone, though something in it is not examined; it must not come back"
    };
    printer.data(&format!(
        "  regression  {}\n              oracle {}, fingerprint {}\n              {state}\n\n  run: rehearsal run {}\n",
        path.display(),
        found.oracle,
        found.fingerprint,
        quoted(&path.to_string_lossy()),
    ))?;
    Ok(Exit::Pass)
}

/// What the plan is a regression of.
fn found<S: System>(
    plan: &Plan<S>,
    record: &Record,
    file: &Path,
    expect_fail: bool,
) -> Result<Found, Problem> {
    let now = findings(record);
    let here = file.display();
    let mut found = match (&plan.found, now.first()) {
        (Some(found), _) => found.clone(),
        (None, Some(finding)) => Found {
            oracle: finding.oracle.clone(),
            fingerprint: finding.fingerprint.clone(),
            message: finding.message.clone(),
            how: format!("{}, seed {}", plan.scenario, plan.seed),
            on: None,
            open: false,
        },
        (None, None) => {
            return Err(Problem::usage(format!(
                "{here}: it does not fail, and nothing in it says that it ever did; expected a `[found]` table, or a run with a finding"
            ))
            .hint("`rehearsal shrink` writes plans with what they found"));
        }
    };
    let still = now
        .iter()
        .any(|finding| finding.fingerprint == found.fingerprint);
    if !still && let Some(other) = now.first() {
        return Err(Problem {
            exit: Exit::Fail,
            message: format!(
                "{here}: its own finding is gone, but it fails by oracle {} ({}): {}",
                other.oracle, other.fingerprint, other.message
            ),
            hint: None,
        });
    }
    if still && !expect_fail {
        return Err(Problem {
            exit: Exit::Fail,
            message: format!(
                "{here}: it still fails by oracle {} ({}): {}",
                found.oracle, found.fingerprint, found.message
            ),
            hint: Some(
                "fix the bug first, or keep the plan as open with `--expect-fail`".to_owned(),
            ),
        });
    }
    if !still && expect_fail {
        return Err(Problem::usage(format!(
            "--expect-fail: {here} no longer fails; promote it without"
        )));
    }
    found.open = still;
    found.on = Some(today());
    Ok(found)
}

/// The day, in UTC.
fn today() -> String {
    let now = RealMachine::new().now().to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
