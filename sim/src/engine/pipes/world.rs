//! The world: all hosts of a run, polled by one root future on one paused runtime.
//!
//! Each host is a `LocalSet` with a waker flag of its own, so only the woken are polled, and idle time is skipped by tokio's paused clock.
//! **Invariant**: host code runs only inside [`World`]'s poll, so nothing of a host outlives the drop of its `LocalSet`.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rehearsal_host::Host;
use tokio::{
    task::LocalSet,
    time::{Instant, Sleep},
};

use super::{
    machine::{Alive, Entropy, SimulatedMachine},
    network::HostId,
    socket::{Net, lock},
};
use crate::{
    chance::Chance,
    engine::{Booted, Control, Director, EngineError, Next, Setup},
    fault::{Crash, Effect, Fault, Kind},
    interpose,
    system::Node,
    trace::{Clock, Standing},
};

/// Rounds of polling at one instant of virtual time before a run counts as stuck.
const MOST_ROUNDS: u32 = 1_000_000;

/// A host's waker: marks it as woken and wakes the world.
struct Flag {
    woken: AtomicBool,
    world: Mutex<Option<Waker>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Relaxed)
            && let Some(world) = self.world.lock().expect("no panic while waking").as_ref()
        {
            world.wake_by_ref();
        }
    }
}

struct Hosted {
    node: Node,
    tasks: Option<LocalSet>,
    /// How many of them there are.
    alive: Alive,
    flag: Arc<Flag>,
    waker: Waker,
    boot: u32,
    /// The entropy of this boot.
    entropy: Option<Entropy>,
    /// How many crashes hold it down.
    down: u32,
}

/// What faults can be done to: everything but the director.
pub(super) struct Ground {
    net: Net,
    hosts: Vec<Hosted>,
    clock: Clock,
    chance: Chance,
    booted: Booted,
    /// Counters of links at the start of each fault on them.
    before: BTreeMap<usize, super::link::Deeds>,
    /// What each crash did.
    crashes: BTreeMap<usize, Effect>,
}

/// The root future of a run.
pub(super) struct World<'a> {
    ground: Ground,
    director: &'a mut dyn Director,
    director_at: Option<Duration>,
    start: Instant,
    timer: Pin<Box<Sleep>>,
    order: ChaCha8Rng,
    /// When chance becomes another one, and which.
    fork: Option<(Duration, Chance)>,
}

impl<'a> World<'a> {
    /// All hosts booted, nothing polled yet. Needs the paused runtime's context.
    pub(super) fn new(setup: Setup, net: Net, director: &'a mut dyn Director) -> Self {
        let host = |node: Node| {
            let flag = Arc::new(Flag {
                woken: AtomicBool::new(false),
                world: Mutex::new(None),
            });
            Hosted {
                node,
                tasks: None,
                alive: Alive::default(),
                waker: Waker::from(flag.clone()),
                flag,
                boot: 0,
                entropy: None,
                down: 0,
            }
        };
        let start = Instant::now();
        let order = setup.chance.named("order").rng();
        let fork = setup.chance.fork();
        let mut ground = Ground {
            net,
            hosts: setup.nodes.into_iter().map(host).collect(),
            clock: setup.clock,
            chance: setup.chance,
            booted: setup.booted,
            before: BTreeMap::new(),
            crashes: BTreeMap::new(),
        };
        for id in 0..ground.hosts.len() {
            ground.boot(id);
        }
        let timer = Box::pin(tokio::time::sleep_until(start));
        Self {
            ground,
            director,
            director_at: Some(Duration::ZERO),
            start,
            timer,
            order,
            fork,
        }
    }

    fn tick(&mut self, cx: &Context<'_>) -> Poll<Result<(), EngineError>> {
        let now = self.start.elapsed();
        self.ground.clock.set(now);
        interpose::set_elapsed(super::network::nanos(now));
        if let Some((_, chance)) = self.fork.take_if(|(at, _)| *at <= now) {
            self.order = chance.named("order").rng();
            self.ground.reseed(chance);
        }
        for _ in 0..MOST_ROUNDS {
            let wakers = {
                let mut network = lock(&self.ground.net);
                network.now = super::network::nanos(now);
                network.deliver_due();
                network.take_wakers()
            };
            wakers.into_iter().for_each(Waker::wake);
            let polled = self.poll_woken(cx);
            let due = self.director.is_due();
            if !polled && !due && self.director_at.is_none_or(|at| at > now) {
                return Poll::Pending;
            }
            if !polled || due {
                let escaped = tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks();
                if escaped > 0 {
                    return Poll::Ready(Err(EngineError::Escaped(escaped)));
                }
                match self.director.direct(now, &mut self.ground) {
                    // The timers' resolution is 1 ms: anything nearer would be now again.
                    Next::At(at) => self.director_at = Some(at.max(now + Duration::from_millis(1))),
                    Next::Done => return Poll::Ready(Ok(())),
                }
            }
        }
        Poll::Ready(Err(EngineError::Broken(format!(
            "no end of work at {now:?}: {MOST_ROUNDS} rounds without virtual time advancing"
        ))))
    }

    /// Polls each woken host once, beginning at a drawn one: hosts that wake together have no natural order.
    fn poll_woken(&mut self, cx: &Context<'_>) -> bool {
        let hosts = &mut self.ground.hosts;
        let woken = |host: &Hosted| host.flag.woken.load(Ordering::Relaxed) && host.tasks.is_some();
        let count = hosts.iter().filter(|host| woken(host)).count();
        let first = match count {
            0 => return false,
            1 => 0,
            _ => self.order.random_range(0..hosts.len()),
        };
        let length = hosts.len();
        for offset in 0..length {
            let host = &mut hosts[(first + offset) % length];
            if !host.flag.woken.swap(false, Ordering::Relaxed) {
                continue;
            }
            let Some(tasks) = &mut host.tasks else {
                continue;
            };
            {
                let mut world = host.flag.world.lock().expect("no panic while waking");
                if !world
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(cx.waker()))
                {
                    *world = Some(cx.waker().clone());
                }
            }
            // A host's tasks may all have ended; it stays up without them.
            let _ = Pin::new(tasks).poll(&mut Context::from_waker(&host.waker));
            if self.director.is_due() {
                break;
            }
        }
        true
    }
}

