//! Typed access to a store: one function per request, with a bounded wait while another writer holds the database.
//!
//! **Invariant**: only [`StoreError::Busy`] is tried again here, because only then is it certain that nothing happened.
//! It deliberately does not retry an unavailable store: each caller knows whether a repetition is safe.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use rehearsal_core::{
    appointment::Appointment,
    command::NewAppointment,
    event::Event,
    idempotency::Stored,
    identity::{AppointmentId, ProviderName, RequestId, Tenant, WorkerId},
    outbox::Entry,
    reconcile::{Finding, Repair},
    rejection::Rejection,
    time::Timestamp,
};
use rehearsal_host::Host;

use super::request::{
    AcceptReply, AuditRow, Claims, DeadLetter, Depth, FindingRow, Redriven, Reply, Request,
    Settled, Settlement, SightedFinding, Store, StoreError,
};

/// The first wait for a busy database; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// A store as the roles use it. Clones share it.
#[derive(Clone)]
pub struct StoreAccess {
    host: Host,
    store: Arc<dyn Store>,
    patience: Duration,
}

impl std::fmt::Debug for StoreAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreAccess")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

macro_rules! reply {
    ($self:ident, $request:expr, $kind:pat => $value:expr) => {
        match $self.call($request).await? {
            $kind => Ok($value),
            _ => Err(StoreError::Protocol),
        }
    };
}

impl StoreAccess {
    /// Access to `store` that waits at most `patience` in all while the database is busy.
    pub fn new(host: Host, store: Arc<dyn Store>, patience: Duration) -> Self {
        Self {
            host,
            store,
            patience,
        }
    }

    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let started = self.host.elapsed();
        let mut wait = FIRST_WAIT;
        loop {
            match self.store.call(request.clone()).await {
                Err(StoreError::Busy)
                    if self.host.elapsed().saturating_sub(started) + wait < self.patience =>
                {
                    self.host
                        .sleep(wait.mul_f64(0.5 + self.host.jitter()))
                        .await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                answer => return answer,
            }
        }
    }

    /// See [`Store::changed`].
    pub fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }

    /// See [`Request::Accept`].
    pub async fn accept(
        &self,
        new: NewAppointment,
        answer: Stored,
        now: Timestamp,
    ) -> Result<AcceptReply, StoreError> {
        reply!(self, Request::Accept { new, answer, now }, Reply::Accepted(reply) => reply)
    }

    /// See [`Request::Read`].
    pub async fn read(
        &self,
        tenant: Tenant,
        id: AppointmentId,
    ) -> Result<Option<Appointment>, StoreError> {
        reply!(self, Request::Read { tenant, id }, Reply::Appointment(row) => row)
    }

    /// See [`Request::Find`].
    pub async fn find(
        &self,
        tenant: Tenant,
        request_id: RequestId,
    ) -> Result<Option<Appointment>, StoreError> {
        reply!(self, Request::Find { tenant, request_id }, Reply::Appointment(row) => row)
    }

    /// See [`Request::Cancel`].
    pub async fn cancel(
        &self,
        tenant: Tenant,
        id: AppointmentId,
        now: Timestamp,
    ) -> Result<Result<(Appointment, Vec<Event>), Rejection>, StoreError> {
        reply!(self, Request::Cancel { tenant, id, now }, Reply::Cancelled(reply) => reply)
    }

    /// See [`Request::Claim`].
    pub async fn claim(
        &self,
        worker: WorkerId,
        now: Timestamp,
        lease: Duration,
        limits: Vec<(ProviderName, u32)>,
    ) -> Result<Claims, StoreError> {
        let request = Request::Claim {
            worker,
            now,
            lease,
            limits,
        };
        reply!(self, request, Reply::Claims(claims) => claims)
    }

    /// See [`Request::Settle`].
    pub async fn settle(
        &self,
        settlements: Vec<Settlement>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StoreError> {
        reply!(self, Request::Settle { settlements, now }, Reply::Settled(settled) => settled)
    }

    /// See [`Request::AuditPage`].
    pub async fn audit_page(
        &self,
        provider: ProviderName,
        after: Option<String>,
        through: Option<String>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let request = Request::AuditPage {
            provider,
            after,
            through,
            limit,
            now: self.host.now(),
        };
        reply!(self, request, Reply::AuditRows(rows) => rows)
    }

    /// See [`Request::AuditOne`].
    pub async fn audit_one(
        &self,
        provider: ProviderName,
        key: String,
    ) -> Result<Option<AuditRow>, StoreError> {
        let now = self.host.now();
        reply!(self, Request::AuditOne { provider, key, now }, Reply::AuditRows(rows) => rows.into_iter().next())
    }

    /// See [`Request::AuditDead`].
    pub async fn audit_dead(
        &self,
        provider: ProviderName,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let now = self.host.now();
        reply!(self, Request::AuditDead { provider, limit, now }, Reply::AuditRows(rows) => rows)
    }

    /// See [`Request::RecordFindings`].
    pub async fn record_findings(
        &self,
        provider: ProviderName,
        seen: Vec<Finding>,
        whole_sweep_since: Option<Timestamp>,
        horizon: Duration,
        now: Timestamp,
    ) -> Result<(Vec<SightedFinding>, u32), StoreError> {
        let request = Request::RecordFindings {
            provider,
            seen,
            whole_sweep_since,
            horizon,
            now,
        };
        reply!(self, request, Reply::FindingsRecorded(sighted, resolved) => (sighted, resolved))
    }

    /// See [`Request::Repair`].
    pub async fn repair(
        &self,
        of: &Appointment,
        repair: Repair,
        now: Timestamp,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        let request = Request::Repair {
            tenant: of.tenant.clone(),
            id: of.id.clone(),
            version: of.version,
            repair,
            now,
        };
        reply!(self, request, Reply::Repaired(events) => events)
    }

    /// See [`Request::Depths`].
    pub async fn depths(&self) -> Result<Vec<Depth>, StoreError> {
        reply!(self, Request::Depths, Reply::Depths(depths) => depths)
    }

    /// See [`Request::OpenEntries`].
    pub async fn open_entries(&self, limit: u32) -> Result<Vec<Entry>, StoreError> {
        reply!(self, Request::OpenEntries { limit }, Reply::Entries(entries) => entries)
    }

    /// See [`Request::DeadLetters`].
    pub async fn dead_letters(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        reply!(self, Request::DeadLetters { after, limit }, Reply::DeadLetters(letters) => letters)
    }

    /// See [`Request::Findings`].
    pub async fn findings(&self, limit: u32) -> Result<Vec<FindingRow>, StoreError> {
        reply!(self, Request::Findings { limit }, Reply::Findings(rows) => rows)
    }

    /// See [`Request::Redrive`].
    pub async fn redrive(&self, entry_id: i64, now: Timestamp) -> Result<Redriven, StoreError> {
        reply!(self, Request::Redrive { entry_id, now }, Reply::Redriven(redriven) => redriven)
    }

    /// See [`Request::Ping`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        reply!(self, Request::Ping, Reply::Pong => ())
    }
}
