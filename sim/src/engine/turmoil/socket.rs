//! turmoil's sockets, as the host seam wants them.
//!
//! **Invariant**: what the books call broken is an error to whoever reads, writes or connects; everything else is turmoil's own answer.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::turmoil::net::{TcpListener, TcpStream};
use futures_util::future::{BoxFuture, Either, select};
use rehearsal_host::{Accept, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::links::{Fate, Key, Links, Name, Side, Way, key};

/// Largest piece that one segment carries: Ethernet's, as turmoil would take a write of any size and never push back.
const SEGMENT: usize = 1_460;
/// First retransmission timeout of a lost connection request, doubling (RFC 6298 section 2.1).
const RETRANSMIT: Duration = Duration::from_secs(1);
/// After so many lost requests the attempt fails.
const GIVE_UP: u32 = 6;

/// One end of a connection.
pub(super) struct Socket {
    /// Gone once the connection is broken.
    inner: Option<TcpStream>,
    links: Arc<Links>,
    id: u64,
    finished: bool,
}

impl Socket {
    fn new(inner: TcpStream, links: Arc<Links>, from: &Name, to: &Name) -> io::Result<Self> {
        let connection: Key = key(inner.local_addr()?, inner.peer_addr()?);
        let id = links.open(from, to, Some(connection));
        Ok(Self {
            inner: Some(inner),
            links,
            id,
            finished: false,
        })
    }

    /// The stream, or the error of a broken connection.
    fn alive(&mut self, side: Side, cx: &Context<'_>) -> io::Result<(&mut TcpStream, Fate)> {
        let fate = self.links.fate(self.id, side, cx);
        if fate == Fate::Broken {
            self.inner = None;
        }
        match &mut self.inner {
            Some(inner) => Ok((inner, fate)),
            None => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.links.close(self.id, self.finished);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (inner, _) = self.alive(Side::Read, cx)?;
        Pin::new(inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (inner, fate) = self.alive(Side::Write, cx)?;
        let piece = &buf[..buf.len().min(SEGMENT)];
        let written = Pin::new(inner).poll_write(cx, piece);
        match written {
            Poll::Ready(Ok(count)) if count > 0 => self.links.sent(self.id),
            Poll::Pending if fate == Fate::Deserted => {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            _ => {}
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        let (inner, _) = self.alive(Side::Write, cx)?;
        let done = Pin::new(inner).poll_shutdown(cx);
        if done.is_ready() {
            self.finished = true;
            self.links.sent(self.id);
        }
        done
    }
}

/// A listening socket.
pub(super) struct Listening {
    inner: TcpListener,
    links: Arc<Links>,
    host: Name,
}

impl Listening {
    /// Listens on `port`, or on one that turmoil chooses for 0. Only within the host. Returns the port as well.
    pub(super) async fn bind(links: Arc<Links>, host: Name, port: u16) -> io::Result<(Self, u16)> {
        let inner = TcpListener::bind(("0.0.0.0".to_owned(), port)).await?;
        let port = inner.local_addr()?.port();
        Ok((Self { inner, links, host }, port))
    }
}

impl Accept for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let (stream, peer) = self.inner.accept().await?;
            let from = name_of(&self.links, &self.host, peer);
            let socket = Socket::new(stream, self.links.clone(), &self.host, &from)?;
            Ok(Stream::new(socket, format!("{from}:{}", peer.port())))
        })
    }
}

/// Whose address it is; the host's own for a connection to itself.
fn name_of(links: &Links, host: &Name, peer: SocketAddr) -> Name {
    ::turmoil::reverse_lookup(peer.ip())
        .and_then(|name| links.host(&name))
        .unwrap_or_else(|| host.clone())
}

/// Connects `from` to `port` of `to`. A request that a partition swallows is sent again, as TCP does.
pub(super) async fn connect(
    links: Arc<Links>,
    from: Name,
    to: Name,
    port: u16,
) -> io::Result<Socket> {
    for attempt in 0..=GIVE_UP {
        match links.way(&from, &to) {
            Way::Open => {}
            Way::Cut => {
                tokio::time::sleep(RETRANSMIT * (1 << attempt)).await;
                continue;
            }
            Way::Down => {
                tokio::time::sleep(links.round_trip).await;
                return Err(refused(&to, port));
            }
        }
        let cut_before = links.times_cut(&from, &to);
        match request(&links, &from, &to, port).await {
            Ok(stream) => return Socket::new(stream, links, &from, &to),
            // turmoil refuses a request that a partition dropped; a network says nothing.
            Err(_) if links.times_cut(&from, &to) != cut_before => {
                tokio::time::sleep(RETRANSMIT * (1 << attempt)).await;
            }
            Err(error) => return Err(error),
        }
    }
    let message = format!("{to}:{port} did not answer");
    Err(io::Error::new(io::ErrorKind::TimedOut, message))
}

/// One connection request, given up when the target's process dies before it arrives.
async fn request(links: &Arc<Links>, from: &Name, to: &Name, port: u16) -> io::Result<TcpStream> {
    struct Attempt<'a>(&'a Links, u64);
    impl Drop for Attempt<'_> {
        fn drop(&mut self) {
            self.0.close(self.1, true);
        }
    }
    let attempt = Attempt(links, links.open(from, to, None));
    links.sent(attempt.1);
    let target = if from == to { "127.0.0.1" } else { to };
    let dialing = std::pin::pin!(TcpStream::connect((target.to_owned(), port)));
    let dying = std::pin::pin!(std::future::poll_fn(|cx| {
        match links.fate(attempt.1, Side::Write, cx) {
            Fate::Broken => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }));
    match select(dialing, dying).await {
        Either::Left((Err(error), _)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(refused(to, port))
        }
        Either::Left((connected, _)) => connected,
        Either::Right(_) => Err(refused(to, port)),
    }
}

fn refused(to: &Name, port: u16) -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionRefused,
        format!("{to}:{port} refused the connection"),
    )
}
