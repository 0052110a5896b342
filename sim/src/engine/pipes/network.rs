//! The simulated network: connections as pairs of in-order byte pipes, one heap of deliveries by (time, sequence).
//!
//! A segment is delivered never before the one ahead of it; a lost one delays those behind it, as TCP's receiver would see it.
//! **Invariant**: a closed end never gets bytes, and what was accepted from a writer is delivered in order or the connection is reset.
//! Not modelled: congestion control, Nagle, keep-alive, linger, `TIME_WAIT`.

mod calls;
mod ends;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    io,
    task::Waker,
    time::Duration,
};

use super::link::{Deeds, GIVE_UP, GIVE_UP_SYN, Link, retransmit};
use crate::{chance::Chance, fault::Crash, scenario::Network as Settings};

/// Bytes in flight or unread before a writer has to wait: Linux's initial receive window.
const WINDOW: usize = 65_536;
/// Connections that wait to be accepted before further requests are lost (Linux's `somaxconn` is 4,096; tokio asks for 1,024).
const BACKLOG: usize = 1_024;

/// A connection: index and generation, so that a late event cannot meet its successor.
pub(super) type Id = (u32, u32);
/// A host's number.
pub(super) type HostId = usize;

#[derive(Debug)]
enum Payload {
    Syn {
        port: u16,
    },
    SynAck,
    Data(Vec<u8>),
    Fin,
    Reset,
    /// The network itself resets the connection, for both ends.
    Torn,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe {
    flight: VecDeque<(u64, Payload)>,
    last_at: u64,
    /// Whether an event for the head of `flight` is in the heap or the head waits at a held link.
    armed: bool,
    /// Losses in a row of the head.
    lost: u32,
    ready: Vec<u8>,
    read: usize,
    /// Bytes in flight and unread.
    used: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    finished: bool,
    end_of_stream: bool,
}

#[derive(Debug)]
struct Connection {
    hosts: [HostId; 2],
    /// `pipes[e]` flows from end `e` to the other.
    pipes: [Pipe; 2],
    /// Whether the end has a handle (or will have one: a connection in a backlog).
    open: [bool; 2],
    /// Why the end is dead, if it is.
    broken: [Option<io::ErrorKind>; 2],
    established: bool,
}

#[derive(Debug, Default)]
struct Backlog {
    queue: VecDeque<Id>,
    acceptor: Option<Waker>,
}

#[derive(Debug)]
struct HostState {
    name: String,
    listeners: BTreeMap<u16, Backlog>,
    /// Whether the machine has power: without it, segments to it are lost.
    powered: bool,
    /// Set while a crash drops the host's tasks: how their sockets end.
    dying: Option<Crash>,
    resets_sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Deliver(Id, usize),
    WindowOpened(Id, usize),
}

/// Everything of the network; behind one lock, which is never contended: a run has one thread.
#[derive(Debug)]
pub(super) struct Network {
    /// Nanoseconds since the run's start.
    pub(super) now: u64,
    heap: BinaryHeap<Reverse<(u64, u64, What)>>,
    sequence: u64,
    hosts: Vec<HostState>,
    names: BTreeMap<String, HostId>,
    links: Vec<Link>,
    connections: Vec<(u32, Option<Connection>)>,
    free: Vec<u32>,
    /// To be woken once the lock is released: waking may run destructors that need the lock.
    wakers: Vec<Waker>,
}

impl Network {
    pub(super) fn new(names: &[String], settings: &Settings, chance: &Chance) -> Self {
        let host = |name: &String| HostState {
            name: name.clone(),
            listeners: BTreeMap::new(),
            powered: true,
            dying: None,
            resets_sent: 0,
        };
        let links = names.iter().flat_map(|from| {
            names
                .iter()
                .map(move |to| Link::new(settings, from, to, chance))
        });
        Self {
            now: 0,
            heap: BinaryHeap::new(),
            sequence: 0,
            hosts: names.iter().map(host).collect(),
            names: names
                .iter()
                .enumerate()
                .map(|(id, name)| (name.clone(), id))
                .collect(),
            links: links.collect(),
            connections: Vec::new(),
            free: Vec::new(),
            wakers: Vec::new(),
        }
    }

    /// From here on the chance of every link is another one.
    pub(super) fn reseed(&mut self, chance: &Chance) {
        let pairs = self.hosts.iter().flat_map(|from| {
            let to = self.hosts.iter();
            to.map(move |to| (&from.name, &to.name))
        });
        for (link, (from, to)) in self.links.iter_mut().zip(pairs) {
            link.reseed(from, to, chance);
        }
    }

