//! The flags of the commands that work on a finding: `shrink`, `show`, `why`, `promote`.
//!
//! **Invariant**: each takes a plan, or the folder that `rehearsal explore` wrote for a finding; which finding of it is meant is said by
//! oracle and fingerprint, the same two everywhere.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::Args;
use rehearsal_sim::shrink::Wanted;

use super::value::{self, Format};

/// Which finding of a run.
#[derive(Debug, Args)]
pub struct WhichFinding {
    /// The oracle that must keep failing, or slo.NAME or expect.NAME [default: the plan's own finding, or else its run's first one]
    #[arg(long, value_name = "NAME")]
    pub oracle: Option<String>,
    /// The kind of violation, as `run`, `explore` and `shrink` print it
    #[arg(long, value_name = "F")]
    pub fingerprint: Option<String>,
}

impl WhichFinding {
    /// What is wanted; `found` is the plan's own, which counts when nothing was said.
    pub fn wanted(&self, found: Option<&rehearsal_sim::finding::Found>) -> Wanted {
        let said = Wanted {
            oracle: self.oracle.clone(),
            fingerprint: self.fingerprint.clone(),
        };
        match found {
            Some(found) if said == Wanted::default() => Wanted {
                oracle: Some(found.oracle.clone()),
                fingerprint: Some(found.fingerprint.to_string()),
            },
            _ => said,
        }
    }
}

/// `rehearsal shrink`.
#[derive(Debug, Args)]
#[command(after_help = "\
The seed stays; operations and faults are removed, and what is left is made simpler, as long as the
run still fails by the same oracle and in the same way. After Ctrl-C, or when the time is over, the
smallest plan so far is written. A plan that does not fail ends with 3, one whose runs differ with
5.

Examples:
  rehearsal plan scenarios/swarm.toml --seed 212 > plan.toml; rehearsal shrink plan.toml
  rehearsal shrink results/findings/no_double_effect-1f3a --for 5m --out small.toml")]
pub struct ShrinkFlags {
    /// A plan that fails, or a finding's folder
    #[arg(value_name = "PLAN|BUNDLE")]
    pub plan: PathBuf,
    /// Which of its findings.
    #[command(flatten)]
    pub which: WhichFinding,
    /// Runs at once, each in a process of its own [default: one a processor]
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// At most so long, in real time
    #[arg(long = "for", default_value = "60s", value_parser = value::duration, value_name = "TIME")]
    pub within: Duration,
    /// The plan to write [default: results/<scenario>-<seed>.min.toml]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `rehearsal show`.
#[derive(Debug, Args)]
#[command(after_help = "\
A plan is run first; a trace is what `rehearsal run --trace` wrote. What lies far from a violation
is folded. With --format markdown and --request, the story comes with a sequence diagram. It ends
with 0 whatever the run came to: it tells, it does not judge.

Examples:
  rehearsal show results/swarm-212.min.toml
  rehearsal show results/happy_path-1.trace.jsonl --request r-7")]
pub struct ShowFlags {
    /// A plan, a trace, or a finding's folder
    #[arg(value_name = "PLAN|TRACE|BUNDLE")]
    pub path: PathBuf,
    /// So many entries before and after each violation are told in full
    #[arg(long, default_value_t = 12, value_name = "N")]
    pub around: usize,
    /// Tell every entry
    #[arg(long)]
    pub all: bool,
    /// Tell only what concerns this request, by its key or its appointment's id
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    pub request: Option<String>,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `rehearsal why`.
#[derive(Debug, Args)]
#[command(after_help = "\
For each of some moments t, the plan is run again with chance that is another one from t on:
latencies, entropy, the order of hosts that wake together. P(violation | t) is the share of those
runs that fail in the same way, with its exact 95 % interval. Half of the moments are spread over
what happened, half lie where P changes most.")]
pub struct WhyFlags {
    /// A plan that fails, or a finding's folder
    #[arg(value_name = "PLAN|BUNDLE")]
    pub plan: PathBuf,
    /// Which of its findings.
    #[command(flatten)]
    pub which: WhichFinding,
    /// How many moments
    #[arg(long, default_value = "20", value_name = "N")]
    pub moments: NonZeroUsize,
    /// How many runs for each moment
    #[arg(long, default_value = "20", value_name = "N")]
    pub samples: NonZeroUsize,
    /// Runs at once, each in a process of its own [default: one a processor]
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `rehearsal promote`.
#[derive(Debug, Args)]
#[command(after_help = "\
A regression is a plan that failed once and must never fail again: the bug is to be fixed first.
With --expect-fail a plan of a bug that is still there is kept as open: it has to fail with its
finding until the bug is fixed, and the tests then say that it no longer does.")]
pub struct PromoteFlags {
    /// A plan with a finding, as `shrink` writes it, or a finding's folder
    #[arg(value_name = "PLAN|BUNDLE")]
    pub plan: PathBuf,
    /// Its name below the folder [default: the oracle's and the scenario's]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The folder of regressions
    #[arg(long, default_value = "sim/regressions", value_name = "DIR")]
    pub into: PathBuf,
    /// Keep a plan that still fails, as open
    #[arg(long)]
    pub expect_fail: bool,
}
