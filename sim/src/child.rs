//! One run, one forked process: start it, hear its result over a pipe, name how it ended.
//!
//! **Invariant**: a body that does not return its bytes is never taken for one that did; every other end is a [`ChildError`]. Any panic on
//! any task ends the child, also one that an async runtime would have swallowed.
//!
//! The parent never simulates. The child inherits memory but only the forking thread, a fresh one ([`forker`]), so a body must not touch a lock that another thread of
//! the parent may hold: in particular it must not print through std. Exit handlers do not run in a child.
#![expect(
    unsafe_code,
    reason = "fork, pipes and waitpid have no safe form in std"
)]

mod forker;
mod pool;
mod text;

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, PanicHookInfo},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::interpose;

use self::forker::Forker;

pub use pool::Pool;

/// The longest result that a child may return, in bytes.
pub const RESULT_LIMIT: usize = 1 << 30;

/// Frame: one byte of kind, eight of length (little endian), the payload.
const HEADER: usize = 9;
const RETURNED: u8 = 0;
const PANICKED: u8 = 1;

/// Two children must not inherit each other's pipe ends, or one's death is not seen before the other's. How many were started so far.
static FORK: Mutex<u32> = Mutex::new(0);

/// Why a child returned no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// A panic, on any task: `location` is `file:line:column`.
    #[error("panicked at {location}: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
        /// Where, as `file:line:column`; empty when the panic was raised without a place.
        location: String,
    },
    /// It was killed because it ran longer than its limit.
    #[error("still running after {0:?}")]
    TimedOut(Duration),
    /// A signal ended it: 6 is an abort, 11 a segmentation fault or a stack overflow.
    #[error("ended by signal {0}")]
    Signaled(i32),
    /// It called `exit` with this status.
    #[error("exited with status {0} and no result")]
    Exited(i32),
    /// It started a thread while simulated.
    #[error("started a thread in a simulated run")]
    ThreadStarted,
    /// It put its only thread to sleep while simulated.
    #[error("slept for real in a simulated run")]
    Slept,
    /// It asked for entropy behind libc's back while simulated.
    #[error("took entropy past libc in a simulated run")]
    EntropyTaken,
    /// It read a real clock behind libc's back while simulated.
    #[error("read a real clock past libc in a simulated run")]
    ClockRead,
    /// It listed a real directory while simulated.
    #[error("listed a real directory in a simulated run")]
    DirectoryListed,
    /// It ended as if well, without a whole result, or its result is longer than [`RESULT_LIMIT`].
    #[error("ended without a whole result")]
    Protocol,
    /// The operating system refused to start it.
    #[error("{call} failed: errno {errno}")]
    Os {
        /// The system call that failed.
        call: &'static str,
        /// The error number.
        errno: i32,
    },
}

/// Runs `body` in a forked child for at most `limit` of real time and returns its bytes.
///
/// # Errors
/// How the child ended instead.
pub fn run(limit: Duration, body: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, ChildError> {
    Forker::with(|forker| {
        let mut children = vec![forker.start(limit, 0, body)?];
        loop {
            if let Some((_, result)) = wait_for_one(&mut children, limit) {
                return result;
            }
        }
    })
}

/// Has the program's code moved to huge pages before the next child is started: children that run for seconds are worth it from the first.
pub fn expect_long_runs() {
    let mut started = FORK.lock().unwrap_or_else(PoisonError::into_inner);
    *started = (*started).max(text::WORTH - 1);
}

/// A child under way. Dropping it kills and reaps it.
#[derive(Debug)]
struct Child {
    ticket: usize,
    process: libc::pid_t,
    pipe: OwnedFd,
    received: Vec<u8>,
    limit: Duration,
    /// On the real monotonic clock.
    deadline: Duration,
    reaped: bool,
}

impl Child {
    fn start(
        limit: Duration,
        ticket: usize,
        body: &mut dyn FnMut() -> Vec<u8>,
    ) -> Result<Self, ChildError> {
        let mut guard = FORK.lock().unwrap_or_else(PoisonError::into_inner);
        *guard = guard.saturating_add(1);
        if *guard == text::WORTH {
            text::to_huge_pages();
        }
        let mut ends: [RawFd; 2] = [-1; 2];
        // SAFETY: `ends` has room for the two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
            return Err(os_error("pipe2"));
        }
        // SAFETY: both descriptors were just made and belong to nobody else.
        let (read, write) =
            unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: the child runs on with the forking thread alone; the module's doc states what its body must not do.
        let process = unsafe { libc::fork() };
        if process == 0 {
            drop(read);
            drop(guard);
            live(&write, body);
        }
        if process < 0 {
            return Err(os_error("fork"));
        }
        Ok(Self {
            ticket,
            process,
            pipe: read,
            received: Vec::new(),
            limit,
            deadline: interpose::real_monotonic() + limit,
            reaped: false,
        })
    }

    /// Takes what the pipe holds; true when nothing more will come.
    fn receive(&mut self) -> bool {
        let mut chunk = [0u8; 1 << 14];
        // SAFETY: `chunk` is valid for writes of its length.
        let count = unsafe {
            libc::read(
                self.pipe.as_raw_fd(),
                chunk.as_mut_ptr().cast(),
                chunk.len(),
            )
        };
        match usize::try_from(count) {
            Ok(0) => true,
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                self.frame_is_over()
            }
            Err(_) => io::Error::last_os_error().kind() != io::ErrorKind::Interrupted,
        }
    }

    fn frame_is_over(&self) -> bool {
        payload_length(&self.received)
            .is_some_and(|length| length > RESULT_LIMIT || self.received.len() >= HEADER + length)
    }

    fn finish(mut self) -> Result<Vec<u8>, ChildError> {
        if let Some(length) = payload_length(&self.received) {
            if length > RESULT_LIMIT {
                return Err(ChildError::Protocol);
            }
            if self.received.len() == HEADER + length {
                self.reap();
                let kind = self.received[0];
                let payload = self.received.split_off(HEADER);
                return match kind {
                    RETURNED => Ok(payload),
                    PANICKED => Err(panic_from(&payload)),
                    _ => Err(ChildError::Protocol),
                };
            }
        }
        let status = self.reap();
        if libc::WIFSIGNALED(status) {
            return Err(ChildError::Signaled(libc::WTERMSIG(status)));
        }
        Err(match libc::WEXITSTATUS(status) {
            0 => ChildError::Protocol,
            interpose::THREAD_STARTED => ChildError::ThreadStarted,
            interpose::SLEPT => ChildError::Slept,
            interpose::ENTROPY_TAKEN => ChildError::EntropyTaken,
            interpose::CLOCK_READ => ChildError::ClockRead,
            interpose::DIRECTORY_LISTED => ChildError::DirectoryListed,
            other => ChildError::Exited(other),
        })
    }

    fn reap(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: the process is our own unreaped child; `status` is valid for a write.
        while unsafe { libc::waitpid(self.process, &raw mut status, 0) } < 0
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
        self.reaped = true;
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // SAFETY: the process is our own child and not reaped yet, so its id names nobody else.
            unsafe { libc::kill(self.process, libc::SIGKILL) };
            self.reap();
        }
    }
}

