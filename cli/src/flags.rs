//! What was typed: every command with its flags, as data.
//!
//! **Invariant**: a flag chooses a file, a seed, a budget, an address or a format; what a scenario does stands in its file alone.
//! What the words of a flag mean is in [`value`]; what a command does with them is the command's.

pub mod shard;
pub mod value;
pub mod finding;

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use rehearsal_replay::{plan::Pace, verdict::GateKind};
use rehearsal_sim::{appointments::shadow::defect::Defect, disk::Loss};

use self::{
    finding::{PromoteFlags, ShowFlags, ShrinkFlags, WhyFlags},
    shard::ShardChoice,
    value::{
        EngineName, Format, ProviderAddress, ProviderMode, RoleName, SeedCount, Seeds, Target,
    },
};
use crate::{command::enumerate::loss, exit};

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
    /// Say what is in a capture
    Inspect(InspectFlags),
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

/// `rehearsal explore`.
#[derive(Debug, Args)]
#[command(after_help = "\
It ends at the first finding, after the last seed, when --for is over, or when
--until-coverage-stable is satisfied; Ctrl-C ends it in order. Each kind of finding, told apart by
oracle and fingerprint, gets a folder DIR/findings/ORACLE-FINGERPRINT with plan.toml (run it),
trace.jsonl and finding.json.

--shard auto reads, each with its own way to count:
  JOB_COMPLETION_INDEX                           Kubernetes indexed jobs, from 0; needs auto/N, as N is not told
  CI_NODE_INDEX, CI_NODE_TOTAL                   GitLab, from 1
  SLURM_ARRAY_TASK_ID, _COUNT, _MIN, _STEP       Slurm arrays
  BUILDKITE_PARALLEL_JOB, .._COUNT               Buildkite, from 0
  CIRCLE_NODE_INDEX, CIRCLE_NODE_TOTAL           CircleCI, from 0

Ends with 1 on a finding, 3 when too many runs were inconclusive or a required point was not hit, 4
when a run broke, 5 when a seed that was repeated in another process gave another result.

Examples:
  rehearsal explore scenarios/flaky_provider.toml --seeds 500
  rehearsal explore scenarios/ --for 10m --keep-going
  rehearsal explore scenarios/ --seeds 100000 --shard 3/16 --out results/3")]
pub struct ExploreFlags {
    /// Scenarios, or folders with scenarios directly in them
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<PathBuf>,
    /// How many seeds, from 0 on, or which: from A up to, but not including, B [default: 100; with --for or --until-coverage-stable, no end]
    #[arg(long, value_name = "N|A..B")]
    pub seeds: Option<SeedCount>,
    /// Start no run after this long
    #[arg(long = "for", value_parser = value::duration, value_name = "TIME")]
    pub time: Option<Duration>,
    /// Runs at once, each in a process of its own [default: one a processor]
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// Explore only every n-th seed, from the i-th on: i/n with i from 1, or auto, or auto/n, to ask the job system
    #[arg(long, default_value = "1/1", value_name = "i/n")]
    pub shard: ShardChoice,
    /// Go on after a finding
    #[arg(long)]
    pub keep_going: bool,
    /// End when K seeds in a row brought no new finding and hit no new point (and, with --require-points, every point was hit)
    #[arg(long, value_name = "K")]
    pub until_coverage_stable: Option<std::num::NonZeroU64>,
    /// Without a finding, end with 3 unless every reachability point was hit
    #[arg(long)]
    pub require_points: bool,
    /// Without a finding, end with 3 when a larger share of runs than this was inconclusive
    #[arg(long, default_value = "10%", value_parser = value::percent, value_name = "SHARE")]
    pub inconclusive_limit: f64,
    /// The share of seeds that are run a second time, in another process, to compare the results; 5% at least
    #[arg(long, default_value = "5%", value_parser = value::verify_share, value_name = "SHARE")]
    pub verify_share: f64,
    /// What drives the hosts and carries their bytes: pipes or turmoil
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineName,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where `explore.json` and the findings' folders are written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
}

/// `rehearsal merge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every shard has to be there once, and all have to be of the same version, scenarios and seeds.

