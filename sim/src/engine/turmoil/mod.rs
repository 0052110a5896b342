//! The turmoil engine: an independent simulator (turmoil 0.7, one runtime per host, a 1 ms tick) behind the same host seam, to check ours.
//!
//! **Invariant**: turmoil's own network carries every byte; this folder only adds what the seam promises and turmoil does not.
//!
//! What differs from the other engines, because turmoil is what it is:
//! - A partition drops messages for good, turmoil sends nothing again. A connection that lost one would hang, so it is reset on both ends
//!   when the partition heals; a connection request is sent again by us, as TCP does (1 s, doubling).
//! - A latency is drawn as `low + (high - low) * Exp(lambda)`, cut off at `high`: see [`span`].
//! - A process that is killed closes its sockets as a kernel does: a reset where bytes were unread, the end of the stream otherwise.
//! - Everything happens at the edge of a tick: the trace's stamps are the tick's start, up to 1 ms before what `Host::now` says.
//! - Lost segments (`network.loss`) are refused: turmoil would break the link instead.

mod drive;
mod links;
mod machine;
mod socket;
mod span;
mod world;

pub(crate) use drive::run;
