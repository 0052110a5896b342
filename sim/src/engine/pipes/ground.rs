//! The ground of a run: its hosts, and what a director can do to them and to the links between them.
//!
//! **Invariant**: faults that overlap are independent: a host is up, runs at its speed and tells the time right when no fault wants otherwise,
//! and so is a link. Without a fault, none of this draws or allocates anything.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    task::{Wake, Waker},
    time::Duration,
};

use rand_chacha::ChaCha8Rng;
use rehearsal_host::Host;
use tokio::task::LocalSet;

use super::{
    clock::WallClock,
    link::Deeds,
    machine::{Alive, Entropy, SimulatedMachine},
    network::HostId,
    overrides::Effects,
    socket::{Net, lock},
    wake::{Flag, Root},
};
use crate::{
    chance::Chance,
    engine::{Booted, Control, Setup},
    fault::{Crash, Effect, Fault, Kind, LossAs},
    range::Latency,
    system::Node,
    trace::{Clock, Standing},
};

/// The resolution of timers: a rest ends at its first tick.
const TIMER: Duration = Duration::from_millis(1);

/// A host of the world.
pub(super) struct Hosted {
    node: Node,
    pub(super) tasks: Option<LocalSet>,
    /// How many of them there are.
    alive: Alive,
    pub(super) flag: Arc<Flag>,
    pub(super) waker: Waker,
    boot: u32,
    /// The entropy of this boot.
    entropy: Option<Entropy>,
    /// How many crashes hold it down.
    down: u32,
    /// How many faults pause it.
    paused: u32,
    /// Delays after each poll, by fault, with the polls that had to wait for one to end; the last wins.
    slow: Vec<(usize, Latency, u64)>,
    /// For those delays.
    rng: ChaCha8Rng,
    /// A slow host is not polled before this time.
    rests_until: Duration,
    wall: WallClock,
}

impl Hosted {
    fn new(id: HostId, node: Node, chance: &Chance, root: Arc<Root>) -> Self {
        let flag = Arc::new(Flag::new(id, root));
        Self {
            rng: chance.named("slow").named(&node.name).rng(),
            node,
            tasks: None,
            alive: Alive::default(),
            waker: Waker::from(flag.clone()),
            flag,
            boot: 0,
            entropy: None,
            down: 0,
            paused: 0,
            slow: Vec::new(),
            rests_until: Duration::ZERO,
            wall: WallClock::default(),
        }
    }

    /// Whether a fault keeps it from its processor.
    pub(super) fn is_kept(&self, now: Duration) -> bool {
        self.paused > 0 || self.rests_until > now
    }

    /// Whether it was woken and may run.
    pub(super) fn may_run(&self, now: Duration) -> bool {
        self.is_waiting() && !self.is_kept(now)
    }

    /// Whether it is up and something woke it.
    fn is_waiting(&self) -> bool {
        self.flag.is_woken() && self.tasks.is_some()
    }

    /// It was polled: a slow host waits for its next turn.
    pub(super) fn rest(&mut self, now: Duration) {
        if let Some((_, delay, delayed)) = self.slow.last_mut() {
            // Polled as soon as its rest was over: something had been waiting for that.
            let waited = !self.rests_until.is_zero() && now < self.rests_until + TIMER;
            *delayed += u64::from(waited);
            let delay = delay.draw(&mut self.rng);
            self.rests_until = if delay.is_zero() {
                Duration::ZERO
            } else {
                now + delay
            };
        }
    }

    /// Fault `number` no longer slows it: how many polls had to wait.
    fn hurry(&mut self, number: usize, now: Duration) -> u64 {
        let waits = self.is_waiting() && self.rests_until > now;
        let ended = self.slow.extract_if(.., |(fault, ..)| *fault == number);
        let delayed: u64 = ended.map(|(_, _, delayed)| delayed).sum();
        if !self.slow.is_empty() {
            return delayed;
        }
        self.rests_until = Duration::ZERO;
        delayed + u64::from(waits)
    }
}

/// What a fault found when it began, or did at once.
#[derive(Debug, Default)]
struct Before {
    deeds: Deeds,
    effect: Effect,
}

/// What faults can be done to: everything but the director.
pub(super) struct Ground {
    pub(super) net: Net,
    pub(super) root: Arc<Root>,
    pub(super) hosts: Vec<Hosted>,
    pub(super) clock: Clock,
    chance: Chance,
    booted: Booted,
    /// Counters at the start of each fault.
    before: BTreeMap<usize, Before>,
    /// How many faults make hosts slow.
    slow: u32,
}

impl Ground {
    /// All hosts booted, nothing polled yet. Needs the paused runtime's context.
    pub(super) fn new(setup: Setup, net: Net) -> Self {
        let chance = setup.chance;
        let root = Arc::new(Root::new(setup.nodes.len()));
        let host = |(id, node): (HostId, Node)| Hosted::new(id, node, &chance, root.clone());
        let mut ground = Self {
            net,
            hosts: setup.nodes.into_iter().enumerate().map(host).collect(),
            root,
            clock: setup.clock,
            chance,
            booted: setup.booted,
            before: BTreeMap::new(),
            slow: 0,
        };
        for id in 0..ground.hosts.len() {
            ground.boot(id);
        }
        ground
    }

