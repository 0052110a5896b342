//! The conductor: walks a run through its phases and starts and ends its faults.
//!
//! Safety (operations and faults), then heal everything and demand quiescence within a bound, then a last look, then the snapshot.
//! **Invariant**: every wait has a bound in virtual time, so a run always ends.

mod disks;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

pub(crate) use self::disks::Disks;
use crate::{
    engine::{Control, Director, Next},
    fault::{Crash, Effect, Fault, Kind, OnDisk},
    plan::Plan,
    scenario::Phases,
    stops::Stops,
    system::{Deployment, Progress, System},
    trace::{Event, Phase, Recorder},
    trigger::{Hit, ITS_HOST, Watch},
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
    disks: Disks,
    deployment: Deployment<E>,
    recorder: Recorder<E>,
    /// What faults wait for.
    watch: Option<Watch<E>>,
    harness: Arc<str>,
    /// Whether the hosts' idle state was written down: they have booted and no operation has started when a run is first directed.
    counted: bool,
}

impl<E> Conductor<E> {
    /// A conductor at the start of the safety phase.
    pub(crate) fn new<S: System<Event = E>>(
        plan: &Plan<S>,
        shared: Shared,
        mut disks: Disks,
        deployment: Deployment<E>,
        recorder: Recorder<E>,
    ) -> Self {
        let faults = plan.faults.clone();
        let mut agenda = Vec::new();
        for (number, fault) in faults.iter().enumerate() {
            if fault.when.is_some() {
                continue;
            }
            if let Kind::Disk(on) = &fault.kind
                && disks.arm(number, disk_host(fault), on)
            {
                continue;
            }
            agenda.extend([(fault.at_ms, false, number), (fault.until_ms, true, number)]);
        }
        agenda.sort_unstable();
        let operations = plan.steps.len() as u64;
        let last_step = plan.steps.iter().map(|step| step.at_ms).max();
        let last_step = Duration::from_millis(last_step.unwrap_or(0));
        let harness: Arc<str> = Arc::from("harness");
        recorder.record(&harness, 0, Event::Phase(Phase::Safety));
        Self {
            faults,
            agenda: agenda.into(),
            draining: Vec::new(),
            stopped: BTreeMap::new(),
            operations,
            last_step,
            phases: plan.phases,
            phase: Phase::Safety,
            phase_started: Duration::ZERO,
            shared,
            disks,
            deployment,
            recorder,
            watch: None,
            harness,
            counted: false,
        }
    }

