//! A host on real sockets as the machine that the seam wants.
//!
//! **Invariant**: the clock runs in real time but starts at the run's epoch, so that results compare; entropy is a stream of the seed.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rehearsal_core::time::Timestamp;
use rehearsal_host::{Listener, Machine, Stream, machine::Sleep};
use tokio::time::Instant;

use super::{
    gates::{Gates, Name},
    socket::{Listening, connect},
};
use crate::{engine::EPOCH, trace::Clock};

/// The run's clock. Whoever reads it moves the trace's, so that what is stamped next is stamped with what was read: under load a host may be
/// polled for long.
#[derive(Clone)]
pub(super) struct RunClock {
    start: Instant,
    trace: Clock,
}

impl RunClock {
    /// One that starts now.
    pub(super) fn start(trace: Clock) -> Self {
        Self {
            start: Instant::now(),
            trace,
        }
    }

    /// When the run started.
    pub(super) fn began(&self) -> Instant {
        self.start
    }

    /// Time since then.
    pub(super) fn read(&self) -> Duration {
        let elapsed = self.start.elapsed();
        self.trace.set(elapsed);
        elapsed
    }
}

/// One boot of one host.
pub(super) struct LoopbackMachine {
    gates: Arc<Gates>,
    host: Name,
    clock: RunClock,
    /// By the run's clock.
    booted: Duration,
    entropy: Mutex<ChaCha8Rng>,
}

impl LoopbackMachine {
    /// A machine that boots now.
    pub(super) fn new(gates: Arc<Gates>, host: Name, clock: RunClock, entropy: ChaCha8Rng) -> Self {
        Self {
            gates,
            host,
            booted: clock.read(),
            clock,
            entropy: Mutex::new(entropy),
        }
    }
}

impl Machine for LoopbackMachine {
    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<Listener>> {
        let (gates, host, address) = (self.gates.clone(), self.host.clone(), address.to_owned());
        Box::pin(async move {
            let (listening, local) = Listening::bind(gates, host, &address).await?;
            Ok(Listener::new(listening, local))
        })
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Stream>> {
        let (gates, host, address) = (self.gates.clone(), self.host.clone(), address.to_owned());
        Box::pin(async move {
            let socket = connect(gates, host, &address).await?;
            Ok(Stream::new(socket, address))
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(tokio::task::spawn_local(task));
    }

    fn now(&self) -> Timestamp {
        EPOCH.plus(self.clock.read())
    }

    fn elapsed(&self) -> Duration {
        self.clock.read().saturating_sub(self.booted)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }

    fn entropy(&self) -> u64 {
        self.entropy
            .lock()
            .expect("no panic while drawing")
            .next_u64()
    }
}
