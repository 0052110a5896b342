//! The one binary. All it does is to start the command line and return its exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// A simulated run allocates much and briefly.
#[global_allocator]
static ALLOCATOR: rehearsal_sim::interpose::Heap = rehearsal_sim::interpose::Heap;

fn main() -> ExitCode {
    rehearsal::command::start().into()
}
