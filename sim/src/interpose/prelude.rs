//! What a process is told before it is simulated: the two processes of a `verify` pair, and their parents of runs, hear of other clocks and
//! other entropy, so that what was read too early shows as a difference, and can be held equal to find out which it was.
//!
//! **Invariant**: without [`pretend`] nothing here has an effect; the clocks that it tells stand still, so that nothing else comes in.
//! The hash keys of std are a stream of their own, told apart from other entropy by how std asks for them.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use libc::{c_uint, clockid_t, size_t, timespec};
use rand_chacha::{ChaCha8Rng, rand_core::Rng};

use crate::chance::Chance;

static PRETENDS: AtomicBool = AtomicBool::new(false);
static TOLD: Mutex<Option<Told>> = Mutex::new(None);

/// What the process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prelude {
    /// The wall clock, in seconds since the Unix epoch.
    pub wall_s: i64,
    /// The monotonic clocks, in seconds.
    pub monotonic_s: i64,
    /// The seed of what std's hash maps are keyed with.
    pub hash_keys: u64,
    /// The seed of all other entropy.
    pub entropy: u64,
}

struct Told {
    prelude: Prelude,
    hash_keys: ChaCha8Rng,
    entropy: ChaCha8Rng,
}

/// How std asks for hash keys: 16 bytes, `GRND_INSECURE`. Nothing else that we link asks like this.
const HASH_KEYS: (size_t, c_uint) = (16, libc::GRND_INSECURE);

/// From now on this process, not simulated yet, is told `prelude` instead of the truth.
pub fn pretend(prelude: Prelude) {
    let told = Told {
        prelude,
        hash_keys: Chance::new(prelude.hash_keys).named("hash keys").rng(),
        entropy: Chance::new(prelude.entropy).named("entropy").rng(),
    };
    *TOLD.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    PRETENDS.store(true, Relaxed);
}

/// The time that this process is told, if it is told any.
pub(super) fn clock(clock: clockid_t) -> Option<timespec> {
    if !PRETENDS.load(Relaxed) {
        return None;
    }
    let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let prelude = told.as_ref()?.prelude;
    let tv_sec = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => prelude.wall_s,
        _ => prelude.monotonic_s,
    };
    Some(timespec { tv_sec, tv_nsec: 0 })
}

/// Fills `out` if this process is told its entropy; false if it is not.
///
/// # Safety
/// `out` is valid for `length` written bytes.
pub(super) unsafe fn entropy(out: *mut u8, length: size_t, flags: c_uint) -> bool {
    if !PRETENDS.load(Relaxed) {
        return false;
    }
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(told) = told.as_mut() else {
        return false;
    };
    if length > 0 {
        // SAFETY: the caller's contract; the bytes are zeroed before a reference to them exists.
        let bytes = unsafe {
            out.write_bytes(0, length);
            std::slice::from_raw_parts_mut(out, length)
        };
        if (length, flags) == HASH_KEYS {
            told.hash_keys.fill_bytes(bytes);
        } else {
            told.entropy.fill_bytes(bytes);
        }
    }
    true
}
