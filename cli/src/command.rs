//! The commands, one a file, and how one is chosen.
//!
//! **Invariant**: a command ends in an exit code or a problem; nothing else is known of it here.

mod run;
mod plan;
mod explore;
mod merge;
mod verify;
pub(crate) mod enumerate;
mod scoreboard;
mod shrink;
mod show;
mod why;
mod promote;
mod replay;
mod record;
mod import;
mod inspect;
mod parity;
mod metrics;
mod real;
mod serve;
mod provider;
mod legacy;
mod completions;

use std::io::{self, IsTerminal};

use clap::Parser;
use rehearsal_sim::appointments::Appointments;
use tracing_subscriber::EnvFilter;

use crate::{
    exit::Exit,
    flags::{Command, Flags},
    printer::Printer,
    problem::Problem,
};

/// Reads what was typed, does it, and says how it ended.
pub fn start() -> Exit {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => {
            // clap knows which stream its text belongs to; that nobody listens changes nothing.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Pass
            };
        }
    };
    let printer = Printer::from_environment();
    trace(printer);
    dispatch(flags, printer).unwrap_or_else(|problem| {
        printer.problem(&problem);
        problem.exit
    })
}

fn dispatch(flags: Flags, printer: Printer) -> Result<Exit, Problem> {
    match flags.command {
        Command::Run(flags) => run::run::<Appointments>(&flags, printer),
        Command::Plan(flags) => plan::plan::<Appointments>(&flags, printer),
        Command::Explore(flags) => explore::explore::<Appointments>(&flags, printer),
        Command::Merge(flags) => merge::merge(&flags, printer),
        Command::Verify(flags) => verify::verify::<Appointments>(&flags, printer),
        Command::VerifySide => verify::side::<Appointments>(),
        Command::Enumerate(flags) => enumerate::enumerate::<Appointments>(&flags, printer),
        Command::Scoreboard(flags) => scoreboard::scoreboard::<Appointments>(&flags, printer),
        Command::Shrink(flags) => shrink::shrink::<Appointments>(&flags, printer),
        Command::Show(flags) => show::show::<Appointments>(&flags, printer),
        Command::Why(flags) => why::why::<Appointments>(&flags, printer),
        Command::Promote(flags) => promote::promote::<Appointments>(&flags, printer),
        Command::Replay(flags) => replay::replay(&flags, printer),
        Command::Record(flags) => record::record(&flags, printer),
        Command::Import(flags) => import::import(&flags, printer),
        Command::Inspect(flags) => inspect::inspect(&flags, printer),
        Command::Parity(flags) => parity::parity(&flags, printer),
        Command::Metrics(flags) => metrics::metrics(&flags, printer),
        Command::Serve(flags) => serve::serve(flags, printer),
        Command::Provider(flags) => provider::provider(&flags, printer),
        Command::Legacy(flags) => legacy::legacy(flags, printer),
        Command::Completions(flags) => completions::completions(&flags, printer),
    }
}

/// Lets `RUST_LOG` show what libraries say, on stderr. Without it nothing is set up, and nothing is slower.
fn trace(printer: Printer) {
    let Ok(filter) = EnvFilter::try_from_default_env() else {
        return;
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(printer.colors_talk() && io::stderr().is_terminal())
        .init();
}
