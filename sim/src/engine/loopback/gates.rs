//! Gates between hosts: what a reader has to pass before it gets what the kernel already has.
//!
//! **Invariant**: a gate is closed exactly while a fault closes it, and everyone who waits there is woken when any gate changes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
    time::Duration,
};

use rand_chacha::ChaCha8Rng;

use crate::range::Latency;

/// A host's name.
pub(super) type Name = Arc<str>;

/// A direction between two hosts.
pub(super) type Pair = (Name, Name);

/// What the gates of some links did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deeds {
    /// Times that something arrived, or was to be sent, and had to wait.
    pub(super) held: u64,
    /// Times that something arrived and was slowed down.
    pub(super) slowed: u64,
}

#[derive(Debug, Default)]
struct Gate {
    closed: u32,
    /// Latencies by fault; the last wins.
    slow: Vec<(usize, Latency)>,
    deeds: Deeds,
}

#[derive(Debug)]
struct State {
    gates: BTreeMap<Pair, Gate>,
    /// Who dials from which address.
    dialers: BTreeMap<SocketAddr, Name>,
    open: BTreeMap<Name, u64>,
    waiting: Vec<Waker>,
    rng: ChaCha8Rng,
}

/// The gates of a run, shared by all its hosts.
#[derive(Debug)]
pub(super) struct Gates {
    state: Mutex<State>,
    /// Hosts by the address that others dial.
    hosts: BTreeMap<String, Name>,
}

impl Gates {
    /// Every gate open; `hosts` by the address that others dial, `rng` for slow links.
    pub(super) fn new(hosts: BTreeMap<String, Name>, rng: ChaCha8Rng) -> Self {
        let state = State {
            gates: BTreeMap::new(),
            dialers: BTreeMap::new(),
            open: BTreeMap::new(),
            waiting: Vec::new(),
            rng,
        };
        Self {
            state: Mutex::new(state),
            hosts,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while holding the gates")
    }

    /// The host that is reached at `address`.
    pub(super) fn dialed(&self, address: &str) -> Option<Name> {
        self.hosts.get(address).cloned()
    }

    /// The host that dials from `address`: known before it can have sent anything.
    pub(super) fn dialer(&self, address: SocketAddr) -> Option<Name> {
        self.lock().dialers.get(&address).cloned()
    }

    /// `host` dials from `address`.
    pub(super) fn dials(&self, host: &Name, address: SocketAddr) {
        self.lock().dialers.insert(address, host.clone());
    }

    /// `host` has a connection more.
    pub(super) fn opened(&self, host: &Name) {
        *self.lock().open.entry(host.clone()).or_default() += 1;
    }

    /// `host` has a connection fewer.
    pub(super) fn closed(&self, host: &Name) {
        if let Some(count) = self.lock().open.get_mut(host) {
            *count -= 1;
        }
    }

    /// How many connections `host` has.
    pub(super) fn connections_of(&self, host: &str) -> u64 {
        self.lock().open.get(host).copied().unwrap_or(0)
    }

    /// Whether the way from one host to the other is shut; if so the task is woken when that may have changed.
    pub(super) fn is_shut(&self, from: &Name, to: &Name, waker: &Waker) -> bool {
        let mut state = self.lock();
        let gate = state.gates.get(&(from.clone(), to.clone()));
        let shut = gate.is_some_and(|gate| gate.closed > 0);
        if shut && !state.waiting.iter().any(|other| other.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        shut
    }

    /// Something waits at the gate.
    pub(super) fn held(&self, from: &Name, to: &Name) {
        let mut state = self.lock();
        let gate = state.gates.entry((from.clone(), to.clone())).or_default();
        gate.deeds.held += 1;
    }

    /// How long to keep back what has arrived, when the way is slow.
    pub(super) fn delay(&self, from: &Name, to: &Name) -> Option<Duration> {
        let state = &mut *self.lock();
        let gate = state.gates.get_mut(&(from.clone(), to.clone()))?;
        let (_, latency) = gate.slow.last()?;
        let delay = latency.draw(&mut state.rng);
        gate.deeds.slowed += u64::from(!delay.is_zero());
        Some(delay)
    }

    /// Whether the way is slow.
    pub(super) fn is_slow(&self, from: &Name, to: &Name) -> bool {
        let state = self.lock();
        let gate = state.gates.get(&(from.clone(), to.clone()));
        gate.is_some_and(|gate| !gate.slow.is_empty())
    }

    /// One more fault shuts these ways.
    pub(super) fn shut(&self, pairs: &[Pair]) {
        self.change(pairs, |gate| gate.closed += 1);
    }

    /// One fault fewer shuts these ways.
    pub(super) fn unshut(&self, pairs: &[Pair]) {
        self.change(pairs, |gate| gate.closed = gate.closed.saturating_sub(1));
    }

    /// Fault `number` makes these ways slow.
    pub(super) fn slow(&self, pairs: &[Pair], number: usize, latency: Latency) {
        self.change(pairs, |gate| gate.slow.push((number, latency)));
    }

    /// It does so no longer.
    pub(super) fn unslow(&self, pairs: &[Pair], number: usize) {
        self.change(pairs, |gate| {
            gate.slow.retain(|(other, _)| *other != number);
        });
    }

    fn change(&self, pairs: &[Pair], change: impl Fn(&mut Gate)) {
        let mut state = self.lock();
        for pair in pairs {
            change(state.gates.entry(pair.clone()).or_default());
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// What these gates did so far.
    pub(super) fn deeds(&self, pairs: &[Pair]) -> Deeds {
        let state = self.lock();
        let gates = pairs.iter().filter_map(|pair| state.gates.get(pair));
        gates.fold(Deeds::default(), |sum, gate| Deeds {
            held: sum.held + gate.deeds.held,
            slowed: sum.slowed + gate.deeds.slowed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    #[test]
    fn a_gate_opens_with_the_last_fault() {
        let (a, b): Pair = (Arc::from("a"), Arc::from("b"));
        let gates = Gates::new(BTreeMap::new(), Chance::new(1).rng());
        let pairs = [(a.clone(), b.clone())];
        gates.shut(&pairs);
        gates.shut(&pairs);
        gates.unshut(&pairs);
        assert!(gates.is_shut(&a, &b, Waker::noop()));
        assert!(
            !gates.is_shut(&b, &a, Waker::noop()),
            "the way back is another way"
        );
        gates.unshut(&pairs);
        assert!(!gates.is_shut(&a, &b, Waker::noop()));
    }

    #[test]
    fn the_last_latency_wins_and_is_counted() {
        let (a, b): Pair = (Arc::from("a"), Arc::from("b"));
        let gates = Gates::new(BTreeMap::new(), Chance::new(1).rng());
        let pairs = [(a.clone(), b.clone())];
        assert_eq!(gates.delay(&a, &b), None);
        gates.slow(&pairs, 0, Latency::FixedMs(5.0));
        gates.slow(&pairs, 1, Latency::FixedMs(9.0));
        assert_eq!(gates.delay(&a, &b), Some(Duration::from_millis(9)));
        gates.unslow(&pairs, 1);
        assert_eq!(gates.delay(&a, &b), Some(Duration::from_millis(5)));
        assert_eq!(gates.deeds(&pairs).slowed, 2);
    }
}
