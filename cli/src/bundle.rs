//! A finding's folder: the plan that shows it, the trace of that run, and what there is to know of it, `rehearsal.finding/1`.
//!
//! **Invariant**: the plan alone shows the finding again, with `rehearsal run`, wherever the folder is moved to; the rest is for people and
//! for whoever sorts findings.

use std::{fs, path::Path};

use rehearsal_sim::{engine::Engine, explore::Found, plan::Plan, system::System};
use serde::{Deserialize, Serialize};

use crate::{artifact::Artifacts, problem::Problem, render::quoted};

/// The format's name and major version on disk.
pub const FORMAT: &str = "rehearsal.finding/1";
/// The folder of all findings, below what `--out` names.
pub const FOLDER: &str = "findings";
/// The resolved plan, to run.
pub const PLAN: &str = "plan.toml";
/// The trace; absent when the run panicked, for it then has none.
pub const TRACE: &str = "trace.jsonl";
/// What is known of the finding.
pub const FINDING: &str = "finding.json";

/// `finding.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// [`FORMAT`].
    pub format: String,
    /// The oracle, or `slo.NAME` or `expect.NAME`.
    pub oracle: String,
    /// The kind of violation.
    pub fingerprint: String,
    /// What the first run that showed it said.
    pub message: String,
    /// When it happened there, in microseconds of virtual time.
    pub at_us: u64,
    /// That run's scenario.
    pub scenario: String,
    /// That run's seed.
    pub seed: u64,
    /// That run's digest; empty when it panicked.
    pub digest: String,
    /// How many runs of the exploration showed it.
    pub runs: u64,
    /// The command that shows it again.
    pub reproduce: String,
    /// The command that shows it again from the scenario.
    pub from_scenario: String,
    /// Where it was found.
    pub environment: Environment,
}

/// What a result may depend on, to be compared when a finding does not show again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The version.
    pub version: String,
    /// The git revision, if the build was given one as `REHEARSAL_REVISION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Processor and operating system.
    pub target: String,
    /// `debug` or `release`.
    pub build: String,
    /// The engine.
    pub engine: String,
    /// The kernel's release, where the operating system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

impl Environment {
    /// This process's.
    pub fn here(engine: Engine) -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: option_env!("REHEARSAL_REVISION").map(str::to_owned),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .to_owned(),
            engine: engine.name().to_owned(),
            kernel: kernel.map(|text| text.trim().to_owned()),
        }
    }
}

/// The name of a finding's folder, below [`FOLDER`].
pub fn name(found: &Found) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let oracle: String = found.oracle.chars().map(plain).collect();
    format!("{oracle}-{}", found.fingerprint)
}

/// Writes a finding's folder below `out`, or brings its count up to date when `plan` is absent. Returns its path from `out`.
///
/// # Errors
/// When the disk does not take it.
pub fn write<S: System>(
    out: &Path,
    found: &Found,
    scenario_file: &Path,
    engine: Engine,
    run: Option<(&Plan<S>, Option<&str>)>,
) -> Result<String, Problem> {
    let place = format!("{FOLDER}/{}", name(found));
    let folder = out.join(&place);
    let artifacts = Artifacts::new(&folder)?;
    if let Some((plan, trace)) = run {
        artifacts.write(PLAN, plan.to_toml().as_bytes())?;
        if let Some(trace) = trace {
            artifacts.write(TRACE, trace.as_bytes())?;
        }
    }
    let command = |path: &Path, seed: &str| {
        let path = quoted(&path.to_string_lossy());
        let engine = if engine == Engine::default() {
            String::new()
        } else {
            format!(" --engine {}", engine.name())
        };
        format!("rehearsal run {path}{seed}{engine}")
    };
    let description = Description {
        format: FORMAT.to_owned(),
        oracle: found.oracle.clone(),
        fingerprint: found.fingerprint.to_string(),
        message: found.message.clone(),
        at_us: found.at_us,
        scenario: found.first.scenario.clone(),
        seed: found.first.seed,
        digest: found.digest.clone(),
        runs: found.runs,
        reproduce: command(&folder.join(PLAN), ""),
        from_scenario: command(scenario_file, &format!(" --seed {}", found.first.seed)),
        environment: Environment::here(engine),
    };
    let mut text = serde_json::to_string_pretty(&description).expect("it is plain data");
    text.push('\n');
    artifacts.write(FINDING, text.as_bytes())?;
    Ok(place)
}
