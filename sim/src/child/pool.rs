//! Many children at once, waited for by one thread.
//!
//! **Invariant**: at most `jobs` children run, and each started body is reported exactly once, unless the receiver breaks off or the pool is told
//! to stop; then the rest is killed. It keeps no queue: the next body is drawn when a place is free, so an endless iterator is fine.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use super::{Child, ChildError, forker::Forker, wait_for_one};

/// How far the pool may run ahead of the earliest undelivered result, in multiples of its jobs, when results are delivered in order.
const LOOK_AHEAD: usize = 16;

/// How often a pool that may be told to stop looks whether it was, in real time.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A pool of forked children.
#[derive(Clone, Debug)]
pub struct Pool {
    jobs: NonZeroUsize,
    limit: Duration,
    stop: Option<Arc<AtomicBool>>,
}

impl Pool {
    /// At most `jobs` children at once, each for at most `limit` of real time.
    pub fn new(jobs: NonZeroUsize, limit: Duration) -> Self {
        Self {
            jobs,
            limit,
            stop: None,
        }
    }

    /// The pool that ends as soon as `stop` is set: the children under way are killed, and nothing more is reported.
    #[must_use]
    pub fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self {
            stop: Some(stop),
            ..self
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(SeqCst))
    }

    /// Runs every body; `receive` gets its position and result as soon as it ends, in any order. Breaking off kills the children under way.
    pub fn run<B: FnOnce() -> Vec<u8>>(
        &self,
        bodies: impl IntoIterator<Item = B>,
        mut receive: impl FnMut(usize, Result<Vec<u8>, ChildError>) -> ControlFlow<()>,
    ) {
        self.drive(bodies, |position, result| {
            (receive(position, result), position)
        });
    }

    /// As [`Pool::run`], but `receive` gets the results in the order of the bodies.
    pub fn run_in_order<B: FnOnce() -> Vec<u8>>(
        &self,
        bodies: impl IntoIterator<Item = B>,
        mut receive: impl FnMut(usize, Result<Vec<u8>, ChildError>) -> ControlFlow<()>,
    ) {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        self.drive(bodies, |position, result| {
            waiting.insert(position, result);
            while let Some(result) = waiting.remove(&next) {
                next += 1;
                if receive(next - 1, result).is_break() {
                    return (ControlFlow::Break(()), next);
                }
            }
            (ControlFlow::Continue(()), next)
        });
    }

    /// `deliver` answers whether to go on, and the position that starting new bodies must not run too far ahead of.
    fn drive<B: FnOnce() -> Vec<u8>>(
        &self,
        bodies: impl IntoIterator<Item = B>,
        deliver: impl FnMut(usize, Result<Vec<u8>, ChildError>) -> (ControlFlow<()>, usize),
    ) {
        Forker::with(|forker| self.fork_and_wait(forker, bodies, deliver));
    }

    fn fork_and_wait<B: FnOnce() -> Vec<u8>>(
        &self,
        forker: &Forker,
        bodies: impl IntoIterator<Item = B>,
        mut deliver: impl FnMut(usize, Result<Vec<u8>, ChildError>) -> (ControlFlow<()>, usize),
    ) {
        let jobs = self.jobs.get();
        let mut bodies = bodies.into_iter().enumerate().fuse();
        let mut children: Vec<Child> = Vec::with_capacity(jobs);
        let mut floor = 0;
        let mut started = 0;
        let patience = if self.stop.is_some() {
            LOOK_EVERY
        } else {
            self.limit
        };
        loop {
            let mut ended = None;
            while ended.is_none()
                && children.len() < jobs
                && (children.is_empty() || started < floor + LOOK_AHEAD * jobs)
            {
                let Some((position, body)) = bodies.next() else {
                    break;
                };
                started = position + 1;
                match forker.start(self.limit, position, body) {
                    Ok(child) => children.push(child),
                    Err(error) => ended = Some((position, Err(error))),
                }
            }
            if ended.is_none() {
                if children.is_empty() || self.is_stopped() {
                    return;
                }
                ended = wait_for_one(&mut children, patience);
            }
            if let Some((position, result)) = ended {
                let (flow, at) = deliver(position, result);
                if flow.is_break() {
                    return;
                }
                floor = floor.max(at);
            }
        }
    }
}
