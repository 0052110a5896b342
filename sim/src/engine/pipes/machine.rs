//! A simulated host's machine, as the host seam wants it.
//!
//! **Invariant**: it asks nothing of the operating system: time is the world's, entropy a stream named after host and boot.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rehearsal_core::time::Timestamp;
use rehearsal_host::{Listener, Machine, Stream, machine::Sleep};

use super::{
    clock::WallClock,
    network::HostId,
    socket::{Listening, Net, connect, lock},
};
use crate::trace::Clock;

/// One boot of one host.
pub(super) struct SimulatedMachine {
    net: Net,
    host: HostId,
    clock: Clock,
    wall: WallClock,
    booted_at: Duration,
    entropy: Entropy,
    alive: Alive,
}

/// How many tasks of a boot are alive. Clones share the count.
#[derive(Clone, Default)]
pub(super) struct Alive(Arc<AtomicU64>);

/// A task that counts as alive until it is dropped.
struct Living(Arc<AtomicU64>);

impl Alive {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn one_more(&self) -> Living {
        self.0.fetch_add(1, Ordering::Relaxed);
        Living(self.0.clone())
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The stream of one boot, which the world may put another one in place of.
pub(super) type Entropy = Arc<Mutex<ChaCha8Rng>>;

impl SimulatedMachine {
    pub(super) fn new(
        net: Net,
        host: HostId,
        clock: Clock,
        wall: WallClock,
        entropy: Entropy,
    ) -> Self {
        let booted_at = clock.elapsed();
        Self {
            net,
            host,
            clock,
            wall,
            booted_at,
            entropy,
            alive: Alive::default(),
        }
    }
}

impl SimulatedMachine {
    pub(super) fn alive(&self) -> Alive {
        self.alive.clone()
    }
}

fn parse(address: &str) -> io::Result<(&str, u16)> {
    let wrong = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{address:?} is not host:port"),
        )
    };
    let (name, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    Ok((name, port.parse().map_err(|_| wrong())?))
}

impl Machine for SimulatedMachine {
    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<Listener>> {
        let bound =
            parse(address).and_then(|(_, port)| Listening::bind(self.net.clone(), self.host, port));
        let listener = bound.map(|(listening, port)| {
            let name = lock(&self.net).host_name(self.host).to_owned();
            Listener::new(listening, format!("{name}:{port}"))
        });
        Box::pin(std::future::ready(listener))
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Stream>> {
        let target = parse(address).and_then(|(name, port)| {
            let network = lock(&self.net);
            let to = if name == "localhost" || name == "127.0.0.1" {
                Some(self.host)
            } else {
                network.host(name)
            };
            let unknown = || {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("no host is named {name:?}"),
                )
            };
            Ok((to.ok_or_else(unknown)?, port))
        });
        match target {
            Ok((to, port)) => Box::pin(connect(
                self.net.clone(),
                self.host,
                to,
                port,
                address.to_owned(),
            )),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let living = self.alive.one_more();
        drop(tokio::task::spawn_local(async move {
            let _living = living;
            task.await;
        }));
    }

    fn now(&self) -> Timestamp {
        self.wall.read(self.clock.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.booted_at)
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
