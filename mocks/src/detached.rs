//! Work that a server finishes even when its client hangs up.
//!
//! hyper drops a handler when its client goes away; a real peer does not undo what it has begun. **Invariant**: once started, the work
//! runs to its end or to its host's crash. It deliberately sets no deadline: what it runs is bounded by itself.

use std::future::Future;

use rehearsal_host::Host;
use tokio::sync::oneshot;

/// Runs `work` as a task of `host` and waits for its result. `None` when the host dropped the task.
pub(crate) async fn detached<T: Send + 'static>(
    host: &Host,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (done, result) = oneshot::channel();
    host.spawn(async move {
        // Nobody listens any more when the client has hung up; the work is done all the same.
        let _ = done.send(work.await);
    });
    result.await.ok()
}
