//! What a program asks of its machine, as one object-safe trait and a cheap handle to it.
//!
//! Addresses are strings, `name:port`: the real host resolves them, a simulated one looks the name up among its hosts.
//! It deliberately does not offer files (the store opens a path; a simulated disk stands behind it), threads, or blocking calls.

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, Either, select};
use rehearsal_core::time::Timestamp;

use crate::stream::{Listener, Stream};

/// A sleep: `Send + Sync`, as hyper's timers demand.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// A machine: real or simulated. Implemented once per engine.
pub trait Machine: Send + Sync + 'static {
    /// Listens on `address` (`host:port`; port 0 lets the machine choose).
    ///
    /// # Errors
    /// `AddrInUse` when another listener holds the port; what the operating system says otherwise.
    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<Listener>>;

    /// Connects to `address`. There is no timeout of its own: callers wrap it in [`Host::timeout`].
    ///
    /// # Errors
    /// `ConnectionRefused`, `NotFound` for an unknown name, and what the operating system says otherwise.
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Stream>>;

    /// Starts a task that lives at most as long as the machine's current boot.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Wall-clock time. May jump; never use it to measure.
    fn now(&self) -> Timestamp;

    /// Monotonic time since an arbitrary start that is fixed for the machine's current boot.
    fn elapsed(&self) -> Duration;

    /// Waits for `duration` of monotonic time. Resolution is 1 ms.
    fn sleep(&self, duration: Duration) -> Sleep;

    /// Waits for `duration` as exactly as the machine can: well below a millisecond late where it has such timers. Simulated machines are
    /// exact anyway.
    fn sleep_precisely(&self, duration: Duration) -> Sleep {
        self.sleep(duration)
    }

    /// 64 bits of entropy: unpredictable on a real machine, a named stream of the seed on a simulated one.
    fn entropy(&self) -> u64;
}

/// A cheap, cloneable handle to a [`Machine`].
#[derive(Clone)]
pub struct Host(Arc<dyn Machine>);

/// [`Host::timeout`] ran out before its future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

impl Host {
    /// Wraps a machine.
    pub fn new(machine: impl Machine) -> Self {
        Self(Arc::new(machine))
    }

    /// See [`Machine::bind`].
    pub async fn bind(&self, address: &str) -> io::Result<Listener> {
        self.0.bind(address).await
    }

    /// See [`Machine::connect`].
    pub fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Stream>> {
        self.0.connect(address)
    }

    /// See [`Machine::spawn`].
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(Box::pin(task));
    }

    /// See [`Machine::now`].
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// See [`Machine::elapsed`].
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// See [`Machine::sleep`].
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.0.sleep(duration)
    }

    /// See [`Machine::sleep_precisely`].
    pub fn sleep_precisely(&self, duration: Duration) -> Sleep {
        self.0.sleep_precisely(duration)
    }

    /// See [`Machine::entropy`].
    pub fn entropy(&self) -> u64 {
        self.0.entropy()
    }

    /// A number drawn uniformly from `[0, 1)`, from [`Machine::entropy`]: what backoff takes as its jitter.
    pub fn jitter(&self) -> f64 {
        (self.entropy() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Runs `future` for at most `limit`; dropping it is its cancellation.
    ///
    /// # Errors
    /// [`Elapsed`] when `limit` passed first. A future that is ready at the limit wins.
    pub async fn timeout<F: Future + Send>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let future = std::pin::pin!(future);
        match select(future, self.sleep(limit)).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right(((), _)) => Err(Elapsed),
        }
    }
}
