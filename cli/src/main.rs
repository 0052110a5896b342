//! The one binary. All it does is to start the command line and return its exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    rehearsal::command::start().into()
}
