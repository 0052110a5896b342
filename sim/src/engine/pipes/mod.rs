//! Our engine: event-driven, virtual time, connections as in-order byte pipes.
//!
//! One current-thread tokio runtime, paused, holds all hosts; one heap of network events by (time, sequence), one timer for the earliest.
//! Timers have tokio's resolution of 1 ms: what is nearer than that gives order, not time.
//! **Invariant**: the same setup and director give the same events in the same order.

mod clock;
mod ground;
mod link;
mod machine;
mod network;
mod overrides;
mod socket;
mod wake;
mod world;

pub(crate) use link::retransmissions;

use std::sync::{Arc, Mutex};

use super::{Director, EngineError, Setup};

/// Runs the world until its director is done.
pub(crate) fn run(setup: Setup, director: &mut dyn Director) -> Result<(), EngineError> {
    let names: Vec<String> = setup.nodes.iter().map(|node| node.name.clone()).collect();
    let net = Arc::new(Mutex::new(network::Network::new(
        &names,
        &setup.network,
        &setup.chance,
    )));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| EngineError::Broken(format!("no runtime: {error}")))?;
    let _context = runtime.enter();
    let world = world::World::new(setup, net, director);
    runtime.block_on(world)
}