    /// From here on all chance is another one; what is under way stays as it was drawn.
    pub(super) fn reseed(&mut self, chance: Chance) {
        lock(&self.net).reseed(&chance);
        for host in &mut self.hosts {
            host.rng = chance.named("slow").named(&host.node.name).rng();
            if let Some(stream) = &host.entropy {
                *stream.lock().expect("no panic while drawing") =
                    entropy(&chance, &host.node.name, host.boot);
            }
        }
        self.chance = chance;
    }

    fn boot(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        host.boot += 1;
        let name = &host.node.name;
        let entropy: Entropy = Arc::new(Mutex::new(entropy(&self.chance, name, host.boot)));
        host.entropy = Some(entropy.clone());
        let machine = SimulatedMachine::new(
            self.net.clone(),
            id,
            self.clock.clone(),
            host.wall.clone(),
            entropy,
        );
        host.alive = machine.alive();
        let tasks = LocalSet::new();
        (self.booted)(name, host.boot);
        tasks.spawn_local((host.node.main)(Host::new(machine), host.boot));
        host.tasks = Some(tasks);
        host.flag.wake_by_ref();
    }

    fn crash(&mut self, id: HostId, mode: Crash) -> Effect {
        self.hosts[id].down += 1;
        let Some(tasks) = self.hosts[id].tasks.take() else {
            // A dead host stays dead for longer.
            return Effect::from([(KEPT_DOWN.to_owned(), 1)]);
        };
        lock(&self.net).begin_crash(id, mode);
        // Destructors run here and close sockets: the network's lock must be free.
        drop(tasks);
        let reset = lock(&self.net).end_crash(id);
        Effect::from([
            ("processes_killed".to_owned(), 1),
            ("connections_reset".to_owned(), reset),
        ])
    }

    /// One crash less holds the host down; says whether it was the last one.
    fn restart(&mut self, id: HostId) -> bool {
        let host = &mut self.hosts[id];
        host.down = host.down.saturating_sub(1);
        let last = host.down == 0;
        if last && host.tasks.is_none() {
            lock(&self.net).power_on(id);
            self.boot(id);
        }
        last
    }

    fn ids(&self, names: &[String]) -> Vec<HostId> {
        let network = lock(&self.net);
        names.iter().filter_map(|name| network.host(name)).collect()
    }

    /// The directions between two hosts that a fault is on.
    fn pairs(&self, fault: &Fault) -> Vec<(HostId, HostId)> {
        let network = lock(&self.net);
        let id = |name| network.host(name);
        let ways = fault.ways().into_iter();
        ways.filter_map(|(from, to)| Some((id(from)?, id(to)?)))
            .collect()
    }

    /// When the first host that something woke has rested enough.
    pub(super) fn next_rested(&self, now: Duration) -> Option<Duration> {
        if self.slow == 0 {
            return None;
        }
        let resting = self
            .hosts
            .iter()
            .filter(|host| host.is_waiting() && host.paused == 0 && host.rests_until > now);
        resting.map(|host| host.rests_until).min()
    }

    fn start_on_host(&mut self, number: usize, kind: &Kind, id: HostId) -> Effect {
        let now = self.clock.elapsed();
        let host = &mut self.hosts[id];
        match kind {
            Kind::Crash { mode } => return self.crash(id, *mode),
            Kind::Pause => host.paused += 1,
            Kind::Slow { delay } => {
                host.slow.push((number, *delay, 0));
                self.slow += 1;
            }
            _ => host.wall.start(number, kind, now),
        }
        Effect::new()
    }

    fn stop_on_host(&mut self, number: usize, kind: &Kind, id: HostId, before: &Before) -> Effect {
        let now = self.clock.elapsed();
        let host = &mut self.hosts[id];
        let (name, count) = match kind {
            Kind::Crash { mode } => {
                let last = self.restart(id);
                // What was down already and would have been for as long was not kept down by this crash; a wiped disk is empty all the same.
                let felt = last || *mode == Crash::Wipe;
                let kept = before.effect.contains_key(KEPT_DOWN);
                let kept = kept.then(|| (KEPT_DOWN.to_owned(), u64::from(felt)));
                return kept.into_iter().collect();
            }
            Kind::Pause => {
                host.paused -= 1;
                // Something to do was kept from it.
                ("processes_paused", u64::from(host.is_waiting()))
            }
            Kind::Slow { .. } => {
                self.slow -= 1;
                ("polls_delayed", host.hurry(number, now))
            }
            _ => ("readings_changed", host.wall.stop(number)),
        };
        Effect::from([(name.to_owned(), count)])
    }

