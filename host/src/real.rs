//! The real machine: tokio's sockets, timers and tasks, the operating system's clock and entropy.
//!
//! The only place in production code that asks the operating system for any of these.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks the operating system"
)]

mod timer;

use std::{
    io,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::future::BoxFuture;
use rehearsal_core::time::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::{
    Host, Machine,
    machine::Sleep,
    stream::{Accept, Listener, Stream},
};

/// The machine this process runs on.
#[derive(Debug)]
pub struct RealMachine {
    start: Instant,
}

impl RealMachine {
    /// The machine, its monotonic clock starting now. Its methods need a tokio runtime with time and I/O.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// A [`Host`] on it.
    pub fn host() -> Host {
        Host::new(Self::new())
    }
}

/// Lets this process have as many files and sockets open as the machine allows it to: a shell's usual limit of 1,024 is fewer than a replay's
/// connections. Returns the limit that holds now, if there is one.
pub fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // A machine that refuses leaves the limit as it was.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current
}

/// The certificates of the authorities that this machine trusts. What cannot be read is left out.
pub fn trusted_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

impl Default for RealMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl Accept for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let (stream, peer) = TcpListener::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::new(stream, peer.to_string()))
        })
    }
}

impl Machine for RealMachine {
    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<Listener>> {
        let address = address.to_owned();
        Box::pin(async move {
            let listener = TcpListener::bind(&address).await.map_err(|error| {
                io::Error::new(error.kind(), format!("listening on {address}: {error}"))
            })?;
            let local = listener.local_addr()?.to_string();
            Ok(Listener::new(listener, local))
        })
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Stream>> {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::new(stream, address))
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(tokio::spawn(task));
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }

    fn sleep_precisely(&self, duration: Duration) -> Sleep {
        timer::sleep(duration)
    }

    fn entropy(&self) -> u64 {
        getrandom::u64().expect("the operating system provides entropy")
    }
}
