//! The loop: set the clock, ask the director when it is due, step turmoil by one tick.
//!
//! **Invariant**: the clock is set before any host runs, and a run ends only by its director or an error.

use std::time::Duration;

use super::world::World;
use crate::{
    engine::{Director, EngineError, Next, Setup},
    interpose,
};

/// Runs the world until its director is done.
pub(crate) fn run(setup: Setup, director: &mut dyn Director) -> Result<(), EngineError> {
    let clock = setup.clock.clone();
    let mut world = World::new(setup)?;
    let mut due = Duration::ZERO;
    loop {
        let now = world.elapsed();
        clock.set(now);
        interpose::set_elapsed(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        if now >= due || director.is_due() {
            let next = director.direct(now, &mut world);
            world.refusal()?;
            match next {
                Next::At(at) => due = at,
                Next::Done => return Ok(()),
            }
        }
        world.step()?;
    }
}
