//! The reference implementation: an appointment service that never calls a provider inside a request, never loses or doubles a booking,
//! and says so in rows, metrics and logs.
//!
//! In reading order: what it is given ([`config`]), how it reports ([`journal`], [`metrics`]), what it keeps ([`store`]), what clients
//! see ([`api`]), how it talks to providers ([`provider`]), the two roles that work behind the API (`worker`, `auditor`), and the
//! composition of it all ([`role`]).
//!
//! **Invariant**: the API never calls a provider, and the store is the only place that writes.
#![forbid(unsafe_code)]

pub mod config;

pub mod journal;

pub mod metrics;

pub mod store;

pub mod api;

mod percent;

pub mod circuit_breaker;

pub mod provider;

mod worker;

mod auditor;

pub mod role;

pub use config::Config;
pub use journal::Journal;
pub use role::{ServiceError, run, run_on, run_with};
