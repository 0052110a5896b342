//! The answered pairs of a run, fetched when a cause is tried on them.
//!
//! **Invariant**: what is kept for each pair is its place alone; answers are in memory while a cause looks at them.

use crate::{
    comparing::{Compared, Sorted},
    pairs::{Fetched, Pairs, Which},
    rules::Subject,
    run::{Answer, Brief, Outcome},
};

/// A pair with both its answers.
#[derive(Clone, Copy)]
pub(super) struct Answered<'c> {
    /// Its place among the run's pairs.
    pub(super) at: usize,
    pub(super) sorted: &'c Sorted,
    pub(super) endpoint: &'c str,
    pub(super) subject: Subject<'c>,
    pub(super) legacy: &'c Answer,
    pub(super) candidate: &'c Answer,
}

/// All pairs of requests, or of final states, that both sides answered.
pub(super) struct Answers<'c> {
    pairs: Pairs<'c>,
    sorted: &'c [Sorted],
    which: fn(usize) -> Which,
    /// Their places among the run's pairs.
    places: Vec<usize>,
}

/// An answered pair that is fetched.
pub(super) struct Held<'c> {
    at: usize,
    which: Which,
    sorted: &'c Sorted,
    pairs: Pairs<'c>,
    fetched: Fetched<'c>,
}

impl<'c> Answers<'c> {
    /// Of the requests.
    pub(super) fn of_requests(compared: &'c Compared<'_, '_>) -> Self {
        Self::new(compared.pairs, &compared.requests, Which::Request)
    }

    /// Of the final states.
    pub(super) fn of_states(compared: &'c Compared<'_, '_>) -> Self {
        Self::new(compared.pairs, &compared.states, Which::State)
    }

    fn new(pairs: Pairs<'c>, sorted: &'c [Sorted], which: fn(usize) -> Which) -> Self {
        let both = |at: &usize| {
            let briefs = pairs.briefs(which(*at));
            matches!(briefs, (Brief::Answered(_), Brief::Answered(_)))
        };
        Self {
            pairs,
            sorted,
            which,
            places: (0..sorted.len()).filter(both).collect(),
        }
    }

    /// Their places among the run's pairs, in order.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().copied()
    }

    /// What the pair at a place comes to.
    pub(super) fn sorted(&self, at: usize) -> &'c Sorted {
        &self.sorted[at]
    }

    /// The endpoint of the pair at a place.
    pub(super) fn endpoint(&self, at: usize) -> &'c str {
        self.pairs.endpoint((self.which)(at))
    }

    /// The status that legacy answered there.
    pub(super) fn legacy_status(&self, at: usize) -> u16 {
        match self.pairs.briefs((self.which)(at)).0 {
            Brief::Answered(status) => status,
            Brief::Failed(_) | Brief::Skipped(_) => 0,
        }
    }

    /// A digest of the status and the body that legacy answered there.
    pub(super) fn legacy_digest(&self, at: usize) -> u64 {
        self.pairs.digest((self.which)(at))
    }

    /// Fetches the pair at a place.
    pub(super) fn held(&self, at: usize) -> Held<'c> {
        let which = (self.which)(at);
        Held {
            at,
            which,
            sorted: &self.sorted[at],
            pairs: self.pairs,
            fetched: self.pairs.fetch(which),
        }
    }
}

impl Held<'_> {
    /// The pair; `None` if an answer could not be read again.
    pub(super) fn answered(&self) -> Option<Answered<'_>> {
        let (Outcome::Answered(legacy), Outcome::Answered(candidate)) =
            (&*self.fetched.legacy, &*self.fetched.candidate)
        else {
            return None;
        };
        Some(Answered {
            at: self.at,
            sorted: self.sorted,
            endpoint: self.pairs.endpoint(self.which),
            subject: self.pairs.subject(self.which),
            legacy,
            candidate,
        })
    }
}
