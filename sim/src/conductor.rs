//! The conductor: walks a run through its phases and starts and ends its faults.
//!
//! Safety (operations and faults), then heal everything and demand quiescence within a bound, then a last look, then the snapshot.
//! **Invariant**: every wait has a bound in virtual time, so a run always ends.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    engine::{Control, Director, Next},
    fault::{Crash, Fault, Kind},
    scenario::Phases,
    stops::Stops,
    system::{Deployment, Progress},
    trace::{Event, Phase, Recorder},
};

/// How often clients' progress and the system's quiescence are looked at, in virtual time.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Clients get this long for their last look.
const OBSERVE_WITHIN: Duration = Duration::from_mins(1);

/// How often a host that was asked to end is looked at.
const DRAIN_EVERY: Duration = Duration::from_millis(10);

/// What a conductor and the hosts tell each other.
pub(crate) struct Shared {
    /// The phase.
    pub(crate) announce: watch::Sender<Phase>,
    /// How far the clients are.
    pub(crate) progress: Progress,
    /// Who is asked to end.
    pub(crate) stops: Stops,
}

/// Conducts one run.
pub(crate) struct Conductor<E> {
    /// The faults of the plan.
    faults: Vec<Fault>,
    /// Starts and ends of faults that are still to come: (when, whether it ends, number), in order.
    agenda: VecDeque<(u64, bool, usize)>,
    /// Graceful stops whose hosts have not ended yet, with the end of their grace.
    draining: Vec<(usize, Duration)>,
    /// Graceful stops whose hosts are down, and whether they ended by themselves.
    stopped: BTreeMap<usize, bool>,
    operations: u64,
    last_step: Duration,
    phases: Phases,
    phase: Phase,
    phase_started: Duration,
    shared: Shared,
    deployment: Deployment<E>,
    recorder: Recorder<E>,
    harness: Arc<str>,
    /// Whether the hosts' idle state was written down: they have booted and no operation has started when a run is first directed.
    counted: bool,
}

impl<E> Conductor<E> {
    /// A conductor at the start of the safety phase.
    pub(crate) fn new(
        faults: Vec<Fault>,
        steps: impl ExactSizeIterator<Item = u64>,
        phases: Phases,
        shared: Shared,
        deployment: Deployment<E>,
        recorder: Recorder<E>,
    ) -> Self {
        let both = |(number, fault): (usize, &Fault)| {
            [(fault.at_ms, false, number), (fault.until_ms, true, number)]
        };
        let mut agenda: Vec<_> = faults.iter().enumerate().flat_map(both).collect();
        agenda.sort_unstable();
        let operations = steps.len() as u64;
        let last_step = Duration::from_millis(steps.max().unwrap_or(0));
        let harness: Arc<str> = Arc::from("harness");
        recorder.record(&harness, 0, Event::Phase(Phase::Safety));
        Self {
            faults,
            agenda: agenda.into(),
            draining: Vec::new(),
            stopped: BTreeMap::new(),
            operations,
            last_step,
            phases,
            phase: Phase::Safety,
            phase_started: Duration::ZERO,
            shared,
            deployment,
            recorder,
            harness,
            counted: false,
        }
    }

    fn record(&self, event: Event<E>) {
        self.recorder.record(&self.harness, 0, event);
    }

    fn enter(&mut self, phase: Phase, now: Duration) {
        self.phase = phase;
        self.phase_started = now;
        self.record(Event::Phase(phase));
        // Nobody may be listening any more; that is no reason to stop.
        let _ = self.shared.announce.send(phase);
    }

    /// Writes down what each host has standing.
    fn count(&self, control: &dyn Control) {
        for (host, standing) in control.standing() {
            let event = Event::Standing(standing);
            self.recorder.record(&Arc::from(host), 0, event);
        }
    }

    fn change_faults(&mut self, now: Duration, control: &mut dyn Control) {
        while let Some(&(at_ms, ends, number)) = self.agenda.front() {
            if Duration::from_millis(at_ms) > now {
                return;
            }
            self.agenda.pop_front();
            if ends {
                self.end(number, control);
            } else {
                self.begin(number, now, control);
            }
        }
    }

    fn begin(&mut self, number: usize, now: Duration, control: &mut dyn Control) {
        self.record(Event::FaultStarted { fault: number });
        match self.faults[number].kind {
            Kind::Stop { grace_ms } => {
                for host in &self.faults[number].targets {
                    self.shared.stops.ask(host);
                }
                // When it ends is known once its hosts are down.
                self.agenda.retain(|(_, ends, of)| !*ends || *of != number);
                self.draining
                    .push((number, now + Duration::from_millis(grace_ms)));
                return;
            }
            Kind::Crash { mode } => self.die(number, mode),
            _ => {}
        }
        control.start(number, &self.faults[number]);
    }

