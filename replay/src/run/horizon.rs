//! How far the sides of one replay go, when the question is decided before the capture is at its end.
//!
//! **Invariant**: all sides are sent the same requests: those before the place that the farthest of them had reached when the horizon was closed,
//! and no other. Else what one side alone was asked would show as a difference of their final states.

use std::sync::{Mutex, PoisonError};

/// Shared by the runs of a replay, and by who decides.
#[derive(Debug, Default)]
pub struct Horizon(Mutex<Reach>);

#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    /// All requests that some side has begun are before this place in the plan.
    begun: usize,
    end: Option<usize>,
}

impl Horizon {
    /// Nothing is begun from now on that no side has begun yet.
    pub fn close(&self) {
        let mut reach = self.reach();
        reach.end = reach.end.or(Some(reach.begun));
    }

    /// The first request that is not sent any more.
    pub fn end(&self) -> Option<usize> {
        self.reach().end
    }

    /// Whether the request at `at` may be begun; it is then.
    pub(super) fn begin(&self, at: usize) -> bool {
        let mut reach = self.reach();
        let within = reach.end.is_none_or(|end| at < end);
        if within {
            reach.begun = reach.begun.max(at + 1);
        }
        within
    }

    fn reach(&self) -> std::sync::MutexGuard<'_, Reach> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_has_begun_the_other_may_begin_too() {
        let horizon = Horizon::default();
        assert!(horizon.begin(4) && horizon.begin(2));
        horizon.close();
        assert!(horizon.begin(4) && horizon.begin(3));
        assert!(!horizon.begin(5));
        assert_eq!(horizon.end(), Some(5));
        horizon.close();
        assert_eq!(horizon.end(), Some(5), "it is closed once");
    }
}
