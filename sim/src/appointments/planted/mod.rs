//! Planted defects: what a service like this gets wrong, built in on purpose, so that the harness can be measured on itself.
//!
//! In reading order: the catalogue ([`defect`]) and the table of a scenario that names one; what is swapped or decorated for it, seam by seam
//! (settings, the store's families of requests, the way to the providers, the log, the breakers); and where it all is put in (`planting`).
//!
//! **Invariant**: a defect is put in from outside: the service's own code has no switch for it, and a run that names none is built exactly as
//! if this folder did not exist.

pub mod defect;
mod setting;
mod accepting;
mod leasing;
mod settling;
mod auditing;
mod sidecar;
mod journal;
mod circuit_breaker;
pub(super) mod planting;

pub use defect::{Defect, Planted};
