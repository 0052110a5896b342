//! A system under test, as the harness sees it: tables of a scenario, operations to draw, hosts to boot, oracles over the trace.
//!
//! The harness knows nothing else of it. A team brings its own system by implementing [`System`].

use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use rehearsal_host::Host;
use serde::{Deserialize, Serialize, de::DeserializeOwned, de::MapAccess};
use tokio::sync::watch;

use crate::{
    chance::Chance,
    disk::Disk,
    oracle::Oracle,
    point::{Hits, Point},
    show::Told,
    stops::Stops,
    trace::{Phase, Recorder, Trace},
};

/// The tables of a scenario that belong to a system: read one at a time, so that errors keep their place in the file.
pub trait Tables: Clone + Debug + Default + Serialize + DeserializeOwned {
    /// The top-level keys that the system owns.
    const KEYS: &'static [&'static str];

    /// Reads the value of `key`, one of [`Tables::KEYS`].
    ///
    /// # Errors
    /// What the format says of the value.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;

    /// Refuses what can be read but not run.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    fn check(&self) -> Result<(), String>;

    /// In a swarm, before anything is drawn: leaves out each fault of its own whose name `keeps` says no to.
    fn thin(&mut self, _keeps: &dyn Fn(&str) -> bool) {}

    /// The hosts that faults may target, in order. Clients are not among them: a client's crash would lose operations.
    fn hosts(&self) -> Vec<String>;

    /// Those of them that keep files on a disk, which faults of disks may target.
    fn disks(&self) -> Vec<String> {
        self.hosts()
    }
}

/// A step of a plan's workload: one operation, at its time, by one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step<O> {
    /// Its number in the plan.
    pub id: u64,
    /// When, since the run's start, in milliseconds.
    pub at_ms: u64,
    /// Which client, from 0.
    pub client: u32,
    /// What.
    pub operation: O,
}

/// A host of a deployment.
pub struct Node {
    /// Its name: unique, and its address.
    pub name: String,
    /// What it runs at each boot (from 1). The future must not end while the host is up; one that a
    /// graceful stop ended says so with [`Stops::ended`] and waits for ever.
    pub main: Box<dyn Fn(Host, u32) -> BoxFuture<'static, ()>>,
}

impl Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Where a host listens and how others reach it, on the engine in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// For `Host::bind`.
    pub listen: String,
    /// For `Host::connect`.
    pub dial: String,
}

/// What a deployment is given to work with.
#[derive(Debug)]
pub struct Stage<E> {
    /// Writes the trace.
    pub recorder: Recorder<E>,
    /// Every host's address, by name. Asking for a name for the first time reserves it.
    pub addresses: BTreeMap<String, Address>,
    /// The run's phase, for clients that wait for the last one.
    pub phase: watch::Receiver<Phase>,
    /// How far the clients are.
    pub progress: Progress,
    /// How hosts learn that they are stopped.
    pub stops: Stops,
    /// Where hosts keep their files.
    pub storage: Storage,
}

/// Where hosts keep their files on this engine.
#[derive(Clone, Debug)]
pub enum Storage {
    /// The simulated disk, which is the process's default for SQLite.
    Simulated(Disk),
    /// A temporary folder.
    Folder(PathBuf),
}

impl Storage {
    /// The path of a host's file.
    pub fn path(&self, host: &str, file: &str) -> String {
        match self {
            Self::Simulated(_) => Disk::path(host, file),
            Self::Folder(folder) => folder
                .join(format!("{host}-{file}"))
                .to_string_lossy()
                .into_owned(),
        }
    }
}

/// How far the clients are. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Counts>>);

/// The counts behind [`Progress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that ended, whatever their outcome.
    pub operations: u64,
    /// Clients that took their last look.
    pub observed: u32,
}

impl Progress {
    /// One operation ended.
    pub fn operation_ended(&self) {
        self.0.lock().expect("no panic while counting").operations += 1;
    }

    /// One client took its last look.
    pub fn observed(&self) {
        self.0.lock().expect("no panic while counting").observed += 1;
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        *self.0.lock().expect("no panic while counting")
    }
}

/// Called with the name of a host that is about to die, and how.
pub type Dying = Box<dyn FnMut(&str, crate::fault::Crash)>;

