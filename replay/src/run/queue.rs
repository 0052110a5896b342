//! What is due, and what has to wait for what.
//!
//! A request waits for the one before it with the same order key, and for every request whose answer invents a value that it carries.
//!
//! **Invariant**: a request waits only for earlier ones, so whatever is released comes to its turn once all before it are finished. Of those that
//! may be sent the earliest is first, whenever it was let go: one at a time, all are sent in the capture's order.

use std::collections::BTreeMap;

/// So many requests that are due may wait to be sent: at the pace `max` all are due at once, and what a target that answers slowly holds back is
/// not kept twice. More wait in the plan.
const AHEAD: usize = 16_384;

/// One request of a phase, as the queue sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    /// When it is to be sent.
    pub(super) at_ns: u64,
    /// Requests with the same key keep their order.
    pub(super) order: Option<u32>,
    /// The session whose connection and cookies it uses; 0 for none.
    pub(super) session: u32,
    /// Earlier requests whose answers it needs.
    pub(super) after: Box<[usize]>,
}

/// The requests of a phase that are not finished.
pub(super) struct Queue<'j> {
    jobs: &'j [Job],
    /// The first that is not due yet.
    next: usize,
    /// What may be sent, and whether it had to wait for another request.
    ready: BTreeMap<usize, bool>,
    /// What waits for an unfinished request.
    dependents: BTreeMap<usize, Vec<usize>>,
    /// For how many requests a released one still waits.
    waiting: BTreeMap<usize, usize>,
    /// The last released request of each order key, while it is unfinished.
    last: BTreeMap<u32, usize>,
    finished: Vec<bool>,
    /// When there was no room for a request that was due.
    crowded_ns: Option<u64>,
}

impl<'j> Queue<'j> {
    /// All of `jobs`, but for those that are `finished` already.
    pub(super) fn new(jobs: &'j [Job], finished: Vec<bool>) -> Self {
        Self {
            jobs,
            next: 0,
            ready: BTreeMap::new(),
            dependents: BTreeMap::new(),
            waiting: BTreeMap::new(),
            last: BTreeMap::new(),
            finished,
            crowded_ns: None,
        }
    }

    /// Releases what is due by `now_ns`, as far as [`AHEAD`] allows.
    pub(super) fn release(&mut self, now_ns: u64) {
        while self.has_room()
            && let Some(job) = self.jobs.get(self.next).filter(|job| job.at_ns <= now_ns)
        {
            let at = self.next;
            self.next += 1;
            if self.finished[at] {
                continue;
            }
            let before = job.order.and_then(|key| self.last.insert(key, at));
            let mut waits = 0;
            for earlier in before.into_iter().chain(job.after.iter().copied()) {
                if !self.finished[earlier] {
                    self.dependents.entry(earlier).or_default().push(at);
                    waits += 1;
                }
            }
            if waits == 0 {
                self.ready.insert(at, false);
            } else {
                self.waiting.insert(at, waits);
            }
        }
        let next = self.jobs.get(self.next);
        if next.is_some_and(|job| job.at_ns <= now_ns) {
            self.crowded_ns = Some(now_ns);
        }
    }

    /// Whether the request at `at` was due when there was no room.
    pub(super) fn was_crowded(&self, at: usize) -> bool {
        let due_ns = self.jobs[at].at_ns;
        self.crowded_ns
            .is_some_and(|crowded_ns| due_ns <= crowded_ns)
    }

    /// The next request that may be sent, and whether it had to wait for another one.
    pub(super) fn pop(&mut self) -> Option<(usize, bool)> {
        self.ready.pop_first()
    }

    /// How many may be sent now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Lets go what waited for `at`.
    pub(super) fn finish(&mut self, at: usize) {
        self.finished[at] = true;
        if let Some(key) = self.jobs[at].order
            && self.last.get(&key) == Some(&at)
        {
            self.last.remove(&key);
        }
        for dependent in self.dependents.remove(&at).unwrap_or_default() {
            if let Some(waits) = self.waiting.get_mut(&dependent) {
                *waits -= 1;
                if *waits == 0 {
                    self.waiting.remove(&dependent);
                    self.ready.insert(dependent, true);
                }
            }
        }
    }

