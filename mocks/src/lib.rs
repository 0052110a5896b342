//! Stand-ins for the outside world: the scheduling provider and the legacy service.
//!
//! Both are real HTTP services over a [`rehearsal_host::Host`], so the same code listens on a socket for `rehearsal provider` and
//! `rehearsal legacy`, and on a simulated host in a scenario. Each keeps its durable state in a cheap handle ([`provider::Ledger`],
//! [`legacy::Rows`]) that its caller owns: a crashed host is restarted on the same handle, as a process is on its disk.
//!
//! **Invariant**: no chance but named draws. What the provider does to a call depends on its seed, the operation, the key and how often
//! that pair was called, never on the order of other calls.
//!
//! They deliberately do not stand in for any code of ours: service/ is never mocked.
#![forbid(unsafe_code)]

mod detached;
pub mod legacy;
pub mod provider;
