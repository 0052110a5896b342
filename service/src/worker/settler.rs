//! Writes what deliveries came to, as many at once as have come in.
//!
//! **Invariant**: a settlement is repeated until the store answers or its lease is over, always unchanged: the store knows a repetition by
//! its epoch and result. A slot is given back only after that, so what is unsettled is bounded by the bulkheads.
//! It deliberately logs and counts after the commit, never before.

use std::{sync::Arc, time::Duration};

use rehearsal_core::{delivery::Next, log::Evt, outbox::Entry};
use tokio::sync::{Notify, mpsc};

use super::{claim_time::ClaimTime, lane::Slot};
use crate::{
    journal::Telemetry,
    metrics::Counter,
    store::{Settled, Settlement, StoreAccess, StoreError, Verdict},
};

/// At most this many settlements share a transaction.
const BATCH: usize = 64;
/// The wait after a store failed; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// A delivery that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) entry: Entry,
    pub(super) next: Next,
    /// When it was claimed: the times in `next` are by the store's clock of that claim.
    pub(super) time: ClaimTime,
    /// The monotonic time after which the lease is over.
    pub(super) lease_over: Duration,
    pub(super) slot: Slot,
}

/// See the module.
pub(super) struct Settler {
    pub(super) telemetry: Telemetry,
    pub(super) store: StoreAccess,
    pub(super) ended: mpsc::Receiver<Ended>,
    /// Rung when something may be claimable earlier than the worker expects.
    pub(super) wake: Arc<Notify>,
    /// Rung after each batch.
    pub(super) settled: Arc<Notify>,
}

impl Settler {
    /// Settles until no delivery can end any more.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.ended.recv_many(&mut batch, BATCH).await > 0 {
            self.settle(&batch).await;
            for one in batch.drain(..) {
                drop(one.slot);
            }
            self.settled.notify_one();
        }
    }

    async fn settle(&self, batch: &[Ended]) {
        match self.write(batch).await {
            Ok(settled) => self.report(batch, &settled),
            // One bad row must not hold up the others.
            Err(StoreError::Corrupt(_)) if batch.len() > 1 => {
                for one in batch {
                    let one = std::slice::from_ref(one);
                    if let Ok(settled) = self.write(one).await {
                        self.report(one, &settled);
                    }
                }
            }
            Err(_) => {}
        }
    }

    /// Writes a batch. An error has been logged; the leases run out, and a rescue takes over.
    async fn write(&self, batch: &[Ended]) -> Result<Vec<Settled>, StoreError> {
        let host = &self.telemetry.host;
        let over = batch
            .iter()
            .map(|one| one.lease_over)
            .max()
            .unwrap_or_default();
        let mut wait = FIRST_WAIT;
        loop {
            let settlements = batch
                .iter()
                .map(|one| Settlement {
                    entry_id: one.entry.id,
                    epoch: one.entry.lease_epoch,
                    next: one.next.clone(),
                    decided_by: one.time.now(host),
                })
                .collect();
            let error = match self.store.settle(settlements, host.now()).await {
                Ok(settled) => return Ok(settled),
                Err(error) => error,
            };
            self.telemetry.store_failed("settle", &error);
            let passing = matches!(error, StoreError::Busy | StoreError::Unavailable(_));
            if !passing || host.elapsed() + wait > over {
                return Err(error);
            }
            host.sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn report(&self, batch: &[Ended], settled: &[Settled]) {
        for (one, settled) in batch.iter().zip(settled) {
            match &settled.verdict {
                Verdict::Applied { events, follow_up } => {
                    self.applied(one);
                    self.telemetry.committed(events);
                    if *follow_up {
                        self.wake.notify_one();
                    }
                }
                Verdict::Repeated => {}
                Verdict::Stale => {
                    self.telemetry.metrics.count(Counter::StaleSettles, &[]);
                    let message = "a newer lease has overtaken this settle";
                    let event = self
                        .telemetry
                        .about(&one.entry, Evt::StaleSettle, message)
                        .with("epoch", one.entry.lease_epoch);
                    self.telemetry.log(event);
                }
                Verdict::Refused(rejection) => {
                    let event = self
                        .telemetry
                        .about(&one.entry, Evt::WorkerError, rejection.to_string())
                        .with("code", rejection.code());
                    self.telemetry.log(event);
                }
            }
        }
    }

    fn applied(&self, one: &Ended) {
        let telemetry = &self.telemetry;
        let destination = one.entry.destination.as_str();
        match &one.next {
            Next::Settle(_) => {}
            Next::Retry {
                due_at,
                refund,
                cause,
                ..
            } => {
                let (evt, message) = if *refund {
                    (Evt::Deferred, "put off without counting")
                } else {
                    telemetry.metrics.count(Counter::Retries, &[destination]);
                    (Evt::RetryScheduled, "another attempt will follow")
                };
                let wait = due_at.since(one.time.now(&telemetry.host));
                let event = telemetry
                    .about(&one.entry, evt, message)
                    .with("cause", cause.as_str())
                    .with(
                        "wait_ms",
                        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    );
                telemetry.log(event);
            }
            Next::DeadLetter { reason, .. } => {
                let labels = [destination, one.entry.kind.as_str()];
                telemetry.metrics.count(Counter::DeadLetters, &labels);
                let event = telemetry
                    .about(&one.entry, Evt::DeadLettered, "given up")
                    .with("reason", reason.as_str());
                telemetry.log(event);
            }
        }
    }
}
