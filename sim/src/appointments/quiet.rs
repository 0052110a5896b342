//! Whether the service has nothing left to do.
//!
//! Quiet means: no entry of the outbox is open, the auditor has compared both sides of every provider when no row was too young for it, it has
//! done what it will about what it found, and every given-up cancel is reported. **Invariant**: a look changes nothing. Its answer ends the convergence phase; whether the state is right
//! is the oracles' question.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rehearsal_core::{
    appointment::Appointment,
    invariant,
    log::{Evt, LogEvent},
    reconcile::Finding,
};
use rehearsal_service::store::{Dump, Reply, Request};

use super::{
    look::{Open, ask, dump},
    tables::Tables,
};

/// What the log has told, and when by the run's time (a host's own clock may be stepped), of the auditor's sweeps, and of everything else. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Audits(Arc<Mutex<Sweeps>>);

#[derive(Debug, Default)]
struct Sweeps {
    /// When anything but a sweep was last logged.
    last_change: Duration,
    /// By provider: when the sweep under way started.
    started: BTreeMap<String, Duration>,
    /// By provider: when the sweeps that ended had started, and whether they saw everything; the last few.
    ended: BTreeMap<String, VecDeque<(Duration, bool)>>,
}

impl Audits {
    /// Takes one event of the service's log, written `now`: time since the run's start.
    pub(super) fn note(&self, now: Duration, event: &LogEvent) {
        let mut sweeps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let provider = || {
            event
                .extra
                .get("provider")
                .and_then(|name| name.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        match event.evt {
            Evt::AuditStarted => {
                sweeps.started.insert(provider(), now);
            }
            Evt::AuditDone => {
                let provider = provider();
                let whole =
                    event.extra.get("result").and_then(|word| word.as_str()) == Some("complete");
                if let Some(started) = sweeps.started.remove(&provider) {
                    let ended = sweeps.ended.entry(provider).or_default();
                    ended.push_back((started, whole));
                    if ended.len() > SWEEPS {
                        ended.pop_front();
                    }
                }
            }
            // None of these changes a row; a provider that stays down is probed for ever.
            Evt::AuditFinding
            | Evt::Started
            | Evt::BreakerOpened
            | Evt::BreakerHalfOpen
            | Evt::BreakerClosed
            | Evt::ProbeStarted
            | Evt::Probed => {}
            _ => sweeps.last_change = now,
        }
    }

    /// Whether every one of `providers` was swept when nothing had changed for `horizon`, so that no row was left out: once as a whole, or
    /// [`SWEEPS`] times in part, as a provider that cannot be read allows no better.
    fn swept(&self, horizon: Duration, providers: usize) -> bool {
        let sweeps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = sweeps.last_change + horizon;
        let done = |ended: &VecDeque<(Duration, bool)>| {
            let since = || ended.iter().filter(|(started, _)| *started >= settled);
            since().any(|(_, whole)| *whole) || since().count() >= SWEEPS
        };
        sweeps.ended.values().filter(|ended| done(ended)).count() >= providers
    }
}

/// Sweeps in part that are as good as a whole one: a provider that fails half of all calls lets a whole one through before.
const SWEEPS: usize = 8;
/// Sightings after which the auditor has done about a difference what it ever will.
const SIGHTINGS: u32 = 2;
/// Findings that one look considers.
const FINDINGS: u32 = 1_000_000;

/// Looks again and again.
pub(super) struct Quiet {
    open: Open,
    audits: Audits,
    providers: usize,
    auditor: bool,
    horizon: Duration,
}

impl Quiet {
    pub(super) fn new(open: Open, audits: Audits, tables: &Tables) -> Self {
        Self {
            open,
            audits,
            providers: tables.providers.len(),
            auditor: tables.topology.auditor,
            horizon: Duration::from_secs_f64(tables.topology.audit_horizon_s),
        }
    }

    /// One look. The log, which costs nothing to ask, comes before the database.
    pub(super) fn look(&self) -> bool {
        if self.auditor && !self.audits.swept(self.horizon, self.providers) {
            return false;
        }
        let Some(Reply::Depths(depths)) = ask(&self.open, Request::Depths) else {
            return false;
        };
        if depths
            .iter()
            .any(|depth| depth.state != "dead" && depth.entries > 0)
        {
            return false;
        }
        let dead = depths.iter().any(|depth| depth.entries > 0);
        !self.auditor
            || (self.sighted() && (!dead || dump(&self.open).is_some_and(|dump| reported(&dump))))
    }

    /// Whether the auditor will do nothing more about what it has found.
    fn sighted(&self) -> bool {
        let Some(Reply::Findings(findings)) =
            ask(&self.open, Request::Findings { limit: FINDINGS })
        else {
            return false;
        };
        findings
            .iter()
            .all(|finding| finding.resolved_at.is_some() || finding.sightings >= SIGHTINGS)
    }
}

/// Whether every failed appointment is compensated, being compensated, or reported, and so is every client's cancel.
fn reported(dump: &Dump) -> bool {
    let findings: Vec<Finding> = dump.findings.iter().map(finding).collect();
    let fine = |row: &Appointment| {
        invariant::failed_is_compensated_or_reported(row, &dump.outbox, &findings)
            && invariant::cancel_is_under_way_or_reported(row, &dump.outbox, &findings)
    };
    dump.appointments.iter().all(fine)
}

/// The core's finding of a stored one.
pub(super) fn finding(row: &rehearsal_service::store::FindingRow) -> Finding {
    Finding {
        kind: row.kind,
        appointment_id: row.appointment_id.clone(),
        request_id: row.request_id.clone(),
        key: row.key.clone(),
        detail: row.detail.clone(),
    }
}

#[cfg(test)]
mod tests {
    use rehearsal_core::time::Timestamp;

    use super::*;

    #[test]
    fn only_a_whole_sweep_of_settled_rows_counts_or_several_in_part() {
        let audits = Audits::default();
        let note = |second: u64, evt, provider: &str, result: &str| {
            // The host's clock goes backwards all the time.
            let clock = Timestamp::from_secs(-i64::try_from(second).unwrap());
            let event = LogEvent::new(clock, evt, "");
            audits.note(
                Duration::from_secs(second),
                &event.with("provider", provider).with("result", result),
            );
        };
        let sweep = |second: u64, provider: &str, result: &str| {
            note(second, Evt::AuditStarted, provider, "");
            note(second + 1, Evt::AuditDone, provider, result);
        };
        let horizon = Duration::from_secs(5);
        note(1, Evt::Confirmed, "acme", "");
        sweep(5, "acme", "complete");
        assert!(!audits.swept(horizon, 1), "the row was too young for it");
        note(7, Evt::AuditStarted, "acme", "");
        assert!(!audits.swept(horizon, 1), "it has not ended");
        note(8, Evt::AuditDone, "acme", "complete");
        assert!(audits.swept(horizon, 1));
        assert!(
            !audits.swept(horizon, 2),
            "the other provider was not swept"
        );
        note(9, Evt::Cancelled, "acme", "");
        assert!(!audits.swept(horizon, 1), "something has changed since");
        for second in 21..28 {
            sweep(second, "acme", "incomplete");
        }
        assert!(!audits.swept(horizon, 1), "it has not seen everything");
        sweep(28, "acme", "incomplete");
        assert!(audits.swept(horizon, 1), "it will not see more");
    }
}
