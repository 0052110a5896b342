//! Decides a stream of pairs while the sides still answer, so that the sending can end when the evidence is enough.
//!
//! Pairs are compared in the plan's order, each when both sides have it. Invented values are paired at first sight here: a whole run cannot be
//! looked at before it is over. What is decided ends the sending and is no verdict: that one is made of all that was answered, as ever.
//!
//! **Invariant**: no pair is looked at before all earlier ones, so the evidence is that of a stream, whatever the order of the answers.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    diff::{Category, Comparer, categorize},
    pairs::of_request,
    plan::Plan,
    rules::{Rules, Side},
    run::{Archive, Outcome, Place, SkipReason, read},
    sequential::{Decision, Sequential},
};

/// A stream that is being decided.
#[derive(Debug)]
pub struct Deciding<'r> {
    plan: &'r Plan,
    comparer: Comparer<'r>,
    archive: Arc<dyn Archive>,
    stream: Sequential,
    /// The first request that was not compared.
    next: usize,
    /// What came of later ones, and where it is: nowhere for one that was skipped.
    legacy: BTreeMap<usize, Option<Place>>,
    candidate: BTreeMap<usize, Option<Place>>,
}

impl<'r> Deciding<'r> {
    /// Nothing has come yet.
    pub fn new(plan: &'r Plan, rules: &'r Rules, limit: f64, archive: Arc<dyn Archive>) -> Self {
        Self {
            plan,
            comparer: Comparer::new(rules),
            archive,
            stream: Sequential::new(limit),
            next: 0,
            legacy: BTreeMap::new(),
            candidate: BTreeMap::new(),
        }
    }

    /// Takes note of what one side made of the request at `at`.
    pub fn tell(&mut self, side: Side, at: usize, place: Option<Place>) {
        match side {
            Side::Legacy => self.legacy.insert(at, place),
            Side::Candidate => self.candidate.insert(at, place),
        };
    }

    /// Compares what can be compared by now, and says what is decided, if anything is.
    pub fn decided(&mut self) -> Option<Decision> {
        while self.stream.decision().is_none()
            && self.legacy.contains_key(&self.next)
            && self.candidate.contains_key(&self.next)
        {
            let legacy = self.legacy.remove(&self.next).flatten();
            let candidate = self.candidate.remove(&self.next).flatten();
            let (legacy, candidate) = (self.outcome(legacy), self.outcome(candidate));
            let pair = of_request(&self.plan.requests[self.next], &legacy, &candidate);
            match categorize(&mut self.comparer, &pair).0 {
                Category::Matched => self.stream.observe(false),
                Category::Mismatched | Category::FailedOneSide => self.stream.observe(true),
                Category::Ignored | Category::Noise | Category::FailedBoth | Category::Skipped => {}
            }
            self.next += 1;
        }
        self.stream.decision()
    }

    fn outcome(&self, place: Option<Place>) -> Outcome {
        let skipped = Outcome::Skipped(SkipReason::Stopped);
        place.map_or(skipped, |place| read(&*self.archive, place))
    }
}
