//! Engines: what drives the hosts of a deployment and carries their bytes.
//!
//! Three fidelities of one scenario: [`pipes`] (ours: event-driven, virtual time), [`turmoil`] (an independent simulator, to check ours)
//! and [`loopback`] (real sockets, real time). All implement the host seam and obey one [`Director`].
//!
//! **Invariant**: an engine knows hosts, links and faults; it does not know what the hosts are for.

pub mod pipes;
pub mod turmoil;
pub mod loopback;

use std::{collections::BTreeMap, time::Duration};

use rehearsal_core::time::Timestamp;

use crate::{
    chance::Chance,
    fault::{Effect, Fault},
    scenario::Network,
    system::{Address, Node},
    trace::{Clock, Standing},
};

/// Wall-clock time at the start of every simulated run: 2026-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp::from_secs(1_767_225_600);

/// The port on which every simulated host is reached.
pub const PORT: u16 = 80;

/// The engines, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Ours.
    #[default]
    Pipes,
    /// turmoil 0.7, at its 1 ms tick.
    Turmoil,
    /// Real sockets on loopback, in real time.
    Loopback,
}

/// Called with a host's name and the number of its boot, from 1.
pub type Booted = Box<dyn FnMut(&str, u32)>;

/// What an engine is given to run.
pub struct Setup {
    /// Every host, in boot order.
    pub nodes: Vec<Node>,
    /// The network between them.
    pub network: Network,
    /// For links and entropy, by name.
    pub chance: Chance,
    /// The engine sets it whenever time advances, before any host runs.
    pub clock: Clock,
    /// As [`Engine::addresses`] gave them.
    pub addresses: BTreeMap<String, Address>,
    /// Called whenever a host boots.
    pub booted: Booted,
}

/// Decides what happens to the world. Asked between polls of the hosts.
pub trait Director {
    /// Whether something has happened that cannot wait until the time it wanted to be asked at. An engine that can looks after each poll of
    /// a host, and asks at once; the others ask at their next tick.
    fn is_due(&self) -> bool {
        false
    }

    /// It is `now` since the run's start: does what is due and says when to be asked next.
    fn direct(&mut self, now: Duration, control: &mut dyn Control) -> Next;
}

/// What a director wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// To be asked at this time since the run's start, or a little later.
    At(Duration),
    /// The run to end.
    Done,
}

/// What a director can do to a world.
pub trait Control {
    /// Starts the fault of this number.
    fn start(&mut self, number: usize, fault: &Fault);

    /// Ends it and says what it did. Faults that overlap are independent: a host is up when no crash holds it down.
    fn stop(&mut self, number: usize, fault: &Fault) -> Effect;

    /// What each host has standing now, by name, of those that are up; empty for an engine that cannot count.
    fn standing(&self) -> Vec<(String, Standing)> {
        Vec::new()
    }
}

/// A run that an engine could not bring to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine cannot do this fault.
    #[error("the {engine} engine cannot do {what}")]
    Unsupported {
        /// The engine's name.
        engine: &'static str,
        /// The fault.
        what: String,
    },
    /// A task was started on the runtime itself: it would survive its host's crash.
    #[error(
        "{0} task(s) were started on the runtime instead of through the host; they would survive their host's crash"
    )]
    Escaped(usize),
    /// The engine itself failed.
    #[error("{0}")]
    Broken(String),
}

impl Engine {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pipes => "pipes",
            Self::Turmoil => "turmoil",
            Self::Loopback => "loopback",
        }
    }

    /// An address for each host.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub fn addresses(self, names: &[String]) -> Result<BTreeMap<String, Address>, EngineError> {
        if self == Self::Loopback {
            return loopback::addresses(names);
        }
        let address = |name: &String| Address {
            listen: format!("0.0.0.0:{PORT}"),
            dial: format!("{name}:{PORT}"),
        };
        Ok(names
            .iter()
            .map(|name| (name.clone(), address(name)))
            .collect())
    }

    /// Runs the world until its director is done.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn run(self, setup: Setup, director: &mut dyn Director) -> Result<(), EngineError> {
        if setup.chance.fork().is_some() && self != Self::Pipes {
            return Err(EngineError::Unsupported {
                engine: self.name(),
                what: "a plan with a `fork`: its chance is not all our own".to_owned(),
            });
        }
        match self {
            Self::Pipes => pipes::run(setup, director),
            Self::Turmoil => turmoil::run(setup, director),
            Self::Loopback => loopback::run(setup, director),
        }
    }
}
