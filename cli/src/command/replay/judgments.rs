//! Which questions were put to a capture by a proven gate before: `judgments.jsonl` beside the results.
//!
//! Each look at a capture has its own 5 % of false passes, so who changes the rules, the plan or the candidate until the same capture passes has
//! proven nothing. A question that was put to a simulation is answered alike however often it is put, so its repetition is no other look; a
//! running service may have changed, so there every run is one. A run that was stopped, or found a target down, judged nothing.
//!
//! **Invariant**: the file is only ever added to. It guards against oversight and not against intent: it can be deleted.

use std::{fs, io::ErrorKind, path::Path};

use rehearsal_replay::verdict::{GateKind, Proof};
use sha2::{Digest, Sha256};

use super::Rendered;
use crate::{
    artifact::Artifacts,
    flags::{replay::ReplayFlags, value::Target},
    problem::Problem,
};

/// The file's name.
const FILE: &str = "judgments.jsonl";
/// What each line calls itself.
const FORMAT: &str = "rehearsal.judgments/1";

/// What a proof was asked of.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Judgment {
    format: String,
    /// The capture's SHA-256.
    capture: String,
    /// All that was typed and the answer depends on, beside the capture.
    question: Question,
    verdict: String,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Question {
    limit: f64,
    proof: String,
    /// The SHA-256 of the rule file's text.
    rules: String,
    legacy: String,
    candidate: String,
    secondary: Option<String>,
    defect: Option<String>,
    pace: String,
    seed: u64,
    #[serde(default)]
    settle_ms: u128,
    #[serde(default)]
    timeout_ms: u128,
    #[serde(default)]
    in_flight: usize,
    #[serde(default)]
    today: Option<String>,
}

/// The judgments so far, and the one that is being made; empty where no proof is asked for.
pub(super) struct Judgments {
    text: String,
    earlier: u64,
    made: Option<Judgment>,
}

/// What the proof rests on, as it was typed.
///
/// # Errors
/// A plan or a stream without a proven gate, and a plan that proves nothing.
pub(super) fn proof(flags: &ReplayFlags) -> Result<Proof, Problem> {
    let typed = match (flags.plan, flags.stream) {
        (None, false) => return Ok(Proof::Capture),
        (Some(_), _) => "--plan",
        (None, true) => "--stream",
    };
    if flags.gate != GateKind::Proven {
        let message = format!("{typed}: found with --gate point, expected --gate proven");
        return Err(
            Problem::usage(message).hint("the point rule is applied once, to all compared pairs")
        );
    }
    match flags.plan {
        Some(plan) => {
            let refused = |told| Problem::usage(format!("--plan: {told}"));
            plan.check(flags.limit).map_err(refused)?;
            Ok(Proof::Plan(plan))
        }
        None => Ok(Proof::Stream),
    }
}

impl Judgments {
    /// Reads what was asked of the capture with this digest; `rules` is the text of the rules.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub(super) fn read(flags: &ReplayFlags, capture: &str, rules: &str) -> Result<Self, Problem> {
        if flags.gate != GateKind::Proven {
            return Ok(Self {
                text: String::new(),
                earlier: 0,
                made: None,
            });
        }
        let text = text(&flags.out.join(FILE))?;
        let question = Question {
            limit: flags.limit,
            proof: match (flags.plan, flags.stream) {
                (Some(plan), _) => format!("plan {plan}"),
                (None, true) => "stream".to_owned(),
                (None, false) => "capture".to_owned(),
            },
            rules: digest(rules),
            legacy: flags.legacy.to_string(),
            candidate: flags.candidate.to_string(),
            secondary: flags.secondary.as_ref().map(ToString::to_string),
            defect: flags.candidate_defect.map(|defect| defect.to_string()),
            pace: flags.pace.to_string(),
            seed: flags.seed,
            settle_ms: flags.settle.as_millis(),
            timeout_ms: flags.live.timeout.as_millis(),
            in_flight: flags.live.in_flight.get(),
            today: flags.today.map(|day| day.to_string()),
        };
        let simulated = (&flags.legacy, &flags.candidate) == (&Target::Sim, &Target::Sim);
        let mut earlier = 0;
        for (at, line) in text.lines().enumerate() {
            let known: Judgment = serde_json::from_str(line).map_err(|error| {
                Problem::usage(format!(
                    "{}:{}: found no judgment: {error}, expected a line of {FORMAT}",
                    flags.out.join(FILE).display(),
                    at + 1
                ))
            })?;
            let again = simulated && known.question == question;
            earlier += u64::from(known.capture == capture && !again);
        }
        Ok(Self {
            text,
            earlier,
            made: Some(Judgment {
                format: FORMAT.to_owned(),
                capture: capture.to_owned(),
                question,
                verdict: String::new(),
            }),
        })
    }

    /// How many other questions were put to the capture.
    pub(super) fn earlier(&self) -> u64 {
        self.earlier
    }

    /// Adds this one, if it judged anything and is not there already.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn add(self, rendered: &Rendered, artifacts: &Artifacts) -> Result<(), Problem> {
        let Some(mut made) = self.made.filter(|_| rendered.judged) else {
            return Ok(());
        };
        made.verdict.clone_from(&rendered.verdict);
        let line = serde_json::to_string(&made).expect("a judgment is plain data");
        if self.text.lines().any(|known| known == line) {
            return Ok(());
        }
        let whole = format!("{}{line}\n", self.text);
        artifacts.write(FILE, whole.as_bytes()).map(|_| ())
    }
}

fn text(path: &Path) -> Result<String, Problem> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(String::new())
        }
        Err(error) => Err(Problem::unreadable(path, &error)),
    }
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
