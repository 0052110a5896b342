//! The loop of a run: due requests are sent, those that touch the same entity one after the other, and answers are recorded as they come.
//!
//! It is an open loop: a slow answer holds back only requests of its own entity, and the limit of requests in flight. Whatever is held back
//! keeps its intended time, from which its latency counts.
//!
//! **Invariant**: everything runs inside one future, on the host's clock: dropping it ends the run, and the same simulated host and plan give
//! the same observations.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, stream::FuturesUnordered};
use rehearsal_host::{
    Host,
    client::{Client, ClientLimits, Failure, FailureKind},
    machine::Sleep,
};

use crate::{
    capture::{Body, Request},
    plan::Plan,
    rules::{Rules, Side},
    run::{
        Answer, FailureReason, Latency, Observations, Outcome, SkipReason, StateRead, send::prepare,
    },
};

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which side it plays.
    pub side: Side,
    /// Its base URL: `http://name:port`.
    pub url: String,
}

/// Limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A request has to be answered within this long.
    pub deadline: Duration,
    /// At most this many requests at once; more wait, and are late.
    pub in_flight: usize,
    /// Between the last answer and the reading of the final state: time for work that a service does later.
    pub settle: Duration,
    /// Limits of the connections.
    pub client: ClientLimits,
}

impl Default for Options {
    /// 30 s for an answer (a legacy service may wait for its own providers), 1,024 in flight, 30 s to settle, bodies up to 16 MiB.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            in_flight: 1024,
            settle: Duration::from_secs(30),
            client: ClientLimits {
                body_bytes: 16 << 20,
                // Shorter than any server keeps an idle connection, so none is used that the server is just closing.
                idle: Duration::from_secs(2),
                ..ClientLimits::default()
            },
        }
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Sending the plan's requests.
    Replay,
    /// Waiting for work that a service does later.
    Settle,
    /// Reading the final state.
    State,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which side.
    pub side: Side,
    /// What it is doing.
    pub phase: Phase,
    /// Requests that are done, of the phase's [`Self::total`].
    pub done: usize,
    /// Of those, the failed ones.
    pub failed: usize,
    /// Requests of the phase.
    pub total: usize,
}

/// Replays `plan` against `target` and reads the final state.
///
/// `stop` ends the run early: what has no answer by then is skipped, and the final state is not read. `progress` is called after every request.
pub async fn side(
    host: &Host,
    target: &Target,
    plan: &Plan,
    rules: &Rules,
    options: &Options,
    stop: impl Future<Output = ()> + Send,
    progress: impl FnMut(Progress) + Send,
) -> Observations {
    let mut stop = std::pin::pin!(stop.fuse());
    let mut run = Run {
        host,
        client: Client::new(host, options.client),
        target,
        options: *options,
        start: host.elapsed(),
        latency: Latency::new(),
        progress,
    };
    let replayed: Vec<Job> = plan
        .requests
        .iter()
        .map(|planned| Job {
            at_ns: planned.at_ns,
            order: planned.order.as_deref(),
            request: match planned.unreplayable {
                Some(reason) => Err(SkipReason::Unreplayable(reason)),
                None => prepare(&target.url, &rules.rewrite(target.side, &planned.request))
                    .ok_or(SkipReason::NotHttp),
            },
        })
        .collect();
    let (outcomes, mut stopped) = run.all(Phase::Replay, replayed, &mut stop).await;
    let duration_ns = run.now_ns();
    if !stopped && !plan.entities.is_empty() {
        (run.progress)(Progress {
            side: target.side,
            phase: Phase::Settle,
            done: 0,
            failed: 0,
            total: plan.entities.len(),
        });
        let mut settled = host.sleep(options.settle);
        stopped = poll_fn(|cx| {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            settled.as_mut().poll(cx).map(|()| false)
        })
        .await;
    }
    let state = run.state(plan, rules, stopped, &mut stop).await;
    Observations {
        side: target.side,
        url: target.url.clone(),
        outcomes,
        state,
        latency: run.latency,
        duration_ns,
    }
}

