//! Wakers: a host's, which marks it as woken, and the world's.
//!
//! **Invariant**: what wakes a host while the world is polled wakes the world no second time, as the world looks at every mark before it
//! rests; at any other time it does. Nothing is polled here.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Wake, Waker},
};

/// Marks in a word.
const BITS: usize = 64;

/// The world's own waker, and a mark for each host that something woke.
pub(super) struct Root {
    waker: Mutex<Option<Waker>>,
    awake: AtomicBool,
    /// A bit a host: the world looks at them several times for each instant, and hardly any is set.
    marks: Box<[AtomicU64]>,
}

impl Root {
    /// That of a world of so many hosts, none of them woken.
    pub(super) fn new(hosts: usize) -> Self {
        let words = hosts.div_ceil(BITS);
        Self {
            waker: Mutex::default(),
            awake: AtomicBool::new(false),
            marks: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The first host of `hosts` that is marked.
    pub(super) fn first_marked(&self, hosts: Range<usize>) -> Option<usize> {
        let mut at = hosts.start;
        while at < hosts.end {
            let rest = self.marks[at / BITS].load(Ordering::Relaxed) >> (at % BITS);
            if rest != 0 {
                at += rest.trailing_zeros() as usize;
                return (at < hosts.end).then_some(at);
            }
            at = (at / BITS + 1) * BITS;
        }
        None
    }

    /// The world is about to be polled.
    pub(super) fn rise(&self, waker: &Waker) {
        self.awake.store(true, Ordering::Relaxed);
        let mut known = self.waker.lock().expect("no panic while waking");
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// It was polled, and no host that may run is woken.
    pub(super) fn rest(&self) {
        self.awake.store(false, Ordering::Relaxed);
    }

    fn wake(&self) {
        if !self.awake.load(Ordering::Relaxed)
            && let Some(world) = self.waker.lock().expect("no panic while waking").as_ref()
        {
            world.wake_by_ref();
        }
    }
}

/// A host's waker: marks it as woken and wakes the world.
pub(super) struct Flag {
    host: usize,
    root: Arc<Root>,
}

impl Flag {
    /// That of the host with this number.
    pub(super) fn new(host: usize, root: Arc<Root>) -> Self {
        Self { host, root }
    }

    fn word(&self) -> (&AtomicU64, u64) {
        (&self.root.marks[self.host / BITS], 1 << (self.host % BITS))
    }

    /// Whether something woke it.
    pub(super) fn is_woken(&self) -> bool {
        let (word, bit) = self.word();
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// Whether something woke it; from here on, nothing has.
    pub(super) fn take(&self) -> bool {
        let (word, bit) = self.word();
        word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (word, bit) = self.word();
        if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.root.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_resting_world_is_woken_and_one_that_is_polled_looks_for_itself() {
        let count = Arc::new(Count::default());
        let root = Arc::new(Root::new(1));
        let flag = Arc::new(Flag::new(0, root.clone()));
        let woken = || count.0.load(Ordering::Relaxed);
        root.rise(&Waker::from(count.clone()));
        flag.wake_by_ref();
        assert_eq!((flag.is_woken(), woken()), (true, 0), "it is being polled");
        assert!(flag.take() && !flag.take());
        root.rest();
        flag.wake_by_ref();
        flag.wake_by_ref();
        assert_eq!((flag.is_woken(), woken()), (true, 1), "once is enough");
    }

    #[test]
    fn the_first_mark_of_a_range_is_found_in_any_word() {
        let root = Arc::new(Root::new(130));
        let flags: Vec<_> = [3, 63, 64, 129]
            .map(|host| Arc::new(Flag::new(host, root.clone())))
            .into();
        assert_eq!(root.first_marked(0..130), None);
        for flag in &flags {
            flag.wake_by_ref();
        }
        for (range, first) in [
            (0..130, Some(3)),
            (0..3, None),
            (4..63, None),
            (4..130, Some(63)),
            (64..130, Some(64)),
            (65..129, None),
            (65..130, Some(129)),
            (130..130, None),
        ] {
            assert_eq!(root.first_marked(range.clone()), first, "{range:?}");
        }
        assert!(flags[1].take() && !flags[1].is_woken() && flags[2].is_woken());
    }
}
