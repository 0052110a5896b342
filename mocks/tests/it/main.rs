//! The stand-ins as services: the provider's contract, its faults, and the legacy service's defects. Over real loopback sockets, but for
//! what waits: that runs in memory on a paused clock.
#![forbid(unsafe_code)]

mod bench;
mod faults;
mod legacy;
mod memory;
mod provider;
