//! The books that turmoil does not keep: which links are cut, which connections lost something, who waits on them.
//!
//! **Invariant**: a segment that is handed over on a cut link marks its connection as lost, and a lost connection is broken on both ends
//! once its link is whole again. It carries no bytes and knows no turmoil.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Waker},
    time::Duration,
};

/// A host's name.
pub(super) type Name = Arc<str>;

/// Both addresses of a connection, the smaller first: the same from either end.
pub(super) type Key = (SocketAddr, SocketAddr);

/// The key of the connection between two addresses.
pub(super) fn key(a: SocketAddr, b: SocketAddr) -> Key {
    (a.min(b), a.max(b))
}

/// Who waits: a reader, or a writer (and who connects).
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Read,
    Write,
}

/// What a waiting end has to know before it waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing happened.
    Alive,
    /// The other end is gone and will never read again: turmoil wakes a reader, but not a writer that waits for room.
    Deserted,
    /// The connection is broken.
    Broken,
}

/// One direction between two hosts.
#[derive(Debug, Default)]
struct Link {
    cuts: u32,
    /// How many times it was cut so far.
    times_cut: u64,
    /// Segments handed over so far, also those that were lost.
    segments: u64,
}

/// One end of a connection, or an attempt to make one.
#[derive(Debug)]
struct End {
    from: Name,
    to: Name,
    connection: Option<Key>,
    fate: Fate,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<(Name, Name), Link>,
    ends: BTreeMap<u64, End>,
    next_end: u64,
    lost: BTreeSet<Key>,
    down: BTreeSet<Name>,
}

/// The books, shared by all hosts of a run.
#[derive(Debug)]
pub(super) struct Links {
    state: Mutex<State>,
    hosts: BTreeSet<Name>,
    /// The least time for a refusal to come back.
    pub(super) round_trip: Duration,
}

/// What stands in the way of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// The request, or its answer, is lost.
    Cut,
    /// Nobody listens: the target's process is dead.
    Down,
}

impl State {
    fn link(&mut self, from: &Name, to: &Name) -> &mut Link {
        self.links.entry((from.clone(), to.clone())).or_default()
    }

    fn is_cut(&self, from: &Name, to: &Name) -> bool {
        self.links
            .get(&(from.clone(), to.clone()))
            .is_some_and(|link| link.cuts > 0)
    }

    /// Gives the ends that `wanted` picks their fate; the wakers are to be woken after the lock is released.
    fn doom(&mut self, fate: Fate, wanted: impl Fn(&End) -> bool) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for end in self.ends.values_mut().filter(|end| wanted(end)) {
            if end.fate != Fate::Broken {
                end.fate = fate;
            }
            wakers.extend(end.reader.take().into_iter().chain(end.writer.take()));
        }
        wakers
    }
}

