//! What was typed: every command with its flags, as data.
//!
//! **Invariant**: a flag chooses a file, a seed, a budget, an address or a format; what a scenario does stands in its file alone.
//! What the words of a flag mean is in [`value`]; what a command does with them is the command's.

pub mod shard;
pub mod value;
pub mod search;
pub mod finding;
pub mod replay;
pub mod capture;
pub mod parity;
pub mod service;

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use self::{
    capture::{ImportFlags, InspectFlags},
    finding::{PromoteFlags, ShowFlags, ShrinkFlags, WhyFlags},
    parity::ParityFlags,
    replay::{RecordFlags, ReplayFlags},
    search::{EnumerateFlags, ExploreFlags, MergeFlags, ScoreboardFlags, VerifyFlags},
    service::{LegacyFlags, ProviderFlags, ServeFlags},
    value::{EngineName, Format, Seeds},
};
use crate::exit;

/// Rehearse every failure and every migration before production does.
#[derive(Debug, Parser)]
#[command(name = "rehearsal", version, after_help = exit::HELP, max_term_width = 100, disable_help_subcommand = true)]
pub struct Flags {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulate scenarios under faults and judge each run
    Run(RunFlags),
    /// Print what a seed makes of a scenario: every operation and fault with its time
    Plan(PlanFlags),
    /// Search the seeds of scenarios for findings, one process a seed
    Explore(ExploreFlags),
    /// Join the explorations of all shards into one
    Merge(MergeFlags),
    /// Run each seed in two processes that differ in all that must not matter, and compare
    Verify(VerifyFlags),
    /// The far side of a pair of `verify`, which starts it
    #[command(hide = true)]
    VerifySide,
    /// Cut the power at every operation of a flow's disks, and judge what comes back
    Enumerate(EnumerateFlags),
    /// Measure the harness: hunt every planted defect, and watch the clean service for false alarms
    Scoreboard(ScoreboardFlags),
    /// Make a failing plan as small as it can be while it fails in the same way
    Shrink(ShrinkFlags),
    /// Tell what happened in a run, in plain words
    Show(ShowFlags),
    /// Find the moment at which a failure became likely
    Why(WhyFlags),
    /// Turn a finding into a plan that every test run repeats
    Promote(PromoteFlags),
    /// Replay a capture against legacy and candidate, and judge whether they are alike
    Replay(ReplayFlags),
    /// Record an hour of the legacy model's traffic, in simulation, as a capture
    Record(RecordFlags),
    /// Convert captures of any format into one of our own; mask and filter it
    Import(ImportFlags),
    /// Say what is in a capture
    Inspect(InspectFlags),
    /// Compare the rows of two stores under the rules of a replay
    Parity(ParityFlags),
    /// Aggregate the figures of a session and a replay into one file
    Metrics(MetricsFlags),
    /// Serve the appointment service for real
    Serve(ServeFlags),
    /// Serve the mock provider for real
    Provider(ProviderFlags),
    /// Serve the legacy model for real, with its defects
    Legacy(LegacyFlags),
    /// Print a completion script for a shell
    Completions(CompletionsFlags),
}

/// `rehearsal run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rehearsal run scenarios/
  rehearsal run scenarios/flaky_provider.toml --seeds 0..100
  rehearsal run scenarios/ --engine turmoil --format json")]
pub struct RunFlags {
    /// Scenarios, plans, or folders; of a folder, every scenario and plan directly in it, by name, but
    /// swarms, which `explore` searches
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The seed of every scenario; a plan keeps its own
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Run every scenario with each seed from A up to, but not including, B
    #[arg(long, conflicts_with = "seed", value_name = "A..B")]
    pub seeds: Option<Seeds>,
    /// What drives the hosts and carries their bytes
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineName,
    /// Runs at once, each in a process of its own [default: one a processor]
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where `results_post.json` and traces are written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
    /// Also write each run's trace, as <scenario>-<seed>.trace.jsonl
    #[arg(long)]
    pub trace: bool,
}

/// `rehearsal plan`.
#[derive(Debug, Args)]
#[command(
    after_help = "The plan can be edited and run: rehearsal plan X.toml --seed 7 > plan.toml; rehearsal run plan.toml"
)]
pub struct PlanFlags {
    /// A scenario
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,
    /// The seed to draw it with
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
}

/// `rehearsal metrics`.
#[derive(Debug, Args)]
pub struct MetricsFlags {
    /// The results of `rehearsal run`
    #[arg(long, default_value = "results/results_post.json", value_name = "FILE")]
    pub results: PathBuf,
    /// The result of `rehearsal replay`, if it is to be among the figures
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Where `metrics.json` is written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
}

/// `rehearsal completions`.
#[derive(Debug, Args)]
pub struct CompletionsFlags {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Flags::command().debug_assert();
    }
}
