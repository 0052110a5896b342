//! A machine in memory, on tokio's paused clock: waiting costs nothing and no timeout races with a busy computer.
//!
//! **Invariant**: time moves only when every task waits. It deliberately has no latency and no faults: the simulator is elsewhere.
#![expect(
    clippy::disallowed_methods,
    reason = "a machine, like the real one, starts tasks on the runtime"
)]

use std::{
    collections::BTreeMap,
    future::ready,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rehearsal_core::time::Timestamp;
use rehearsal_host::{Accept, Host, Listener, Machine, Stream, machine::Sleep};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};

/// When the machine's wall clock starts.
const START: Timestamp = Timestamp::from_secs(1_700_000_000);

struct Memory {
    start: Instant,
    ports: Arc<Mutex<BTreeMap<String, UnboundedSender<DuplexStream>>>>,
}

/// A host whose network is this process's memory. Needs a runtime whose clock is paused.
pub(crate) fn host() -> Host {
    Host::new(Memory {
        start: Instant::now(),
        ports: Arc::default(),
    })
}

struct Incoming(UnboundedReceiver<DuplexStream>);

impl Accept for Incoming {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async {
            let stream = self.0.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(Stream::new(stream, "client:1"))
        })
    }
}

impl Machine for Memory {
    fn bind(&self, _: &str) -> BoxFuture<'static, io::Result<Listener>> {
        let mut ports = self.ports.lock().expect("ports");
        let address = format!("memory:{}", ports.len() + 1);
        let (sender, receiver) = unbounded_channel();
        ports.insert(address.clone(), sender);
        Box::pin(ready(Ok(Listener::new(Incoming(receiver), address))))
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Stream>> {
        let (ours, theirs) = duplex(1 << 16);
        let ports = self.ports.lock().expect("ports");
        let sent = ports.get(address).map(|port| port.send(theirs).is_ok());
        let connected = match sent {
            Some(true) => Ok(Stream::new(ours, address)),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        Box::pin(ready(connected))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(tokio::spawn(task));
    }

    fn now(&self) -> Timestamp {
        START.plus(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }

    fn entropy(&self) -> u64 {
        7
    }
}