impl Links {
    /// Books for these hosts, every link whole.
    pub(super) fn new(hosts: impl IntoIterator<Item = Name>, round_trip: Duration) -> Self {
        Self {
            state: Mutex::default(),
            hosts: hosts.into_iter().collect(),
            round_trip,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while keeping books")
    }

    /// The host of this name, if there is one.
    pub(super) fn host(&self, name: &str) -> Option<Name> {
        self.hosts.get(name).cloned()
    }

    /// A new end, or with no key an attempt to connect.
    pub(super) fn open(&self, from: &Name, to: &Name, connection: Option<Key>) -> u64 {
        let mut state = self.lock();
        state.next_end += 1;
        let id = state.next_end;
        let end = End {
            from: from.clone(),
            to: to.clone(),
            connection,
            fate: Fate::Alive,
            reader: None,
            writer: None,
        };
        state.ends.insert(id, end);
        id
    }

    /// An end is gone. The other one is deserted, or lost when the news cannot reach it.
    pub(super) fn close(&self, id: u64, finished: bool) {
        let mut state = self.lock();
        let Some(end) = state.ends.remove(&id) else {
            return;
        };
        let Some(connection) = end.connection else {
            return;
        };
        let cut = state.is_cut(&end.from, &end.to);
        if cut {
            state.lost.insert(connection);
            state.link(&end.from, &end.to).segments += u64::from(!finished);
        }
        let wakers = state.doom(Fate::Deserted, |other| other.connection == Some(connection));
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// One segment is handed over on the way from this end.
    pub(super) fn sent(&self, id: u64) {
        let mut state = self.lock();
        let Some(end) = state.ends.get(&id) else {
            return;
        };
        let (from, to, connection) = (end.from.clone(), end.to.clone(), end.connection);
        let link = state.link(&from, &to);
        link.segments += 1;
        if link.cuts > 0 {
            state.lost.extend(connection);
        }
    }

    /// What became of this end; if nothing, the task is woken when something does.
    pub(super) fn fate(&self, id: u64, side: Side, cx: &Context<'_>) -> Fate {
        let mut state = self.lock();
        let Some(end) = state.ends.get_mut(&id) else {
            return Fate::Broken;
        };
        if end.fate != Fate::Broken {
            let slot = match side {
                Side::Read => &mut end.reader,
                Side::Write => &mut end.writer,
            };
            if !slot
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                *slot = Some(cx.waker().clone());
            }
        }
        let (fate, from, to) = (end.fate, end.from.clone(), end.to.clone());
        // The news of a departure crosses the link as well.
        if fate == Fate::Deserted && state.is_cut(&to, &from) {
            Fate::Alive
        } else {
            fate
        }
    }

    /// Whether a request from `from` can reach `to` and its answer come back. One that is lost counts as a segment.
    pub(super) fn way(&self, from: &Name, to: &Name) -> Way {
        let mut state = self.lock();
        for (a, b) in [(from, to), (to, from)] {
            if state.is_cut(a, b) {
                state.link(a, b).segments += 1;
                return Way::Cut;
            }
        }
        if state.down.contains(to) {
            Way::Down
        } else {
            Way::Open
        }
    }

    /// How many times the way there or back was cut so far.
    pub(super) fn times_cut(&self, from: &Name, to: &Name) -> u64 {
        let mut state = self.lock();
        state.link(from, to).times_cut + state.link(to, from).times_cut
    }

    /// Segments handed over so far on these links.
    pub(super) fn segments(&self, pairs: &[(Name, Name)]) -> u64 {
        let state = self.lock();
        pairs
            .iter()
            .filter_map(|pair| state.links.get(pair))
            .map(|link| link.segments)
            .sum()
    }

    /// How many ends of connections a host has.
    pub(super) fn ends_of(&self, host: &str) -> u64 {
        let state = self.lock();
        let ends = state
            .ends
            .values()
            .filter(|end| end.connection.is_some() && *end.from == *host);
        ends.count() as u64
    }

    /// One more fault cuts the link; `in_flight` are the connections that lose what was on the way.
    pub(super) fn cut(&self, pair: &(Name, Name), in_flight: impl IntoIterator<Item = Key>) {
        let mut state = self.lock();
        let link = state.link(&pair.0, &pair.1);
        link.cuts += 1;
        link.times_cut += 1;
        state.lost.extend(in_flight);
    }

    /// One fault fewer cuts the link. When nothing cuts it either way, what was lost over it is broken.
    pub(super) fn heal(&self, pair: &(Name, Name)) {
        let mut state = self.lock();
        let link = state.link(&pair.0, &pair.1);
        link.cuts = link.cuts.saturating_sub(1);
        if state.is_cut(&pair.0, &pair.1) || state.is_cut(&pair.1, &pair.0) {
            return;
        }
        let lost = state.lost.clone();
        let crosses = |end: &End| {
            (&end.from, &end.to) == (&pair.0, &pair.1) || (&end.from, &end.to) == (&pair.1, &pair.0)
        };
        let wanted =
            |end: &End| crosses(end) && end.connection.is_some_and(|key| lost.contains(&key));
        let healed: Vec<Key> = state
            .ends
            .values()
            .filter(|end| wanted(end))
            .filter_map(|end| end.connection)
            .collect();
        let wakers = state.doom(Fate::Broken, wanted);
        state.lost.retain(|key| !healed.contains(key));
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Every connection of a host that loses power is lost.
    pub(super) fn lose_all_of(&self, host: &str) {
        let mut state = self.lock();
        let keys: Vec<Key> = state
            .ends
            .values()
            .filter(|end| *end.from == *host || *end.to == *host)
            .filter_map(|end| end.connection)
            .collect();
        state.lost.extend(keys);
    }

    /// Whether the link is cut now.
    pub(super) fn is_cut(&self, pair: &(Name, Name)) -> bool {
        self.lock().is_cut(&pair.0, &pair.1)
    }

    /// The host's process is dead: who is connecting to it is refused.
    pub(super) fn down(&self, host: &Name) {
        let mut state = self.lock();
        state.down.insert(host.clone());
        let wakers = state.doom(Fate::Broken, |end| {
            end.connection.is_none() && end.to == *host
        });
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The host is up again.
    pub(super) fn up(&self, host: &str) {
        self.lock().down.remove(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> (Links, Name, Name, Key) {
        let (a, b): (Name, Name) = (Arc::from("a"), Arc::from("b"));
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let links = Links::new([a.clone(), b.clone()], Duration::ZERO);
        (links, a, b, key(address(2), address(1)))
    }

    fn fate(links: &Links, id: u64) -> Fate {
        links.fate(id, Side::Write, &Context::from_waker(Waker::noop()))
    }

    #[test]
    fn only_a_connection_that_lost_something_is_broken_by_the_heal() {
        let (links, a, b, key) = books();
        let (here, there) = (links.open(&a, &b, Some(key)), links.open(&b, &a, Some(key)));
        let pair = (a.clone(), b.clone());
        links.cut(&pair, []);
        links.heal(&pair);
        assert_eq!(fate(&links, here), Fate::Alive);
        links.cut(&pair, []);
        links.sent(here);
        assert_eq!(fate(&links, there), Fate::Alive);
        links.heal(&pair);
        assert_eq!(
            (fate(&links, here), fate(&links, there)),
            (Fate::Broken, Fate::Broken)
        );
        assert_eq!(links.segments(&[pair]), 1);
    }

    #[test]
    fn overlapping_cuts_heal_together() {
        let (links, a, b, key) = books();
        let here = links.open(&a, &b, Some(key));
        let pair = (a.clone(), b.clone());
        links.cut(&pair, [key]);
        links.cut(&pair, []);
        links.heal(&pair);
        assert_eq!(fate(&links, here), Fate::Alive);
        assert_eq!(links.way(&a, &b), Way::Cut);
        links.heal(&pair);
        assert_eq!(fate(&links, here), Fate::Broken);
        assert_eq!(links.way(&a, &b), Way::Open);
    }

    #[test]
    fn a_departure_is_news_only_where_the_link_is_whole() {
        let (links, a, b, key) = books();
        let (here, there) = (links.open(&a, &b, Some(key)), links.open(&b, &a, Some(key)));
        let back = (b.clone(), a.clone());
        links.cut(&back, []);
        links.close(there, false);
        assert_eq!(fate(&links, here), Fate::Alive);
        links.heal(&back);
        assert_eq!(
            fate(&links, here),
            Fate::Broken,
            "the end of the stream was lost"
        );
    }

    #[test]
    fn a_dead_process_refuses_who_is_connecting() {
        let (links, a, b, _) = books();
        let attempt = links.open(&a, &b, None);
        links.down(&b);
        assert_eq!(fate(&links, attempt), Fate::Broken);
        assert_eq!(links.way(&a, &b), Way::Down);
        links.up("b");
        assert_eq!(links.way(&a, &b), Way::Open);
    }
}
