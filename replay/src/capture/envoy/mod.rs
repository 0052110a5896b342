//! What Envoy records: the HTTP tap with bodies, and the access log without.
//!
//! **Invariant**: neither gives a body that Envoy did not write for an empty one.

pub(crate) mod log;
mod message;
pub(crate) mod tap;
