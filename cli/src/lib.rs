//! The command line: what was typed, the stages that it walks, and what is printed and written of them.
//!
//! In reading order: how a command ends ([`exit`], [`problem`]), what was typed ([`flags`]), how it talks ([`printer`], [`progress`]),
//! where it writes ([`artifact`]), how many runs become one session ([`files`], [`session`]) or one
//! exploration ([`sweep`], [`bundle`]), how results are shown ([`render`]), and the
//! commands themselves ([`command`]).
//!
//! **Invariant**: nothing but [`printer`] prints, nothing but [`artifact`] writes a file, and no command decides what a run or a replay
//! came to: it hands on the verdict that it was given.
#![forbid(unsafe_code)]

pub mod exit;
pub mod problem;
pub mod flags;
pub mod printer;
pub mod progress;
pub mod artifact;
pub mod interrupt;
pub mod files;
pub mod session;
pub mod render;
pub mod bundle;
pub mod sweep;
pub mod command;
