//! The process's clocks, entropy, sleeps and threads, as libc symbols of our own.
//!
//! **Invariant**: after [`enter`], every clock and every random byte that this process asks of libc is a function of (seed, epoch, elapsed)
//! alone. Before it, each call goes to the real function, found once with `dlsym(RTLD_NEXT)`.
//!
//! What bypasses libc (raw system calls, the vDSO, the processor's cycle counter) is refused by [`guard`], with the source's name. It does not
//! see waits with a timeout inside libc (`poll`, futexes), which the parent's watchdog ends, or the processor's random numbers (`rdrand`),
//! which `verify` shows as a difference. Linux only. Only a forked child may enter, and there is no way back: one process is one run.
#![expect(
    unsafe_code,
    reason = "defines libc symbols and calls the functions that they hide"
)]

pub mod guard;
mod heap;
pub mod launch;
pub mod machine;
pub mod prelude;

use std::{
    ffi::{CStr, c_int, c_uint, c_void},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

pub use heap::{Heap, begin_used, purge_at_once};
use libc::{clockid_t, pthread_attr_t, pthread_t, size_t, ssize_t, time_t, timespec, timeval};
use rand_chacha::{ChaCha8Rng, rand_core::Rng};
use rehearsal_core::time::Timestamp;

use crate::chance::Chance;

#[cfg(not(target_os = "linux"))]
compile_error!("the simulator interposes Linux libc symbols; other systems are not supported");

/// The exit status of a simulated process that started a thread.
pub const THREAD_STARTED: c_int = 111;
/// The exit status of a simulated process that put its only thread to sleep.
pub const SLEPT: c_int = 112;
/// The exit status of a simulated process that asked for entropy behind libc's back.
pub const ENTROPY_TAKEN: c_int = 113;
/// The exit status of a simulated process that read a real clock behind libc's back.
pub const CLOCK_READ: c_int = 114;
/// The exit status of a simulated process that listed a real directory.
pub const DIRECTORY_LISTED: c_int = 115;

/// Where the monotonic clock starts: far enough from zero that programs may subtract days from it.
const MONOTONIC_BASE: Duration = Duration::from_secs(1_000_000);

static SIMULATED: AtomicBool = AtomicBool::new(false);
static EPOCH_NANOS: AtomicI64 = AtomicI64::new(0);
static ELAPSED_NANOS: AtomicU64 = AtomicU64::new(0);
static ENTROPY: Mutex<Option<ChaCha8Rng>> = Mutex::new(None);

static WALL_READS: AtomicU64 = AtomicU64::new(0);
static MONOTONIC_READS: AtomicU64 = AtomicU64::new(0);
static ENTROPY_CALLS: AtomicU64 = AtomicU64::new(0);
static ENTROPY_BYTES: AtomicU64 = AtomicU64::new(0);

/// Whether [`note_entry`] keeps what was asked for, and what it kept.
static WATCHED: AtomicBool = AtomicBool::new(false);
static NOTED: Mutex<Vec<Counts>> = Mutex::new(Vec::new());

/// How often a simulated process asked its machine for something, since [`enter`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Reads of the wall clock.
    pub wall_reads: u64,
    /// Reads of the monotonic clocks, and of the processor-time clocks, which answer with the elapsed time.
    pub monotonic_reads: u64,
    /// Requests for random bytes.
    pub entropy_calls: u64,
    /// Random bytes handed out.
    pub entropy_bytes: u64,
}

/// A libc function that a symbol of this module hides.
struct Hidden {
    name: &'static CStr,
    address: AtomicUsize,
}

impl Hidden {
    const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            address: AtomicUsize::new(0),
        }
    }

    fn address(&self) -> *const c_void {
        let known = self.address.load(Relaxed);
        if known != 0 {
            return std::ptr::with_exposed_provenance(known);
        }
        // SAFETY: the name is NUL-terminated; RTLD_NEXT finds the next definition after this executable's.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            refuse(
                c"a libc function that the simulator stands in for was not found\n",
                1,
            );
        }
        self.address.store(found.expose_provenance(), Relaxed);
        found
    }
}

/// Calls the real `$name` with `$argument`s of the given types.
macro_rules! real {
    ($name:literal ( $($argument:expr => $kind:ty),* ) -> $result:ty) => {{
        static HIDDEN: Hidden = Hidden::new($name);
        // SAFETY: the address is that of libc's function of this name, whose C signature this is; the arguments are the caller's own,
        // and the caller keeps libc's contract for them.
        unsafe {
            let function: unsafe extern "C" fn($($kind),*) -> $result = std::mem::transmute(HIDDEN.address());
            function($($argument),*)
        }
    }};
}

use real;