    fn die(&mut self, number: usize, mode: Crash) {
        for host in &self.faults[number].targets {
            (self.deployment.dying)(host, mode);
            self.recorder
                .record(&Arc::from(host.as_str()), 0, Event::Died);
        }
    }

    /// Takes down the hosts that were asked to end, once they have or their grace is over.
    fn drain(&mut self, now: Duration, control: &mut dyn Control) {
        for (number, until) in std::mem::take(&mut self.draining) {
            let fault = &self.faults[number];
            let ended = fault
                .targets
                .iter()
                .all(|host| self.shared.stops.has_ended(host));
            if !ended && now < until {
                self.draining.push((number, until));
                continue;
            }
            let down_ms = fault.until_ms - fault.at_ms;
            for host in &fault.targets {
                self.shared.stops.forget(host);
            }
            self.die(number, Crash::Kill);
            control.start(number, &killed(&self.faults[number]));
            self.stopped.insert(number, ended);
            let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            let end = (now_ms.saturating_add(down_ms), true, number);
            let place = self.agenda.partition_point(|other| *other < end);
            self.agenda.insert(place, end);
        }
    }

    fn end(&mut self, number: usize, control: &mut dyn Control) {
        let fault = &self.faults[number];
        let effect = match self.stopped.remove(&number) {
            None => control.stop(number, fault),
            Some(ended) => {
                let mut effect = control.stop(number, &killed(fault));
                if ended && let Some(count) = effect.remove("processes_killed") {
                    effect.insert("processes_stopped".to_owned(), count);
                }
                effect
            }
        };
        self.record(Event::FaultEnded {
            fault: number,
            effect,
        });
    }

    fn safety(&mut self, now: Duration) -> Next {
        let next_fault = self
            .agenda
            .front()
            .map(|(at_ms, ..)| Duration::from_millis(*at_ms));
        let ended = self.shared.progress.counts().operations >= self.operations;
        let given_up = now >= self.last_step + Duration::from_secs_f64(self.phases.safety_grace_s);
        if next_fault.is_none() && self.draining.is_empty() && (ended || given_up) {
            self.enter(Phase::Converge, now);
            return Next::At(now + LOOK_EVERY);
        }
        // Nothing can be over before the last operation was started: no need to look until then.
        let look = if ended || given_up {
            Duration::MAX
        } else {
            self.last_step.max(now + LOOK_EVERY)
        };
        let drained = if self.draining.is_empty() {
            Duration::MAX
        } else {
            now + DRAIN_EVERY
        };
        Next::At(next_fault.unwrap_or(Duration::MAX).min(look).min(drained))
    }
}

/// A stop, once its hosts have ended, is done to them as a kill: what they left behind goes.
fn killed(fault: &Fault) -> Fault {
    Fault {
        kind: Kind::Crash { mode: Crash::Kill },
        ..fault.clone()
    }
}

impl<E> Director for Conductor<E> {
    fn direct(&mut self, now: Duration, control: &mut dyn Control) -> Next {
        if !std::mem::replace(&mut self.counted, true) {
            self.count(control);
        }
        self.change_faults(now, control);
        self.drain(now, control);
        match self.phase {
            Phase::Safety => self.safety(now),
            Phase::Converge => {
                let late = now
                    >= self.phase_started + Duration::from_secs_f64(self.phases.converge_within_s);
                let quiet = (self.deployment.quiet)();
                if late && !quiet {
                    self.record(Event::NotConverged);
                }
                if late || quiet {
                    self.enter(Phase::Observe, now);
                    return Next::At(now + LOOK_EVERY);
                }
                // A long wait is looked at less often: the time to converge is known within five percent.
                Next::At(now + LOOK_EVERY.max(now.saturating_sub(self.phase_started) / 20))
            }
            Phase::Observe => {
                let done = self.shared.progress.counts().observed >= self.deployment.clients;
                if !done && now < self.phase_started + OBSERVE_WITHIN {
                    return Next::At(now + LOOK_EVERY);
                }
                self.count(control);
                let snapshot = (self.deployment.snapshot)();
                for event in snapshot {
                    self.record(Event::System(event));
                }
                self.enter(Phase::End, now);
                Next::Done
            }
            Phase::End => Next::Done,
        }
    }
}
