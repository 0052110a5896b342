//! What a simulated process could learn of its machine besides time and entropy: its number, its processors, its surroundings.
//!
//! **Invariant**: after [`settle`] and while simulated, each of these is a constant. It hides no files: only the two random devices are
//! refused here, and listing a directory by [`super::guard`].

use std::ffi::{CStr, c_char, c_int};

use libc::{cpu_set_t, mode_t, pid_t, size_t};

use super::{ENTROPY_TAKEN, Hidden, is_simulated, real, refuse};

/// What a simulated process hears for its number.
const PROCESS: pid_t = 2;

/// What the surroundings of every simulated process are; all other variables are gone.
const SURROUNDINGS: [(&CStr, &CStr); 3] = [
    (c"TZ", c"UTC"),
    (c"LANG", c"C.UTF-8"),
    (c"LC_ALL", c"C.UTF-8"),
];

/// One environment, one working directory, one mask for new files.
pub(super) fn settle() {
    // SAFETY: this process has one thread, so nobody reads the environment meanwhile; all strings are NUL-terminated.
    unsafe {
        libc::clearenv();
        for (name, value) in SURROUNDINGS {
            libc::setenv(name.as_ptr(), value.as_ptr(), 1);
        }
        libc::chdir(c"/".as_ptr());
        libc::umask(0o022);
    }
}

/// libc's `getpid`.
#[unsafe(no_mangle)]
pub extern "C" fn getpid() -> pid_t {
    if is_simulated() {
        return PROCESS;
    }
    real!(c"getpid"() -> pid_t)
}

/// libc's `sched_getaffinity`, under `std::thread::available_parallelism`: one processor in a simulated process.
///
/// # Safety
/// As libc's: `out` is valid for `length` written bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sched_getaffinity(
    process: pid_t,
    length: size_t,
    out: *mut cpu_set_t,
) -> c_int {
    if !is_simulated() {
        return real!(c"sched_getaffinity"(process => pid_t, length => size_t, out => *mut cpu_set_t) -> c_int);
    }
    if length > 0 {
        // SAFETY: the caller's contract; processor 0 is the lowest bit of the first byte on the little-endian machines that we support.
        unsafe {
            out.cast::<u8>().write_bytes(0, length);
            out.cast::<u8>().write(1);
        }
    }
    0
}

/// libc's `open`. It takes its third argument as any other: on the machines that we support, integers are passed alike either way.
///
/// # Safety
/// As libc's: `path` is NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { refuse_random_device(path) };
    real!(c"open"(path => *const c_char, flags => c_int, mode => mode_t) -> c_int)
}

/// libc's `open64`, under `std::fs::File`.
///
/// # Safety
/// As libc's: `path` is NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { refuse_random_device(path) };
    real!(c"open64"(path => *const c_char, flags => c_int, mode => mode_t) -> c_int)
}

/// # Safety
/// `path` is null or NUL-terminated.
unsafe fn refuse_random_device(path: *const c_char) {
    if !is_simulated() || path.is_null() {
        return;
    }
    // SAFETY: the caller's contract.
    let path = unsafe { CStr::from_ptr(path) };
    if path == c"/dev/urandom" || path == c"/dev/random" {
        refuse(
            c"a random device was opened in a simulated run: ask the host for entropy\n",
            ENTROPY_TAKEN,
        );
    }
}
