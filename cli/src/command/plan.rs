//! `rehearsal plan`: what a seed makes of a scenario, as a file that can be edited and run.
//!
//! **Invariant**: what it prints is what `run` would run with the same seed, byte for byte the same plan.

use rehearsal_sim::{plan::Source, system::System};

use crate::{exit::Exit, files, flags::PlanFlags, printer::Printer, problem::Problem};

/// Prints the plan.
///
/// # Errors
/// A file that cannot be used.
pub(super) fn plan<S: System>(flags: &PlanFlags, printer: Printer) -> Result<Exit, Problem> {
    let source: Source<S> = files::read(&flags.scenario)?;
    if let Source::Plan(plan) = &source
        && plan.seed != flags.seed
    {
        printer.warn(&format!(
            "{} is a plan already; it keeps its own seed, {}",
            flags.scenario.display(),
            plan.seed
        ));
    }
    let plan = source.plan(&flags.scenario, flags.seed)?;
    printer.data(&plan.to_toml())?;
    Ok(Exit::Pass)
}