/// Waits until a child has something to say, its time is over, a signal has come or so long has passed. At most one is taken out of
/// `children`, with its result.
fn wait_for_one(
    children: &mut Vec<Child>,
    at_most: Duration,
) -> Option<(usize, Result<Vec<u8>, ChildError>)> {
    let first_deadline = children.iter().map(|child| child.deadline).min()?;
    let patience = first_deadline.saturating_sub(interpose::real_monotonic());
    let patience = patience.min(at_most);
    let patience_ms = i32::try_from(patience.as_millis() + 1).unwrap_or(i32::MAX);
    let mut polled: Vec<libc::pollfd> = children
        .iter()
        .map(|child| libc::pollfd {
            fd: child.pipe.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // SAFETY: `polled` is valid for its length, which is a count of running children.
    let ready = unsafe {
        libc::poll(
            polled.as_mut_ptr(),
            polled.len() as libc::nfds_t,
            patience_ms,
        )
    };
    if ready > 0 {
        for (index, entry) in polled.iter().enumerate() {
            if entry.revents != 0 && children[index].receive() {
                let child = children.remove(index);
                return Some((child.ticket, child.finish()));
            }
        }
    }
    let now = interpose::real_monotonic();
    let late = children.iter().position(|child| child.deadline <= now)?;
    let child = children.remove(late);
    Some((child.ticket, Err(ChildError::TimedOut(child.limit))))
}

/// The child's whole life.
fn live(pipe: &OwnedFd, body: &mut dyn FnMut() -> Vec<u8>) -> ! {
    // SAFETY: asks the kernel to kill this child when its parent's thread is gone; touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let descriptor = pipe.as_raw_fd();
    std::panic::set_hook(Box::new(move |panic| {
        end(descriptor, PANICKED, &describe(panic));
    }));
    match std::panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => end(descriptor, RETURNED, &result),
        // `resume_unwind` passes the hook by.
        Err(payload) => {
            let message = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("a panic without a text");
            end(descriptor, PANICKED, &panic_frame(message, ""))
        }
    }
}

fn describe(panic: &PanicHookInfo<'_>) -> Vec<u8> {
    let message = panic.payload_as_str().unwrap_or("a panic without a text");
    let location = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    panic_frame(message, &location)
}

fn panic_frame(message: &str, location: &str) -> Vec<u8> {
    let mut frame = (location.len() as u64).to_le_bytes().to_vec();
    frame.extend_from_slice(location.as_bytes());
    frame.extend_from_slice(message.as_bytes());
    frame
}

fn panic_from(frame: &[u8]) -> ChildError {
    let parts = frame.split_first_chunk::<8>().and_then(|(length, rest)| {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        rest.split_at_checked(length)
    });
    match parts {
        Some((location, message)) => ChildError::Panicked {
            message: String::from_utf8_lossy(message).into_owned(),
            location: String::from_utf8_lossy(location).into_owned(),
        },
        None => ChildError::Protocol,
    }
}

fn payload_length(received: &[u8]) -> Option<usize> {
    let length = received.get(1..)?.first_chunk::<8>()?;
    Some(usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX))
}

/// Sends one frame and leaves without exit handlers.
fn end(pipe: RawFd, kind: u8, payload: &[u8]) -> ! {
    let mut header = [kind; HEADER];
    header[1..].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    let sent = send(pipe, &header) && send(pipe, payload);
    // SAFETY: `_exit` is always safe to call.
    unsafe { libc::_exit(i32::from(!sent)) }
}

fn send(pipe: RawFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: `bytes` is valid for reads of its length.
        let count = unsafe { libc::write(pipe, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(count) {
            Ok(count) => bytes = &bytes[count..],
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

fn os_error(call: &'static str) -> ChildError {
    ChildError::Os {
        call,
        errno: io::Error::last_os_error().raw_os_error().unwrap_or(0),
    }
}
