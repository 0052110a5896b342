//! The store as a service host of a cluster sees it, with each request written down that nobody answered.
//!
//! The log line that reports a commit is written by whoever hears of it, so a line may be missing where nobody did.
//! **Invariant**: what is asked and what is answered pass unchanged; a request whose outcome is known is not written down.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rehearsal_service::store::{Reply, Request, Store, StoreError};

use super::{database::DatabaseEvent, event::Event};
use crate::trace::HostRecorder;

/// A store on another host, and the trace of its caller.
pub(super) struct Overheard {
    pub(super) store: Arc<dyn Store>,
    pub(super) recorder: HostRecorder<Event>,
}

impl Store for Overheard {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        let unheard = DatabaseEvent::unheard(&request);
        Box::pin(async move {
            let answer = self.store.call(request).await;
            if let (Err(StoreError::Unavailable(_)), Some(unheard)) = (&answer, unheard) {
                self.recorder.record(Event::Database(unheard));
            }
            answer
        })
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }
}
