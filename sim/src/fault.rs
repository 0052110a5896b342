//! Faults as data: what a scenario asks for ([`Spec`]), what a fault can be ([`Kind`]) and what a seed makes of it ([`Fault`]).
//!
//! To add a kind: a variant of [`KindName`] and of [`Kind`], its row in [`KindName::form`] and its branch in the kind's `resolve`, and, if it has a setting
//! of its own, a key in [`Spec`]. Then whoever does it: the engine, or the conductor for what is not the engine's.
//!
//! **Invariant**: every fault counts its effect, so that one that did nothing can be told from one that was survived.
//! How a fault is done to a network or a host is the engine's business.

mod kind;
mod disk;
mod pattern;
mod spec;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use disk::OnDisk;
pub use kind::{Crash, Form, Kind, KindName, Lasts, Sides};
pub use pattern::glob;
pub use spec::Spec;

/// A fault with everything drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it starts, since the run's start.
    pub at_ms: u64,
    /// When it ends.
    pub until_ms: u64,
    /// The host, or the first side.
    pub targets: Vec<String>,
    /// The second side, for faults between two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// What.
    pub kind: Kind,
}

/// What a fault did, by name (`connections_reset`, `segments_delayed`, ...).
pub type Effect = BTreeMap<String, u64>;
