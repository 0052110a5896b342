//! hyper's four questions (I/O, executor, timer, connector), answered by the host.
//!
//! hyper-util's own `TokioExecutor` and `TokioTimer` would spawn on the runtime and survive a simulated host's crash; these do not.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tower::Service;

use crate::{Host, stream::Stream};

/// Spawns hyper's background tasks on the host.
#[derive(Clone, Debug)]
pub struct HostExecutor(pub Host);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for HostExecutor {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// hyper's timer over the host's sleep.
#[derive(Clone, Debug)]
pub struct HostTimer(pub Host);

struct HyperSleep(crate::machine::Sleep);

impl Future for HyperSleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl hyper::rt::Sleep for HyperSleep {}

impl hyper::rt::Timer for HostTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HyperSleep(self.0.sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HyperSleep(
            self.0.sleep(deadline.saturating_duration_since(self.now())),
        ))
    }

    fn now(&self) -> Instant {
        // hyper wants std's opaque type; one fixed base and the host's monotonic clock make it the host's time.
        base() + self.0.elapsed()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an arbitrary fixed base: only differences to it are ever used"
)]
fn base() -> Instant {
    static BASE: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

/// hyper's connector over the host's network: dials `authority` of the request's URI, port 80 when it names none.
#[derive(Clone, Debug)]
pub struct HostConnector {
    host: Host,
    timeout: Duration,
}

impl HostConnector {
    /// A connector that gives a connection attempt at most `timeout`.
    pub fn new(host: Host, timeout: Duration) -> Self {
        Self { host, timeout }
    }
}

impl Service<Uri> for HostConnector {
    type Response = HostConnection;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<HostConnection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (host, timeout) = (self.host.clone(), self.timeout);
        Box::pin(async move {
            let name = uri.host().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "the URI names no host")
            })?;
            let address = format!("{name}:{}", uri.port_u16().unwrap_or(80));
            match host.timeout(timeout, host.connect(&address)).await {
                Ok(connected) => connected.map(|stream| HostConnection(TokioIo::new(stream))),
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("connecting to {address} took over {timeout:?}"),
                )),
            }
        })
    }
}

/// A connection that hyper's client pool can keep.
#[derive(Debug)]
pub struct HostConnection(TokioIo<Stream>);

impl Connection for HostConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for HostConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for HostConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
