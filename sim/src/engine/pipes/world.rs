//! The world: all hosts of a run, polled by one root future on one paused runtime.
//!
//! Each host is a `LocalSet` with a waker flag of its own, so only the woken are polled, and idle time is skipped by tokio's paused clock.
//! **Invariant**: host code runs only inside [`World`]'s poll, so nothing of a host outlives the drop of its `LocalSet`.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, Sleep};

use super::{
    ground::Ground,
    socket::{Net, lock},
};
use crate::{
    chance::Chance,
    engine::{Director, EngineError, Next, Setup},
    interpose,
};

/// Rounds of polling at one instant of virtual time before a run counts as stuck.
const MOST_ROUNDS: u32 = 1_000_000;

/// The root future of a run.
pub(super) struct World<'a> {
    ground: Ground,
    director: &'a mut dyn Director,
    director_at: Option<Duration>,
    start: Instant,
    timer: Pin<Box<Sleep>>,
    order: ChaCha8Rng,
    /// When chance becomes another one, and which.
    fork: Option<(Duration, Chance)>,
}

impl<'a> World<'a> {
    /// All hosts booted, nothing polled yet. Needs the paused runtime's context.
    pub(super) fn new(setup: Setup, net: Net, director: &'a mut dyn Director) -> Self {
        let start = Instant::now();
        let order = setup.chance.named("order").rng();
        let fork = setup.chance.fork();
        let ground = Ground::new(setup, net);
        let timer = Box::pin(tokio::time::sleep_until(start));
        Self {
            ground,
            director,
            director_at: Some(Duration::ZERO),
            start,
            timer,
            order,
            fork,
        }
    }

    fn tick(&mut self, now: Duration) -> Poll<Result<(), EngineError>> {
        self.ground.clock.set(now);
        interpose::set_elapsed(super::network::nanos(now));
        if let Some((_, chance)) = self.fork.take_if(|(at, _)| *at <= now) {
            self.order = chance.named("order").rng();
            self.ground.reseed(chance);
        }
        for _ in 0..MOST_ROUNDS {
            let wakers = {
                let mut network = lock(&self.ground.net);
                network.now = super::network::nanos(now);
                network.deliver_due();
                network.take_wakers()
            };
            wakers.into_iter().for_each(Waker::wake);
            let polled = self.poll_woken(now);
            let due = self.director.is_due();
            if !polled && !due && self.director_at.is_none_or(|at| at > now) {
                return Poll::Pending;
            }
            if !polled || due {
                let escaped = tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks();
                if escaped > 0 {
                    return Poll::Ready(Err(EngineError::Escaped(escaped)));
                }
                match self.director.direct(now, &mut self.ground) {
                    // The timers' resolution is 1 ms: anything nearer would be now again.
                    Next::At(at) => self.director_at = Some(at.max(now + Duration::from_millis(1))),
                    Next::Done => return Poll::Ready(Ok(())),
                }
            }
        }
        Poll::Ready(Err(EngineError::Broken(format!(
            "no end of work at {now:?}: {MOST_ROUNDS} rounds without virtual time advancing"
        ))))
    }

    /// Polls each woken host once, beginning at a drawn one: hosts that wake together have no natural order. The rest stays woken when the
    /// director is due.
    fn poll_woken(&mut self, now: Duration) -> bool {
        let (root, hosts) = (&self.ground.root, &mut self.ground.hosts);
        let length = hosts.len();
        let mut count = 0;
        let mut from = 0;
        while let Some(marked) = root.first_marked(from..length) {
            count += usize::from(hosts[marked].may_run(now));
            from = marked + 1;
        }
        let first = match count {
            0 => return false,
            1 => 0,
            _ => self.order.random_range(0..length),
        };
        for mut range in [first..length, 0..first] {
            while let Some(marked) = root.first_marked(range.clone()) {
                range.start = marked + 1;
                let host = &mut hosts[marked];
                if host.is_kept(now) || !host.flag.take() {
                    continue;
                }
                let Some(tasks) = &mut host.tasks else {
                    continue;
                };
                // A host's tasks may all have ended; it stays up without them.
                let _ = Pin::new(tasks).poll(&mut Context::from_waker(&host.waker));
                host.rest(now);
                if self.director.is_due() {
                    return true;
                }
            }
        }
        true
    }

    /// Handles what is due until nothing is, and sets the timer for what is next.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), EngineError>> {
        loop {
            let now = self.start.elapsed();
            if let Poll::Ready(ended) = self.tick(now) {
                return Poll::Ready(ended);
            }
            let event = lock(&self.ground.net).next_at().map(Duration::from_nanos);
            let rested = self.ground.next_rested(now);
            let fork = self.fork.as_ref().map(|(at, _)| *at);
            let wanted = event.into_iter().chain(self.director_at).chain(rested);
            let Some(next) = wanted.chain(fork).min() else {
                return Poll::Pending;
            };
            let at = self.start + next;
            if self.timer.deadline() != at {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Future for World<'_> {
    type Output = Result<(), EngineError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.ground.root.rise(cx.waker());
        let ended = self.advance(cx);
        self.ground.root.rest();
        ended
    }
}