/// From now on this process is simulated: its wall clock starts at `epoch`, its entropy is the stream `entropy` of `seed`.
///
/// # Panics
/// When the process is simulated already, or has more than one thread.
pub fn enter(seed: u64, epoch: Timestamp) {
    assert!(!is_simulated(), "a process is simulated once");
    if let Ok(threads) = std::fs::read_dir("/proc/self/task") {
        assert_eq!(threads.count(), 1, "a simulated process has one thread");
    }
    let stream = Chance::new(seed).named("entropy").rng();
    *ENTROPY.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    EPOCH_NANOS.store(epoch.as_micros().saturating_mul(1_000), Relaxed);
    ELAPSED_NANOS.store(0, Relaxed);
    heap::enter();
    machine::settle();
    SIMULATED.store(true, Relaxed);
    guard::install();
}

/// Whether this process is simulated.
pub fn is_simulated() -> bool {
    SIMULATED.load(Relaxed)
}

/// Moves every clock of a simulated process to `nanos` of virtual time after its start.
pub fn set_elapsed(nanos: u64) {
    ELAPSED_NANOS.store(nanos, Relaxed);
}

/// The wall clock, simulated or real, with whole nanoseconds since the Unix epoch; negative before it.
pub fn wall_nanos() -> i64 {
    if is_simulated() {
        return simulated_wall_nanos();
    }
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writes; the wall clock exists on every Linux.
    unsafe { clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// What this process asked for since [`enter`].
pub fn counts() -> Counts {
    Counts {
        wall_reads: WALL_READS.load(Relaxed),
        monotonic_reads: MONOTONIC_READS.load(Relaxed),
        entropy_calls: ENTROPY_CALLS.load(Relaxed),
        entropy_bytes: ENTROPY_BYTES.load(Relaxed),
    }
}

/// From now on [`note_entry`] keeps the counts, for `verify` to compare.
pub fn watch() {
    WATCHED.store(true, Relaxed);
}

/// Called at each entry of a trace: keeps, if [`watch`] asked for it, what was asked for until then.
pub fn note_entry() {
    if WATCHED.load(Relaxed) {
        let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(counts());
    }
}

/// What was noted, an element an entry; leaves nothing.
pub fn take_noted() -> Vec<Counts> {
    std::mem::take(&mut *NOTED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The real monotonic clock, whatever this process is told: what a watchdog measures with.
pub fn real_monotonic() -> Duration {
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    real!(c"clock_gettime"(libc::CLOCK_MONOTONIC => clockid_t, &raw mut time => *mut timespec) -> c_int);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

fn simulated_wall_nanos() -> i64 {
    let elapsed = i64::try_from(ELAPSED_NANOS.load(Relaxed)).unwrap_or(i64::MAX);
    EPOCH_NANOS.load(Relaxed).saturating_add(elapsed)
}

fn simulated_clock(clock: clockid_t) -> timespec {
    let nanos = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => {
            WALL_READS.fetch_add(1, Relaxed);
            simulated_wall_nanos()
        }
        _ => {
            MONOTONIC_READS.fetch_add(1, Relaxed);
            let elapsed = Duration::from_nanos(ELAPSED_NANOS.load(Relaxed));
            i64::try_from((MONOTONIC_BASE + elapsed).as_nanos()).unwrap_or(i64::MAX)
        }
    };
    timespec {
        tv_sec: nanos.div_euclid(1_000_000_000),
        tv_nsec: nanos.rem_euclid(1_000_000_000),
    }
}

fn simulated_entropy(bytes: &mut [u8]) {
    ENTROPY_CALLS.fetch_add(1, Relaxed);
    ENTROPY_BYTES.fetch_add(bytes.len() as u64, Relaxed);
    let mut stream = ENTROPY.lock().unwrap_or_else(PoisonError::into_inner);
    match stream.as_mut() {
        Some(stream) => stream.fill_bytes(bytes),
        None => refuse(
            c"entropy was asked for while a simulated run was being set up\n",
            1,
        ),
    }
}

/// Ends the process at once: no unwinding, no exit handlers, no lock that another thread could have held at the fork.
fn refuse(message: &CStr, status: c_int) -> ! {
    let bytes = message.to_bytes();
    // SAFETY: `bytes` is valid for reads of its length; `_exit` is always safe to call.
    unsafe {
        libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(status)
    }
}

/// libc's `clock_gettime`.
///
/// # Safety
/// As libc's: `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, out: *mut timespec) -> c_int {
    if !is_simulated() {
        if let Some(told) = prelude::clock(clock) {
            // SAFETY: the caller's contract.
            unsafe { out.write(told) };
            return 0;
        }
        return real!(c"clock_gettime"(clock => clockid_t, out => *mut timespec) -> c_int);
    }
    // SAFETY: the caller's contract.
    unsafe { out.write(simulated_clock(clock)) };
    0
}

/// libc's `gettimeofday`.
///
/// # Safety
/// As libc's: `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(out: *mut timeval, zone: *mut c_void) -> c_int {
    if !is_simulated() {
        return real!(c"gettimeofday"(out => *mut timeval, zone => *mut c_void) -> c_int);
    }
    let now = simulated_clock(libc::CLOCK_REALTIME);
    if !out.is_null() {
        // SAFETY: the caller's contract.
        unsafe {
            out.write(timeval {
                tv_sec: now.tv_sec,
                tv_usec: now.tv_nsec / 1_000,
            });
        }
    }
    0
}

/// libc's `time`.
///
/// # Safety
/// As libc's: `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(out: *mut time_t) -> time_t {
    if !is_simulated() {
        return real!(c"time"(out => *mut time_t) -> time_t);
    }
    let now = simulated_clock(libc::CLOCK_REALTIME);
    if !out.is_null() {
        // SAFETY: the caller's contract.
        unsafe { out.write(now.tv_sec) };
    }
    now.tv_sec
}

/// libc's `getrandom`: std's hash keys, the getrandom crate from 0.3 on.
///
/// # Safety
/// As libc's: `out` is valid for `length` written bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(out: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    if !is_simulated() {
        // SAFETY: the caller's contract.
        if unsafe { prelude::entropy(out.cast(), length, flags) } {
            return length.cast_signed();
        }
        return real!(c"getrandom"(out => *mut c_void, length => size_t, flags => c_uint) -> ssize_t);
    }
    if length > 0 {
        // SAFETY: the caller's contract; the bytes are zeroed before a reference to them exists.
        simulated_entropy(unsafe {
            out.write_bytes(0, length);
            std::slice::from_raw_parts_mut(out.cast(), length)
        });
    }
    length.cast_signed()
}

