//! Graceful stops: how a host's main learns that it shall end, and says that it has.
//!
//! **Invariant**: a host that is not asked never hears of it; one that does not answer within its grace is killed, by the conductor.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Up,
    Asked,
    Ended,
}

#[derive(Debug, Default)]
struct Stop {
    standing: Standing,
    waiting: Vec<Waker>,
}

/// The stops of a run, by host. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Stops(Arc<Mutex<BTreeMap<String, Stop>>>);

impl Stops {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Stop>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Done once `host` is asked to end: what a program on a real machine would make of SIGTERM.
    pub fn asked(&self, host: &str) -> impl Future<Output = ()> + Send + use<> {
        // Not tokio's `watch`: to wait there takes from the random stream of `select!`, so that a run without a stop would be another.
        let (stops, host) = (self.clone(), host.to_owned());
        poll_fn(move |cx| {
            let mut hosts = stops.lock();
            let stop = hosts.entry(host.clone()).or_default();
            if stop.standing != Standing::Up {
                return Poll::Ready(());
            }
            if !stop.waiting.iter().any(|kept| kept.will_wake(cx.waker())) {
                stop.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// A main calls this when its program has ended; if so because it was asked to, the answer is true, and it has nothing left to do.
    pub fn ended(&self, host: &str) -> bool {
        let mut hosts = self.lock();
        let asked = hosts
            .get_mut(host)
            .filter(|stop| stop.standing != Standing::Up);
        asked.is_some_and(|stop| {
            stop.standing = Standing::Ended;
            true
        })
    }

    pub(crate) fn ask(&self, host: &str) {
        let waiting = {
            let mut hosts = self.lock();
            let stop = hosts.entry(host.to_owned()).or_default();
            stop.standing = Standing::Asked;
            std::mem::take(&mut stop.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn has_ended(&self, host: &str) -> bool {
        self.lock()
            .get(host)
            .is_some_and(|stop| stop.standing == Standing::Ended)
    }

    /// The host is down: its next boot is not asked.
    pub(crate) fn forget(&self, host: &str) {
        self.lock().remove(host);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_is_asked_hears_of_it_and_nobody_else() {
        let stops = Stops::default();
        assert!(!stops.ended("a"), "it ended by itself");
        stops.ask("a");
        assert!(stops.asked("a").now_or_never().is_some());
        assert!(stops.asked("b").now_or_never().is_none());
        assert!(!stops.has_ended("a"));
        assert!(stops.ended("a") && stops.has_ended("a"));
        stops.forget("a");
        assert!(stops.asked("a").now_or_never().is_none());
    }
}