/// One request of a phase.
struct Job<'p> {
    at_ns: u64,
    order: Option<&'p str>,
    request: Result<http::Request<Bytes>, SkipReason>,
}

struct Run<'h, P> {
    host: &'h Host,
    client: Client,
    target: &'h Target,
    options: Options,
    start: Duration,
    latency: Latency,
    progress: P,
}

/// What the loop woke up for.
enum Event {
    Stopped,
    Done(usize, u64, Result<http::Response<Bytes>, Failure>),
    Due,
}

/// What is due, and what waits for an earlier request of its entity.
#[derive(Default)]
struct Queue<'p> {
    /// The first job that is not due yet.
    next: usize,
    /// Jobs that may be sent.
    ready: VecDeque<usize>,
    /// For each entity with a request under way, the later ones.
    chains: BTreeMap<&'p str, VecDeque<usize>>,
}

impl<'p> Queue<'p> {
    /// Moves what is due by `now` to where it waits; returns how many of it cannot be sent.
    fn release(&mut self, jobs: &[Job<'p>], now: u64) -> usize {
        let mut unsendable = 0;
        while let Some(job) = jobs.get(self.next).filter(|job| job.at_ns <= now) {
            let at = self.next;
            self.next += 1;
            if job.request.is_err() {
                unsendable += 1;
                continue;
            }
            if let Some(key) = job.order {
                if let Some(waiting) = self.chains.get_mut(key) {
                    waiting.push_back(at);
                    continue;
                }
                self.chains.insert(key, VecDeque::new());
            }
            self.ready.push_back(at);
        }
        unsendable
    }

    /// Lets the next request of an entity go.
    fn finished(&mut self, order: Option<&'p str>) {
        let Some(key) = order else { return };
        match self.chains.get_mut(key).and_then(VecDeque::pop_front) {
            Some(waiting) => self.ready.push_back(waiting),
            None => {
                self.chains.remove(key);
            }
        }
    }
}

/// Waits for whatever comes first; answers come before the clock.
async fn next_event(
    stop: &mut Pin<&mut impl Future<Output = ()>>,
    in_flight: &mut (impl Stream<Item = Answered> + Unpin),
    mut timer: Option<&mut Sleep>,
) -> Event {
    poll_fn(|cx| {
        if stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Stopped);
        }
        if let Poll::Ready(Some((at, sent_ns, answer))) = Pin::new(&mut *in_flight).poll_next(cx) {
            return Poll::Ready(Event::Done(at, sent_ns, answer));
        }
        match &mut timer {
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| Event::Due),
            None => Poll::Pending,
        }
    })
    .await
}

/// A job, when it was sent, and what came of it.
type Answered = (usize, u64, Result<http::Response<Bytes>, Failure>);

