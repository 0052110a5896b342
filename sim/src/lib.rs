//! Rehearsal's simulator: scenario -> plan -> run -> trace -> verdict -> report.
//!
//! Two halves. The harness (everything but [`appointments`]) knows nothing of appointments: a system under test brings its tables,
//! operations, hosts and oracles by implementing [`system::System`]. [`appointments`] is the one that ships.
//!
//! **Invariant**: a run in virtual time is a function of its plan: same plan, same digest, in any process.

pub mod chance;
pub mod range;
pub mod condition;
pub mod fault;
pub mod system;
pub mod swarm;
pub mod scenario;
pub mod plan;
pub mod engine;
mod conductor;
pub mod stops;
pub mod interpose;
pub mod disk;
pub mod child;
pub mod run;
pub mod trigger;
pub mod trace;
pub mod point;
pub mod linearizability;
pub mod oracle;
pub mod verdict;
pub mod enumerate;
pub mod finding;
pub mod exercise;
pub mod shrink;
pub mod show;
pub mod why;
pub mod report;
pub mod explore;
pub mod verify;
pub mod scoreboard;
pub mod appointments;
