//! The conductor: walks a run through its phases and starts and ends its faults.
//!
//! Safety (operations and faults), then heal everything and demand quiescence within a bound, then a last look, then the snapshot.
//! **Invariant**: every wait has a bound in virtual time, so a run always ends.

mod disks;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

pub(crate) use self::disks::Disks;
use crate::{
    engine::{Control, Director, Next},
    fault::{Crash, Effect, Fault, Kind, OnDisk},
    plan::Plan,
    scenario::Phases,
    system::{Deployment, Progress, System},
    trace::{Event, Phase, Recorder},
};

/// How often clients' progress and the system's quiescence are looked at, in virtual time.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Clients get this long for their last look.
const OBSERVE_WITHIN: Duration = Duration::from_mins(1);

/// Conducts one run.
pub(crate) struct Conductor<E> {
    /// The faults of the plan.
    faults: Vec<Fault>,
    /// Starts and ends of faults that are still to come: (when, whether it ends, number), in order.
    agenda: std::collections::VecDeque<(u64, bool, usize)>,
    operations: u64,
    last_step: Duration,
    phases: Phases,
    phase: Phase,
    phase_started: Duration,
    announce: watch::Sender<Phase>,
    progress: Progress,
    disks: Disks,
    deployment: Deployment<E>,
    recorder: Recorder<E>,
    harness: Arc<str>,
    /// Whether the hosts' idle state was written down: they have booted and no operation has started when a run is first directed.
    counted: bool,
}

impl<E> Conductor<E> {
    /// A conductor at the start of the safety phase.
    pub(crate) fn new<S: System<Event = E>>(
        plan: &Plan<S>,
        announce: watch::Sender<Phase>,
        progress: Progress,
        mut disks: Disks,
        deployment: Deployment<E>,
        recorder: Recorder<E>,
    ) -> Self {
        let faults = plan.faults.clone();
        let mut agenda = Vec::new();
        for (number, fault) in faults.iter().enumerate() {
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
            operations,
            last_step,
            phases: plan.phases,
            phase: Phase::Safety,
            phase_started: Duration::ZERO,
            announce,
            progress,
            disks,
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
        let _ = self.announce.send(phase);
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
                self.begin(number, control);
            }
        }
    }

    /// Starts the power losses whose operation has come, and puts their ends on the agenda.
    fn strike(&mut self, now: Duration, control: &mut dyn Control) {
        for number in self.disks.take_cut() {
            let fault = &self.faults[number];
            let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            let end = (now_ms + (fault.until_ms - fault.at_ms), true, number);
            let place = self.agenda.partition_point(|item| *item < end);
            self.agenda.insert(place, end);
            self.record(Event::FaultStarted { fault: number });
            self.kill(number, Crash::PowerLoss, control);
        }
    }

    fn begin(&mut self, number: usize, control: &mut dyn Control) {
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

    fn end(&mut self, number: usize, control: &mut dyn Control) {
        let fault = &self.faults[number];
        let effect = match &fault.kind {
            Kind::Disk(on) => {
                let mut effect = self.disks.stop(number, disk_host(fault), on);
                if let OnDisk::PowerLoss { .. } = on {
                    effect.extend(control.stop(number, &crash(fault, Crash::PowerLoss)));
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
        let ended = self.progress.counts().operations >= self.operations;
        let given_up = now >= self.last_step + Duration::from_secs_f64(self.phases.safety_grace_s);
        // What waits for an operation may still wait when every client has its answer.
        let ended = ended && !self.disks.are_armed();
        if next_fault.is_none() && (ended || given_up) {
            self.heal();
            self.enter(Phase::Converge, now);
            return Next::At(now + LOOK_EVERY);
        }
        // Nothing can be over before the last operation was started: no need to look until then.
        let look = if ended || given_up {
            Duration::MAX
        } else {
            self.last_step.max(now + LOOK_EVERY)
        };
        Next::At(next_fault.unwrap_or(Duration::MAX).min(look))
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
        self.disks.are_cut()
    }

    fn direct(&mut self, now: Duration, control: &mut dyn Control) -> Next {
        if !std::mem::replace(&mut self.counted, true) {
            self.count(control);
        }
        self.strike(now, control);
        self.change_faults(now, control);
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
                let done = self.progress.counts().observed >= self.deployment.clients;
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
