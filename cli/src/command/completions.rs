//! `rehearsal completions`: what a shell needs to complete the command line.
//!
//! **Invariant**: it is made from the flags' own definition.

use clap::CommandFactory;

use crate::{
    exit::Exit,
    flags::{CompletionsFlags, Flags},
    printer::Printer,
    problem::Problem,
};

/// Prints the script.
///
/// # Errors
/// When stdout takes nothing.
pub(super) fn completions(flags: &CompletionsFlags, printer: Printer) -> Result<Exit, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Flags::command(), "rehearsal", &mut script);
    printer.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Pass)
}
