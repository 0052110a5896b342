//! turmoil's simulation with our hosts in it, and what a director can do to it.
//!
//! **Invariant**: faults that overlap are counted, so a link is whole and a host is up exactly when no fault wants otherwise.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::turmoil::{Builder, Protocol, Sim};
use rehearsal_host::Host;

use super::{
    links::{Key, Links, Name, key},
    machine::TurmoilMachine,
    span::Span,
};
use crate::{
    engine::{Control, EPOCH, EngineError, Setup},
    fault::{Crash, Effect, Fault, Kind},
    range::Latency,
    system::Node,
};

/// turmoil's resolution.
const TICK: Duration = Duration::from_millis(1);
/// Segments in flight or unread before a writer has to wait, and connection requests before turmoil panics.
const CAPACITY: usize = 1_024;
/// Only a run with clients ends by itself, and this engine's have none.
const NO_END: Duration = Duration::from_hours(10 * 365 * 24);

/// Called with (host, boot) whenever a host boots.
type Booted = Box<dyn FnMut(&str, u32)>;

/// A direction between two hosts.
type Pair = (Name, Name);

/// What a fault found when it began.
#[derive(Debug, Default)]
struct Before {
    /// Segments handed over so far on its links.
    segments: u64,
    /// Messages in flight that a partition dropped.
    dropped: u64,
    /// For crashes: the processes killed, and the connections they had open.
    processes: u64,
    connections: u64,
}

/// A host as faults see it.
#[derive(Debug)]
struct Standing {
    address: IpAddr,
    /// How many crashes hold it down.
    crashes: u32,
    /// Whether its outage began as a power loss, so that its links are cut.
    dark: bool,
}

/// The world of one run.
pub(super) struct World {
    sim: Sim<'static>,
    links: Arc<Links>,
    hosts: BTreeMap<Name, Standing>,
    holds: BTreeMap<Pair, u32>,
    slow: BTreeMap<Pair, Vec<(usize, Latency)>>,
    usual: Span,
    before: BTreeMap<usize, Before>,
    refusal: Option<EngineError>,
}

impl World {
    /// A world with every host booted, at time zero.
    pub(super) fn new(setup: Setup) -> Result<Self, EngineError> {
        if setup.network.loss > 0.0 {
            return Err(unsupported(
                "lost segments (network.loss): it never sends them again",
            ));
        }
        if !setup.network.links.is_empty() {
            return Err(unsupported(
                "links of their own (network.links): its latencies have one curve",
            ));
        }
        let usual = Span::of(setup.network.latency);
        let mut builder = Builder::new();
        builder
            .epoch(epoch())
            .simulation_duration(NO_END)
            .tick_duration(TICK)
            .min_message_latency(usual.low)
            .max_message_latency(usual.high)
            .tcp_capacity(CAPACITY)
            // A refused connection attempt keeps its port for ever: start low.
            .ephemeral_ports(1_024..=65_535)
            .rng_seed(setup.chance.named("turmoil").seed());
        let sim = builder.build();
        sim.set_message_latency_curve(usual.lambda);
        let names = setup
            .nodes
            .iter()
            .map(|node| Name::from(node.name.as_str()));
        let links = Arc::new(Links::new(names, (usual.low * 2).max(TICK)));
        let mut world = Self {
            sim,
            links,
            hosts: BTreeMap::new(),
            holds: BTreeMap::new(),
            slow: BTreeMap::new(),
            usual,
            before: BTreeMap::new(),
            refusal: None,
        };
        let booted = Rc::new(RefCell::new(setup.booted));
        for node in setup.nodes {
            let boot = Boot {
                links: world.links.clone(),
                clock: setup.clock.clone(),
                chance: setup.chance.named("entropy").named(&node.name),
                booted: booted.clone(),
            };
            world.add(node, boot);
        }
        Ok(world)
    }

    fn add(&mut self, node: Node, boot: Boot) {
        let name = Name::from(node.name.as_str());
        let address = self.sim.lookup(node.name.as_str());
        let standing = Standing {
            address,
            crashes: 0,
            dark: false,
        };
        self.hosts.insert(name.clone(), standing);
        let main = Rc::new(node.main);
        let boots = std::cell::Cell::new(0);
        self.sim.host(&*node.name, move || {
            boots.set(boots.get() + 1);
            let (number, host, main) = (boots.get(), boot.host(&name, boots.get()), main.clone());
            // Called when the host first runs, not here: only then does it have a clock.
            async move {
                main(host, number).await;
                // turmoil forgets a host whose main has ended, tasks and all.
                std::future::pending().await
            }
        });
    }

