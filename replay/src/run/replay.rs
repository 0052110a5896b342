//! The loop of a run: due requests are sent, those that depend on each other one after the other, and answers are recorded as they come.
//!
//! It is an open loop: a slow answer holds back only what needs it (requests of its entity or session, and those that carry its values) and,
//! at the limit of requests in flight, what is due later. Whatever is held back keeps its intended time, from which its latency counts.
//!
//! **Invariant**: everything runs inside one future, on the host's clock: dropping it ends the run, and the same simulated host and plan give
//! the same observations.

mod asked;
mod learned;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    ops::Range,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use rehearsal_host::{Host, machine::Sleep};

use crate::{
    capture::{Body, Request},
    plan::{Pace, Plan},
    rules::{Rules, Side},
    run::{
        Brief, Entry, Horizon, Journal, Latency, Observations, Options, Outcome, Outcomes, Phase,
        Progress, Punctuality, SkipReason, Target,
        bindings::{Bindings, percent_encoded},
        connection::{Dialer, Pool},
        cookies::Jar,
        event::{Event, Exchanged, InFlight, next_event, outcome},
        lag::Lag,
        queue::{Job, Queue},
        send::prepare,
    },
};

/// So many idle connections are kept for the sessions that opened them, whatever the limit of requests in flight: with fewer than there are
/// sessions, each would lose its own before its next request.
const IDLE: usize = 1024;

/// What is under way when a run is stopped has so long to come to its end: it was sent, and may have changed its target.
const DRAIN_NS: u64 = 5_000_000_000;

/// Where it may be decided that the sending ends, that is looked for this often, however far away the next request is.
const LOOK_NS: u64 = 50_000_000;

/// A plan, whom to run it against, and how.
#[derive(Clone, Copy, Debug)]
pub struct Run<'r> {
    /// The machine it runs on.
    pub host: &'r Host,
    /// Whom to ask.
    pub target: &'r Target,
    /// What to ask.
    pub plan: &'r Plan,
    /// What requests become on this side.
    pub rules: &'r Rules,
    /// The limits.
    pub options: &'r Options,
    /// How far all sides go, where that may be decided while they run.
    pub horizon: Option<&'r Horizon>,
}

/// Replays `plan` against `target` and reads the final state: [`Run::observe`] from the beginning, without a journal.
pub async fn side(
    host: &Host,
    target: &Target,
    plan: &Plan,
    rules: &Rules,
    options: &Options,
    stop: impl Future<Output = ()> + Send,
    progress: impl FnMut(Progress) + Send,
) -> Observations {
    let run = Run {
        host,
        target,
        plan,
        rules,
        options,
        horizon: None,
    };
    let journal = Journal {
        known: Vec::new(),
        recorder: &mut (),
    };
    run.observe(journal, stop, progress).await
}

