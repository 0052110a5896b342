//! Enumerate: one flow again and again, with the power cut at each operation of its disks in turn.
//!
//! The flow runs once without a cut while the disks keep a journal; each entry of it is a [`Point`]. A run with a cut is the same run up to that
//! operation, so the point means the same in it: the operation fails, the machine is gone at once, and what it had not synced meets the loss
//! model. It comes back, reconciles, and is judged by every oracle.
//!
//! **Invariant**: a cut's plan is a plan like any other: saved, it runs again by itself. Nothing here starts a process.

mod report;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    chance::Chance,
    disk::{Loss, Operation},
    engine::Engine,
    fault::{Fault, Kind, OnDisk},
    plan::Plan,
    run::{self, RunError},
    system::{Storage, System},
    verdict::{self, Record, Verdict},
};

pub use report::{Cut, FORMAT, Flow, Found, Report, Tally, Timing};

/// How long a machine is without power.
const DOWN_MS: u64 = 200;

/// What a flow does when nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// What it came to, by its own promises too.
    pub record: Record,
    /// Each disk's operations that changed it, in order, by host.
    pub disks: BTreeMap<String, Vec<Operation>>,
}

/// A place where the power can be cut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point {
    /// The host.
    pub host: String,
    /// The index of the operation among those that change the host's disk, from 0.
    pub index: u64,
    /// What it is.
    pub operation: Operation,
}

/// What a child process does to survey the flow of `plan`; [`read_survey`] reads what it returns.
pub fn survey<S: System>(plan: &Plan<S>) -> Vec<u8> {
    let disk = run::enter(plan.seed);
    disk.keep_journals();
    let ran = run::simulate(plan, Engine::Pipes, Storage::Simulated(disk.clone()));
    let survey = ran
        .map(|trace| Survey {
            record: verdict::judge(plan, &trace),
            disks: disk
                .hosts()
                .into_iter()
                .map(|host| (host.clone(), disk.journal(&host)))
                .collect(),
        })
        .map_err(|error| RunError::Engine(error.to_string()));
    serde_json::to_vec(&survey).expect("a survey is plain data")
}

/// Reads what [`survey`] wrote.
///
/// # Errors
/// [`RunError`], the child's own included.
pub fn read_survey(bytes: &[u8]) -> Result<Survey, RunError> {
    serde_json::from_slice::<Result<Survey, RunError>>(bytes)
        .map_err(|error| RunError::Process(error.to_string()))?
}

impl Survey {
    /// Every place where the power can be cut, host by host, in order.
    pub fn points(&self) -> Vec<Point> {
        let of = |(host, journal): (&String, &Vec<Operation>)| {
            let host = host.clone();
            let point = move |(index, operation): (u64, &Operation)| Point {
                host: host.clone(),
                index,
                operation: *operation,
            };
            (0..).zip(journal).map(point).collect::<Vec<_>>()
        };
        self.disks.iter().flat_map(of).collect()
    }
}

/// The plan of the same flow with the power cut at `point`. What the flow promises its clients is left out: one whose machine goes may be
/// refused. What an oracle says holds with and without power.
pub fn cut<S: System>(plan: &Plan<S>, point: &Point, loss: Loss) -> Plan<S> {
    let mut plan = plan.clone();
    plan.slo.clear();
    plan.expect.clear();
    let chance = Chance::new(plan.seed)
        .named("cut")
        .named(&point.host)
        .named(point.index);
    let fault = Fault {
        at_ms: 0,
        until_ms: DOWN_MS,
        when: None,
        targets: vec![point.host.clone()],
        peers: Vec::new(),
        kind: Kind::Disk(OnDisk::PowerLoss {
            loss,
            // A plan is TOML, whose numbers have a sign.
            draw: chance.seed() >> 1,
            operation: Some(point.index),
        }),
    };
    plan.faults.insert(0, fault);
    plan
}

/// What a run with a cut came to. An oracle without a case is no matter at one point: the flow's [`Report`] demands that each had one at some
/// point.
pub fn judge(record: &Record) -> Verdict {
    let failed = record
        .oracles
        .iter()
        .any(|oracle| oracle.verdict == Verdict::Fail);
    let inert = record
        .faults
        .first()
        .is_none_or(|cut| cut.effect.values().all(|count| *count == 0));
    match (failed, inert) {
        (true, _) => Verdict::Fail,
        (false, true) => Verdict::Inconclusive,
        (false, false) => Verdict::Pass,
    }
}
