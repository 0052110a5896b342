//! How connections end: broken, reset, torn by the network, freed; and what a host's death does to them.
//!
//! **Invariant**: an end that is broken stays broken, and everyone who waits on it is woken.

use std::io;

use super::{HostId, Id, Network, Payload, What, nanos};
use crate::fault::Crash;

impl Network {
    /// The network resets the connection: `near` hears of it now, the other end after the way back.
    pub(super) fn tear(&mut self, id: Id, near: usize) {
        let Some(connection) = self.get(id) else {
            return;
        };
        if connection.broken[near].is_some() {
            return;
        }
        let far_lives = connection.broken[1 - near].is_none();
        self.break_end(id, near, io::ErrorKind::ConnectionReset);
        if far_lives {
            self.send(id, near, Payload::Reset);
        }
    }

    /// Ends the connection for `end` with an error.
    pub(super) fn break_end(&mut self, id: Id, end: usize, kind: io::ErrorKind) {
        let Some(connection) = self.get(id) else {
            return;
        };
        connection.broken[end].get_or_insert(kind);
        // Its own bytes on the way die with it.
        let own = &mut connection.pipes[end];
        own.flight.clear();
        let wakers = [own.writer.take(), own.reader.take()];
        let incoming = [
            connection.pipes[1 - end].reader.take(),
            connection.pipes[1 - end].writer.take(),
        ];
        self.wakers
            .extend(wakers.into_iter().chain(incoming).flatten());
    }

    /// `end` tells the other that the connection is gone.
    pub(super) fn reset(&mut self, id: Id, end: usize) {
        let Some(connection) = self.get(id) else {
            return;
        };
        if connection.broken[end].is_none() && connection.broken[1 - end].is_none() {
            let host = connection.hosts[end];
            connection.broken[end] = Some(io::ErrorKind::ConnectionReset);
            self.hosts[host].resets_sent += 1;
            self.send(id, end, Payload::Reset);
        }
    }

    /// Frees a connection that nobody has and nothing travels on.
    pub(super) fn reap(&mut self, id: Id) {
        let Some(connection) = self.get(id) else {
            return;
        };
        let still = connection.pipes.iter().any(|pipe| !pipe.flight.is_empty());
        if connection.open == [false, false] && !still {
            let slot = &mut self.connections[id.0 as usize];
            slot.1 = None;
            slot.0 = slot.0.wrapping_add(1);
            self.free.push(id.0);
        }
    }

    /// What waits behind a limit that is gone arrives as if it were sent now.
    pub(in super::super) fn hurry(&mut self, from: HostId, to: HostId) {
        let now = self.now;
        self.link(from, to).unlimited();
        for index in 0..self.connections.len() {
            let (generation, Some(connection)) = &self.connections[index] else {
                continue;
            };
            let id = (
                u32::try_from(index).expect("far fewer connections"),
                *generation,
            );
            let hosts = connection.hosts;
            for end in [0, 1] {
                if (hosts[end], hosts[1 - end]) != (from, to) {
                    continue;
                }
                let soon = now + nanos(self.link(from, to).journey(false).travel);
                let Some(connection) = self.get(id) else {
                    continue;
                };
                let pipe = &mut connection.pipes[end];
                let late = pipe.flight.front().is_some_and(|(at, _)| *at > soon);
                for (at, _) in &mut pipe.flight {
                    *at = (*at).min(soon);
                }
                pipe.last_at = pipe.last_at.min(soon);
                if late {
                    pipe.armed = true;
                    // The event that was meant for the head finds it gone, or not due, and does no harm.
                    self.schedule(soon, What::Deliver(id, end));
                }
            }
        }
    }

    /// The host's tasks are about to be dropped; its listeners go first.
    pub(in super::super) fn begin_crash(&mut self, host: HostId, mode: Crash) {
        self.hosts[host].dying = Some(mode);
        self.hosts[host].resets_sent = 0;
        self.hosts[host].powered = mode == Crash::Kill;
    }

    /// The host's tasks are dropped: how many connections it broke.
    pub(in super::super) fn end_crash(&mut self, host: HostId) -> u64 {
        self.hosts[host].dying = None;
        self.hosts[host].resets_sent
    }

    pub(in super::super) fn power_on(&mut self, host: HostId) {
        self.hosts[host].powered = true;
    }
}
