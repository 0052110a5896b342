//! What is in a capture, counted while it is read.
//!
//! **Invariant**: memory is bounded whatever the capture's length: names are counted apart up to a cap and together beyond it, distinct values
//! are counted exactly up to a cap and estimated beyond it, and which of the two it was is said.
//!
//! It deliberately judges nothing: a profile is what a team looks at before it decides how to replay.

mod bursts;
mod distinct;
mod profiler;

pub use bursts::Burstiness;
pub use profiler::{Count, EndpointProfile, Percentiles, Places, Profile, Profiler, Repeats};
