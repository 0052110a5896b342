//! Traffic replay and shadow comparison: a capture is replayed against a legacy service and its replacement, and what both answered is judged.
//!
//! The modules stand in the order of the work: `capture -> plan -> run -> pairs -> diff -> verdict -> report`. Each stage is a function
//! between two plain values; [`judge`](judge::judge) walks all that follow a run. The crate knows HTTP and JSON, nothing of what the services are for:
//! what is special about one migration stands in a rule file ([`rules`]), each rule with its reason.
//!
//! **Invariant**: nothing is dropped in silence. What a capture holds is an exchange or a counted [`capture::Skipped`]; what a plan holds is
//! answered, failed or skipped with a reason; what a rule suppressed is counted under its name.
//!
//! It deliberately opens no sockets of its own and reads no clock: a [`rehearsal_host::Host`] stands for the machine, real or simulated.
#![forbid(unsafe_code)]

pub mod capture;
pub mod json;

pub mod mask;
pub mod profile;
pub mod rules;

pub mod plan;
pub mod run;

pub mod pairs;

pub mod diff;

pub mod comparing;

pub mod overlap;

pub mod noise;

pub mod hypothesis;

pub mod statistics;

pub mod sequential;

pub mod deciding;

pub mod parity;

pub mod sensitivity;

pub mod coverage;

pub mod clusters;

pub mod reproduce;

pub mod verdict;

pub mod report;

pub mod judge;
