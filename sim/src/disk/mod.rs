//! The simulated disk: every host's files in memory, what was written kept apart from what was synced, behind a SQLite VFS.
//!
//! **Invariant**: after a power loss a host's files hold exactly what was synced, plus those unsynced writes that the loss model chose to
//! keep. The same operations and draws give the same bytes.
//!
//! In reading order: `loss` (what a power loss keeps), `stranded` (what a failed sync leaves durable), `image` (one file's bytes), `names` (what leads to it), `fault` (what may go wrong, and the counts), `rot` (bits that flip at rest), `journal` (what the operations were), `lock` (who may
//! read and write), `memory` (the WAL's shared memory), `volume` (one host's files), `handle` (one open file), `hosts` (all hosts: [`Disk`]),
//! `vfs` (SQLite's calls). It deliberately has no mmap, no directories, no file times, and no real file.

mod loss;

mod stranded;

mod image;

mod names;

mod fault;

mod rot;

mod journal;

mod lock;

mod memory;

mod volume;

mod handle;

mod hosts;

mod vfs;

pub use fault::{Counters, Deeds, Fault, Operation};
pub use hosts::Disk;
pub use loss::Loss;
pub use vfs::register;
