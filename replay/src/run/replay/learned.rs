//! What a run takes from an outcome: its own, or one that an earlier run left in the journal.
//!
//! **Invariant**: both are taken in alike, so a run that goes on knows what it would know had it never ended.

use std::mem;

use super::Running;
use crate::{
    capture::header,
    plan::Pace,
    run::{
        Entry, FailureReason, Outcome, Outcomes, Phase, Progress, Punctuality,
        bindings::substituted, latency::LATE_NS, outcomes, queue::Job,
    },
};

impl<P: FnMut(Progress) + Send> Running<'_, '_, P> {
    /// The outcomes of a phase, with what an earlier run saw of it, taken in as if it had been seen now.
    pub(super) fn known(&mut self, phase: Phase, jobs: &[Job]) -> Outcomes {
        let archive = self.journal.recorder.archive();
        let mut seen = Outcomes::open(jobs.len(), archive.clone());
        let Some(archive) = archive else {
            return seen;
        };
        let known = mem::take(&mut self.journal.known);
        let of_state = phase == Phase::State;
        let (now, later) = known.into_iter().partition(|one| one.state == of_state);
        self.journal.known = later;
        for one in now {
            // One that cannot be read is asked again.
            if one.at < jobs.len()
                && let Ok(entry) = outcomes::entry(&*archive, one.place)
            {
                if let Some(horizon) = self.run.horizon.filter(|_| !one.state) {
                    horizon.begin(one.at);
                }
                self.learn(phase, jobs, &entry);
                seen.put(one.at, entry.outcome, Some(one.place));
            }
        }
        seen
    }

    /// Takes from an outcome what later requests and the report need.
    pub(super) fn learn(&mut self, phase: Phase, jobs: &[Job], entry: &Entry) {
        self.resent += u64::from(entry.resent);
        if phase != Phase::Replay {
            return;
        }
        self.punctual(entry);
        let job = &jobs[entry.at];
        let paced = self.run.plan.pace != Pace::Max;
        let late_ns = if paced { entry.late_ns } else { 0 };
        self.latency.record_sending(0, late_ns);
        // One that never left says nothing of how long an answer takes. One that was waited for in vain took at least as long.
        let left = |reason: &FailureReason| *reason != FailureReason::Connect;
        let (waited, answer) = match &entry.outcome {
            Outcome::Answered(answer) => (true, Some(answer)),
            Outcome::Failed { reason, .. } => (left(reason), None),
            Outcome::Skipped(_) => (false, None),
        };
        if waited {
            self.latency.record(0, late_ns, late_ns + entry.took_ns);
            self.lag.record(entry.at, late_ns + entry.took_ns);
        }
        let Some(answer) = answer else {
            return;
        };
        self.bindings.learn(entry.at, &entry.outcome);
        if job.session == 0 {
            return;
        }
        for (_, value) in answer
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
        {
            let Some(request) = self.run.plan.contents.get(entry.at) else {
                continue;
            };
            let host = header(&request.headers, "host").unwrap_or_default();
            let now_s = self.run.host.now().as_micros() / 1_000_000;
            let uses = &self.run.plan.requests[entry.at].uses;
            let replaced = self.bindings.replaced(uses).unwrap_or_default();
            let live = substituted(&request, &replaced);
            let sent = self.run.rules.rewrite(self.run.target.side, &live);
            let jar = self.jars.entry(job.session).or_default();
            jar.set(value, host, sent.path(), now_s);
        }
    }

    /// How well the intended times were kept, up to now.
    pub(super) fn punctuality(&self) -> Punctuality {
        let (first_ms, last_ms) = self.lag.medians_ms();
        Punctuality {
            first_ms,
            last_ms,
            ..self.punctuality
        }
    }

    fn punctual(&mut self, entry: &Entry) {
        let late = entry.late_ns > LATE_NS;
        self.punctuality.sent += 1;
        self.punctuality.late += u64::from(late);
        self.punctuality.waited += u64::from(late && entry.waited);
        self.punctuality.held_back += u64::from(late && entry.held && !entry.waited);
    }
}