Example:
  rehearsal merge results/*/explore.json --out results")]
pub struct MergeFlags {
    /// The `explore.json` of every shard
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where the joined `explore.json` and the findings' folders are written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
}

/// `rehearsal enumerate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each flow runs once without a cut, to learn its operations; then once for each operation and loss
model, with the power cut in the middle of it. A violation is saved as a plan that `rehearsal run`
reproduces.

Examples:
  rehearsal enumerate scenarios/enumerate/
  rehearsal enumerate scenarios/enumerate/happy_path.toml --loss all --stride 10")]
pub struct EnumerateFlags {
    /// Scenarios, plans, or folders; small ones: each operation of their disks is a run
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The seed of every scenario; a plan keeps its own
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// What is lost with the power: none, prefix, `torn_4096`, `torn_512`, subset or all; once for each
    #[arg(long = "loss", value_parser = loss, default_values = ["all", "subset", "torn_512"], value_name = "MODEL")]
    pub losses: Vec<Loss>,
    /// Take every N-th point only
    #[arg(long, default_value = "1", value_name = "N")]
    pub stride: NonZeroUsize,
    /// Runs at once, each in a process of its own [default: one a processor]
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where `enumerate.json` and the plans of violations are written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
}

/// `rehearsal verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
One process of a pair keeps its addresses and has few variables, one run at a time and a fresh
parent. The other one draws its addresses and has a used heap, a large and strange environment,
another working directory, several runs at once, a parent that has planned before, and other clocks,
entropy and hash keys until its runs begin. A pair agrees when all that its runs send back is the
same, byte for byte.

It stops at the first difference, and says where the traces part and what leaked, by further pairs
that differ in one thing each. A run that takes time, entropy, a thread or a directory past the
simulator is ended and named, too. It does not judge runs: `run` does.

Ends with 5 on a difference, 3 when every run broke off.

Examples:
  rehearsal verify scenarios/flaky_provider.toml --seeds 100
  rehearsal verify scenarios/ --seeds 0..1000 --jobs 4")]
pub struct VerifyFlags {
    /// Scenarios, plans, or folders; of a folder, every scenario and plan directly in it, by name
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How many seeds of each scenario, from 0 on, or those from A up to, but not including, B; a plan keeps its own
    #[arg(long, default_value = "20", value_name = "N|A..B")]
    pub seeds: SeedCount,
    /// Runs at once, each in a process of its own; half of them are plain processes' [default: one a processor]
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where `verify.json` is written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
}

/// `rehearsal scoreboard`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each defect is hunted several times, over other seeds each time. It counts as found when every hunt
finds it within the budget. The command passes when every defect is found and the clean service
raises no alarm.

Examples:
  rehearsal scoreboard --short
  rehearsal scoreboard --only stale-settle-accepted --clean-seeds 0
  rehearsal scoreboard --clean-seeds 10000 --jobs 8")]
pub struct ScoreboardFlags {
    /// Fewer hunts and fewer clean seeds, for CI
    #[arg(long)]
    pub short: bool,
    /// Hunt only this defect; may be repeated
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Most seeds of one hunt [default: 500]
    #[arg(long, value_name = "N")]
    pub budget: Option<NonZeroU32>,
    /// Hunts of each defect [default: 20, or 3 with --short]
    #[arg(long, value_name = "N")]
    pub hunts: Option<NonZeroU32>,
    /// Seeds of the clean service [default: 1000, or 100 with --short]
    #[arg(long, value_name = "N")]
    pub clean_seeds: Option<u32>,
    /// The folder of the hunting scenarios
    #[arg(long, default_value = "scenarios/scoreboard", value_name = "DIR")]
    pub scenarios: PathBuf,
    /// Hunt every defect in this one scenario
    #[arg(long, conflicts_with = "scenarios", value_name = "SCENARIO")]
    pub scenario: Option<PathBuf>,
    /// Runs at once, each in a process of its own [default: one a processor]
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where `scoreboard.json` and `scoreboard.md` are written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
}

/// `rehearsal replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rehearsal replay scenarios/captures/legacy-hour.jsonl.gz --legacy sim --candidate sim
  rehearsal replay hour.gor --legacy http://127.0.0.1:8081 --candidate http://127.0.0.1:8080 --rules rules.toml --allow-writes")]
pub struct ReplayFlags {
    /// The capture: our own JSON lines or GoReplay's .gor, gzip or not
    #[arg(value_name = "CAPTURE")]
    pub capture: PathBuf,
    /// What is replaced: `sim` for the legacy model in simulation, or the URL of a running service
    #[arg(long, value_name = "sim|URL")]
    pub legacy: Target,
    /// What replaces it: `sim` for the reference service in simulation, or the URL of a running service
    #[arg(long, value_name = "sim|URL")]
    pub candidate: Target,
    /// Which differences are meant [default: with two simulated sides, the shipped legacy-to-v2 rules]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// How fast: recorded, 2x, 100/s or max
    #[arg(long, default_value = "recorded")]
    pub pace: Pace,
    /// What a pass needs: the observed rate below the limit, or its upper 95 % bound
    #[arg(long, default_value = "point", value_name = "point|proven")]
    pub gate: GateKind,
    /// The mismatch rate has to be below this
    #[arg(long, default_value = "0.1%", value_parser = rehearsal_replay::verdict::parse_share, value_name = "SHARE")]
    pub limit: f64,
    /// Plant a difference in a simulated candidate, to see it found
    #[arg(long, value_parser = value::defect, value_name = "NAME")]
    pub candidate_defect: Option<Defect>,
    /// The seed of a simulated replay
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Let a running service be sent requests that may change it
    #[arg(long)]
    pub allow_writes: bool,
    /// After the last answer, wait this long before the final states are read
    #[arg(long, default_value = "30s", value_parser = value::duration, value_name = "TIME")]
    pub settle: Duration,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where `replay.json` and `compare_report.md` are written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
}

/// `rehearsal record`.
#[derive(Debug, Args)]
pub struct RecordFlags {
    /// The seed of the traffic
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// The capture to write; gzip if its name ends in .gz
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `rehearsal inspect`.
#[derive(Debug, Args)]
pub struct InspectFlags {
    /// The capture
    #[arg(value_name = "CAPTURE")]
    pub capture: PathBuf,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
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

/// `rehearsal serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Logs are lines of JSON on stderr. SIGTERM or Ctrl-C drains: what has begun is finished, then it exits with 0."
)]
pub struct ServeFlags {
    /// What this process does
    #[arg(long, value_enum, default_value_t)]
    pub role: RoleName,
    /// Where it listens; without authentication, on loopback only
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// The SQLite file, made where it is missing
    #[arg(long, default_value = "rehearsal.db", value_name = "PATH")]
    pub database: PathBuf,
    /// A provider and its base address, such as acme=http://127.0.0.1:9090; once for each
    #[arg(long = "provider", required = true, value_name = "NAME=URL")]
    pub providers: Vec<ProviderAddress>,
}

/// `rehearsal provider`.
#[derive(Debug, Args)]
#[command(
    after_help = "What it does to each call is a line of JSON on stderr. It keeps its bookings in memory."
)]
pub struct ProviderFlags {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// What is wrong with it as a whole
    #[arg(long, value_enum, default_value_t)]
    pub mode: ProviderMode,
    /// How long each answer takes
    #[arg(long, default_value = "0ms", value_parser = value::duration, value_name = "TIME")]
    pub delay: Duration,
    /// The share of calls that are answered with an error and have no effect
    #[arg(long, default_value = "0", value_parser = value::rate, value_name = "RATE")]
    pub error_rate: f64,
    /// The status of those errors
    #[arg(long, default_value_t = 503, value_parser = clap::value_parser!(u16).range(400..=599), value_name = "STATUS")]
    pub error_status: u16,
    /// The share of calls that are neither processed nor answered
    #[arg(long, default_value = "0", value_parser = value::rate, value_name = "RATE")]
    pub hang_rate: f64,
    /// The seed of its chances
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
}

/// `rehearsal legacy`.
#[derive(Debug, Args)]
#[command(
    after_help = "Its log, on stderr, is free text with names in it: that is one of the defects."
)]
pub struct LegacyFlags {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// A provider and its base address, such as acme=http://127.0.0.1:9090; once for each
    #[arg(long = "provider", required = true, value_name = "NAME=URL")]
    pub providers: Vec<ProviderAddress>,
    /// How long it waits for a provider inside a request
    #[arg(long, default_value = "30s", value_parser = value::duration, value_name = "TIME")]
    pub timeout: Duration,
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
