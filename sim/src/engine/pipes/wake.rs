//! Wakers: a host's, which marks it as woken, and the world's.
//!
//! **Invariant**: what wakes a host while the world is polled wakes the world no second time, as the world looks at every mark before it
//! rests; at any other time it does. Nothing is polled here.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

/// The world's own waker.
#[derive(Default)]
pub(super) struct Root {
    waker: Mutex<Option<Waker>>,
    awake: AtomicBool,
}

impl Root {
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
    woken: AtomicBool,
    root: Arc<Root>,
}

impl Flag {
    /// A host's that nothing has woken.
    pub(super) fn new(root: Arc<Root>) -> Self {
        Self {
            woken: AtomicBool::new(false),
            root,
        }
    }

    /// Whether something woke it.
    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    /// Whether something woke it; from here on, nothing has.
    pub(super) fn take(&self) -> bool {
        self.woken.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Relaxed) {
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
        let root = Arc::new(Root::default());
        let flag = Arc::new(Flag::new(root.clone()));
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
}
