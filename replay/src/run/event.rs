//! What the loop of a run waits for: an answer, the next request's time, or the end.
//!
//! **Invariant**: what is to be sent is sent before any answer is read; answers come before the clock, and the end before all.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rehearsal_host::machine::Sleep;

use crate::run::{
    Answer, Outcome,
    connection::{Broken, Link},
};

/// What the loop woke up for.
pub(super) enum Event {
    Stopped,
    Done(Exchanged),
    Due,
}

/// A request that came to its end.
pub(super) struct Exchanged {
    pub(super) at: usize,
    /// Whether it had to wait for an earlier answer.
    pub(super) waited: bool,
    /// Whether the limit of requests in flight held it back.
    pub(super) held: bool,
    pub(super) sent_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) answer: Result<Answer, Broken>,
    pub(super) link: Option<Link>,
    /// Whether it was written twice.
    pub(super) resent: bool,
}

/// The requests that are under way.
pub(super) struct InFlight<F> {
    /// Not sent yet.
    fresh: VecDeque<Pin<Box<F>>>,
    sent: FuturesUnordered<Pin<Box<F>>>,
}

impl<F: Future<Output = Exchanged>> InFlight<F> {
    pub(super) fn new() -> Self {
        Self {
            fresh: VecDeque::new(),
            sent: FuturesUnordered::new(),
        }
    }

    pub(super) fn push(&mut self, exchange: F) {
        self.fresh.push_back(Box::pin(exchange));
    }

    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.sent.len()
    }

    /// The next request that came to its end.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Exchanged> {
        // What is due leaves at once, before the answers that came meanwhile are read.
        while let Some(mut exchange) = self.fresh.pop_front() {
            if let Poll::Ready(exchanged) = exchange.as_mut().poll(cx) {
                return Poll::Ready(exchanged);
            }
            self.sent.push(exchange);
        }
        match self.sent.poll_next_unpin(cx) {
            Poll::Ready(Some(exchanged)) => Poll::Ready(exchanged),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Waits for whatever comes first; answers come before the clock.
pub(super) async fn next_event(
    stop: &mut Pin<&mut impl Future<Output = ()>>,
    in_flight: &mut InFlight<impl Future<Output = Exchanged>>,
    mut timer: Option<&mut Sleep>,
) -> Event {
    poll_fn(|cx| {
        if stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Stopped);
        }
        if let Poll::Ready(exchanged) = in_flight.poll_ended(cx) {
            return Poll::Ready(Event::Done(exchanged));
        }
        match &mut timer {
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| Event::Due),
            None => Poll::Pending,
        }
    })
    .await
}

/// What became of a request that was tried.
pub(super) fn outcome(answer: Result<Answer, Broken>) -> Outcome {
    match answer {
        Ok(answer) => Outcome::Answered(answer),
        Err(Broken { reason, message }) => Outcome::Failed { reason, message },
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        task::Waker,
    };

    use super::*;
    use crate::run::FailureReason;

    #[test]
    fn what_is_due_leaves_before_an_answer_is_read() {
        let sent = RefCell::new(Vec::new());
        let ended = |at| Exchanged {
            at,
            waited: false,
            held: false,
            sent_ns: 0,
            ended_ns: 0,
            answer: Err(Broken {
                reason: FailureReason::Timeout,
                message: String::new(),
            }),
            link: None,
            resent: false,
        };
        let (answered, waiting) = (Cell::new(false), RefCell::new(None));
        let exchange = |at: usize| {
            let (mut asked, sent, answered, waiting) = (false, &sent, &answered, &waiting);
            poll_fn(move |cx| {
                if !asked {
                    asked = true;
                    sent.borrow_mut().push(at);
                }
                if at == 0 && answered.get() {
                    return Poll::Ready(ended(at));
                }
                *waiting.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
        };
        let mut in_flight = InFlight::new();
        let mut cx = Context::from_waker(Waker::noop());
        in_flight.push(exchange(0));
        assert!(in_flight.poll_ended(&mut cx).is_pending());
        answered.set(true);
        waiting.take().map(Waker::wake).expect("it waits");
        in_flight.push(exchange(1));
        let polled = in_flight.poll_ended(&mut cx);
        assert!(matches!(polled, Poll::Ready(Exchanged { at: 0, .. })));
        assert_eq!(*sent.borrow(), [0, 1]);
    }
}
