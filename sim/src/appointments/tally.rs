//! Everything that a run is counted by, taken from its trace once: for measures and for the summary.
//!
//! **Invariant**: counts of states and steps come from the database at the end, so that a log line lost in a crash changes none of them.

use std::collections::{BTreeMap, BTreeSet};

use rehearsal_core::{appointment::State, log::Evt, outbox::EntryState};

use super::{
    history::{Trace, exchanges, extra, findings, logs, outbox, rows, transitions},
    operation::Operation,
};

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Requests for appointments, repeats included.
    pub(super) sent: u64,
    /// Keys that were accepted.
    pub(super) accepted: u64,
    /// Of these, not cancelled by their client: what may be expected to end confirmed.
    pub(super) wanted: u64,
    /// Of these, confirmed.
    pub(super) succeeded: u64,
    /// Repeats that were answered from what is stored.
    pub(super) duplicate_hits: u64,
    /// Requests refused as another payload under a used key.
    pub(super) conflicts: u64,
    /// Requests refused, conflicts included.
    pub(super) rejected: u64,
    /// Operations without a whole answer.
    pub(super) unanswered: u64,
    /// Appointments by state, in the order of [`State::ALL`].
    pub(super) states: [u64; 4],
    /// How many appointments took so many attempts.
    pub(super) attempts: BTreeMap<u32, u64>,
    /// Attempts put off to a later time.
    pub(super) retries: u64,
    /// Compensating cancels queued.
    pub(super) compensations: u64,
    /// Entries given up.
    pub(super) dead_letters: u64,
    /// Entries that still wait at the end.
    pub(super) outbox_depth: u64,
    /// Findings that are not resolved.
    pub(super) findings_open: u64,
    /// Leases that ran out and were taken over.
    pub(super) leases_expired: u64,
    /// Attempts that the provider did not answer in time.
    pub(super) timeouts: u64,
    /// By provider.
    pub(super) breakers: BTreeMap<String, BreakerTally>,
    /// What answers of the API took, in microseconds, ascending.
    pub(super) api_us: Vec<u64>,
    /// From the first request for an appointment to its confirmation, in microseconds, ascending.
    pub(super) confirm_us: Vec<u64>,
    /// The run's length in microseconds.
    pub(super) length_us: u64,
}

/// What the breakers of one provider did, over all workers.
#[derive(Debug, Default)]
pub(super) struct BreakerTally {
    /// Times it opened.
    pub(super) opened: u64,
    /// Times it closed.
    pub(super) closed: u64,
    /// How long it was open in all, in microseconds.
    pub(super) open_us: u64,
}

impl Tally {
    /// Counts a run.
    pub(super) fn of(trace: &Trace) -> Self {
        let mut tally = Self {
            length_us: trace.entries.last().map_or(0, |entry| entry.at_us),
            ..Self::default()
        };
        let first_asked = tally.clients(trace);
        tally.end(trace);
        tally.log(trace, &first_asked);
        tally.api_us.sort_unstable();
        tally.confirm_us.sort_unstable();
        tally
    }

    /// Openings a minute, over all breakers; `None` for a run without length.
    pub(super) fn open_rate_per_min(&self, opened: u64) -> Option<f64> {
        (self.length_us > 0).then(|| opened as f64 / (self.length_us as f64 / 6e7))
    }

