//! What is counted while the pairs of a run go by.
//!
//! **Invariant**: every pair is counted once, in the plan's order, whatever it came to.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    clusters::Clusters,
    coverage::Behavior,
    diff::{Category, Comparison, shortened},
    pairs::{Pair, STATE, Which},
    plan::{Plan, Planned},
    report::PairedAccounting,
    run::{Outcome, SkipReason},
    sensitivity::Sample,
    sequential::Sequential,
    verdict::{Gate, Proof, Tally},
};

/// Endpoints beyond this many share one line: undeclared paths can be as many as requests.
const ENDPOINTS: usize = 100;

/// What is counted while pairs are compared.
pub(super) struct Count<'a> {
    pub(super) pairs: Tally,
    pub(super) states: Tally,
    pub(super) states_skipped: u64,
    /// Requests that were not sent because the question was decided.
    pub(super) decided: u64,
    pub(super) accounting: PairedAccounting,
    pub(super) endpoints: BTreeMap<String, Tally>,
    pub(super) clusters: Clusters,
    pub(super) sessions: BTreeSet<&'a str>,
    pub(super) wrong_sessions: BTreeSet<&'a str>,
    pub(super) alone: (u64, u64),
    pub(super) accepted: u64,
    pub(super) sample: Sample<'a>,
    pub(super) behavior: Behavior<'a>,
    pub(super) stream: Sequential,
    /// The pairs that a declared plan asks for, and what is known of them so far: pairs, mismatches.
    planned: u64,
    pub(super) first: (u64, u64),
    pub(super) throttled: u64,
    /// Requests that the recorded service had accepted, and those of them that both sides refused.
    pub(super) recorded: (u64, u64),
}

impl<'a> Count<'a> {
    pub(super) fn new(plan: &Plan, gate: &Gate) -> Self {
        Self {
            pairs: Tally::default(),
            states: Tally::default(),
            states_skipped: 0,
            decided: 0,
            accounting: PairedAccounting::default(),
            endpoints: BTreeMap::new(),
            clusters: Clusters::default(),
            sessions: BTreeSet::new(),
            wrong_sessions: BTreeSet::new(),
            alone: (0, 0),
            accepted: 0,
            sample: Sample::new(&plan.source.sha256),
            behavior: Behavior::default(),
            stream: Sequential::new(gate.limit),
            planned: match gate.proof {
                Proof::Plan(plan) => plan.requests,
                Proof::Capture | Proof::Stream => 0,
            },
            first: (0, 0),
            throttled: 0,
            recorded: (0, 0),
        }
    }

    /// Counts a request's pair; pairs come in the plan's order.
    pub(super) fn request(
        &mut self,
        at: usize,
        planned: &'a Planned,
        pair: &Pair<'_>,
        category: Category,
        comparison: &Comparison,
    ) {
        let entity = planned.order.as_deref();
        self.behavior.add(pair.endpoint, entity, pair.legacy);
        let accounting = &mut self.accounting;
        accounting.planned += 1;
        self.decided += u64::from(is_decided(pair));
        match (pair.legacy, pair.candidate) {
            (Outcome::Skipped(_), _) | (_, Outcome::Skipped(_)) => accounting.skipped += 1,
            (Outcome::Answered(legacy), Outcome::Answered(candidate)) => {
                accounting.sent += 1;
                accounting.answered += 1;
                self.accepted += u64::from(legacy.status < 400 && candidate.status < 400);
                self.throttled += u64::from((legacy.status, candidate.status) == (429, 429));
                // A page that has not changed since is one that is there.
                let refused = |status: u16| !(200..300).contains(&status) && status != 304;
                let refused = refused(legacy.status) && refused(candidate.status);
                self.recorded.0 += u64::from(planned.accepted);
                self.recorded.1 += u64::from(planned.accepted && refused);
            }
            _ => {
                accounting.sent += 1;
                accounting.failed += 1;
            }
        }
        add(&mut self.pairs, category);
        if category != Category::Skipped {
            let name = shortened(pair.endpoint);
            let full = self.endpoints.len() >= ENDPOINTS && !self.endpoints.contains_key(&name);
            let name = if full { "(others)".to_owned() } else { name };
            add(self.endpoints.entry(name).or_default(), category);
        }
        let wrong = matches!(category, Category::Mismatched | Category::FailedOneSide);
        if wrong || category == Category::Matched {
            self.stream.observe(wrong);
            if self.first.0 < self.planned {
                self.first.0 += 1;
                self.first.1 += u64::from(wrong);
            }
            if let Some(session) = planned.session.as_deref() {
                self.sessions.insert(session);
                if wrong {
                    self.wrong_sessions.insert(session);
                }
            } else {
                // A request without a session is one of its own.
                self.alone.0 += 1;
                self.alone.1 += u64::from(wrong);
            }
        }
        let which = (&*planned.endpoint, Which::Request(at));
        self.common(which, pair, category, comparison);
    }

    /// Counts a final state's pair.
    pub(super) fn state(
        &mut self,
        at: usize,
        pair: &Pair<'_>,
        category: Category,
        comparison: &Comparison,
    ) {
        let unread = category == Category::Skipped && !is_decided(pair);
        self.states_skipped += u64::from(unread);
        add(&mut self.states, category);
        self.common((STATE, Which::State(at)), pair, category, comparison);
    }

    fn common(
        &mut self,
        (endpoint, which): (&'a str, Which),
        pair: &Pair<'_>,
        category: Category,
        comparison: &Comparison,
    ) {
        match category {
            // A read that overlapped a write differs, so it would be caught whatever is mutated in it.
            Category::Ignored if !comparison.differences.is_empty() => {}
            Category::Matched | Category::Ignored => self.sample.offer(endpoint, which),
            Category::Mismatched | Category::FailedOneSide | Category::FailedBoth => {
                self.clusters.add(pair, &comparison.differences);
            }
            Category::Noise | Category::Skipped => {}
        }
    }
}

/// Whether neither side was asked because the question was decided.
fn is_decided(pair: &Pair<'_>) -> bool {
    let decided = Outcome::Skipped(SkipReason::Decided);
    *pair.legacy == decided && *pair.candidate == decided
}

fn add(tally: &mut Tally, category: Category) {
    match category {
        Category::Matched => tally.matched += 1,
        Category::Mismatched => tally.mismatched += 1,
        Category::Ignored => tally.ignored += 1,
        Category::Noise => tally.noise += 1,
        Category::FailedOneSide => tally.failed_one_side += 1,
        Category::FailedBoth => tally.failed_both += 1,
        Category::Skipped => {}
    }
}
