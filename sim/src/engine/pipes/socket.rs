//! Sockets over the simulated network: a stream, a listener and a connection attempt.
//!
//! **Invariant**: each knows its connection by index and generation, and dropping it closes its end, exactly once.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use rehearsal_host::{Accept, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::network::{HostId, Id, Network};

/// The one network of a run. Its lock is never contended: a run has one thread.
pub(super) type Net = Arc<Mutex<Network>>;

pub(super) fn lock(net: &Net) -> MutexGuard<'_, Network> {
    net.lock().expect("no panic while the network is changed")
}

/// One end of a connection.
pub(super) struct Socket {
    net: Net,
    id: Id,
    end: usize,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // After a panic elsewhere the run is over anyway; a second panic here would hide the first.
        if let Ok(mut network) = self.net.lock() {
            network.close(self.id, self.end, false);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        lock(&self.net)
            .read(self.id, self.end, buffer, cx.waker())
            .map_or(Poll::Pending, Poll::Ready)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(&self.net)
            .write(self.id, self.end, bytes, cx.waker())
            .map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.net).finish(self.id, self.end);
        Poll::Ready(Ok(()))
    }
}

/// Connects `from` to a port of `to`. Dropping the future abandons the attempt.
pub(super) async fn connect(
    net: Net,
    from: HostId,
    to: HostId,
    port: u16,
    peer: String,
) -> io::Result<Stream> {
    let id = lock(&net).connect(from, to, port);
    let socket = Socket { net, id, end: 0 };
    poll_fn(|cx| {
        lock(&socket.net)
            .connected(id, cx.waker())
            .map_or(Poll::Pending, Poll::Ready)
    })
    .await?;
    Ok(Stream::new(socket, peer))
}

/// A listening socket.
pub(super) struct Listening {
    net: Net,
    host: HostId,
    port: u16,
}

impl Listening {
    /// Listens on `port` of `host` (0: the network chooses) and says on which port.
    pub(super) fn bind(net: Net, host: HostId, port: u16) -> io::Result<(Self, u16)> {
        let port = lock(&net).listen(host, port)?;
        Ok((Self { net, host, port }, port))
    }
}

impl Accept for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let (id, peer) = poll_fn(|cx| {
                lock(&self.net)
                    .accept(self.host, self.port, cx.waker())
                    .map_or(Poll::Pending, Poll::Ready)
            })
            .await;
            let peer = format!("{}:0", lock(&self.net).host_name(peer));
            Ok(Stream::new(
                Socket {
                    net: self.net.clone(),
                    id,
                    end: 1,
                },
                peer,
            ))
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Ok(mut network) = self.net.lock() {
            network.unlisten(self.host, self.port);
        }
    }
}
