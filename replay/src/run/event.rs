//! What the loop of a run waits for: an answer, the next request's time, or the end.
//!
//! **Invariant**: answers come before the clock, and the end before both.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use bytes::Bytes;
use futures_util::Stream;
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
    pub(super) answer: Result<http::Response<Bytes>, Broken>,
    pub(super) link: Option<Link>,
}

/// Waits for whatever comes first; answers come before the clock. `idle` is called when there is nothing to do for now.
pub(super) async fn next_event(
    stop: &mut Pin<&mut impl Future<Output = ()>>,
    in_flight: &mut (impl Stream<Item = Exchanged> + Unpin),
    mut timer: Option<&mut Sleep>,
    mut idle: impl FnMut(),
) -> Event {
    poll_fn(|cx| {
        if stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Stopped);
        }
        if let Poll::Ready(Some(exchanged)) = Pin::new(&mut *in_flight).poll_next(cx) {
            return Poll::Ready(Event::Done(exchanged));
        }
        let due = match &mut timer {
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| Event::Due),
            None => Poll::Pending,
        };
        if due.is_pending() {
            idle();
        }
        due
    })
    .await
}

/// What is kept of an answer.
pub(super) fn outcome(answer: Result<http::Response<Bytes>, Broken>) -> Outcome {
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
                // A copy of its own: as a slice it would keep the connection's whole read buffer for as long as the answer is kept.
                body: Bytes::copy_from_slice(&body),
            })
        }
        Err(Broken { reason, message }) => Outcome::Failed { reason, message },
    }
}