    pub(super) fn host(&self, name: &str) -> Option<HostId> {
        self.names.get(name).copied()
    }

    pub(super) fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        let count = self.hosts.len();
        &mut self.links[from * count + to]
    }

    pub(super) fn deeds(&self, pairs: &[(HostId, HostId)]) -> Deeds {
        let count = self.hosts.len();
        pairs.iter().fold(Deeds::default(), |sum, (from, to)| {
            sum.plus(self.links[from * count + to].deeds)
        })
    }

    /// When the next event is due.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Handles every event that is due. The wakers are to be woken after the lock is released.
    pub(super) fn deliver_due(&mut self) {
        while let Some(Reverse((at, _, what))) = self.heap.peek().copied() {
            if at > self.now {
                break;
            }
            self.heap.pop();
            match what {
                What::Deliver(id, end) => {
                    if let Some(connection) = self.get(id) {
                        connection.pipes[end].armed = false;
                        self.pump(id, end);
                    }
                }
                What::WindowOpened(id, end) => {
                    let writer = self
                        .get(id)
                        .and_then(|connection| connection.pipes[end].writer.take());
                    self.wakers.extend(writer);
                }
            }
        }
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    fn get(&mut self, (index, generation): Id) -> Option<&mut Connection> {
        let (current, connection) = self.connections.get_mut(index as usize)?;
        if *current == generation {
            connection.as_mut()
        } else {
            None
        }
    }

    fn schedule(&mut self, at: u64, what: What) {
        self.sequence += 1;
        self.heap.push(Reverse((at, self.sequence, what)));
    }

    /// Sends `payload` from `end` over its link.
    fn send(&mut self, id: Id, end: usize, mut payload: Payload) {
        let now = self.now;
        let Some(connection) = self.get(id) else {
            return;
        };
        let (from, to) = (connection.hosts[end], connection.hosts[1 - end]);
        let link = self.link(from, to);
        let mut leaves = now;
        let mut torn = false;
        let journey = if let Payload::Data(bytes) = &mut payload {
            if let Some(passes) = link.tears(bytes.len()) {
                bytes.truncate(passes);
                torn = true;
            }
            leaves = link.leaves(now, bytes.len());
            link.journey(true)
        } else {
            link.journey(false)
        };
        if journey.torn {
            payload = Payload::Torn;
            torn = false;
        }
        let Some(connection) = self.get(id) else {
            return;
        };
        let pipe = &mut connection.pipes[end];
        let at = (leaves + nanos(journey.travel)).max(pipe.last_at);
        pipe.last_at = at;
        pipe.flight.push_back((at, payload));
        if torn {
            pipe.flight.push_back((at, Payload::Torn));
        }
        if !pipe.armed {
            pipe.armed = true;
            self.schedule(at, What::Deliver(id, end));
        }
    }

    /// Delivers what is due at the head of a pipe, as far as its link lets it.
    fn pump(&mut self, id: Id, end: usize) {
        loop {
            let now = self.now;
            let Some(connection) = self.get(id) else {
                return;
            };
            let (from, to) = (connection.hosts[end], connection.hosts[1 - end]);
            let pipe = &mut connection.pipes[end];
            let Some((at, payload)) = pipe.flight.front() else {
                break;
            };
            if *at > now {
                let at = *at;
                pipe.armed = true;
                self.schedule(at, What::Deliver(id, end));
                return;
            }
            let syn = matches!(payload, Payload::Syn { .. });
            let unpowered = !self.hosts[to].powered;
            let link = self.link(from, to);
            if link.holds > 0 {
                link.deeds.held += 1;
                link.waiting.push((id, end));
                self.get(id).expect("it was there").pipes[end].armed = true;
                return;
            }
            if link.cuts > 0 || unpowered {
                link.deeds.delayed += 1;
                self.lose_head(id, end, syn);
                return;
            }
            let connection = self.get(id).expect("it was there");
            connection.pipes[end].lost = 0;
            let (_, payload) = connection.pipes[end]
                .flight
                .pop_front()
                .expect("it was there");
            self.arrive(id, end, payload);
        }
        self.reap(id);
    }

    /// The head of the pipe was lost: it is sent again later, and given up after a while.
    fn lose_head(&mut self, id: Id, end: usize, syn: bool) {
        let now = self.now;
        let Some(connection) = self.get(id) else {
            return;
        };
        let pipe = &mut connection.pipes[end];
        let again = now + nanos(retransmit(pipe.lost, syn));
        pipe.lost += 1;
        if pipe.lost > if syn { GIVE_UP_SYN } else { GIVE_UP } {
            pipe.flight.clear();
            self.break_end(id, end, io::ErrorKind::TimedOut);
            self.reap(id);
            return;
        }
        pipe.flight.front_mut().expect("the head was lost").0 = again;
        pipe.last_at = pipe.last_at.max(again);
        pipe.armed = true;
        self.schedule(again, What::Deliver(id, end));
    }

    fn arrive(&mut self, id: Id, end: usize, payload: Payload) {
        let other = 1 - end;
        match payload {
            Payload::Syn { port } => self.knock(id, port),
            Payload::SynAck => {
                let Some(connection) = self.get(id) else {
                    return;
                };
                connection.established = true;
                let waiting = connection.pipes[end].reader.take();
                self.wakers.extend(waiting);
            }
            Payload::Data(bytes) => {
                let Some(connection) = self.get(id) else {
                    return;
                };
                if connection.broken[other].is_some() {
                    return;
                }
                if !connection.open[other] {
                    // Data for a socket that is gone: the kernel answers with a reset.
                    self.reset(id, other);
                    return;
                }
                let pipe = &mut connection.pipes[end];
                if pipe.read == pipe.ready.len() {
                    pipe.ready = bytes;
                    pipe.read = 0;
                } else {
                    pipe.ready.extend_from_slice(&bytes);
                }
                let reader = pipe.reader.take();
                self.wakers.extend(reader);
            }
            Payload::Fin => {
                let Some(connection) = self.get(id) else {
                    return;
                };
                if !connection.open[other] && !connection.pipes[other].finished {
                    // The end of a stream for a socket that a power loss took: the kernel does not know it.
                    self.reset(id, other);
                    return;
                }
                connection.pipes[end].end_of_stream = true;
                let reader = connection.pipes[end].reader.take();
                self.wakers.extend(reader);
            }
            Payload::Reset => {
                let Some(connection) = self.get(id) else {
                    return;
                };
                let refused = !connection.established && other == 0;
                let kind = if refused {
                    io::ErrorKind::ConnectionRefused
                } else {
                    io::ErrorKind::ConnectionReset
                };
                self.break_end(id, other, kind);
            }
            Payload::Torn => self.tear(id, other),
        }
    }

    /// A connection request arrives at its host.
    fn knock(&mut self, id: Id, port: u16) {
        let Some(connection) = self.get(id) else {
            return;
        };
        let to = connection.hosts[1];
        match self.hosts[to].listeners.get_mut(&port) {
            Some(backlog) if backlog.queue.len() < BACKLOG => {
                backlog.queue.push_back(id);
                let acceptor = backlog.acceptor.take();
                self.wakers.extend(acceptor);
                self.get(id).expect("it was there").open[1] = true;
                self.send(id, 1, Payload::SynAck);
            }
            Some(_) => {
                // An overflowing backlog drops the request; the client sends it again.
                let connection = self.get(id).expect("it was there");
                connection.pipes[0]
                    .flight
                    .push_front((0, Payload::Syn { port }));
                self.lose_head(id, 0, true);
            }
            None => self.send(id, 1, Payload::Reset),
        }
    }

    /// The links of a pair of groups let go what they held.
    pub(super) fn release(&mut self, from: HostId, to: HostId) {
        for (id, end) in std::mem::take(&mut self.link(from, to).waiting) {
            if let Some(connection) = self.get(id) {
                connection.pipes[end].armed = false;
                self.pump(id, end);
            }
        }
    }

    /// The open sockets of `host`, and how many of them know that their peer is gone.
    pub(super) fn sockets(&self, host: HostId) -> (u64, u64) {
        let (mut open, mut abandoned) = (0, 0);
        for connection in self.connections.iter().filter_map(|(_, it)| it.as_ref()) {
            for end in 0..2 {
                if connection.hosts[end] != host || !connection.open[end] {
                    continue;
                }
                open += 1;
                let told = connection.pipes[1 - end].end_of_stream;
                abandoned += u64::from(told || connection.broken[end].is_some());
            }
        }
        (open, abandoned)
    }
}

fn keep(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(kept) if kept.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