impl Future for World<'_> {
    type Output = Result<(), EngineError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let world = &mut *self;
        loop {
            if let Poll::Ready(ended) = world.tick(cx) {
                return Poll::Ready(ended);
            }
            let event = lock(&world.ground.net).next_at().map(Duration::from_nanos);
            let fork = world.fork.as_ref().map(|(at, _)| *at);
            let wanted = event.into_iter().chain(world.director_at).chain(fork);
            let Some(next) = wanted.min() else {
                return Poll::Pending;
            };
            let at = world.start + next;
            if world.timer.deadline() != at {
                world.timer.as_mut().reset(at);
            }
            if world.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Ground {
    fn boot(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        host.boot += 1;
        let name = &host.node.name;
        let entropy = entropy(&self.chance, name, host.boot);
        let entropy: Entropy = Arc::new(Mutex::new(entropy));
        host.entropy = Some(entropy.clone());
        let machine = SimulatedMachine::new(self.net.clone(), id, self.clock.clone(), entropy);
        host.alive = machine.alive();
        let tasks = LocalSet::new();
        (self.booted)(name, host.boot);
        tasks.spawn_local((host.node.main)(Host::new(machine), host.boot));
        host.tasks = Some(tasks);
        host.flag.wake_by_ref();
    }

    /// From here on all chance is another one; what is under way stays as it was drawn.
    fn reseed(&mut self, chance: Chance) {
        lock(&self.net).reseed(&chance);
        for host in &self.hosts {
            if let Some(stream) = &host.entropy {
                *stream.lock().expect("no panic while drawing") =
                    entropy(&chance, &host.node.name, host.boot);
            }
        }
        self.chance = chance;
    }

    fn crash(&mut self, id: HostId, mode: Crash) -> Effect {
        self.hosts[id].down += 1;
        let Some(tasks) = self.hosts[id].tasks.take() else {
            // A dead host stays dead for longer.
            return Effect::from([("processes_kept_down".to_owned(), 1)]);
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

    fn restart(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        host.down = host.down.saturating_sub(1);
        if host.down == 0 && host.tasks.is_none() {
            lock(&self.net).power_on(id);
            self.boot(id);
        }
    }

    fn ids(&self, names: &[String]) -> Vec<HostId> {
        let network = lock(&self.net);
        names.iter().filter_map(|name| network.host(name)).collect()
    }

    /// The directions between two hosts that a fault is on.
    fn pairs(&self, fault: &Fault) -> Vec<(HostId, HostId)> {
        let both = !matches!(fault.kind, Kind::Partition { one_way: true });
        let (targets, peers) = (self.ids(&fault.targets), self.ids(&fault.peers));
        let pairs = targets
            .iter()
            .flat_map(|a| peers.iter().map(move |b| (*a, *b)));
        pairs
            .flat_map(|(a, b)| {
                if both {
                    vec![(a, b), (b, a)]
                } else {
                    vec![(a, b)]
                }
            })
            .collect()
    }
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
        if let Kind::Crash { mode } = fault.kind {
            for id in self.ids(&fault.targets) {
                let effect = self.crash(id, mode);
                self.crashes.insert(number, effect);
            }
            return;
        }
        let pairs = self.pairs(fault);
        let mut network = lock(&self.net);
        self.before.insert(number, network.deeds(&pairs));
        for (from, to) in pairs {
            let link = network.link(from, to);
            match &fault.kind {
                Kind::Partition { .. } => link.cuts += 1,
                Kind::Hold => link.holds += 1,
                Kind::Latency { latency } => link.slow.push((number, *latency)),
                Kind::Crash { .. } | Kind::Disk(_) => {
                    unreachable!("crashes are handled above, and disks by the conductor")
                }
            }
        }
    }

    fn stop(&mut self, number: usize, fault: &Fault) -> Effect {
        if matches!(fault.kind, Kind::Crash { .. }) {
            for id in self.ids(&fault.targets) {
                self.restart(id);
            }
            return self.crashes.remove(&number).unwrap_or_default();
        }
        let pairs = self.pairs(fault);
        let wakers = {
            let mut network = lock(&self.net);
            for (from, to) in &pairs {
                let link = network.link(*from, *to);
                match &fault.kind {
                    Kind::Partition { .. } => link.cuts -= 1,
                    Kind::Hold => link.holds -= 1,
                    Kind::Latency { .. } => link.slow.retain(|(other, _)| *other != number),
                    Kind::Crash { .. } | Kind::Disk(_) => {
                        unreachable!("crashes are handled above, and disks by the conductor")
                    }
                }
                if network.link(*from, *to).holds == 0 {
                    network.release(*from, *to);
                }
            }
            network.take_wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
        let before = self.before.remove(&number).unwrap_or_default();
        let after = lock(&self.net).deeds(&pairs);
        let (name, count) = match fault.kind {
            Kind::Partition { .. } => ("segments_lost", after.delayed - before.delayed),
            Kind::Hold => ("segments_held", after.held - before.held),
            _ => ("segments_slowed", after.slowed - before.slowed),
        };
        Effect::from([(name.to_owned(), count)])
    }
}
