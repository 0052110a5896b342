//! A run: a plan in, a trace out, on any engine; and the same in a process of its own.
//!
//! **Invariant**: a virtual-time run happens in a forked child that answers the clock and entropy from the seed; the parent never
//! simulates. It judges nothing itself; the child sends back what the verdict said.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    chance::Chance,
    child::{self, ChildError},
    conductor::{Conductor, Disks, Shared},
    disk::{self, Disk},
    engine::{EPOCH, Engine, EngineError, Setup},
    fault::{Fault, Kind},
    interpose,
    plan::Plan,
    point::Hits,
    stops::Stops,
    system::{Progress, Stage, Storage, System},
    trace::{Clock, Event, Phase, Recorder, Trace},
    trigger::Watch,
    verdict::{self, Record},
};

/// Room in the trace for each step; memory that stays unused costs nothing.
const ENTRIES_PER_STEP: usize = 40;

/// A run that came to no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RunError {
    /// A panic: a bug of the system or of the harness, with its place.
    #[error("a panic ended the run: {0}")]
    Panicked(String),
    /// The child process did not come back in time.
    #[error("the run took over {0} s of real time and was ended")]
    TimedOut(u64),
    /// The engine could not go on.
    #[error("{0}")]
    Engine(String),
    /// The child process failed in another way.
    #[error("the run's process failed: {0}")]
    Process(String),
}

/// What comes back from a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The verdict and all that led to it.
    pub record: Record,
    /// The trace as JSON lines, when it was asked for.
    pub trace: Option<String>,
    /// The reachability points that it hit.
    #[serde(default)]
    pub hits: Hits,
    /// From the heal to quiet, in microseconds of virtual time, when it became quiet.
    #[serde(default)]
    pub converged_us: Option<u64>,
}

/// Runs `plan` in this process and returns its trace. Virtual-time engines want [`in_child`] around it.
///
/// # Errors
/// [`EngineError`].
pub fn simulate<S: System>(
    plan: &Plan<S>,
    engine: Engine,
    storage: Storage,
) -> Result<Trace<S::Event>, EngineError> {
    if let (Storage::Folder(_), Some(fault)) = (&storage, disk_fault(plan)) {
        return Err(EngineError::Unsupported {
            engine: engine.name(),
            what: format!("{}: its hosts' disks are real", fault.kind.name()),
        });
    }
    let clock = Clock::default();
    let triggers = plan.faults.iter().enumerate();
    let triggers = triggers.filter_map(|(number, fault)| Some((number, fault.when.as_ref()?)));
    let watch = Watch::over(triggers, S::trigger);
    let recorder =
        Recorder::new(clock.clone(), plan.steps.len() * ENTRIES_PER_STEP).watched(watch.clone());
    let (announce, phase) = watch::channel(Phase::Safety);
    let progress = Progress::default();
    let stops = Stops::default();
    let addresses = engine.addresses(&S::names(&plan.system))?;
    let disks = Disks::new(&storage);
    let stage = Stage {
        recorder: recorder.clone(),
        addresses: addresses.clone(),
        phase,
        progress: progress.clone(),
        storage,
        stops: stops.clone(),
    };
    let mut deployment = S::deploy(&plan.system, &plan.steps, stage);
    if plan.network != crate::scenario::Network::default() {
        let network = Event::Network(Box::new(plan.network.clone()));
        recorder.record(&std::sync::Arc::from("harness"), 0, network);
    }
    let nodes = std::mem::take(&mut deployment.nodes);
    let boots = recorder.clone();
    let setup = Setup {
        nodes,
        network: plan.network.clone(),
        chance: Chance::new(plan.seed).forking(plan.fork).named("run"),
        clock,
        addresses,
        booted: Box::new(move |host, boot| boots.at(host, boot).world(Event::Booted)),
    };
    let mut conductor = Conductor::new(
        plan,
        Shared {
            announce,
            progress,
            stops,
        },
        disks,
        deployment,
        recorder.clone(),
    )
    .listening(watch);
    engine.run(setup, &mut conductor)?;
    Ok(recorder.take())
}

/// Runs `plan` in a child process of its own and judges it there.
///
/// # Errors
/// [`RunError`].
pub fn in_child<S: System>(
    plan: &Plan<S>,
    engine: Engine,
    limit: Duration,
    keep_trace: bool,
) -> Result<Outcome, RunError> {
    let bytes = child::run(limit, || body(plan, engine, keep_trace)).map_err(failed)?;
    read(&bytes)
}

fn disk_fault<S: System>(plan: &Plan<S>) -> Option<&Fault> {
    let mut faults = plan.faults.iter();
    faults.find(|fault| matches!(fault.kind, Kind::Disk(_)))
}

/// Makes this forked process a simulated one: from here on its clock, entropy and disk are functions of `seed`.
pub fn enter(seed: u64) -> Disk {
    let chance = Chance::new(seed).named("process");
    interpose::enter(chance.named("entropy").seed(), EPOCH);
    let disk = Disk::new(chance.named("disk").seed());
    disk::register(&disk);
    disk
}

/// What a child process does: for [`in_child`] and for pools of children.
pub fn body<S: System>(plan: &Plan<S>, engine: Engine, keep_trace: bool) -> Vec<u8> {
    let answer: Result<Outcome, RunError> = (|| {
        let folder;
        let storage = if engine == Engine::Loopback {
            folder = tempfile::tempdir()
                .map_err(|error| RunError::Process(format!("no temporary folder: {error}")))?;
            Storage::Folder(folder.path().to_owned())
        } else {
            Storage::Simulated(enter(plan.seed))
        };
        let trace =
            simulate(plan, engine, storage).map_err(|error| RunError::Engine(error.to_string()))?;
        let record = verdict::judge(plan, &trace);
        Ok(Outcome {
            record,
            trace: keep_trace.then(|| lines(&trace)),
            hits: S::hit(&trace),
            converged_us: converged(&trace),
        })
    })();
    serde_json::to_vec(&answer).expect("an outcome is plain data")
}

/// Reads what [`body`] wrote.
///
/// # Errors
/// [`RunError`], the child's own included.
pub fn read(bytes: &[u8]) -> Result<Outcome, RunError> {
    serde_json::from_slice::<Result<Outcome, RunError>>(bytes)
        .map_err(|error| RunError::Process(error.to_string()))?
}

/// Why a child came back without an answer.
pub fn failed(error: ChildError) -> RunError {
    match error {
        ChildError::TimedOut(limit) => RunError::TimedOut(limit.as_secs()),
        ChildError::Panicked { message, location } => {
            RunError::Panicked(format!("{message} at {location}"))
        }
        other => RunError::Process(other.to_string()),
    }
}

/// How long the convergence phase took, unless it hit its bound.
fn converged<E>(trace: &Trace<E>) -> Option<u64> {
    let mut healed = None;
    for entry in &trace.entries {
        match entry.event {
            Event::Phase(Phase::Converge) => healed = Some(entry.at_us),
            Event::Phase(Phase::Observe) => return Some(entry.at_us - healed?),
            Event::NotConverged => return None,
            _ => {}
        }
    }
    None
}

fn lines<E: Serialize>(trace: &Trace<E>) -> String {
    let mut text = format!("{{\"format\":\"{}\"}}\n", crate::trace::FORMAT);
    for entry in &trace.entries {
        text.push_str(&serde_json::to_string(entry).expect("an event is plain data"));
        text.push('\n');
    }
    text
}
