//! What sockets ask of the network: listen, accept, connect, read, write, finish, close.
//!
//! **Invariant**: a call never blocks; what has to wait leaves its waker behind.

use std::{io, task::Waker};

use super::{Backlog, Connection, HostId, Id, Network, Payload, WINDOW, What, keep, nanos};
use crate::fault::Crash;

impl Network {
    pub(in super::super) fn listen(&mut self, host: HostId, port: u16) -> io::Result<u16> {
        let listeners = &mut self.hosts[host].listeners;
        let port = if port == 0 {
            (49_152..=u16::MAX)
                .find(|port| !listeners.contains_key(port))
                .ok_or(io::ErrorKind::AddrInUse)?
        } else {
            port
        };
        if listeners.contains_key(&port) {
            let message = format!(
                "port {port} of {} is already listened on",
                self.hosts[host].name
            );
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        listeners.insert(port, Backlog::default());
        Ok(port)
    }

    pub(in super::super) fn unlisten(&mut self, host: HostId, port: u16) {
        let Some(backlog) = self.hosts[host].listeners.remove(&port) else {
            return;
        };
        for id in backlog.queue {
            self.close(id, 1, true);
        }
    }

    pub(in super::super) fn accept(
        &mut self,
        host: HostId,
        port: u16,
        waker: &Waker,
    ) -> Option<(Id, HostId)> {
        let backlog = self.hosts[host].listeners.get_mut(&port)?;
        let Some(id) = backlog.queue.pop_front() else {
            keep(&mut backlog.acceptor, waker);
            return None;
        };
        let peer = self.get(id).map(|connection| connection.hosts[0])?;
        Some((id, peer))
    }

    pub(in super::super) fn host_name(&self, host: HostId) -> &str {
        &self.hosts[host].name
    }

    pub(in super::super) fn connect(&mut self, from: HostId, to: HostId, port: u16) -> Id {
        let connection = Connection {
            hosts: [from, to],
            pipes: Default::default(),
            open: [true, false],
            broken: [None, None],
            established: false,
        };
        let id = if let Some(index) = self.free.pop() {
            let slot = &mut self.connections[index as usize];
            slot.1 = Some(connection);
            (index, slot.0)
        } else {
            let index = u32::try_from(self.connections.len()).expect("far fewer connections");
            self.connections.push((0, Some(connection)));
            (index, 0)
        };
        self.send(id, 0, Payload::Syn { port });
        id
    }

    /// Whether the handshake is over, or why it failed.
    pub(in super::super) fn connected(&mut self, id: Id, waker: &Waker) -> Option<io::Result<()>> {
        let connection = self.get(id).expect("its handle keeps it");
        if let Some(kind) = connection.broken[0] {
            return Some(Err(kind.into()));
        }
        if connection.established {
            return Some(Ok(()));
        }
        keep(&mut connection.pipes[1].reader, waker);
        None
    }

    /// Reads into `buffer`: how much, or `None` to wait. Zero is the end of the stream.
    pub(in super::super) fn read(
        &mut self,
        id: Id,
        end: usize,
        buffer: &mut tokio::io::ReadBuf<'_>,
        waker: &Waker,
    ) -> Option<io::Result<()>> {
        let connection = self.get(id).expect("its handle keeps it");
        let broken = connection.broken[end];
        let hosts = connection.hosts;
        let pipe = &mut connection.pipes[1 - end];
        let unread = &pipe.ready[pipe.read..];
        if !unread.is_empty() {
            let count = unread.len().min(buffer.remaining());
            buffer.put_slice(&unread[..count]);
            pipe.read += count;
            pipe.used -= count;
            if pipe.writer.is_some() && pipe.used <= WINDOW / 2 {
                // The writer learns of the open window after the way back.
                let at =
                    self.now + nanos(self.link(hosts[end], hosts[1 - end]).journey(false).travel);
                self.schedule(at, What::WindowOpened(id, 1 - end));
            }
            return Some(Ok(()));
        }
        if let Some(kind) = broken {
            return Some(Err(kind.into()));
        }
        if pipe.end_of_stream || buffer.remaining() == 0 {
            return Some(Ok(()));
        }
        keep(&mut pipe.reader, waker);
        None
    }

    /// Writes from `bytes`: how much, or `None` to wait.
    pub(in super::super) fn write(
        &mut self,
        id: Id,
        end: usize,
        bytes: &[u8],
        waker: &Waker,
    ) -> Option<io::Result<usize>> {
        let connection = self.get(id).expect("its handle keeps it");
        if let Some(kind) = connection.broken[end] {
            return Some(Err(kind.into()));
        }
        let hosts = connection.hosts;
        let pipe = &mut connection.pipes[end];
        if pipe.finished {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Some(Ok(0));
        }
        let room = WINDOW.saturating_sub(pipe.used);
        if room == 0 {
            keep(&mut pipe.writer, waker);
            return None;
        }
        let count = bytes.len().min(room);
        pipe.used += count;
        match self.link(hosts[end], hosts[1 - end]).cut(count) {
            Some(at) => {
                self.send(id, end, Payload::Data(bytes[..at].to_vec()));
                self.send(id, end, Payload::Data(bytes[at..count].to_vec()));
            }
            None => self.send(id, end, Payload::Data(bytes[..count].to_vec())),
        }
        Some(Ok(count))
    }

    /// No more bytes from `end`; it still reads.
    pub(in super::super) fn finish(&mut self, id: Id, end: usize) {
        let Some(connection) = self.get(id) else {
            return;
        };
        if connection.broken[end].is_none()
            && !std::mem::replace(&mut connection.pipes[end].finished, true)
        {
            self.send(id, end, Payload::Fin);
        }
    }

    /// The handle of `end` is gone.
    pub(in super::super) fn close(&mut self, id: Id, end: usize, abort: bool) {
        let Some(connection) = self.get(id) else {
            return;
        };
        connection.open[end] = false;
        let unread = connection.pipes[1 - end].read < connection.pipes[1 - end].ready.len();
        let early = end == 0 && !connection.established;
        let host = connection.hosts[end];
        match self.hosts[host].dying {
            // Without power nothing more goes out; what is on the wire already arrives.
            Some(Crash::PowerLoss | Crash::Wipe) => {}
            Some(Crash::Kill) => self.reset(id, end),
            None if abort || unread || early => self.reset(id, end),
            None => self.finish(id, end),
        }
        self.reap(id);
    }
}
