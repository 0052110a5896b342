//! Real sockets behind gates.
//!
//! **Invariant**: while its gate is shut, a reader gets nothing, not even the end of the stream; no byte is lost or reordered.
//! Writers are not stopped: the kernel's buffers fill, and push back by themselves.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use rehearsal_host::{Accept, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::Sleep,
};

use super::gates::{Gates, Name};

/// Who is at the other end.
enum Peer {
    Known(Name),
    /// It dialed from here; who that is may not be known yet.
    From(SocketAddr),
}

/// One end of a connection.
pub(super) struct Socket {
    stream: TcpStream,
    gates: Arc<Gates>,
    host: Name,
    peer: Peer,
    /// What waits at the gate was counted.
    counted: bool,
    /// What has arrived is kept back until then.
    kept: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    fn new(stream: TcpStream, gates: Arc<Gates>, host: Name, peer: Peer) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        gates.opened(&host);
        Ok(Self {
            stream,
            gates,
            host,
            peer,
            counted: false,
            kept: None,
        })
    }

    fn peer(&mut self) -> Option<Name> {
        if let Peer::From(address) = self.peer {
            self.peer = Peer::Known(self.gates.dialer(address)?);
        }
        match &self.peer {
            Peer::Known(name) => Some(name.clone()),
            Peer::From(_) => None,
        }
    }

    /// Whether anything has arrived: bytes, the end of the stream, or an error.
    fn poll_arrival(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        self.stream.poll_peek(cx, &mut buf).map(drop)
    }

    /// Ready when nothing stands between the reader and the kernel.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(peer) = self.peer() else {
            return Poll::Ready(());
        };
        if self.gates.is_shut(&peer, &self.host, cx.waker()) {
            if !self.counted && self.poll_arrival(cx).is_ready() {
                self.counted = true;
                self.gates.held(&peer, &self.host);
            }
            return Poll::Pending;
        }
        self.counted = false;
        if self.kept.is_none() {
            if !self.gates.is_slow(&peer, &self.host) {
                return Poll::Ready(());
            }
            ready!(self.poll_arrival(cx));
            let delay = self.gates.delay(&peer, &self.host);
            self.kept = delay.map(|delay| Box::pin(tokio::time::sleep(delay)));
        }
        if let Some(kept) = &mut self.kept {
            ready!(kept.as_mut().poll(cx));
            self.kept = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.gates.closed(&self.host);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_gate(cx));
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A listening socket.
pub(super) struct Listening {
    listener: TcpListener,
    gates: Arc<Gates>,
    host: Name,
}

impl Listening {
    /// Listens on `address`. Returns where it really listens as well.
    pub(super) async fn bind(
        gates: Arc<Gates>,
        host: Name,
        address: &str,
    ) -> io::Result<(Self, String)> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("listening on {address}: {error}"))
        };
        let address: SocketAddr = parse(address)?;
        let listener = TcpListener::bind(address).await.map_err(named)?;
        let local = listener.local_addr()?.to_string();
        Ok((
            Self {
                listener,
                gates,
                host,
            },
            local,
        ))
    }
}

impl Accept for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            let socket = Socket::new(
                stream,
                self.gates.clone(),
                self.host.clone(),
                Peer::From(peer),
            )?;
            Ok(Stream::new(socket, peer.to_string()))
        })
    }
}

/// Connects `host` to `address`, once no gate is shut either way.
pub(super) async fn connect(gates: Arc<Gates>, host: Name, address: &str) -> io::Result<Socket> {
    let target = parse(address)?;
    let peer = gates.dialed(address);
    if let Some(peer) = &peer {
        let mut counted = false;
        std::future::poll_fn(|cx| {
            for (from, to) in [(&host, peer), (peer, &host)] {
                if gates.is_shut(from, to, cx.waker()) {
                    if !std::mem::replace(&mut counted, true) {
                        gates.held(from, to);
                    }
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }
    let stream = TcpStream::connect(target).await?;
    let local = stream.local_addr()?;
    gates.dials(&host, local);
    let peer = peer.map_or(Peer::From(target), Peer::Known);
    Socket::new(stream, gates, host, peer)
}

/// Only numbers: a name would be looked up outside of this machine.
fn parse(address: &str) -> io::Result<SocketAddr> {
    let unknown = |_| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no host has the address {address:?}"),
        )
    };
    address.parse().map_err(unknown)
}
