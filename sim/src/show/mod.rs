//! Showing: the story of a run, as data.
//!
//! A story is a chronology in words, folded where nothing depends on it: the moments around each violation are told in full, and so is
//! whatever concerns the same request. What the system's events mean, the system says ([`System::tell`]).
//!
//! **Invariant**: every entry of the trace is in the story, told or counted in a fold. It judges nothing and prints nothing.

mod fold;
mod read;
mod setup;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    finding::Fingerprint,
    plan::Plan,
    system::System,
    trace::{Entry, Event, Phase, Trace},
    verdict::{self, Record, Verdict},
};

pub use read::{NotATrace, read};
pub use setup::fault as fault_in_words;

/// The format's name and major version, as JSON.
pub const FORMAT: &str = "rehearsal.story/1";

/// What an event of the system means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// A sentence, without personal data.
    pub what: String,
    /// A few words for many events of this kind, for folds: `bookings made`.
    pub kind: &'static str,
    /// The requests and the like that it concerns, by every name that a message may use.
    pub about: Vec<String>,
    /// The host that it is said or sent to, if there is one.
    pub to: Option<String>,
}

/// How much is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// So many entries before and after each violation are told in full.
    pub around: usize,
    /// Everything is told in full.
    pub all: bool,
    /// Only what concerns this request is told, and what happened to the world.
    pub request: Option<String>,
}

/// A run, in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    /// [`FORMAT`].
    pub format: &'static str,
    /// What the run came to; absent when only a trace is known, and it broke nothing.
    pub verdict: Option<Verdict>,
    /// What was set up, a sentence each.
    pub setup: Vec<String>,
    /// What is wrong, in the order of the oracles.
    pub violations: Vec<Broken>,
    /// What happened, in order.
    pub chronology: Vec<Line>,
    /// How many entries the trace has.
    pub entries: usize,
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The oracle, or `slo.NAME` or `expect.NAME`.
    pub oracle: String,
    /// See [`Fingerprint`].
    pub fingerprint: Fingerprint,
    /// What has to hold.
    pub property: String,
    /// What happened instead.
    pub message: String,
    /// When, in microseconds of virtual time; absent for what is judged over the whole run.
    pub at_us: Option<u64>,
    /// How many more violations of this kind there are.
    pub more: u64,
}

/// A piece of the chronology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// One entry.
    Entry {
        /// Its position in the trace.
        ordinal: u64,
        /// When, in microseconds of virtual time.
        at_us: u64,
        /// Where.
        host: String,
        /// What.
        what: String,
        /// The host it is said or sent to.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// What it is to the story.
        weight: Weight,
    },
    /// A violation, where it happened: its position in [`Story::violations`].
    Violation(usize),
    /// Entries that are not told.
    Fold {
        /// The first one's time.
        from_us: u64,
        /// The last one's.
        to_us: u64,
        /// How many.
        entries: usize,
        /// Of which kinds, the most frequent first.
        kinds: Vec<(String, u64)>,
    },
}

/// What an entry is to the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It happened.
    Plain,
    /// It happened to the world: a fault, a death, a phase.
    World,
    /// It concerns the request of a violation, or the one that was asked for.
    Concerned,
}

/// The story of a run. Without a plan, what was planned is told from the trace alone; without a record, the oracles judge the trace.
pub fn story<S: System>(
    plan: Option<&Plan<S>>,
    record: Option<&Record>,
    trace: &Trace<S::Event>,
    telling: &Telling,
) -> Story {
    let violations = match record {
        Some(record) => broken::<S>(record),
        None => broken_in::<S>(&verdict::oracles::<S>(trace)),
    };
    let verdict = match record {
        Some(record) => Some(record.verdict),
        None => (!violations.is_empty()).then_some(Verdict::Fail),
    };
    let told = S::tell(trace);
    Story {
        format: FORMAT,
        verdict,
        setup: plan.map(setup::of).unwrap_or_default(),
        chronology: fold::chronology(
            trace,
            &told,
            plan.map(|plan| &plan.faults[..]),
            &violations,
            telling,
        ),
        violations,
        entries: trace.entries.len(),
    }
}