/// A deployment, ready to run.
pub struct Deployment<E> {
    /// Every host, clients included, in boot order.
    pub nodes: Vec<Node>,
    /// How many of them are clients that will report [`Progress::observed`].
    pub clients: u32,
    /// Whether the system has nothing left to do. Asked between polls, in the convergence phase only.
    pub quiet: Box<dyn FnMut() -> bool>,
    /// The final state, as events.
    pub snapshot: Box<dyn FnMut() -> Vec<E>>,
    /// A host is about to die: what becomes of its disk. Called between polls, just before its tasks are dropped.
    pub dying: Dying,
}

impl<E> Debug for Deployment<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment")
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

/// A run in figures, which one count of its trace gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Its measures, by name, for the scenario's conditions. A measure without samples is absent.
    pub measures: BTreeMap<String, f64>,
    /// The system's part of a run's record in the results file: counts, histograms, latencies.
    pub summary: serde_json::Map<String, serde_json::Value>,
}

/// A system under test.
pub trait System: Copy + Debug + 'static {
    /// Its tables of a scenario, and, resolved, of a plan.
    type Tables: Tables;
    /// An operation of its workload.
    type Operation: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static;
    /// What it writes into the trace.
    type Event: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + 'static;

    /// Draws the workload. The tables may be changed too: whatever they leave open is drawn here and kept in the plan.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    fn draw(
        tables: &mut Self::Tables,
        chance: &Chance,
    ) -> Result<Vec<Step<Self::Operation>>, String>;

    /// The names of all hosts, clients included: the engine gives each an address.
    fn names(tables: &Self::Tables) -> Vec<String>;

    /// The hosts and how to look at them.
    fn deploy(
        tables: &Self::Tables,
        steps: &[Step<Self::Operation>],
        stage: Stage<Self::Event>,
    ) -> Deployment<Self::Event>;

    /// The name under which faults may wait for an event of the trace; `None` for those that none can wait for.
    fn trigger(_event: &Self::Event) -> Option<&'static str> {
        None
    }

    /// Every name that faults may wait for: those of [`System::trigger`], and what hosts only notice.
    fn trigger_names() -> Vec<&'static str> {
        Vec::new()
    }

    /// Whether an event of this name happens at a client, which no fault hits.
    fn is_of_clients(_name: &str) -> bool {
        false
    }

    /// Its oracles: one list, in the order of reports.
    fn oracles() -> Vec<Oracle<Self::Event>>;

    /// The names that `[slo]` and `[expect]` may use.
    fn measure_names() -> Vec<&'static str>;

    /// Its reachability points, in a fixed order; none when it names none.
    fn points() -> Vec<Point> {
        Vec::new()
    }

    /// The points that a run hit.
    fn hit(_trace: &Trace<Self::Event>) -> Hits {
        Hits::new()
    }

    /// A run in figures.
    fn figures(trace: &Trace<Self::Event>) -> Figures;

    /// Faults of the system's own (a provider's errors): name and effect of each that was asked for. All zero means inert.
    fn own_faults(
        tables: &Self::Tables,
        trace: &Trace<Self::Event>,
    ) -> Vec<(String, u64, crate::fault::Effect)>;

    /// The defects that can be planted into it, to measure the harness with, in the order of reports. None, unless it says otherwise.
    fn plantable() -> Vec<crate::scoreboard::Plantable> {
        Vec::new()
    }

    /// Plants the defect `name` into a scenario's tables.
    ///
    /// # Errors
    /// A sentence that says which defects there are, when `name` is none.
    fn plant(tables: &mut Self::Tables, name: &str) -> Result<(), String> {
        let _ = tables;
        Err(format!(
            "no defect can be planted into this system, not even {name:?}"
        ))
    }

    /// What an operation is about, by a name that violations use, too; `None` when it is about nothing in particular. Shrinking removes the
    /// operations about one thing together.
    fn about(_operation: &Self::Operation) -> Option<&str> {
        None
    }

    /// Tables that are simpler than these in one respect each, the greatest gain first: what shrinking may try. They must fit `steps` and
    /// become none in the end, so that trying ends.
    fn simpler(_tables: &Self::Tables, _steps: &[Step<Self::Operation>]) -> Vec<Self::Tables> {
        Vec::new()
    }

    /// What the system's events mean, by their ordinals. An event without words is shown as it is written.
    fn tell(_trace: &Trace<Self::Event>) -> BTreeMap<u64, Told> {
        BTreeMap::new()
    }
}
