//! The loopback engine: the same hosts and director on real sockets of 127.0.0.1, in real time.
//!
//! **Invariant**: the kernel carries every byte; a fault only keeps a reader from what has already arrived.
//!
//! What differs from the other engines, because the network is real:
//! - The usual latency is the kernel's; the scenario's is not imitated. Nothing is lost (`network.loss` is refused).
//! - A partition and a hold are one thing: the reader waits at a gate, a connection attempt before it, and all goes on at the heal.
//! - A process that is killed closes its sockets as a kernel does: a reset where bytes were unread, the end of the stream otherwise.
//! - A power loss is refused: the kernel under a host lives on.

mod addresses;
mod drive;
mod gates;
mod machine;
mod socket;
mod world;

pub(crate) use addresses::addresses;
pub(crate) use drive::run;