    /// Time since the run's start.
    pub(super) fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// One tick.
    pub(super) fn step(&mut self) -> Result<(), EngineError> {
        let stepped = self.sim.step();
        stepped
            .map(drop)
            .map_err(|error| EngineError::Broken(error.to_string()))
    }

    /// A fault that could not be done since the last call.
    pub(super) fn refusal(&mut self) -> Result<(), EngineError> {
        self.refusal.take().map_or(Ok(()), Err)
    }

    /// Messages in flight on these links: how many, and of which connections.
    fn in_flight(&self, pairs: &[Pair]) -> Vec<(Pair, Key)> {
        let mut found = Vec::new();
        self.sim.links(|links| {
            for message in links.flatten() {
                let (source, target) = message.pair();
                let pair = pairs.iter().find(|(from, to)| {
                    (self.hosts[from].address, self.hosts[to].address) == (source.ip(), target.ip())
                });
                if let (Some(pair), Protocol::Tcp(_)) = (pair, message.protocol()) {
                    found.push((pair.clone(), key(source, target)));
                }
            }
        });
        found
    }

    fn cut(&mut self, pairs: &[Pair]) -> u64 {
        let flying = self.in_flight(pairs);
        for pair in pairs {
            let of_pair = flying.iter().filter(|(at, _)| at == pair);
            self.links.cut(pair, of_pair.map(|(_, key)| *key));
            self.settle(pair);
        }
        flying.len() as u64
    }

    fn heal(&mut self, pairs: &[Pair]) {
        for pair in pairs {
            self.links.heal(pair);
            self.settle(pair);
        }
    }

    /// Brings turmoil's link between two hosts to what all faults together want. A cut goes before a hold: turmoil cannot do both at once.
    fn settle(&self, (a, b): &Pair) {
        let back = (b.clone(), a.clone());
        let pair = (a.clone(), b.clone());
        let cuts = [
            (&pair, self.links.is_cut(&pair)),
            (&back, self.links.is_cut(&back)),
        ];
        let held = self.holds.contains_key(&pair) || self.holds.contains_key(&back);
        if held && cuts.iter().all(|(_, cut)| !cut) {
            self.sim.hold(&**a, &**b);
            return;
        }
        self.sim.release(&**a, &**b);
        for ((from, to), _) in cuts.into_iter().filter(|(_, cut)| *cut) {
            self.sim.partition_oneway(&**from, &**to);
        }
    }

    fn settle_latency(&self, pair: &Pair) {
        let latest = self.slow.get(pair).and_then(|faults| faults.last());
        let span = latest.map_or(self.usual, |(_, latency)| Span::of(*latency));
        let (a, b) = (&*pair.0, &*pair.1);
        self.sim.set_link_latency(a, b, span.low);
        self.sim.set_link_max_message_latency(a, b, span.high);
    }

    /// Whether fault `number` makes this way slower than it would be without it.
    fn is_slower(&self, number: usize, pair: &Pair) -> bool {
        let faults = self.slow.get(pair).map_or(&[][..], Vec::as_slice);
        let Some(place) = faults.iter().position(|(other, _)| *other == number) else {
            return false;
        };
        let below = place.checked_sub(1).map(|below| Span::of(faults[below].1));
        let (with, without) = (Span::of(faults[place].1), below.unwrap_or(self.usual));
        with.low > without.low || with.high > without.high
    }

    fn crash(&mut self, name: &str, mode: Crash) -> Before {
        let Some(name) = self.links.host(name) else {
            return Before::default();
        };
        let standing = self
            .hosts
            .get_mut(&name)
            .expect("every host has its standing");
        standing.crashes += 1;
        if standing.crashes > 1 {
            return Before::default();
        }
        let dark = mode != Crash::Kill;
        standing.dark = dark;
        let connections = self.links.ends_of(&name);
        if dark {
            // Before the crash: what the dying process says must not leave the machine.
            self.links.lose_all_of(&name);
            self.cut(&self.all_links_of(&name));
        } else {
            self.links.down(&name);
        }
        self.sim.crash(&*name);
        Before {
            processes: 1,
            connections,
            ..Before::default()
        }
    }

    fn restart(&mut self, name: &str) {
        let Some(name) = self.links.host(name) else {
            return;
        };
        let standing = self
            .hosts
            .get_mut(&name)
            .expect("every host has its standing");
        standing.crashes = standing.crashes.saturating_sub(1);
        if standing.crashes > 0 {
            return;
        }
        if std::mem::take(&mut standing.dark) {
            self.heal(&self.all_links_of(&name));
        }
        self.links.up(&name);
        self.sim.bounce(&*name);
    }

