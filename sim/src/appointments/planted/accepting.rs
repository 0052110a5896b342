//! Defects on the way of clients: accept, cancel, read.
//!
//! **Invariant**: everything but the defect is the store's own work; what a decorator remembers dies with its process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use rehearsal_core::{
    appointment::{State, apply, decide},
    command::{Command, NewAppointment},
    idempotency::Fingerprint,
    identity::{AppointmentId, RequestId, Tenant},
    rejection::Rejection,
    time::Timestamp,
};
use rehearsal_host::Host;
use rehearsal_service::store::{AcceptReply, Reply, Request, Store, StoreError};
use rusqlite::Connection;

use super::Defect;

/// How long an accept that was answered waits for its commit.
const COMMIT_DELAY: Duration = Duration::from_millis(300);
/// Two requests with one key pass both when they come within this.
const RACE: Duration = Duration::from_secs(1);
/// How long a cached read is served.
const CACHED: Duration = Duration::from_secs(4);
/// How long an accept waits for its provider at most.
const BLOCKED: Duration = Duration::from_secs(8);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Accepting {
    defect: Defect,
    host: Host,
    store: Arc<dyn Store>,
    /// A connection beside the store's, for what its schema forbids.
    beside: Option<Mutex<Connection>>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    uncommitted: Vec<(Timestamp, Request)>,
    first_seen: BTreeMap<RequestId, Timestamp>,
    fingerprints: BTreeMap<RequestId, Fingerprint>,
    reads: BTreeMap<String, (Timestamp, Reply)>,
}