fn broken<S: System>(record: &Record) -> Vec<Broken> {
    let mut all = broken_in::<S>(&record.oracles);
    for (table, conditions) in [("slo", &record.slo), ("expect", &record.expect)] {
        for one in conditions {
            if one.verdict == Verdict::Fail {
                let oracle = format!("{table}.{}", one.name);
                let actual = one.actual.unwrap_or(f64::NAN);
                let message = format!("{} is {actual}, wanted {}", one.name, one.target);
                all.push(Broken {
                    fingerprint: Fingerprint::of(&oracle, &message),
                    property: format!("{} is {}", one.name, one.target),
                    oracle,
                    message,
                    at_us: None,
                    more: 0,
                });
            }
        }
    }
    all
}

fn broken_in<S: System>(oracles: &[verdict::OracleRecord]) -> Vec<Broken> {
    let registered = S::oracles();
    let mut all: Vec<Broken> = Vec::new();
    for oracle in oracles {
        let property = registered
            .iter()
            .find(|one| one.name == oracle.name)
            .map_or_else(
                || own_property(&oracle.name).to_owned(),
                |one| one.property.to_owned(),
            );
        for violation in &oracle.violations {
            let fingerprint = Fingerprint::of(&oracle.name, &violation.message);
            match all.iter_mut().find(|one| one.fingerprint == fingerprint) {
                Some(known) => known.more += 1,
                None => all.push(Broken {
                    oracle: oracle.name.clone(),
                    fingerprint,
                    property: property.clone(),
                    message: violation.message.clone(),
                    at_us: Some(violation.at_us),
                    more: 0,
                }),
            }
        }
    }
    all
}

/// The harness's own properties.
fn own_property(oracle: &str) -> &'static str {
    match oracle {
        "convergence" => {
            "once everything is healed, the system has nothing left to do within its bound"
        }
        "no_panic" => "no task of any host panics",
        "run_ends" => "the run comes to its end",
        _ => "the property of this name holds",
    }
}

/// An entry in words, and a few for many of its kind.
pub(crate) fn words<E: Serialize>(
    entry: &Entry<E>,
    told: &BTreeMap<u64, Told>,
    faults: Option<&[crate::fault::Fault]>,
) -> (String, String) {
    let planned = |number: usize| faults.and_then(|faults| faults.get(number));
    match &entry.event {
        Event::System(event) => match told.get(&entry.ordinal) {
            Some(told) => (told.what.clone(), told.kind.to_owned()),
            None => (shortened(event), "other events".to_owned()),
        },
        Event::Phase(phase) => (phase_in_words(*phase).to_owned(), "phases".to_owned()),
        Event::Booted if entry.boot == 1 => ("starts".to_owned(), "hosts started".to_owned()),
        Event::Booted => (
            format!("is up again (boot {})", entry.boot),
            "hosts started".to_owned(),
        ),
        Event::Died => ("dies".to_owned(), "hosts died".to_owned()),
        Event::FaultStarted { fault } => {
            let what = planned(*fault).map(|fault| format!(": {}", setup::fault(fault)));
            let what = what.unwrap_or_default();
            (
                format!("fault {fault} begins{what}"),
                "faults begun".to_owned(),
            )
        }
        Event::FaultEnded { fault, effect } => {
            let did: Vec<String> = effect
                .iter()
                .filter(|(_, count)| **count > 0)
                .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
                .collect();
            let did = if did.is_empty() {
                "it did nothing".to_owned()
            } else {
                did.join(", ")
            };
            (
                format!("fault {fault} ends: {did}"),
                "faults ended".to_owned(),
            )
        }
        Event::Standing(standing) => (
            format!("at the end it has {}", shortened(standing)),
            "final counts".to_owned(),
        ),
        Event::Network(_) => (
            "the network is not the default one".to_owned(),
            "settings".to_owned(),
        ),
        Event::NotConverged => (
            "the bound is reached and the system still has work open".to_owned(),
            "bounds reached".to_owned(),
        ),
    }
}

fn phase_in_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Safety => "operations and faults begin",
        Phase::Converge => "everything is healed; now the system has to become quiet",
        Phase::Observe => "clients take a last look",
        Phase::End => "the end; the final state was written down",
    }
}

/// Longest text of an event that has no words.
const SHORT: usize = 160;

fn shortened<E: Serialize>(event: &E) -> String {
    let mut text = serde_json::to_string(event).expect("an event is plain data");
    if let Some((cut, _)) = text.char_indices().nth(SHORT) {
        text.truncate(cut);
        text.push_str("...");
    }
    text
}
