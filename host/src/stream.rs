//! A byte stream and a listener, whatever network is behind them.
//!
//! **Invariant**: dropping a [`Stream`] closes it, as dropping a socket does.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a network's socket type has to be.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connected, ordered, two-way byte stream.
pub struct Stream {
    io: Box<dyn Io>,
    peer: String,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// Wraps a network's socket; `peer` is the other end's address.
    pub fn new(io: impl Io, peer: impl Into<String>) -> Self {
        Self {
            io: Box::new(io),
            peer: peer.into(),
        }
    }

    /// The other end's address, `host:port`.
    pub fn peer(&self) -> &str {
        &self.peer
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// What a network's listening socket has to do.
pub trait Accept: Send + 'static {
    /// Waits for the next connection. Cancel safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Stream>>;
}

/// A listening socket.
pub struct Listener {
    accept: Box<dyn Accept>,
    address: String,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Listener {
    /// Wraps a network's listener; `address` is where it really listens, with the port the machine chose.
    pub fn new(accept: impl Accept, address: impl Into<String>) -> Self {
        Self {
            accept: Box::new(accept),
            address: address.into(),
        }
    }

    /// Where it listens, `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits for the next connection. Cancel safe.
    ///
    /// # Errors
    /// What the network says; a caller logs it, waits a little and goes on.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        self.accept.accept().await
    }
}