    fn start_on_links(&self, number: usize, kind: &Kind, pairs: &[(HostId, HostId)]) {
        let mut network = lock(&self.net);
        for (from, to) in pairs {
            let link = network.link(*from, *to);
            match kind {
                Kind::Partition { .. } => link.cuts += 1,
                Kind::Hold => link.holds += 1,
                Kind::Latency { latency } => link.slow.push(number, *latency),
                Kind::Loss { rate, loss_as, .. } => link.losses.push(number, (*rate, *loss_as)),
                Kind::Reset { at, .. } => link.resets.push(number, *at),
                Kind::Bandwidth { bytes_per_s, .. } | Kind::SlowReads { bytes_per_s } => {
                    link.limits.push(number, *bytes_per_s);
                }
                _ => {}
            }
        }
    }

    /// Ends a fault on links; what its settings did there, together.
    fn stop_on_links(&self, number: usize, kind: &Kind, pairs: &[(HostId, HostId)]) -> Effects {
        let mut effects = Effects::default();
        let wakers = {
            let mut network = lock(&self.net);
            for (from, to) in pairs {
                let link = network.link(*from, *to);
                match kind {
                    Kind::Partition { .. } => link.cuts -= 1,
                    Kind::Hold => link.holds -= 1,
                    Kind::Latency { .. } => effects = effects.plus(link.slow.take(number)),
                    Kind::Loss { .. } => effects = effects.plus(link.losses.take(number)),
                    Kind::Reset { .. } => effects = effects.plus(link.resets.take(number)),
                    Kind::Bandwidth { .. } | Kind::SlowReads { .. } => {
                        effects = effects.plus(link.limits.take(number));
                        if link.limits.is_empty() {
                            network.hurry(*from, *to);
                        }
                    }
                    _ => {}
                }
                if network.link(*from, *to).holds == 0 {
                    network.release(*from, *to);
                }
            }
            network.take_wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
        effects
    }
}

/// A crash that found its host down already.
const KEPT_DOWN: &str = "processes_kept_down";

/// What a fault on links did: by what its links counted meanwhile, and by what its settings did there.
fn effect_on_links(kind: &Kind, before: Deeds, after: Deeds, effects: Effects) -> Effect {
    let delay_ms = u64::try_from(effects.delay.as_millis()).unwrap_or(u64::MAX);
    let counts = match kind {
        Kind::Partition { .. } => vec![("segments_lost", after.delayed - before.delayed)],
        Kind::Hold => vec![("segments_held", after.held - before.held)],
        Kind::Latency { .. } => {
            vec![("segments_slowed", effects.struck), ("slowed_ms", delay_ms)]
        }
        Kind::Loss {
            loss_as: LossAs::Delay,
            ..
        } => vec![("segments_lost", effects.lost)],
        // Only data is reset; a lost connection request is a delay.
        Kind::Loss { .. } => vec![
            ("connections_reset", effects.torn),
            ("segments_lost", effects.lost),
        ],
        Kind::Reset { .. } => vec![("connections_reset", effects.struck)],
        _ => vec![
            ("segments_throttled", effects.struck),
            ("throttled_ms", delay_ms),
        ],
    };
    let named = |(name, count): (&str, u64)| (name.to_owned(), count);
    counts.into_iter().map(named).collect()
}

/// The stream of one boot of one host.
fn entropy(chance: &Chance, host: &str, boot: u32) -> ChaCha8Rng {
    chance.named("entropy").named(host).named(boot).rng()
}

impl Control for Ground {
    fn standing(&self) -> Vec<(String, Standing)> {
        let network = lock(&self.net);
        let up = |(_, host): &(HostId, &Hosted)| host.tasks.is_some();
        let standing = |(id, host): (HostId, &Hosted)| {
            let (connections, abandoned) = network.sockets(id);
            let standing = Standing {
                tasks: host.alive.count(),
                connections,
                abandoned,
            };
            (host.node.name.clone(), standing)
        };
        self.hosts
            .iter()
            .enumerate()
            .filter(up)
            .map(standing)
            .collect()
    }

    fn start(&mut self, number: usize, fault: &Fault) {
        let pairs = self.pairs(fault);
        let mut before = Before {
            deeds: lock(&self.net).deeds(&pairs),
            ..Before::default()
        };
        if fault.kind.is_on_links() {
            self.start_on_links(number, &fault.kind, &pairs);
        } else {
            for id in self.ids(&fault.targets) {
                before.effect = self.start_on_host(number, &fault.kind, id);
            }
        }
        self.before.insert(number, before);
    }

    fn stop(&mut self, number: usize, fault: &Fault) -> Effect {
        let Some(before) = self.before.remove(&number) else {
            return Effect::new();
        };
        if fault.kind.is_on_links() {
            let pairs = self.pairs(fault);
            let effects = self.stop_on_links(number, &fault.kind, &pairs);
            let after = lock(&self.net).deeds(&pairs);
            return effect_on_links(&fault.kind, before.deeds, after, effects);
        }
        let mut effect = before.effect.clone();
        for id in self.ids(&fault.targets) {
            effect.extend(self.stop_on_host(number, &fault.kind, id, &before));
        }
        effect
    }
}