    /// The conductor with an ear for what faults wait for.
    #[must_use]
    pub(crate) fn listening(self, watch: Option<Watch<E>>) -> Self {
        Self { watch, ..self }
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

    /// Puts faults whose event has come on the agenda: their times count from it.
    fn answer_calls(&mut self, now: Duration) {
        let hits = self.watch.as_ref().map(Watch::take).unwrap_or_default();
        for Hit { fault, host } in hits {
            let number = fault;
            let fault = &mut self.faults[number];
            if fault.targets.iter().any(|target| target == ITS_HOST) {
                fault.targets = vec![host.to_string()];
                fault.peers.retain(|peer| **peer != *host);
            }
            // What starts at once starts before this millisecond is over.
            let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            let (at_ms, until_ms) = (now_ms + fault.at_ms, now_ms + 1 + fault.until_ms);
            for item in [(at_ms, false, number), (until_ms, true, number)] {
                let at = self.agenda.partition_point(|other| *other < item);
                self.agenda.insert(at, item);
            }
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

    /// Starts the power losses whose operation has come, and puts their ends on the agenda.
    fn strike(&mut self, now: Duration, control: &mut dyn Control) {
        for number in self.disks.take_cut() {
            let fault = &self.faults[number];
            let down_ms = fault.until_ms - fault.at_ms;
            self.schedule_end(number, now, down_ms);
            self.record(Event::FaultStarted { fault: number });
            self.kill(number, Crash::PowerLoss, control);
        }
    }

    fn schedule_end(&mut self, number: usize, now: Duration, down_ms: u64) {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let end = (now_ms.saturating_add(down_ms), true, number);
        let place = self.agenda.partition_point(|item| *item < end);
        self.agenda.insert(place, end);
    }

    fn begin(&mut self, number: usize, now: Duration, control: &mut dyn Control) {
        let fault = &self.faults[number];
        self.record(Event::FaultStarted { fault: number });
        match &fault.kind {
            Kind::Crash { mode } => self.kill(number, *mode, control),
            Kind::Disk(on) => {
                self.disks.start(number, disk_host(fault), on);
                if let OnDisk::PowerLoss { .. } = on {
                    self.kill(number, Crash::PowerLoss, control);
                }
            }
            Kind::Stop { grace_ms } => {
                for host in &fault.targets {
                    self.shared.stops.ask(host);
                }
                let until = now + Duration::from_millis(*grace_ms);
                // When it ends is known once its hosts are down.
                self.agenda.retain(|(_, ends, of)| !*ends || *of != number);
                self.draining.push((number, until));
            }
            _ => control.start(number, fault),
        }
    }

    /// The fault's hosts die so.
    fn kill(&mut self, number: usize, mode: Crash, control: &mut dyn Control) {
        let fault = crash(&self.faults[number], mode);
        for host in &fault.targets {
            (self.deployment.dying)(host, mode);
            self.recorder
                .record(&Arc::from(host.as_str()), 0, Event::Died);
        }
        control.start(number, &fault);
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
            // What it left behind goes: to the engine a stop whose hosts have ended is a kill.
            self.kill(number, Crash::Kill, control);
            self.stopped.insert(number, ended);
            self.schedule_end(number, now, down_ms);
        }
    }

    fn end(&mut self, number: usize, control: &mut dyn Control) {
        let fault = &self.faults[number];
        let effect = match (&fault.kind, self.stopped.remove(&number)) {
            (Kind::Disk(on), _) => {
                let mut effect = self.disks.stop(number, disk_host(fault), on);
                if let OnDisk::PowerLoss { .. } = on {
                    effect.extend(control.stop(number, &crash(fault, Crash::PowerLoss)));
                }
                effect
            }
            (_, Some(ended)) => {
                let mut effect = control.stop(number, &crash(fault, Crash::Kill));
                if ended && let Some(count) = effect.remove("processes_killed") {
                    effect.insert("processes_stopped".to_owned(), count);
                }
                effect
            }
            _ => control.stop(number, fault),
        };
        self.record(Event::FaultEnded {
            fault: number,
            effect,
        });
    }

    /// The safety phase is over: what has not struck by now strikes nothing.
    fn heal(&mut self) {
        for fault in self.disks.disarm() {
            let effect = Effect::from([("processes_killed".to_owned(), 0)]);
            self.record(Event::FaultEnded { fault, effect });
        }
    }

    fn safety(&mut self, now: Duration) -> Next {
        let next_fault = self
            .agenda
            .front()
            .map(|(at_ms, ..)| Duration::from_millis(*at_ms));
        let ended = self.shared.progress.counts().operations >= self.operations;
        let given_up = now >= self.last_step + Duration::from_secs_f64(self.phases.safety_grace_s);
        // What waits for an operation may still wait when every client has its answer.
        let ended = ended && !self.disks.are_armed();
        if next_fault.is_none() && self.draining.is_empty() && (ended || given_up) {
            self.heal();
            if let Some(watch) = &self.watch {
                watch.disarm();
            }
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

/// The host whose disk a fault is of: such a fault has one target.
fn disk_host(fault: &Fault) -> &str {
    &fault.targets[0]
}

/// The crash that a fault comes down to for the engine.
fn crash(fault: &Fault, mode: Crash) -> Fault {
    Fault {
        kind: Kind::Crash { mode },
        ..fault.clone()
    }
}

impl<E> Director for Conductor<E> {
    fn is_due(&self) -> bool {
        self.disks.are_cut() || self.watch.as_ref().is_some_and(Watch::is_hit)
    }

    fn direct(&mut self, now: Duration, control: &mut dyn Control) -> Next {
        if !std::mem::replace(&mut self.counted, true) {
            self.count(control);
        }
        self.strike(now, control);
        self.answer_calls(now);
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
                self.disks.finish();
                Next::Done
            }
            Phase::End => Next::Done,
        }
    }
}