    fn all_links_of(&self, name: &Name) -> Vec<Pair> {
        let others = self.hosts.keys().filter(|other| *other != name);
        others
            .flat_map(|other| [(name.clone(), other.clone()), (other.clone(), name.clone())])
            .collect()
    }

    /// The directions between two hosts that a fault is on.
    fn pairs(&self, fault: &Fault) -> Vec<Pair> {
        let name = |name| self.links.host(name);
        let ways = fault.ways().into_iter();
        ways.filter_map(|(from, to)| Some((name(from)?, name(to)?)))
            .collect()
    }
}

impl Control for World {
    fn start(&mut self, number: usize, fault: &Fault) {
        let pairs = self.pairs(fault);
        let mut before = Before {
            segments: self.links.segments(&pairs),
            ..Before::default()
        };
        match &fault.kind {
            Kind::Crash { mode } => {
                for target in &fault.targets {
                    let killed = self.crash(target, *mode);
                    before.processes += killed.processes;
                    before.connections += killed.connections;
                }
            }
            Kind::Partition { .. } => before.dropped = self.cut(&pairs),
            Kind::Hold => {
                for pair in pairs {
                    *self.holds.entry(pair.clone()).or_default() += 1;
                    self.settle(&pair);
                }
            }
            Kind::Latency { latency } => {
                for pair in pairs {
                    self.slow
                        .entry(pair.clone())
                        .or_default()
                        .push((number, *latency));
                    self.settle_latency(&pair);
                }
            }
            Kind::Disk(_) => unreachable!("the conductor does it"),
            other => {
                self.refusal = Some(unsupported(&format!("a fault of kind `{}`", other.name())));
            }
        }
        if self.before.insert(number, before).is_some() {
            self.refusal = Some(unsupported(&format!("fault {number} twice at once")));
        }
    }

    fn stop(&mut self, number: usize, fault: &Fault) -> Effect {
        let Some(before) = self.before.remove(&number) else {
            return Effect::new();
        };
        let pairs = self.pairs(fault);
        let passed = self.links.segments(&pairs) - before.segments;
        let effect = |name: &str, count| Effect::from([(name.to_owned(), count)]);
        match &fault.kind {
            Kind::Crash { .. } => {
                fault.targets.iter().for_each(|target| self.restart(target));
                let mut effect = effect("processes_killed", before.processes);
                effect.insert("connections_reset".to_owned(), before.connections);
                effect
            }
            Kind::Partition { .. } => {
                self.heal(&pairs);
                effect("segments_lost", before.dropped + passed)
            }
            Kind::Hold => {
                let held = self.in_flight(&pairs).len() as u64;
                for pair in pairs {
                    lift(&mut self.holds, &pair);
                    self.settle(&pair);
                }
                effect("segments_held", held)
            }
            Kind::Disk(_) => unreachable!("the conductor does it"),
            Kind::Latency { .. } => {
                let slower = pairs.iter().any(|pair| self.is_slower(number, pair));
                for pair in pairs {
                    self.slow
                        .entry(pair.clone())
                        .or_default()
                        .retain(|(other, _)| *other != number);
                    self.settle_latency(&pair);
                }
                effect("segments_slowed", if slower { passed } else { 0 })
            }
            // It was refused when it began.
            _ => Effect::new(),
        }
    }
}

/// One fault fewer holds the link.
fn lift(holds: &mut BTreeMap<Pair, u32>, pair: &Pair) {
    if let Some(count) = holds.get_mut(pair) {
        *count -= 1;
        if *count == 0 {
            holds.remove(pair);
        }
    }
}

/// What a host needs to boot.
struct Boot {
    links: Arc<Links>,
    clock: crate::trace::Clock,
    chance: crate::chance::Chance,
    booted: Rc<RefCell<Booted>>,
}

impl Boot {
    fn host(&self, name: &Name, number: u32) -> Host {
        (self.booted.borrow_mut())(name, number);
        let entropy = self.chance.named(number).rng();
        let machine = TurmoilMachine::new(
            self.links.clone(),
            name.clone(),
            self.clock.clone(),
            entropy,
        );
        Host::new(machine)
    }
}

fn epoch() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(EPOCH.as_micros()).unwrap_or(0))
}

fn unsupported(what: &str) -> EngineError {
    EngineError::Unsupported {
        engine: "turmoil",
        what: what.to_owned(),
    }
}
