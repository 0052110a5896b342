//! What no symbol of libc can catch, refused: raw system calls for time, entropy, threads and directories, and the cycle counter.
//!
//! **Invariant**: in a guarded process each of these ends the process at once, with a message and an exit status that name the source.
//! The kernel does it: a seccomp filter raises SIGSYS at the listed calls, and reading the cycle counter, which the vDSO's clocks do too,
//! raises SIGSEGV. Where the kernel lacks one of them, the run goes on without it, and [`state`] says so.

use std::{
    ffi::{CStr, c_int, c_long, c_void},
    sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed},
};

use super::{CLOCK_READ, DIRECTORY_LISTED, ENTROPY_TAKEN, SLEPT, THREAD_STARTED, refuse};

/// Which guards hold in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// Raw system calls are refused.
    pub system_calls: bool,
    /// The cycle counter is refused, and with it clocks that are read past libc.
    pub cycle_counter: bool,
}

static SYSTEM_CALLS: AtomicBool = AtomicBool::new(false);
static CYCLE_COUNTER: AtomicBool = AtomicBool::new(false);

/// What SIGSEGV did before: std's message for a stack overflow.
static FORMER: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

/// A refused system call: its number, what the process ends with, and what is said.
type Refused = (c_long, c_int, &'static CStr);

const ENTROPY: &CStr =
    c"getrandom as a raw system call in a simulated run: its answer is not the seed's\n";
const CLOCK: &CStr = c"a clock read as a raw system call in a simulated run: it is the real one\n";
const SLEEP: &CStr =
    c"a sleep as a raw system call in a simulated run: it would stop the only thread\n";
const START: &CStr = c"a thread or process started by a raw system call in a simulated run\n";
const LIST: &CStr = c"a real directory was listed in a simulated run: its order is the machine's\n";

/// The refused system calls of every machine.
const EVERYWHERE: [Refused; 8] = [
    (libc::SYS_getrandom, ENTROPY_TAKEN, ENTROPY),
    (libc::SYS_clock_gettime, CLOCK_READ, CLOCK),
    (libc::SYS_gettimeofday, CLOCK_READ, CLOCK),
    (libc::SYS_nanosleep, SLEPT, SLEEP),
    (libc::SYS_clock_nanosleep, SLEPT, SLEEP),
    (libc::SYS_clone, THREAD_STARTED, START),
    (libc::SYS_clone3, THREAD_STARTED, START),
    (libc::SYS_getdents64, DIRECTORY_LISTED, LIST),
];

/// Those that only an older machine's kernel has.
#[cfg(target_arch = "x86_64")]
const HERE: [Refused; 4] = [
    (libc::SYS_time, CLOCK_READ, CLOCK),
    (libc::SYS_fork, THREAD_STARTED, START),
    (libc::SYS_vfork, THREAD_STARTED, START),
    (libc::SYS_getdents, DIRECTORY_LISTED, LIST),
];
#[cfg(not(target_arch = "x86_64"))]
const HERE: [Refused; 0] = [];

/// The machine as the kernel names it to a filter (`AUDIT_ARCH_*`); 0 where we have no filter.
const MACHINE: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else {
    0
};

/// Which guards hold.
pub fn state() -> State {
    State {
        system_calls: SYSTEM_CALLS.load(Relaxed),
        cycle_counter: CYCLE_COUNTER.load(Relaxed),
    }
}

/// Guards this process from now on, as far as the kernel can.
pub(super) fn install() {
    SYSTEM_CALLS.store(MACHINE != 0 && filter_calls(), Relaxed);
    CYCLE_COUNTER.store(refuse_counter(), Relaxed);
}

fn handle(
    signal: c_int,
    handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void),
) -> Option<libc::sigaction> {
    // SAFETY: both structures are plain data for which all zeros is a value; the handler has the signature that SA_SIGINFO asks for and
    // calls nothing but write and _exit.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut former: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        (libc::sigaction(signal, &raw const action, &raw mut former) == 0).then_some(former)
    }
}

fn filter_calls() -> bool {
    if handle(libc::SIGSYS, refused_call).is_none() {
        return false;
    }
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf: 0,
        k,
    };
    let load = |offset: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let answer = |action: u32| statement(libc::BPF_RET | libc::BPF_K, action);
    let unless_equal = |value: u32, skip: u8| libc::sock_filter {
        jf: skip,
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value)
    };
    // `struct seccomp_data` begins with the call's number and, after four bytes, the machine.
    let mut program = vec![load(4), unless_equal(MACHINE, 1), load(0)];
    // Another machine's calls have other numbers; none of ours is made there. Its name, still loaded, equals no call's number.
    for (number, ..) in EVERYWHERE.iter().chain(&HERE) {
        program.push(unless_equal(u32::try_from(*number).unwrap_or(u32::MAX), 1));
        program.push(answer(libc::SECCOMP_RET_TRAP));
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or_default(),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` and what it points to are valid for the call; the kernel copies them.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            ) == 0
    }
}

extern "C" fn refused_call(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: for SIGSYS the kernel's structure holds three numbers and padding, the caller's address, and then, as
    // its seventh word of four bytes, the call's number.
    let number = unsafe { info.cast::<c_int>().add(6).read() };
    for (refused, status, message) in EVERYWHERE.iter().chain(&HERE) {
        if c_long::from(number) == *refused {
            refuse(message, *status);
        }
    }
    refuse(c"a system call was refused in a simulated run\n", 1)
}

#[cfg(target_arch = "x86_64")]
fn refuse_counter() -> bool {
    let Some(former) = handle(libc::SIGSEGV, faulted) else {
        return false;
    };
    FORMER.store(Box::into_raw(Box::new(former)), Relaxed);
    // SAFETY: sets a flag of this thread.
    unsafe { libc::prctl(libc::PR_SET_TSC, libc::PR_TSC_SIGSEGV) == 0 }
}

#[cfg(not(target_arch = "x86_64"))]
fn refuse_counter() -> bool {
    false
}

/// Tells a refused instruction from a real fault, which goes to whoever handled it before: it is raised again on return.
#[cfg(target_arch = "x86_64")]
extern "C" fn faulted(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands valid structures to a handler with SA_SIGINFO. Only when it is not an access that faulted (SI_KERNEL) is the
    // instruction read, which then was fetched from where it is read.
    unsafe {
        if (*info).si_code == libc::SI_KERNEL {
            let registers = &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            let at: *const u8 = std::ptr::with_exposed_provenance(
                usize::try_from(registers[libc::REG_RIP.unsigned_abs() as usize])
                    .unwrap_or_default(),
            );
            let (first, second) = (at.read(), at.add(1).read());
            if first == 0x0f && (second == 0x31 || (second == 0x01 && at.add(2).read() == 0xf9)) {
                refuse(
                    c"the processor's cycle counter, or a clock past libc, was read in a simulated run\n",
                    CLOCK_READ,
                );
            }
        }
        let former = FORMER.load(Relaxed);
        if former.is_null() {
            libc::signal(signal, libc::SIG_DFL);
        } else {
            libc::sigaction(signal, former, std::ptr::null_mut());
        }
    }
}