impl<P: FnMut(Progress) + Send> Run<'_, P> {
    fn now_ns(&self) -> u64 {
        let elapsed = self.host.elapsed().saturating_sub(self.start);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sends all `jobs` (in order of their time) and says whether it was stopped before all were done.
    async fn all(
        &mut self,
        phase: Phase,
        mut jobs: Vec<Job<'_>>,
        stop: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> (Vec<Outcome>, bool) {
        let total = jobs.len();
        let skipped = |job: &Job<'_>| job.request.as_ref().err().copied();
        let mut outcomes: Vec<Outcome> = jobs
            .iter()
            .map(|job| Outcome::Skipped(skipped(job).unwrap_or(SkipReason::Stopped)))
            .collect();
        let mut queue = Queue::default();
        let mut in_flight = FuturesUnordered::new();
        let mut timer = None;
        let (mut done, mut failed) = (0, 0);
        loop {
            let now = self.now_ns();
            done += queue.release(&jobs, now);
            while in_flight.len() < self.options.in_flight.max(1) {
                let Some(at) = queue.ready.pop_front() else {
                    break;
                };
                let unsent = Err(SkipReason::Stopped);
                if let Ok(request) = std::mem::replace(&mut jobs[at].request, unsent) {
                    let sent_ns = self.now_ns();
                    self.latency.record_sending(jobs[at].at_ns, sent_ns);
                    let (client, deadline) = (self.client.clone(), self.options.deadline);
                    in_flight.push(async move {
                        let answer = client.send(request, deadline).await;
                        (at, sent_ns, answer)
                    });
                }
            }
            if queue.next == total && in_flight.is_empty() {
                return (outcomes, false);
            }
            let due = jobs.get(queue.next).map(|job| job.at_ns);
            if timer.as_ref().map(|(at, _)| *at) != due {
                let sleep = |at: u64| {
                    self.host
                        .sleep(Duration::from_nanos(at.saturating_sub(now)))
                };
                timer = due.map(|at| (at, sleep(at)));
            }
            match next_event(stop, &mut in_flight, timer.as_mut().map(|(_, sleep)| sleep)).await {
                Event::Stopped => return (outcomes, true),
                // The timer is spent; a clock that lags behind it gets a new one.
                Event::Due => timer = None,
                Event::Done(at, sent_ns, answer) => {
                    match &answer {
                        Ok(_) => self.latency.record(jobs[at].at_ns, sent_ns, self.now_ns()),
                        Err(_) => failed += 1,
                    }
                    outcomes[at] = outcome(answer);
                    done += 1;
                    queue.finished(jobs[at].order);
                    (self.progress)(Progress {
                        side: self.target.side,
                        phase,
                        done,
                        failed,
                        total,
                    });
                }
            }
        }
    }

    /// Reads the final state of every entity, as fast as the limit of requests in flight lets it.
    async fn state(
        &mut self,
        plan: &Plan,
        rules: &Rules,
        stopped: bool,
        stop: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> Vec<StateRead> {
        let Some(reads) = &rules.state else {
            return Vec::new();
        };
        let template = match self.target.side {
            Side::Legacy => &reads.legacy,
            Side::Candidate => &reads.candidate,
        };
        let jobs: Vec<Job<'_>> = plan
            .entities
            .iter()
            .map(|id| {
                let request = template
                    .fill(&[("id", &encoded(id))])
                    .map(|target| Request {
                        method: "GET".to_owned(),
                        target,
                        version: "1.1".to_owned(),
                        headers: Vec::new(),
                        body: Body::EMPTY,
                    });
                Job {
                    at_ns: 0,
                    order: None,
                    request: request
                        .and_then(|request| prepare(&self.target.url, &request))
                        .ok_or(SkipReason::NotHttp),
                }
            })
            .collect();
        let latency = self.latency.clone();
        let outcomes = if stopped {
            vec![Outcome::Skipped(SkipReason::Stopped); jobs.len()]
        } else {
            self.start = self.host.elapsed();
            self.all(Phase::State, jobs, stop).await.0
        };
        // The sweep is ours, not the capture's traffic: its latencies are not the services' figures.
        self.latency = latency;
        let ids = plan.entities.iter().cloned();
        ids.zip(outcomes)
            .map(|(id, outcome)| StateRead { id, outcome })
            .collect()
    }
}

/// An id as one segment of a path.
fn encoded(id: &str) -> String {
    id.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn outcome(answer: Result<http::Response<Bytes>, Failure>) -> Outcome {
    match answer {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let headers = head.headers.iter().map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            });
            Outcome::Answered(Answer {
                status: head.status.as_u16(),
                headers: headers.collect(),
                body,
            })
        }
        Err(failure) => Outcome::Failed {
            reason: match failure.kind {
                FailureKind::Connect => FailureReason::Connect,
                FailureKind::Timeout => FailureReason::Timeout,
                FailureKind::Broken => FailureReason::Broken,
                FailureKind::TooLarge => FailureReason::TooLarge,
            },
            message: failure.message,
        },
    }
}
