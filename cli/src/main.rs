//! The one binary. All it does is to start the command line and return its exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// A simulated run allocates much and briefly; this takes a tenth off its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rehearsal::command::start().into()
}
