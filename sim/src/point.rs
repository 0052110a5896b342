//! Reachability points: places of a system that an exploration has to have been at before its silence means anything.
//!
//! **Invariant**: whether a point was hit is a function of the trace alone. A point is no property: hitting one is neither good nor bad, and
//! nothing is judged here.

use serde::Serialize;

/// One of a system's points, named by its place in [`crate::system::System::points`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Its name, stable: `submit.conflict`.
    pub name: &'static str,
    /// What a run did that hit it, in a few words.
    pub means: &'static str,
}

/// Places in the list of points, ascending, each once.
pub type Hits = Vec<u16>;
