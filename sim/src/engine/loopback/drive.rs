//! The loop: a root future that sets the clock, asks the director when it is due, and polls every host.
//!
//! **Invariant**: one thread, and no task outside of a host.

use std::{future::poll_fn, task::Poll, time::Duration};

use super::{addresses::reserve, machine::RunClock, world::World};
use crate::engine::{Director, EngineError, Next, Setup};

/// Runs the world until its director is done.
pub(crate) fn run(setup: Setup, director: &mut dyn Director) -> Result<(), EngineError> {
    if setup.network.loss > 0.0 {
        let what = "lost segments (network.loss): loopback loses nothing".to_owned();
        return Err(EngineError::Unsupported {
            engine: "loopback",
            what,
        });
    }
    if !setup.network.links.is_empty() {
        let what = "links of their own (network.links): loopback has one network".to_owned();
        return Err(EngineError::Unsupported {
            engine: "loopback",
            what,
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| EngineError::Broken(format!("no runtime: {error}")))?;
    runtime.block_on(conduct(setup, director))
}

async fn conduct(setup: Setup, director: &mut dyn Director) -> Result<(), EngineError> {
    let _reserved = reserve(&setup.addresses)?;
    let clock = RunClock::start(setup.clock.clone());
    let start = clock.began();
    let mut world = World::new(setup, clock.clone());
    let mut due = Duration::ZERO;
    let mut timer = Box::pin(tokio::time::sleep_until(start));
    poll_fn(move |cx| {
        loop {
            let now = clock.read();
            if now >= due || director.is_due() {
                let escaped = tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks();
                if escaped > 0 {
                    return Poll::Ready(Err(EngineError::Escaped(escaped)));
                }
                let next = director.direct(now, &mut world);
                world.refusal()?;
                match next {
                    // The timers' resolution is 1 ms: anything nearer would be now again.
                    Next::At(at) => due = at.max(now + Duration::from_millis(1)),
                    Next::Done => return Poll::Ready(Ok(())),
                }
                // A director may wait for ever: tokio's timers end after some years.
                let at = start.checked_add(due).unwrap_or(start + FAR);
                timer.as_mut().reset(at.min(start + FAR));
            }
            world.poll_hosts(cx);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Longer than any run.
const FAR: Duration = Duration::from_hours(365 * 24);