impl Run<'_> {
    /// Replays the plan, but for what the journal knows, and reads the final state.
    ///
    /// `stop` ends the run early: nothing more is sent, what is under way has a few seconds to be answered, the rest is skipped, and the final
    /// state is not read. `progress` is called after every request.
    pub async fn observe(
        &self,
        journal: Journal<'_>,
        stop: impl Future<Output = ()> + Send,
        progress: impl FnMut(Progress) + Send,
    ) -> Observations {
        let mut stop = std::pin::pin!(stop.fuse());
        let (plan, options) = (self.plan, self.options);
        let (jobs, bindings) = self.jobs();
        let dialer = Dialer::new(self.host, self.target, options.client);
        let mut running = Running {
            run: self,
            pool: Pool::new(dialer, options.in_flight.max(IDLE), options.client),
            clock: Clock::started(self.host, 0),
            latency: Latency::new(),
            punctuality: Punctuality::default(),
            lag: Lag::new(plan.requests.len()),
            resent: 0,
            bindings,
            jars: BTreeMap::new(),
            journal,
            progress,
        };
        let known = running.known(Phase::Replay, &jobs);
        let replay = |running: &Running<'_, '_, _>, at: usize| running.request(&jobs[at], at);
        let (outcomes, mut stopped) = running
            .all(Phase::Replay, &jobs, known, replay, &mut stop)
            .await;
        let duration_ns = running.now_ns();
        if !stopped && !plan.entities.is_empty() {
            (running.progress)(Progress {
                side: self.target.side,
                phase: Phase::Settle,
                done: 0,
                failed: 0,
                total: plan.entities.len(),
            });
            let mut settled = self.host.sleep(options.settle);
            stopped = poll_fn(|cx| {
                if stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                settled.as_mut().poll(cx).map(|()| false)
            })
            .await;
        }
        let (latency, punctuality) = (running.latency.clone(), running.punctuality());
        let state = running.state(stopped, &mut stop).await;
        let resent = running.resent;
        Observations {
            side: self.target.side,
            url: self.target.url.clone(),
            outcomes,
            state,
            latency,
            duration_ns,
            time: options.time,
            resent,
            punctuality: (plan.pace != Pace::Max).then_some(punctuality),
        }
    }

    /// The plan's requests as the queue sees them.
    fn jobs(&self) -> (Vec<Job>, Bindings<'_>) {
        let bindings = Bindings::new(self.plan, self.rules, self.target.side);
        let (mut orders, mut sessions) = (BTreeMap::new(), BTreeMap::new());
        let requests = self.plan.requests.iter().zip(bindings.needed());
        let jobs = requests
            .map(|(planned, after)| Job {
                at_ns: planned.at_ns,
                order: planned.order.as_deref().map(|key| number(&mut orders, key)),
                session: planned
                    .session
                    .as_deref()
                    .map_or(0, |session| number(&mut sessions, session) + 1),
                after: after.into(),
            })
            .collect();
        (jobs, bindings)
    }
}

/// The number of a key, by first appearance.
fn number<'k>(known: &mut BTreeMap<&'k str, u32>, key: &'k str) -> u32 {
    let next = u32::try_from(known.len()).expect("a capture has fewer than 2^32 keys");
    *known.entry(key).or_insert(next)
}

/// The plan's time: what of it had passed before this process, and what has since.
#[derive(Clone, Copy)]
struct Clock {
    start: Duration,
    passed_ns: u64,
}

impl Clock {
    fn started(host: &Host, passed_ns: u64) -> Self {
        Self {
            start: host.elapsed(),
            passed_ns,
        }
    }

    fn now_ns(self, host: &Host) -> u64 {
        let since = host.elapsed().saturating_sub(self.start);
        self.passed_ns.saturating_add(nanos(since))
    }
}

struct Running<'r, 'j, P> {
    run: &'r Run<'r>,
    pool: Pool,
    clock: Clock,
    latency: Latency,
    punctuality: Punctuality,
    lag: Lag,
    resent: u64,
    bindings: Bindings<'r>,
    jars: BTreeMap<u32, Jar>,
    journal: Journal<'j>,
    progress: P,
}

impl<P: FnMut(Progress) + Send> Running<'_, '_, P> {
    fn now_ns(&self) -> u64 {
        self.clock.now_ns(self.run.host)
    }

