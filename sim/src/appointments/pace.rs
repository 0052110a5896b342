//! The pace of a host's disk: callers of the store wait for as long as the disk took, and for ever when its power went.
//!
//! SQLite's calls are synchronous, so the time that a stalled disk takes is owed when they return; it is waited here, before the answer, and
//! whoever asks meanwhile waits for the disk first, as behind one busy connection. What a stalled commit changes is there from its start, but
//! nobody is told before its end.
//!
//! **Invariant**: a disk that owes nothing costs no wait and changes no order. It knows nothing of what is asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use rehearsal_host::Host;
use rehearsal_service::store::{Reply, Request, Store, StoreError};

use crate::{disk::Disk, system::Storage};

/// One boot's disk, as its callers wait for it. Clones wait for the same disk.
#[derive(Clone)]
pub(super) struct Pace(Option<Arc<Simulated>>);

struct Simulated {
    host: Host,
    name: String,
    disk: Disk,
    /// Until when the disk is busy with what was asked of it, since the run's start.
    busy_until: Mutex<Duration>,
}

impl Pace {
    /// That of the disk of the host `name`; a real disk keeps its own.
    pub(super) fn of(host: &Host, storage: &Storage, name: &str) -> Self {
        Self(match storage {
            Storage::Simulated(disk) => Some(Arc::new(Simulated {
                host: host.clone(),
                name: name.to_owned(),
                disk: disk.clone(),
                busy_until: Mutex::default(),
            })),
            Storage::Folder(_) => None,
        })
    }

    /// Waits for what the disk has been doing; for ever, when it lost its power meanwhile: this host will not go on.
    pub(super) async fn wait(&self) {
        if let Some(simulated) = &self.0 {
            simulated.settle().await;
        }
    }

    /// `store` at this pace.
    pub(super) fn over(self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match self.0 {
            Some(disk) => Arc::new(Paced { disk, store }),
            None => store,
        }
    }
}

impl Simulated {
    async fn settle(&self) {
        if !self.disk.is_on(&self.name) {
            std::future::pending::<()>().await;
        }
        let owed = self.disk.take_owed(&self.name);
        if !owed.is_zero() {
            *self.until() = self.host.elapsed() + owed;
            self.host.sleep(owed).await;
        }
    }

    /// Waits until nobody else's request keeps the disk busy.
    async fn free(&self) {
        loop {
            let wait = self.until().saturating_sub(self.host.elapsed());
            if wait.is_zero() {
                return;
            }
            self.host.sleep(wait).await;
        }
    }

    fn until(&self) -> std::sync::MutexGuard<'_, Duration> {
        self.busy_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store whose answers wait for the disk.
struct Paced {
    disk: Arc<Simulated>,
    store: Arc<dyn Store>,
}

impl Store for Paced {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        async move {
            self.disk.free().await;
            let answer = self.store.call(request).await;
            self.disk.settle().await;
            answer
        }
        .boxed()
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }
}
