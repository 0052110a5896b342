//! `rehearsal why`: when a failure became likely, and when it was certain.
//!
//! **Invariant**: nothing is written; the same plan, moments and samples print the same.

use rehearsal_sim::{
    system::System,
    why::{self, Question},
};

use super::shrink::{refused, terms};
use crate::{
    exit::Exit,
    files,
    flags::{finding::WhyFlags, value::Format},
    interrupt::Interrupt,
    printer::Printer,
    problem::Problem,
    render::curve,
};

/// Asks for the system `S`.
///
/// # Errors
/// A file that cannot be used, a plan that does not fail, or whose runs differ.
pub(super) fn why<S>(flags: &WhyFlags, printer: Printer) -> Result<Exit, Problem>
where
    S: System<Tables: Send + Sync, Operation: Send + Sync>,
{
    let (file, plan) = files::plan::<S>(&flags.plan)?;
    if plan.fork.is_some() {
        return Err(Problem::usage(format!(
            "{}: found a `fork`, expected a plan without one: `why` makes its own",
            file.display()
        )));
    }
    let wanted = flags.which.wanted(plan.found.as_ref());
    let question = Question {
        moments: flags.moments,
        samples: flags.samples,
    };
    let interrupt = Interrupt::listen()?;
    let going = |done: usize, all: usize| {
        printer.overwrite(&format!("  asking  {done} of {all} runs"));
        !interrupt.pressed()
    };
    let curve = {
        let entered = || interrupt.ends_this_process();
        why::ask(
            &plan,
            &wanted,
            question,
            terms(flags.jobs),
            &going,
            &entered,
        )
    };
    printer.overwrite("");
    let Some(curve) = curve.map_err(|refusal| refused(&file, &refusal))? else {
        printer.warn("interrupted: nothing can be said yet");
        return Ok(Exit::Interrupted);
    };
    match flags.format {
        Format::Human => printer.data(&curve::human(printer, &curve))?,
        Format::Markdown => printer.data(&curve::markdown(&curve))?,
        Format::Json => printer.data(&curve::json(&curve))?,
    }
    Ok(Exit::Pass)
}
