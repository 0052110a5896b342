//! What was typed after the commands that replay and record: `replay`, `record`.
//!
//! **Invariant**: what may differ stands in the rule file alone; a flag chooses sides, pace, gate and places.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::Args;
use rehearsal_replay::{
    plan::Pace,
    verdict::{FixedPlan, GateKind},
};
use rehearsal_sim::appointments::shadow::defect::Defect;

use super::{
    capture::ReadingFlags,
    value::{self, Format, Target},
};

/// `rehearsal replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rehearsal replay scenarios/captures/legacy-hour.jsonl.gz --legacy sim --candidate sim
  rehearsal replay hour.gor --legacy http://127.0.0.1:8081 --candidate http://127.0.0.1:8080 --rules rules.toml --allow-writes")]
pub struct ReplayFlags {
    /// The capture: a file of any format that is read, a folder of them, or - for stdin
    #[arg(value_name = "CAPTURE")]
    pub capture: PathBuf,
    /// How the capture is read
    #[command(flatten)]
    pub reading: ReadingFlags,
    /// Stop at the first record that cannot be read, instead of counting it
    #[arg(long)]
    pub strict: bool,
    /// What is replaced: `sim` for the legacy model in simulation, or the URL of a running service
    #[arg(long, value_name = "sim|URL")]
    pub legacy: Target,
    /// What replaces it: `sim` for the reference service in simulation, or the URL of a running service
    #[arg(long, value_name = "sim|URL")]
    pub candidate: Target,
    /// A second running instance of legacy, to tell how legacy differs from itself
    #[arg(long, value_parser = value::url, value_name = "URL")]
    pub secondary: Option<String>,
    /// Which differences are meant [default: with two simulated sides, the shipped legacy-to-v2 rules]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// The day that rules expire against [default: this machine's, in UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub today: Option<jiff::civil::Date>,
    /// How fast: recorded, 2x, 100/s or max
    #[arg(long, default_value = "recorded")]
    pub pace: Pace,
    /// What a pass needs: the observed rate below the limit, or its upper 95 % bound
    #[arg(long, default_value = "point", value_name = "point|proven")]
    pub gate: GateKind,
    /// The mismatch rate has to be below this
    #[arg(long, default_value = "0.1%", value_parser = rehearsal_replay::verdict::parse_share, value_name = "SHARE")]
    pub limit: f64,
    /// With --gate proven: the first N compared pairs decide, and at most C of them may differ
    #[arg(long, value_name = "N/C", conflicts_with = "stream")]
    pub plan: Option<FixedPlan>,
    /// With --gate proven: decide as soon as the evidence is enough, whatever the number of pairs
    #[arg(long)]
    pub stream: bool,
    /// Write a reproducer for each of the so many largest clusters of differences
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub reproduce: usize,
    /// Plant a difference in a simulated candidate, to see it found
    #[arg(long, value_parser = value::defect, value_name = "NAME")]
    pub candidate_defect: Option<Defect>,
    /// The seed of a simulated replay
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Let a running service be sent requests that may change it
    #[arg(long)]
    pub allow_writes: bool,
    /// How running services are spoken to
    #[command(flatten)]
    pub live: LiveFlags,
    /// After the last answer, wait this long before the final states are read
    #[arg(long, default_value = "30s", value_parser = value::duration, value_name = "TIME")]
    pub settle: Duration,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where `replay.json`, `replay.junit.xml`, `compare_report.md` and `reproducers/` are written
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
}

/// How running services are spoken to.
#[derive(Debug, Args)]
pub struct LiveFlags {
    /// A request has to be answered within this long
    #[arg(long, default_value = "30s", value_parser = value::some_time, value_name = "TIME")]
    pub timeout: Duration,
    /// At most so many requests at once on each side; more wait, and the report says so
    #[arg(long, default_value = "1024", value_name = "N")]
    pub in_flight: NonZeroUsize,
    /// Speak HTTP/2: at once on http://, if the service agrees on https://
    #[arg(long)]
    pub http2: bool,
    /// Trust the certificates in this PEM file instead of this machine's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Trust whoever answers: for test instances with certificates of their own making
    #[arg(long)]
    pub insecure: bool,
    /// Go on with the replay that was stopped or killed, from its journal in the results
    #[arg(long)]
    pub resume: bool,
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