    /// When the next request is due; nothing while there is no room for it.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let job = self.jobs.get(self.next).filter(|_| self.has_room());
        job.map(|job| job.at_ns)
    }

    fn has_room(&self) -> bool {
        self.ready.len() + self.waiting.len() < AHEAD
    }

    /// Nothing from `end` on is sent any more.
    pub(super) fn cut(&mut self, end: usize) {
        self.jobs = &self.jobs[..end];
        self.next = self.next.min(end);
        self.ready.retain(|at, _| *at < end);
        self.waiting.retain(|at, _| *at < end);
    }

    /// Whether nothing is left but what is under way.
    pub(super) fn is_drained(&self) -> bool {
        self.next == self.jobs.len() && self.ready.is_empty() && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(at_ns: u64, order: Option<u32>, after: &[usize]) -> Job {
        Job {
            at_ns,
            order,
            session: 0,
            after: after.into(),
        }
    }

    #[test]
    fn order_keys_and_needed_answers_are_waited_for() {
        let jobs = [
            job(0, Some(1), &[]),
            job(0, Some(1), &[]),
            job(0, None, &[0]),
            job(0, Some(2), &[1, 2]),
            job(9, None, &[]),
        ];
        let mut queue = Queue::new(&jobs, vec![false; 5]);
        queue.release(0);
        assert_eq!((queue.pop(), queue.pop()), (Some((0, false)), None));
        queue.finish(0);
        assert_eq!(queue.pop(), Some((1, true)));
        assert_eq!(queue.pop(), Some((2, true)));
        queue.finish(1);
        assert_eq!(queue.pop(), None, "it needs two answers");
        queue.finish(2);
        assert_eq!(queue.pop(), Some((3, true)));
        assert_eq!(queue.due_ns(), Some(9));
        queue.finish(3);
        assert!(!queue.is_drained());
        queue.release(9);
        assert_eq!(queue.pop(), Some((4, false)));
        assert!(queue.is_drained());
    }

    #[test]
    fn the_earliest_goes_first_whenever_it_was_let_go() {
        let jobs = [
            job(0, Some(1), &[]),
            job(0, Some(1), &[]),
            job(0, None, &[]),
            job(0, Some(1), &[]),
            job(0, None, &[]),
        ];
        let mut queue = Queue::new(&jobs, vec![false; 5]);
        queue.release(0);
        for expect in 0..5 {
            let (at, _) = queue.pop().expect("one may be sent");
            assert_eq!(at, expect);
            queue.finish(at);
        }
    }

    #[test]
    fn what_is_finished_already_holds_nothing_back() {
        let jobs = [job(0, Some(1), &[]), job(0, Some(1), &[0])];
        let mut queue = Queue::new(&jobs, vec![true, false]);
        queue.release(0);
        assert_eq!((queue.pop(), queue.pop()), (Some((1, false)), None));
    }

    #[test]
    fn what_is_cut_off_is_not_sent_and_holds_back_nothing() {
        let jobs = [
            job(0, Some(1), &[]),
            job(0, Some(1), &[]),
            job(0, Some(1), &[]),
            job(0, None, &[0]),
            job(9, None, &[]),
        ];
        let mut queue = Queue::new(&jobs, vec![false; 5]);
        queue.release(0);
        assert_eq!(queue.pop(), Some((0, false)));
        queue.cut(2);
        assert_eq!((queue.due_ns(), queue.is_drained()), (None, false));
        queue.finish(0);
        assert_eq!((queue.pop(), queue.pop()), (Some((1, true)), None));
        queue.finish(1);
        assert!(queue.is_drained());
    }

    #[test]
    fn more_than_may_wait_stay_in_the_plan_until_there_is_room() {
        let jobs = vec![job(0, Some(1), &[]); AHEAD + 2];
        let mut queue = Queue::new(&jobs, vec![false; jobs.len()]);
        for at in 0..jobs.len() {
            queue.release(0);
            assert!(queue.waiting.len() <= AHEAD);
            assert!(queue.was_crowded(at), "two too many are due");
            assert_eq!(queue.pop().map(|(at, _)| at), Some(at));
            queue.finish(at);
        }
        assert!(queue.is_drained());
    }
}