    /// Sends all `jobs` (in order of their time) that are not `known`, and says whether it was stopped before all were done.
    async fn all(
        &mut self,
        phase: Phase,
        jobs: &[Job],
        mut seen: Outcomes,
        request: impl Fn(&Self, usize) -> Result<http::Request<Bytes>, SkipReason>,
        stop: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> (Outcomes, bool) {
        let known = |brief| !matches!(brief, Brief::Skipped(_));
        let finished: Vec<bool> = seen.briefs().map(known).collect();
        // A resumed run goes on where the earlier one was in its schedule.
        let first = finished.iter().position(|finished| !finished);
        let passed_ns = first.map_or(0, |at| jobs[at].at_ns);
        self.clock = Clock::started(self.run.host, passed_ns);
        let mut done = finished.iter().filter(|finished| **finished).count();
        let failure = |brief: &Brief| matches!(brief, Brief::Failed(_));
        let mut failed = seen.briefs().filter(failure).count();
        let mut queue = Queue::new(jobs, finished);
        let mut in_flight = InFlight::new();
        let mut timer: Option<(u64, Sleep)> = None;
        let mut held_back: usize = 0;
        // What is before this place is sent, as far as it can be.
        let mut open = jobs.len();
        let horizon = self.run.horizon.filter(|_| phase == Phase::Replay);
        let looks = horizon.is_some();
        let mut stopped = false;
        loop {
            queue.release(self.now_ns());
            while !stopped && in_flight.len() < self.run.options.in_flight.max(1) {
                let Some((at, waited)) = queue.pop() else {
                    break;
                };
                if horizon.is_some_and(|horizon| !horizon.begin(at)) {
                    // It is closed, and what follows says what becomes of this one.
                    break;
                }
                let held = held_back > 0 || queue.was_crowded(at);
                held_back = held_back.saturating_sub(1);
                match request(self, at) {
                    Ok(request) => {
                        in_flight.push(self.send((at, waited, held), jobs[at].session, request));
                    }
                    Err(reason) => {
                        self.skip(phase, &mut seen, at, reason);
                        done += 1;
                        queue.finish(at);
                    }
                }
            }
            if !stopped
                && let Some(end) = horizon.and_then(Horizon::end)
                && end < open
            {
                done += self.leave(end..open, &mut seen);
                queue.cut(end);
                open = end;
                continue;
            }
            held_back = queue.ready();
            if (queue.is_drained() || stopped) && in_flight.len() == 0 {
                return (seen, stopped);
            }
            let looking = looks && open == jobs.len();
            let look = |at: u64| at.min(self.now_ns() + LOOK_NS);
            let due = queue.due_ns();
            let due = if looking { due.map(look) } else { due };
            let set = timer.as_ref().map(|(at, _)| *at);
            // A look that is due earlier does as well as the next one.
            if !stopped && set != due && !(looking && set.is_some() && set <= due) {
                let now = self.now_ns();
                let sleep = |at: u64| {
                    let left = Duration::from_nanos(at.saturating_sub(now));
                    self.run.host.sleep_precisely(left)
                };
                timer = due.map(|at| (at, sleep(at)));
            }
            let sleep = timer.as_mut().map(|(_, sleep)| sleep);
            match next_event(stop, &mut in_flight, sleep).await {
                Event::Stopped => {
                    stopped = true;
                    let drained = self.run.host.sleep(Duration::from_nanos(DRAIN_NS));
                    timer = Some((0, drained));
                }
                Event::Due if stopped => return (seen, true),
                // The timer is spent; a clock that lags behind it gets a new one.
                Event::Due => timer = None,
                Event::Done(exchanged) => {
                    let at = exchanged.at;
                    failed += usize::from(self.ended(phase, jobs, exchanged, &mut seen));
                    done += 1;
                    queue.finish(at);
                    (self.progress)(Progress {
                        side: self.run.target.side,
                        phase,
                        done,
                        failed,
                        total: jobs.len(),
                    });
                }
            }
        }
    }

    /// Takes in a request that came to its end; says whether it failed.
    fn ended(
        &mut self,
        phase: Phase,
        jobs: &[Job],
        exchanged: Exchanged,
        seen: &mut Outcomes,
    ) -> bool {
        let at = exchanged.at;
        if let Some(link) = exchanged.link {
            let now_ns = nanos(self.run.host.elapsed());
            self.pool.put(jobs[at].session, link, now_ns);
        }
        let entry = Entry {
            state: phase == Phase::State,
            at,
            late_ns: exchanged.sent_ns - jobs[at].at_ns,
            waited: exchanged.waited,
            held: exchanged.held,
            resent: exchanged.resent,
            took_ns: exchanged.ended_ns - exchanged.sent_ns,
            outcome: outcome(exchanged.answer),
        };
        let place = self.journal.recorder.record(&entry);
        self.learn(phase, jobs, &entry);
        let failed = matches!(entry.outcome, Outcome::Failed { .. });
        seen.put(at, entry.outcome, place);
        failed
    }

    /// Leaves out what is beyond the horizon; says how many requests that are.
    fn leave(&mut self, beyond: Range<usize>, seen: &mut Outcomes) -> usize {
        let open: Vec<usize> = beyond
            .filter(|at| seen.brief(*at) == Brief::Skipped(SkipReason::Stopped))
            .collect();
        for at in &open {
            self.skip(Phase::Replay, seen, *at, SkipReason::Decided);
        }
        open.len()
    }

    /// Takes note of a request that is not sent.
    fn skip(&mut self, phase: Phase, seen: &mut Outcomes, at: usize, reason: SkipReason) {
        let entry = Entry {
            state: phase == Phase::State,
            ..Entry::untimed(at, Outcome::Skipped(reason))
        };
        self.journal.recorder.record(&entry);
        seen.put(at, entry.outcome, None);
    }

    fn send(
        &mut self,
        (at, waited, held): (usize, bool, bool),
        session: u32,
        request: http::Request<Bytes>,
    ) -> impl Future<Output = Exchanged> + Send + use<P> {
        // How long a connection was idle goes by the host's clock: the plan's begins anew with each phase.
        let link = self.pool.take(session, nanos(self.run.host.elapsed()));
        let (dialer, host, clock) = (self.pool.dialer(), self.run.host.clone(), self.clock);
        let deadline = self.run.options.deadline;
        async move {
            let sent_ns = clock.now_ns(&host);
            let done = dialer.exchange(link, request, deadline).await;
            Exchanged {
                at,
                waited,
                held,
                sent_ns,
                ended_ns: clock.now_ns(&host),
                answer: done.answer,
                link: done.link,
                resent: done.resent,
            }
        }
    }

    /// Reads the final state of every entity, as fast as the limit of requests in flight lets it.
    async fn state(
        &mut self,
        stopped: bool,
        stop: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> Outcomes {
        let Run {
            plan,
            rules,
            target,
            ..
        } = *self.run;
        let Some(reads) = &rules.state else {
            return Outcomes::open(0, None);
        };
        let template = match target.side {
            Side::Legacy => &reads.legacy,
            Side::Candidate => &reads.candidate,
        };
        // What was not sent made no entity: there is no state to read.
        let end = self.run.horizon.and_then(Horizon::end);
        let sent = end.map(|end| touched(plan, end));
        let request = |running: &Self, at: usize| {
            if sent
                .as_ref()
                .is_some_and(|sent| !sent.contains(&*plan.entities[at]))
            {
                return Err(SkipReason::Decided);
            }
            let id = running.bindings.entity(&plan.entities[at]);
            let id = percent_encoded(id.ok_or(SkipReason::Unresolved)?);
            let path = template.fill(&[("id", &id)]).ok_or(SkipReason::NotHttp)?;
            let read = Request {
                method: "GET".to_owned(),
                target: path,
                version: "1.1".to_owned(),
                headers: Vec::new(),
                body: Body::EMPTY,
            };
            prepare(&target.url, &read, None).ok_or(SkipReason::NotHttp)
        };
        let jobs = vec![Job::default(); plan.entities.len()];
        let known = self.known(Phase::State, &jobs);
        if stopped {
            return Outcomes::open(jobs.len(), None);
        }
        self.all(Phase::State, &jobs, known, request, stop).await.0
    }
}

/// The entities that the requests before `end` touch.
fn touched(plan: &Plan, end: usize) -> BTreeSet<&str> {
    let orders = plan.requests[..end].iter();
    orders
        .filter_map(|planned| planned.order.as_deref()?.strip_prefix("entity "))
        .collect()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