    fn clients<'a>(&mut self, trace: &'a Trace) -> BTreeMap<&'a str, u64> {
        let cancelled: BTreeSet<&str> = rows(trace)
            .filter(|(_, row)| row.cancel_requested)
            .map(|(_, row)| row.id.as_str())
            .collect();
        let confirmed: BTreeSet<&str> = rows(trace)
            .filter(|(_, row)| row.state == State::Confirmed)
            .map(|(_, row)| row.id.as_str())
            .collect();
        let mut first_asked = BTreeMap::new();
        let mut accepted = BTreeSet::new();
        for exchange in exchanges(trace) {
            let status = exchange.answer.map(|answer| answer.status);
            match exchange.answer {
                Some(answer) => self.api_us.push(answer.took_us),
                None => self.unanswered += 1,
            }
            let Operation::Submit(submission) = exchange.operation else {
                continue;
            };
            self.sent += 1;
            first_asked
                .entry(submission.id.as_str())
                .or_insert(exchange.from_us);
            match status {
                Some(202) => {
                    accepted.insert(submission.id.as_str());
                    self.duplicate_hits +=
                        u64::from(exchange.answer.is_some_and(|answer| answer.replayed));
                }
                Some(status) if status >= 400 => {
                    self.rejected += 1;
                    self.conflicts += u64::from(status == 422);
                }
                _ => {}
            }
        }
        self.accepted = accepted.len() as u64;
        self.wanted = accepted.difference(&cancelled).count() as u64;
        self.succeeded = accepted
            .difference(&cancelled)
            .filter(|id| confirmed.contains(*id))
            .count() as u64;
        first_asked
    }

    fn end(&mut self, trace: &Trace) {
        for (_, row) in rows(trace) {
            self.states[row.state as usize] += 1;
            *self.attempts.entry(row.attempts).or_default() += 1;
        }
        self.compensations = transitions(trace)
            .filter(|(_, step)| step.change == "compensation_queued")
            .count() as u64;
        let entries = |wanted: &[EntryState]| {
            outbox(trace)
                .filter(|(_, entry)| wanted.contains(&entry.state))
                .count() as u64
        };
        self.dead_letters = entries(&[EntryState::Dead]);
        self.outbox_depth = entries(&[EntryState::Ready, EntryState::Leased]);
        self.findings_open = findings(trace)
            .filter(|(_, finding)| finding.resolved_at.is_none())
            .count() as u64;
    }

    fn log(&mut self, trace: &Trace, first_asked: &BTreeMap<&str, u64>) {
        let mut open_since: BTreeMap<(&str, u32, &str), u64> = BTreeMap::new();
        for (entry, event) in logs(trace) {
            let provider = extra(event, "provider");
            let place = (&*entry.host, entry.boot, provider);
            match event.evt {
                Evt::RetryScheduled => self.retries += 1,
                Evt::ProviderTimeout => self.timeouts += 1,
                Evt::LeaseExpired => self.leases_expired += 1,
                Evt::Confirmed => {
                    let id = event.appointment_id.as_ref().map_or("", |id| id.as_str());
                    self.confirm_us.extend(
                        first_asked
                            .get(id)
                            .map(|asked| entry.at_us.saturating_sub(*asked)),
                    );
                }
                Evt::BreakerOpened => {
                    self.breakers.entry(provider.to_owned()).or_default().opened += 1;
                    open_since.insert(place, entry.at_us);
                }
                Evt::BreakerHalfOpen => {
                    let since = open_since.remove(&place).unwrap_or(entry.at_us);
                    self.breakers
                        .entry(provider.to_owned())
                        .or_default()
                        .open_us += entry.at_us - since;
                }
                Evt::BreakerClosed => {
                    self.breakers.entry(provider.to_owned()).or_default().closed += 1;
                }
                _ => {}
            }
        }
        for ((_, _, provider), since) in open_since {
            self.breakers
                .entry(provider.to_owned())
                .or_default()
                .open_us += self.length_us - since;
        }
    }
}

/// The value below or at which the share `rank` of the ascending `values` lies (nearest rank), in milliseconds.
pub(super) fn percentile_ms(values: &[u64], rank: f64) -> Option<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    let place = (rank * values.len() as f64).ceil() as usize;
    values
        .get(place.clamp(1, values.len().max(1)) - 1)
        .map(|us| *us as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<u64> = (1..=100).map(|n| n * 1000).collect();
        for (rank, expect) in [
            (0.5, 50.0),
            (0.95, 95.0),
            (0.99, 99.0),
            (1.0, 100.0),
            (0.0, 1.0),
        ] {
            assert_eq!(percentile_ms(&values, rank), Some(expect), "{rank}");
        }
        assert_eq!(percentile_ms(&[], 0.5), None);
        assert_eq!(percentile_ms(&[7000], 0.95), Some(7.0));
    }
}
