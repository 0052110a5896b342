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
    let (mut terminate, mut interrupt) = signals()?;
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

/// What `work` gives; nothing if a signal comes first.
///
/// # Errors
/// What `work` says, or when signals cannot be listened for.
pub(super) async fn unless_signal<T>(
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<Option<T>, Problem> {
    let (mut terminate, mut interrupt) = signals()?;
    let asked = pin!(either(&mut terminate, &mut interrupt));
    match select(pin!(work), asked).await {
        Either::Left((done, _)) => done.map(Some),
        Either::Right(_) => Ok(None),
    }
}

fn signals() -> Result<(Signal, Signal), Problem> {
    let listen = |kind| {
        signal(kind).map_err(|error: io::Error| {
            Problem::infrastructure(format!("cannot listen for signals: {error}"))
        })
    };
    Ok((
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    ))
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

#[cfg(test)]
mod tests {
    use signal_hook::{consts::SIGTERM, low_level::raise};

    use super::*;

    #[test]
    fn work_that_takes_long_is_left_at_a_signal() {
        runtime().expect("a runtime").block_on(async {
            let done = unless_signal(async { Ok(7) }).await;
            assert_eq!(done, Ok(Some(7)));
            let endless = unless_signal(async {
                // By now its signals are listened for: none ends this process.
                raise(SIGTERM).expect("it is a signal");
                std::future::pending::<Result<u8, Problem>>().await
            });
            assert_eq!(endless.await, Ok(None));
        });
    }
}
