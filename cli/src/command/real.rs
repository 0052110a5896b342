//! What the commands that serve for real have in common: a runtime, and an end by signal.
//!
//! **Invariant**: the first SIGTERM or Ctrl-C asks for an orderly end, the second one ends at once.

use std::{future::Future, io, net::SocketAddr, pin::pin};

use futures_util::future::{Either, select};
use rehearsal_host::{Host, Listener};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{exit::Exit, problem::Problem};

/// A runtime for the real machine.
///
/// # Errors
/// When the operating system has no room for it.
pub(super) fn runtime() -> Result<Runtime, Problem> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::infrastructure(format!("cannot start the runtime: {error}")))
}

/// Listens on `address`.
///
/// # Errors
/// When it is taken, or is not this machine's.
pub(super) async fn bind(host: &Host, address: SocketAddr) -> Result<Listener, Problem> {
    host.bind(&address.to_string()).await.map_err(|error| {
        Problem::infrastructure(error.to_string())
            .hint("`--listen 127.0.0.1:0` lets the machine choose a free port")
    })
}

/// Runs what `serve` makes of a shutdown signal, until that is over.
///
/// # Errors
/// What `serve` says, or when signals cannot be listened for.
pub(super) async fn until_signal<F>(serve: impl FnOnce(Shutdown) -> F) -> Result<Exit, Problem>
where
    F: Future<Output = Result<(), Problem>>,
{
    let listen = |kind| {
        signal(kind).map_err(|error: io::Error| {
            Problem::infrastructure(format!("cannot listen for signals: {error}"))
        })
    };
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let (stop, stopping) = watch::channel(false);
    let serving = pin!(serve(Shutdown(stopping)));
    let ending = pin!(async {
        either(&mut terminate, &mut interrupt).await;
        let _ = stop.send(true);
        either(&mut terminate, &mut interrupt).await;
    });
    match select(serving, ending).await {
        Either::Left((ended, _)) => ended.map(|()| Exit::Pass),
        Either::Right(_) => Ok(Exit::Interrupted),
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    let (one, other) = (pin!(one.recv()), pin!(other.recv()));
    select(one, other).await;
}

/// Says when to stop.
#[derive(Clone, Debug)]
pub(super) struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Waits for the signal.
    pub(super) async fn asked(mut self) {
        // A sender that is gone asks for the end as well.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
