//! Where children are forked from: a thread that does nothing else.
//!
//! **Invariant**: what a thread keeps to itself (std's hash keys, hyper's cached `Date`, allocators' and libraries' thread-locals) is fresh on
//! the thread that forks, whatever its caller did before, so a child inherits none of it. It neither waits for children nor reads from them.

use std::{
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::Duration,
};

use super::{Child, ChildError};

/// The forking thread's stack, which each child inherits: as large as a main thread's may be.
const STACK_BYTES: usize = 64 << 20;

/// What a child does.
type Body<'a> = dyn FnMut() -> Vec<u8> + 'a;

/// A fork to be made.
struct Order {
    limit: Duration,
    ticket: usize,
    body: *mut Body<'static>,
}

// SAFETY: the body is not used in the parent by the thread that gets it. It runs in the forked child, which has that thread alone, on a
// copy of all memory; nothing runs beside it there.
unsafe impl Send for Order {}

/// A handle to the forking thread.
pub(super) struct Forker {
    orders: SyncSender<Order>,
    answers: Receiver<Result<Child, ChildError>>,
}

impl Forker {
    /// Starts the thread, lends it to `work`, and ends it. It outlives every child that was started in `work` and dropped there: children
    /// are killed when the thread that forked them ends.
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent forks in it and never simulates"
    )]
    pub(super) fn with<T>(work: impl FnOnce(&Self) -> T) -> T {
        thread::scope(|scope| {
            let (orders, taken) = mpsc::sync_channel::<Order>(0);
            let (answer, answers) = mpsc::sync_channel(0);
            thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, move || {
                    for order in taken {
                        // SAFETY: `start` waits for the answer, so the body outlives this use.
                        let body = unsafe { &mut *order.body };
                        let child = Child::start(order.limit, order.ticket, body);
                        if answer.send(child).is_err() {
                            return;
                        }
                    }
                })
                .expect("the operating system has room for one more thread");
            work(&Self { orders, answers })
        })
    }

    /// Forks a child that runs `body`.
    pub(super) fn start(
        &self,
        limit: Duration,
        ticket: usize,
        body: impl FnOnce() -> Vec<u8>,
    ) -> Result<Child, ChildError> {
        let mut body = Some(body);
        let mut once = || body.take().map_or_else(Vec::new, |body| body());
        let body: *mut Body<'_> = &raw mut once;
        #[expect(
            clippy::transmute_ptr_to_ptr,
            reason = "only a transmute changes the lifetime of a trait object"
        )]
        // SAFETY: only the lifetime changes; the thread is done with the body when it has answered, and this function waits for that.
        let body: *mut Body<'static> = unsafe { std::mem::transmute(body) };
        let gone = "the forking thread lives as long as its handle";
        self.orders
            .send(Order {
                limit,
                ticket,
                body,
            })
            .expect(gone);
        self.answers.recv().expect(gone)
    }
}
