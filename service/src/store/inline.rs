//! A store on the caller's own task: for simulated hosts and tests, where a thread would leave the simulation.
//!
//! **Invariant**: a request is carried out at once and whole; the lock is never held across an await.
//! It deliberately has no queue. A real service uses [`super::ThreadStore`], which does not stop its caller's runtime.

use std::sync::{Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{
    request::{Reply, Request, Store, StoreError},
    sqlite::SqliteStore,
};

/// See the module.
#[derive(Debug)]
pub struct InlineStore(Mutex<SqliteStore>);

impl InlineStore {
    /// Wraps an open database.
    pub fn new(store: SqliteStore) -> Self {
        Self(Mutex::new(store))
    }

    /// See [`SqliteStore::problems`].
    pub fn problems(&self) -> Vec<String> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.problems()
    }
}

impl Store for InlineStore {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready(store.handle(request)).boxed()
    }
}
