//! How the processes of a `verify` pair are started: with addresses that are drawn anew or not, and with another mask for new files.
//!
//! **Invariant**: only what is changed between fork and exec stands here; everything else of a process is std's to set.

use std::{io, os::unix::process::CommandExt, process::Command};

/// `ADDR_NO_RANDOMIZE` of personality(2).
const NO_RANDOMIZATION: libc::c_ulong = 0x0004_0000;
/// What personality(2) takes for a question.
const ASK: libc::c_ulong = 0xffff_ffff;

/// Starts `command` with its addresses drawn anew (`randomized`) or always the same, and with `mask` for new files. Where the machine does
/// not allow addresses to stay (a container's filter may not), the process starts nevertheless: [`randomizes`] tells it.
pub fn prepare(command: &mut Command, randomized: bool, mask: libc::mode_t) {
    let change = move || {
        // SAFETY: personality and umask change numbers of this process and touch no memory.
        unsafe {
            let now = libc::personality(ASK);
            if now >= 0 {
                let now = libc::c_ulong::from(now.cast_unsigned());
                let wanted = if randomized {
                    now & !NO_RANDOMIZATION
                } else {
                    now | NO_RANDOMIZATION
                };
                libc::personality(wanted);
            }
            libc::umask(mask);
        }
        Ok::<(), io::Error>(())
    };
    // SAFETY: the closure makes two system calls and neither allocates nor locks.
    unsafe { command.pre_exec(change) };
}

/// Whether this process's addresses were drawn anew when it was started.
pub fn randomizes() -> bool {
    // SAFETY: a question.
    let now = unsafe { libc::personality(ASK) };
    now < 0 || libc::c_ulong::from(now.cast_unsigned()) & NO_RANDOMIZATION == 0
}