impl Accepting {
    /// `path` is the database's file, whose schema the store has prepared.
    pub(super) fn new(defect: Defect, host: Host, path: &str, store: Arc<dyn Store>) -> Self {
        let beside = (defect == Defect::NoUniqueIndex).then(|| {
            Mutex::new(Connection::open(path).expect("the store has opened the same file"))
        });
        Self {
            defect,
            host,
            store,
            beside,
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(&self, request: Request) -> Result<Reply, StoreError> {
        if self.defect == Defect::AcknowledgeBeforeCommit {
            self.commit_late().await;
        }
        match (self.defect, request) {
            (Defect::AcknowledgeBeforeCommit, request @ Request::Accept { .. }) => {
                self.acknowledge(request).await
            }
            (Defect::NoUniqueIndex, Request::Accept { new, answer, now }) => {
                let new = self.raced(new, now);
                self.store.call(Request::Accept { new, answer, now }).await
            }
            (
                Defect::FirstKeyWins,
                Request::Accept {
                    new,
                    mut answer,
                    now,
                },
            ) => {
                let first = *self
                    .memory()
                    .fingerprints
                    .entry(new.request_id.clone())
                    .or_insert(answer.fingerprint);
                answer.fingerprint = first;
                self.store.call(Request::Accept { new, answer, now }).await
            }
            (Defect::BlindSearch, Request::Find { .. }) => Ok(Reply::Appointment(None)),
            (Defect::BlockingAccept, Request::Accept { new, answer, now }) => {
                let (tenant, id) = (new.tenant.clone(), new.id.clone());
                let reply = self
                    .store
                    .call(Request::Accept { new, answer, now })
                    .await?;
                self.await_provider(tenant, id).await;
                Ok(reply)
            }
            (Defect::ForgottenCancel, Request::Cancel { tenant, id, now }) => {
                self.forget(tenant, id, now).await
            }
            (Defect::StaleReads, request @ (Request::Read { .. } | Request::Find { .. })) => {
                self.cached(request).await
            }
            (Defect::StaleReads, Request::Accept { new, answer, now }) => {
                let (tenant, id) = (new.tenant.clone(), new.id.clone());
                let accept = Request::Accept { new, answer, now };
                let reply = self.store.call(accept).await?;
                // The cache is filled when the row is new.
                self.cached(Request::Read { tenant, id }).await?;
                Ok(reply)
            }
            (_, request) => self.store.call(request).await,
        }
    }

    /// Commits what was acknowledged long enough ago.
    async fn commit_late(&self) {
        let now = self.host.now();
        let due: Vec<_> = self
            .memory()
            .uncommitted
            .extract_if(.., |(since, _)| now.since(*since) >= COMMIT_DELAY)
            .collect();
        for (_, request) in due {
            // Nobody waits for the answer any more: that is the defect.
            let _ = self.store.call(request).await;
        }
    }

    async fn acknowledge(&self, request: Request) -> Result<Reply, StoreError> {
        let Request::Accept { new, now, .. } = &request else {
            return self.store.call(request).await;
        };
        let waits = self.memory().uncommitted.iter().any(|(_, other)| {
            matches!(other, Request::Accept { new: other, .. } if other.request_id == new.request_id)
        });
        let known = Request::Find {
            tenant: new.tenant.clone(),
            request_id: new.request_id.clone(),
        };
        let known = self.store.call(known).await?;
        if waits || !matches!(known, Reply::Appointment(None)) {
            return self.store.call(request).await;
        }
        let decision = decide(None, &Command::Accept(new.clone()), *now)
            .expect("a new appointment can always be accepted");
        self.memory()
            .uncommitted
            .push((self.host.now(), request.clone()));
        Ok(Reply::Accepted(AcceptReply::Fresh(decision.events)))
    }

    /// `new`, and with nothing in its way if another of its key has only just been here.
    fn raced(&self, mut new: NewAppointment, now: Timestamp) -> NewAppointment {
        let first = *self
            .memory()
            .first_seen
            .entry(new.request_id.clone())
            .or_insert(now);
        let again = AppointmentId::parse(&format!("{}-again", new.id.as_str()));
        let (Some(beside), Ok(again)) = (&self.beside, again) else {
            return new;
        };
        let beside = beside.lock().unwrap_or_else(PoisonError::into_inner);
        let one = "DELETE FROM answers WHERE request_id = ?1";
        if now > first
            && now.since(first) < RACE
            && beside
                .execute(one, [new.request_id.as_str()])
                .is_ok_and(|rows| rows > 0)
        {
            new.id = again;
        }
        new
    }

    async fn await_provider(&self, tenant: Tenant, id: AppointmentId) {
        let since = self.host.elapsed();
        while self.host.elapsed().saturating_sub(since) < BLOCKED {
            let (tenant, id) = (tenant.clone(), id.clone());
            match self.store.call(Request::Read { tenant, id }).await {
                Ok(Reply::Appointment(Some(row))) if row.state == State::Pending => {}
                _ => return,
            }
            self.host.sleep(LOOK).await;
        }
    }

    async fn forget(
        &self,
        tenant: Tenant,
        id: AppointmentId,
        now: Timestamp,
    ) -> Result<Reply, StoreError> {
        let read = Request::Read {
            tenant: tenant.clone(),
            id: id.clone(),
        };
        let Reply::Appointment(Some(row)) = self.store.call(read).await? else {
            return Ok(Reply::Cancelled(Err(Rejection::NotFound)));
        };
        if row.state != State::Pending {
            return self.store.call(Request::Cancel { tenant, id, now }).await;
        }
        let answer = decide(Some(&row), &Command::Cancel, now).map(|decision| {
            let apply = |row, event| apply(Some(row), event);
            let after = decision.events.iter().fold(row, apply);
            (after, decision.events)
        });
        Ok(Reply::Cancelled(answer))
    }

    async fn cached(&self, request: Request) -> Result<Reply, StoreError> {
        let (now, key) = (self.host.now(), format!("{request:?}"));
        if let Some((since, reply)) = self.memory().reads.get(&key)
            && now.since(*since) < CACHED
        {
            return Ok(reply.clone());
        }
        let reply = self.store.call(request).await?;
        if !matches!(reply, Reply::Appointment(None)) {
            self.memory().reads.insert(key, (now, reply.clone()));
        }
        Ok(reply)
    }
}

impl Store for Accepting {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        self.handle(request).boxed()
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }
}
