//! Faults as data: what a scenario asks for ([`Spec`]), what a fault can be ([`Kind`]) and what a seed makes of it ([`Fault`]).
//!
//! To add a kind: a variant of [`Kind`] and of [`KindName`], its row in [`KindName::form`] and its branch in `KindName::resolve`, and a key in
//! [`Spec`] for a setting of its own. Then whoever does it: the engine, or the conductor for what is not the engine's.
//!
//! **Invariant**: every fault counts its effect, so that one that did nothing can be told from one that was survived.
//! How a fault is done to a network or a host is the engine's business.

mod kind;
mod disk;
mod name;
mod pattern;
mod spec;
mod sides;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use disk::OnDisk;
pub use kind::{Crash, Kind, LossAs, ResetAt, Way};
pub use name::{Form, KindName, Lasts, Shape, Sides};
pub use pattern::glob;
pub(crate) use pattern::matching;
pub use spec::Spec;

use crate::trigger::Trigger;

/// A fault with everything drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it starts, since the run's start.
    pub at_ms: u64,
    /// When it ends.
    pub until_ms: u64,
    /// The event that both times count from, in place of the run's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Trigger>,
    /// The host, or the first side.
    pub targets: Vec<String>,
    /// The second side, for faults between two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// What.
    pub kind: Kind,
}

impl Fault {
    /// The directions between two hosts that it is on, in order, each once.
    pub fn ways(&self) -> Vec<(&str, &str)> {
        let way = self.kind.way();
        let mut ways = Vec::new();
        for a in &self.targets {
            for b in self.peers.iter().filter(|b| *b != a) {
                if way != Way::Back {
                    ways.push((a.as_str(), b.as_str()));
                }
                if way != Way::There {
                    ways.push((b.as_str(), a.as_str()));
                }
            }
        }
        ways
    }
}

/// What a fault did, by name (`connections_reset`, `segments_delayed`, ...).
pub type Effect = BTreeMap<String, u64>;
