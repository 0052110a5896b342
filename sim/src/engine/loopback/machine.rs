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
use crate::engine::EPOCH;

/// One boot of one host.
pub(super) struct LoopbackMachine {
    gates: Arc<Gates>,
    host: Name,
    /// When the run started.
    start: Instant,
    booted: Instant,
    entropy: Mutex<ChaCha8Rng>,
}

impl LoopbackMachine {
    /// A machine that boots now, in a run that began at `start`.
    pub(super) fn new(gates: Arc<Gates>, host: Name, start: Instant, entropy: ChaCha8Rng) -> Self {
        Self {
            gates,
            host,
            start,
            booted: Instant::now(),
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
        EPOCH.plus(self.start.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.booted.elapsed()
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
