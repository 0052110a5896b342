//! What was typed after the commands that search for findings: `explore`, `merge`, `verify`, `enumerate`, `scoreboard`.
//!
//! **Invariant**: a budget is a number of seeds, a time, or both; what is searched stands in the scenarios alone.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use rehearsal_sim::disk::Loss;

use super::{
    shard::ShardChoice,
    value::{self, EngineName, Format, SeedCount},
};
use crate::command::enumerate::loss;

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
