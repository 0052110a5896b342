//! Ctrl-C during a session of runs: the first one ends the session in order, the second one at once.
//!
//! **Invariant**: a forked run never outlives the Ctrl-C that its session got: there, the first one ends the process.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::{exit::Exit, problem::Problem};

/// Whether Ctrl-C was pressed. Clones share it.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first Ctrl-C is noted, and the second one ends the process.
    ///
    /// # Errors
    /// When the operating system does not let signals be handled.
    pub fn listen() -> Result<Self, Problem> {
        Self::of(&[SIGINT])
    }

    /// The same of Ctrl-C and SIGTERM alike, which is what ends a session that talks to running services.
    ///
    /// # Errors
    /// When the operating system does not let signals be handled.
    pub fn of_services() -> Result<Self, Problem> {
        Self::of(&[SIGINT, SIGTERM])
    }

    fn of(signals: &[i32]) -> Result<Self, Problem> {
        let pressed = Arc::new(AtomicBool::new(false));
        for signal in signals {
            // In this order: at the first signal the flag is still down when the ending looks at it.
            flag::register_conditional_shutdown(*signal, Exit::Interrupted as i32, pressed.clone())
                .and_then(|_| flag::register(*signal, pressed.clone()))
                .map_err(|error| {
                    Problem::infrastructure(format!("cannot listen for Ctrl-C: {error}"))
                })?;
        }
        Ok(Self(pressed))
    }

    /// Whether it was pressed.
    pub fn pressed(&self) -> bool {
        self.0.load(SeqCst)
    }

    /// What a pool of runs is to end at.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// In a forked run: the next Ctrl-C ends it.
    pub fn ends_this_process(&self) {
        self.0.store(true, SeqCst);
    }
}
