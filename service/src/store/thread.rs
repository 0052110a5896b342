//! A store on a writer thread of its own: the real service's, because a commit waits for the disk.
//!
//! **Invariant**: one thread, one connection, a bounded queue; what has queued up during a commit shares the next one (group commit).
//! It deliberately serves reads from the same thread: they are short, and see every acknowledged write.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::{
    request::{Reply, Request, Store, StoreError},
    sqlite::SqliteStore,
};

/// More requests than this wait in their callers.
const QUEUE: usize = 1024;
/// At most this many requests share a commit, so that the first of them does not wait for ever.
const BATCH: usize = 64;

type Job = (Request, oneshot::Sender<Result<Reply, StoreError>>);

/// See the module. The thread ends when the store is dropped.
#[derive(Debug)]
pub struct ThreadStore {
    jobs: mpsc::Sender<Job>,
}

impl ThreadStore {
    /// Starts the writer thread over an open database.
    #[expect(
        clippy::disallowed_methods,
        reason = "the real service's writer; a simulated host uses InlineStore"
    )]
    pub fn start(store: SqliteStore) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        std::thread::spawn(move || work(store, queue));
        Self { jobs }
    }
}

fn work(mut store: SqliteStore, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut jobs, BATCH) > 0 {
        let (requests, callers): (Vec<_>, Vec<_>) = jobs.drain(..).unzip();
        let replies = catch_unwind(AssertUnwindSafe(|| {
            if requests.len() == 1 {
                requests.into_iter().map(|one| store.handle(one)).collect()
            } else {
                store.handle_all(requests)
            }
        }));
        // A bug in one request must not end the writer: its callers learn it by their dropped senders, and the next request rolls back
        // what it left open.
        let Ok(replies) = replies else { continue };
        for (caller, reply) in callers.into_iter().zip(replies) {
            // A caller that went away no longer needs its answer; the effect stands.
            let _ = caller.send(reply);
        }
    }
}

impl Store for ThreadStore {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        Box::pin(async move {
            let gone = || StoreError::Unavailable("the writer thread gave no answer".to_owned());
            let (caller, reply) = oneshot::channel();
            self.jobs
                .send((request, caller))
                .await
                .map_err(|_| gone())?;
            reply.await.map_err(|_| gone())?
        })
    }
}
