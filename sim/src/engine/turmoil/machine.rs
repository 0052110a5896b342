//! A host of turmoil's as the machine that the seam wants.
//!
//! **Invariant**: every call happens within the host's own turmoil context, so its tasks and sockets die with it.

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

use super::{
    links::{Links, Name},
    socket::{Listening, connect},
};
use crate::{engine::EPOCH, trace::Clock};

/// One boot of one host.
pub(super) struct TurmoilMachine {
    links: Arc<Links>,
    host: Name,
    clock: Clock,
    booted_at: Duration,
    entropy: Mutex<ChaCha8Rng>,
}

impl TurmoilMachine {
    /// A machine that boots now.
    pub(super) fn new(links: Arc<Links>, host: Name, clock: Clock, entropy: ChaCha8Rng) -> Self {
        let booted_at = clock.elapsed();
        Self {
            links,
            host,
            clock,
            booted_at,
            entropy: Mutex::new(entropy),
        }
    }

    fn run_elapsed(&self) -> Duration {
        // Without a runtime (a destructor at a crash) turmoil's own answer would be the real clock's.
        let inside = tokio::runtime::Handle::try_current().is_ok();
        inside
            .then(::turmoil::sim_elapsed)
            .flatten()
            .unwrap_or_else(|| self.clock.elapsed())
    }
}

fn parse(address: &str) -> io::Result<(&str, u16)> {
    let wrong = || {
        let message = format!("{address:?} is not host:port");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    let (name, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    Ok((name, port.parse().map_err(|_| wrong())?))
}

impl Machine for TurmoilMachine {
    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<Listener>> {
        let (links, host) = (self.links.clone(), self.host.clone());
        let port = parse(address).map(|(_, port)| port);
        Box::pin(async move {
            let (listening, port) = Listening::bind(links, host.clone(), port?).await?;
            Ok(Listener::new(listening, format!("{host}:{port}")))
        })
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Stream>> {
        let (links, from) = (self.links.clone(), self.host.clone());
        let target = parse(address).and_then(|(name, port)| {
            let own = name == "localhost" || name == "127.0.0.1";
            let to = if own {
                Some(from.clone())
            } else {
                links.host(name)
            };
            let unknown = || {
                let message = format!("no host is named {name:?}");
                io::Error::new(io::ErrorKind::NotFound, message)
            };
            Ok((to.ok_or_else(unknown)?, port))
        });
        let address = address.to_owned();
        Box::pin(async move {
            let (to, port) = target?;
            Ok(Stream::new(connect(links, from, to, port).await?, address))
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // Each turmoil host has a runtime of its own, which its crash drops. Without one the host is being torn down, and the task dies unborn.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(task));
        }
    }

    fn now(&self) -> Timestamp {
        EPOCH.plus(self.run_elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.run_elapsed().saturating_sub(self.booted_at)
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
