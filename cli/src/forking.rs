//! Where simulated runs are forked from, and how a forked process becomes a simulated one.
//!
//! **Invariant**: a run is forked from a thread that has drawn no entropy yet. A child inherits its forking thread's memory, the keys of
//! `RandomState` among it (tokio seeds `select!` with them, hyper's pool keeps its connections by them); keys that were drawn before the
//! seed took over would make each session of runs another one. So nothing but forking and plain bookkeeping happens on that thread.

use std::thread;

use rehearsal_sim::{
    chance::Chance,
    disk::{self, Disk},
    engine::EPOCH,
    interpose,
    system::Storage,
};

/// The forking thread's stack, which each run inherits: as large as a main thread's may be.
const STACK_BYTES: usize = 64 << 20;

/// Does `work`, which forks, on a fresh thread, and waits for it: while it works, this thread holds nothing and does nothing.
pub fn from_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let forking = thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work);
        let forking = forking.expect("the operating system has room for one more thread");
        forking
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// In a forked process: from here on its clock, entropy and disk are functions of `seed`.
pub fn simulate(seed: u64) -> Storage {
    let chance = Chance::new(seed).named("process");
    interpose::enter(chance.named("entropy").seed(), EPOCH);
    let disk = Disk::new(chance.named("disk").seed());
    disk::register(&disk);
    Storage::Simulated(disk)
}
