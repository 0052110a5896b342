//! The auditor: compares every row with what its provider says, both ways, records what differs, and repairs what two sightings prove.
//!
//! **Invariant**: nothing is reported on a list alone, nor repaired on one sighting. A suspicion is looked up again by key, row and
//! provider afresh, before it counts; what is queued, leased or younger than the horizon is left alone by the core's `reconcile`.
//! It deliberately repairs only through the outbox, and calls no provider whose breaker is not closed.

mod sweep;

use std::{collections::BTreeMap, pin::pin, sync::Arc};

use futures_util::future::{Either, select};
use rehearsal_core::{identity::ProviderName, log::Evt, reconcile::Repair};
use tokio::sync::{Notify, watch};

use self::sweep::{Sighting, Sweep};
use crate::{
    config::Config,
    journal::Telemetry,
    metrics::Counter,
    provider::Provider,
    store::{StoreAccess, StoreError},
    worker::Lanes,
};

/// A repair needs this many sightings: providers' lists may be stale, and shift while they are read.
const SIGHTINGS_TO_REPAIR: u32 = 2;

/// See the module.
pub(crate) struct Auditor {
    pub(crate) telemetry: Telemetry,
    pub(crate) store: StoreAccess,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) providers: BTreeMap<ProviderName, Provider>,
    /// Rung when a repair has queued something.
    pub(crate) wake: Arc<Notify>,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Auditor {
    /// Sweeps every `audit_every` until stopped; a sweep under way is dropped.
    pub(crate) async fn run(self, config: &Config) {
        let mut stopping = self.stopping.clone();
        let stop = pin!(async move {
            // An error means that whoever could stop us is gone: stop as well.
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        let event = self
            .telemetry
            .event(Evt::Started, "the auditor sweeps")
            .with("role", "auditor");
        self.telemetry.log(event);
        let sweeps = pin!(async {
            loop {
                self.telemetry.host.sleep(config.audit_every).await;
                for (name, provider) in &self.providers {
                    if let Err(error) = self.audit(config, name, provider).await {
                        self.telemetry.store_failed("audit", &error);
                    }
                }
            }
        });
        match select(stop, sweeps).await {
            Either::Left(_) => {}
            Either::Right((never, _)) => never,
        }
        let event = self
            .telemetry
            .event(Evt::Stopping, "the auditor has stopped")
            .with("role", "auditor");
        self.telemetry.log(event);
    }

    async fn audit(
        &self,
        config: &Config,
        name: &ProviderName,
        provider: &Provider,
    ) -> Result<(), StoreError> {
        let telemetry = &self.telemetry;
        let started = telemetry.host.elapsed();
        let event = telemetry
            .event(Evt::AuditStarted, "compares both sides")
            .with("provider", name.as_str());
        telemetry.log(event);
        let mut sweep = Sweep::new(self, config, name, provider);
        let whole = sweep.run().await?;
        let (compared, sightings) = (sweep.compared, sweep.sightings);
        let seen = sightings.iter().map(|it| it.finding.clone()).collect();
        let now = telemetry.host.now();
        // By the monotonic clock: the wall clock may have jumped during the sweep.
        let since = now.minus(telemetry.host.elapsed().saturating_sub(started));
        let (sighted, resolved) = self
            .store
            .record_findings(
                name.clone(),
                seen,
                whole.then_some(since),
                config.audit_horizon,
                now,
            )
            .await?;
        let mut repairs = 0_u32;
        for (sighting, sighted) in sightings.iter().zip(sighted) {
            if sighted.sightings == 1 {
                self.report(name, sighting);
            }
            if sighted.sightings >= SIGHTINGS_TO_REPAIR && self.repair(name, sighting).await? {
                repairs += 1;
            }
        }
        let result = if whole { "complete" } else { "incomplete" };
        telemetry.metrics.count(Counter::AuditorSweeps, &[result]);
        let event = telemetry
            .event(Evt::AuditDone, "the sweep is over")
            .with("provider", name.as_str())
            .with("result", result)
            .with("compared", compared)
            .with("differences", sightings.len())
            .with("resolved", resolved)
            .with("repairs", repairs);
        telemetry.log(event);
        Ok(())
    }

    fn report(&self, provider: &ProviderName, sighting: &Sighting) {
        let finding = &sighting.finding;
        let kind = finding.kind.as_str();
        self.telemetry
            .metrics
            .count(Counter::AuditorBreaks, &[kind]);
        let mut event = self
            .telemetry
            .event(Evt::AuditFinding, finding.detail.clone())
            .with("provider", provider.as_str())
            .with("kind", kind)
            .with("key", finding.key.as_str());
        event.request_id.clone_from(&finding.request_id);
        event.appointment_id.clone_from(&finding.appointment_id);
        self.telemetry.log(event);
    }

    /// Whether anything was queued or changed.
    async fn repair(
        &self,
        provider: &ProviderName,
        sighting: &Sighting,
    ) -> Result<bool, StoreError> {
        let Some(row) = &sighting.row else {
            return Ok(false);
        };
        if sighting.repair == Repair::None {
            return Ok(false);
        }
        let now = self.telemetry.host.now();
        let repaired = self.store.repair(row, sighting.repair.clone(), now).await?;
        let Some(events) = repaired else {
            return Ok(false);
        };
        let kind = sighting.finding.kind.as_str();
        self.telemetry
            .metrics
            .count(Counter::AuditorRepairs, &[kind]);
        let event = self
            .telemetry
            .event(Evt::AuditRepair, "a repair is queued")
            .request(&row.request_id)
            .appointment(&row.id)
            .with("provider", provider.as_str())
            .with("kind", kind);
        self.telemetry.log(event);
        self.telemetry.committed(&events);
        self.wake.notify_one();
        Ok(true)
    }
}
