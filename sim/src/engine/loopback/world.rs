//! The hosts of a run on real sockets, and what a director can do to them.
//!
//! **Invariant**: a host's tasks live in its `LocalSet` alone, so dropping that is its crash; a host is up when no crash holds it down.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, task::Context};

use rehearsal_host::Host;
use tokio::task::LocalSet;

use super::{
    gates::{Deeds, Gates, Name, Pair},
    machine::{LoopbackMachine, RunClock},
};
use crate::{
    chance::Chance,
    engine::{Control, EngineError, Setup},
    fault::{Crash, Effect, Fault, Kind},
    system::Node,
};

/// Called with (host, boot) whenever a host boots.
type Booted = Box<dyn FnMut(&str, u32)>;

struct Hosted {
    name: Name,
    node: Node,
    boot: u32,
    /// How many crashes hold it down.
    crashes: u32,
    tasks: Option<LocalSet>,
}

/// What a fault found when it began.
#[derive(Debug, Default)]
struct Before {
    deeds: Deeds,
    processes: u64,
    connections: u64,
}

/// The world of one run.
pub(super) struct World {
    hosts: Vec<Hosted>,
    gates: Arc<Gates>,
    clock: RunClock,
    chance: Chance,
    booted: Booted,
    before: BTreeMap<usize, Before>,
    refusal: Option<EngineError>,
}

impl World {
    /// A world with every host booted. Needs a runtime.
    pub(super) fn new(setup: Setup, clock: RunClock) -> Self {
        let names = setup.addresses.iter();
        let dialed = names.map(|(name, address)| (address.dial.clone(), Name::from(name.as_str())));
        let gates = Gates::new(dialed.collect(), setup.chance.named("loopback").rng());
        let host = |node: Node| Hosted {
            name: Name::from(node.name.as_str()),
            node,
            boot: 0,
            crashes: 0,
            tasks: None,
        };
        let mut world = Self {
            hosts: setup.nodes.into_iter().map(host).collect(),
            gates: Arc::new(gates),
            clock,
            chance: setup.chance.named("entropy"),
            booted: setup.booted,
            before: BTreeMap::new(),
            refusal: None,
        };
        for index in 0..world.hosts.len() {
            world.boot(index);
        }
        world
    }

    /// Polls every host that is up.
    pub(super) fn poll_hosts(&mut self, cx: &mut Context<'_>) {
        for host in &mut self.hosts {
            if let Some(tasks) = &mut host.tasks {
                // A host's tasks may all have ended; it stays up without them.
                let _ = Pin::new(tasks).poll(cx);
            }
        }
    }

    /// A fault that could not be done since the last call.
    pub(super) fn refusal(&mut self) -> Result<(), EngineError> {
        self.refusal.take().map_or(Ok(()), Err)
    }

    fn refuse(&mut self, what: String) {
        self.refusal = Some(EngineError::Unsupported {
            engine: "loopback",
            what,
        });
    }

    fn boot(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        host.boot += 1;
        let entropy = self.chance.named(&host.name).named(host.boot).rng();
        let machine = LoopbackMachine::new(
            self.gates.clone(),
            host.name.clone(),
            self.clock.clone(),
            entropy,
        );
        (self.booted)(&host.name, host.boot);
        let tasks = LocalSet::new();
        tasks.spawn_local((host.node.main)(Host::new(machine), host.boot));
        host.tasks = Some(tasks);
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| *host.name == *name)
    }

    fn crash(&mut self, name: &str, before: &mut Before) {
        let Some(index) = self.index(name) else {
            return;
        };
        let host = &mut self.hosts[index];
        host.crashes += 1;
        let Some(tasks) = host.tasks.take() else {
            return;
        };
        before.processes += 1;
        before.connections += self.gates.connections_of(name);
        drop(tasks);
    }

    fn restart(&mut self, name: &str) {
        let Some(index) = self.index(name) else {
            return;
        };
        let host = &mut self.hosts[index];
        host.crashes = host.crashes.saturating_sub(1);
        if host.crashes == 0 && host.tasks.is_none() {
            self.boot(index);
        }
    }
}

impl Control for World {
    fn start(&mut self, number: usize, fault: &Fault) {
        let pairs = pairs(fault);
        let mut before = Before {
            deeds: self.gates.deeds(&pairs),
            ..Before::default()
        };
        match &fault.kind {
            Kind::Crash {
                mode: Crash::PowerLoss | Crash::Wipe,
            } => self.refuse("a power loss: the kernel under a host lives on".to_owned()),
            Kind::Crash { mode: Crash::Kill } => {
                for target in &fault.targets {
                    self.crash(target, &mut before);
                }
            }
            Kind::Partition { .. } | Kind::Hold => self.gates.shut(&pairs),
            Kind::Latency { latency } => self.gates.slow(&pairs, number, *latency),
            Kind::Disk(_) => unreachable!("the conductor does it"),
            other => self.refuse(format!("a fault of kind `{}`", other.name())),
        }
        self.before.insert(number, before);
    }

    fn stop(&mut self, number: usize, fault: &Fault) -> Effect {
        let Some(before) = self.before.remove(&number) else {
            return Effect::new();
        };
        let pairs = pairs(fault);
        let deeds = self.gates.deeds(&pairs);
        let effect = |name: &str, count| Effect::from([(name.to_owned(), count)]);
        match &fault.kind {
            Kind::Crash { .. } => {
                fault.targets.iter().for_each(|target| self.restart(target));
                let mut effect = effect("processes_killed", before.processes);
                effect.insert("connections_reset".to_owned(), before.connections);
                effect
            }
            Kind::Partition { .. } | Kind::Hold => {
                self.gates.unshut(&pairs);
                effect("segments_held", deeds.held - before.deeds.held)
            }
            Kind::Latency { .. } => {
                self.gates.unslow(&pairs, number);
                effect("segments_slowed", deeds.slowed - before.deeds.slowed)
            }
            Kind::Disk(_) => unreachable!("the conductor does it"),
            // It was refused when it began.
            _ => Effect::new(),
        }
    }
}

/// The directions between two hosts that a fault is on.
fn pairs(fault: &Fault) -> Vec<Pair> {
    let pair = |(from, to)| (Name::from(from), Name::from(to));
    fault.ways().into_iter().map(pair).collect()
}
