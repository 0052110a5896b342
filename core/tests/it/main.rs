//! Core across its modules, from outside.
//!
//! The one invariant: these tests see only what is public.
//! They deliberately touch no clock, no file and no network.

mod breaker;
mod delivery;
mod reconcile;
mod sample;
mod state_machine;