/// libc's `getentropy`.
///
/// # Safety
/// As libc's: `out` is valid for `length` written bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getentropy(out: *mut c_void, length: size_t) -> c_int {
    if !is_simulated() {
        return real!(c"getentropy"(out => *mut c_void, length => size_t) -> c_int);
    }
    // SAFETY: the caller's contract is the same.
    unsafe { getrandom(out, length, 0) };
    0
}

/// libc's `nanosleep`: refused in a simulated process.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nanosleep(wanted: *const timespec, left: *mut timespec) -> c_int {
    if is_simulated() {
        refuse(
            c"nanosleep in a simulated run: it would stop the only thread; ask the host for a sleep\n",
            SLEPT,
        );
    }
    real!(c"nanosleep"(wanted => *const timespec, left => *mut timespec) -> c_int)
}

/// libc's `clock_nanosleep`, under `std::thread::sleep`: refused in a simulated process.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    wanted: *const timespec,
    left: *mut timespec,
) -> c_int {
    if is_simulated() {
        refuse(
            c"clock_nanosleep in a simulated run: it would stop the only thread; ask the host for a sleep\n",
            SLEPT,
        );
    }
    real!(c"clock_nanosleep"(clock => clockid_t, flags => c_int, wanted => *const timespec, left => *mut timespec) -> c_int)
}

/// libc's `usleep`: refused in a simulated process.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn usleep(micros: c_uint) -> c_int {
    if is_simulated() {
        refuse(
            c"usleep in a simulated run: it would stop the only thread; ask the host for a sleep\n",
            SLEPT,
        );
    }
    real!(c"usleep"(micros => c_uint) -> c_int)
}

/// libc's `pthread_create`: refused in a simulated process.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    main: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    if is_simulated() {
        refuse(c"thread started in a simulated run\n", THREAD_STARTED);
    }
    real!(c"pthread_create"(
        thread => *mut pthread_t,
        attributes => *const pthread_attr_t,
        main => extern "C" fn(*mut c_void) -> *mut c_void,
        argument => *mut c_void
    ) -> c_int)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child;

    /// What the C symbols, which no crate of ours calls yet, say in a simulated child.
    fn symbols(seed: u64) -> Vec<u8> {
        let limit = Duration::from_secs(30);
        child::run(limit, || {
            enter(seed, Timestamp::from_secs(1_000));
            set_elapsed(2_500_000_000);
            let mut bytes = [0u8; 16];
            let mut day = timeval {
                tv_sec: 0,
                tv_usec: 0,
            };
            // SAFETY: both buffers are valid for the writes; a null time is allowed.
            let seconds = unsafe {
                assert_eq!(libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()), 0);
                assert_eq!(libc::gettimeofday(&raw mut day, std::ptr::null_mut()), 0);
                libc::time(std::ptr::null_mut())
            };
            assert_eq!((seconds, day.tv_sec, day.tv_usec), (1_002, 1_002, 500_000));
            assert_eq!(wall_nanos(), 1_002_500_000_000);
            assert_eq!((counts().wall_reads, counts().entropy_bytes), (2, 16));
            bytes.to_vec()
        })
        .expect("it ends well")
    }

    #[test]
    fn c_code_sees_the_same_clock_and_entropy() {
        assert_eq!(symbols(1), symbols(1));
        assert_ne!(symbols(1), symbols(2));
    }

    #[test]
    fn c_code_cannot_sleep() {
        let limit = Duration::from_secs(30);
        let ended = child::run(limit, || {
            enter(1, Timestamp::from_secs(0));
            // SAFETY: sleeping is always safe.
            unsafe { libc::usleep(1) };
            Vec::new()
        });
        assert_eq!(ended, Err(child::ChildError::Slept));
    }
}
