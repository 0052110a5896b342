//! The seam: what a program asks of its machine.
//!
//! Service, mocks and replay get a [`Host`] when they are built and ask it, and nothing else, for the network, the clock, entropy and
//! tasks. The real host is tokio ([`real`]); the simulated ones live in sim/. Production code does not know which one it has, so the same
//! binary code serves real sockets and simulated ones.
//!
//! **Invariant**: nothing outside [`real`] touches the operating system.
#![forbid(unsafe_code)]

pub mod machine;
pub mod stream;
pub mod hyper_glue;
pub mod serve;
pub mod client;
pub mod tls;
pub mod real;

pub use machine::{Elapsed, Host, Machine};
pub use stream::{Accept, Listener, Stream};
