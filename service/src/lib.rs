//! The reference implementation: an appointment service that never calls a provider inside a request, never loses or doubles a booking,
//! and says so in rows, metrics and logs.
//!
//! In reading order: what it is given ([`config`], [`journal`]), what it keeps ([`metrics`], [`store`]), what clients see ([`api`]), how it
//! talks to providers ([`provider`]), the two roles that work behind the API ([`worker`], [`auditor`]), and the composition of it all
//! ([`role`]).
//!
//! **Invariant**: the API never calls a provider, and the store is the only place that writes.
#![forbid(unsafe_code)]

pub mod metrics;
pub mod store;
