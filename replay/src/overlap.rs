//! Reads that overlapped a write: what they may show, and which mismatches that excuses.
//!
//! Requests of one entity keep their order on each side, but a list is read while entities in it are written. A read that was under way together
//! with a write may show what was before the write or what is after it; so may a read that came before the write on one side and after it on the
//! other, since nothing ordered the two. Such a write is *free* for that read. A mismatched read is excused where legacy has shown what the candidate
//! shows, at another time, in a read of the same target or in another list's item of the same entity, and nothing but free writes lies between that
//! time and this read.
//!
//! **Invariant**: a read is excused by what legacy has really answered, never by an overlap alone; and a write that came before the read
//! on both sides excuses nothing: an old answer is a mismatch then (a stale read). What is excused is ignored, never matched.
//!
//! It deliberately knows a run only by its answers and spans: it asks no service again.

mod items;
mod spans;

use std::collections::{BTreeMap, BTreeSet};

pub use spans::{Spans, Watch};

use self::{
    items::{alone, lists_alone, mentions, without},
    spans::Order,
};
use crate::{
    comparing::Sorted,
    diff::{Category, Comparer},
    pairs::{Pairs, Which},
    plan::Plan,
    run::{Answer, Outcome},
};

/// So many mismatched reads are looked at.
const READS: usize = 2_000;

/// So many reads before and after one are asked what they have shown.
const NEAR: usize = 24;

/// A read may overlap writes to so many entities that its list shows.
const ENTITIES: usize = 8;

/// Makes mismatched reads that overlapped a write *ignored* where they show what was before or after it. Returns how many.
pub(crate) fn excuse(
    plan: &Plan,
    pairs: Pairs<'_>,
    requests: &mut [Sorted],
    comparer: &Comparer<'_>,
    spans: [&Spans; 2],
) -> u64 {
    let wrong: Vec<usize> = (0..requests.len())
        .filter(|at| requests[*at].category == Category::Mismatched && is_read(plan, *at))
        .take(READS)
        .collect();
    if wrong.is_empty() {
        return 0;
    }
    let history = History::of(plan, pairs, spans);
    if history.writes.is_empty() {
        return 0;
    }
    let mut comparer = comparer.clone().frozen();
    let excused: Vec<usize> = wrong
        .into_iter()
        .filter(|at| history.allows(*at, &mut comparer))
        .collect();
    for at in &excused {
        requests[*at].category = Category::Ignored;
    }
    excused.len() as u64
}

fn is_read(plan: &Plan, at: usize) -> bool {
    matches!(&*plan.requests[at].method, "GET" | "HEAD")
}

/// What was asked, and when.
struct History<'p> {
    plan: &'p Plan,
    pairs: Pairs<'p>,
    spans: [&'p Spans; 2],
    writes: Vec<usize>,
    /// Writes by their path.
    paths: BTreeMap<&'p str, Vec<usize>>,
    /// Writes by their entity, the first of which may have created it.
    entities: BTreeMap<&'p str, Vec<usize>>,
    /// Reads of one target.
    targets: BTreeMap<&'p str, Vec<usize>>,
    /// Reads of one endpoint.
    endpoints: BTreeMap<&'p str, Vec<usize>>,
    /// The places of requests in the plan, by those in the capture.
    places: BTreeMap<u64, usize>,
}

impl<'p> History<'p> {
    fn of(plan: &'p Plan, pairs: Pairs<'p>, spans: [&'p Spans; 2]) -> Self {
        let mut history = Self {
            plan,
            pairs,
            spans,
            writes: Vec::new(),
            paths: BTreeMap::new(),
            entities: BTreeMap::new(),
            targets: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            places: BTreeMap::new(),
        };
        for (at, planned) in plan.requests.iter().enumerate() {
            history.places.insert(planned.seq, at);
            if is_read(plan, at) {
                let target = &*planned.target;
                history.targets.entry(target).or_default().push(at);
                let endpoint = &*planned.endpoint;
                history.endpoints.entry(endpoint).or_default().push(at);
            } else if &*planned.method != "OPTIONS" {
                history.writes.push(at);
                let path = planned.path();
                history.paths.entry(path).or_default().push(at);
                if let Some(entity) = history.entity(at) {
                    history.entities.entry(entity).or_default().push(at);
                }
            }
        }
        history
    }

    fn entity(&self, at: usize) -> Option<&'p str> {
        self.plan.requests[at]
            .order
            .as_deref()?
            .strip_prefix("entity ")
    }

    /// Whether a write may have come before a read or after it, as far as the two sides have to agree.
    fn is_free(&self, read: usize, write: usize) -> bool {
        let [legacy, candidate] = self.spans.map(|spans| spans.order(read, write));
        match (legacy, candidate) {
            (Some(a), Some(b)) => a != b || a == Order::Either,
            _ => false,
        }
    }

    /// Whether some of these writes may have taken effect between two of legacy's reads, and all that may are `free`.
    fn only_free_between(
        &self,
        [one, other]: [usize; 2],
        writes: &[usize],
        free: &BTreeSet<usize>,
    ) -> bool {
        let spans = self.spans[0];
        let between = |write: &usize| match (spans.order(one, *write), spans.order(other, *write)) {
            (Some(a), Some(b)) => a != b || a == Order::Either,
            _ => false,
        };
        // Those that lie between the two in the plan, nearly always, decide: they come first.
        let place = |at: usize| writes.partition_point(|write| *write < at);
        let (from, to) = (place(one.min(other)), place(one.max(other)));
        let mut all = writes[from..to]
            .iter()
            .chain(&writes[..from])
            .chain(&writes[to..])
            .filter(|write| between(write))
            .peekable();
        all.peek().is_some() && all.all(|write| free.contains(write))
    }

    /// The writes that may change what a read shows, in the plan's order: the path of one leads through that of the other, or they touch one entity.
    fn related(&self, read: usize) -> Vec<usize> {
        let path = self.plan.requests[read].path();
        let path = path.trim_end_matches('/');
        let below = self.paths.range(path..);
        let below = below
            .take_while(|(known, _)| known.starts_with(path))
            .filter(|(known, _)| {
                known[path.len()..].is_empty() || known[path.len()..].starts_with('/')
            });
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        let above = above.filter_map(|path| self.paths.get(path));
        let own = self
            .entity(read)
            .and_then(|entity| self.entities.get(entity));
        let mut related: Vec<usize> = below
            .map(|(_, writes)| writes)
            .chain(above)
            .chain(own)
            .flatten()
            .copied()
            .collect();
        related.sort_unstable();
        related.dedup();
        related
    }

    /// Whether what the sides have shown at `read` is what free writes allow.
    fn allows(&self, read: usize, comparer: &mut Comparer<'_>) -> bool {
        let fetched = self.pairs.fetch(Which::Request(read));
        let (Outcome::Answered(legacy), Outcome::Answered(candidate)) =
            (&*fetched.legacy, &*fetched.candidate)
        else {
            return false;
        };
        let free: BTreeSet<usize> = self
            .writes
            .iter()
            .copied()
            .filter(|write| self.is_free(read, *write))
            .collect();
        if free.is_empty() {
            return false;
        }
        let seen = Seen {
            history: self,
            read,
            sides: [legacy, candidate],
            free,
        };
        seen.whole(comparer) || seen.items(comparer)
    }
}

/// An entity, and its ids on either side.
type Written<'s> = (&'s str, [Vec<String>; 2]);

/// A mismatched read.
struct Seen<'s, 'p> {
    history: &'s History<'p>,
    read: usize,
    sides: [&'s Answer; 2],
    free: BTreeSet<usize>,
}

impl<'s, 'p: 's> Seen<'s, 'p> {
    /// Whether the candidate's answer is what legacy answered to the same target at another time, with only free writes between. Where the answers
    /// have lists, they may differ in items of what was written alone: of an old item of another entity, no free write is the cause.
    fn whole(&self, comparer: &mut Comparer<'_>) -> bool {
        let history = self.history;
        let related = history.related(self.read);
        if !related.iter().any(|write| self.free.contains(write)) {
            return false;
        }
        let target = &*history.plan.requests[self.read].target;
        let shown = near(&history.targets[target], self.read).any(|other| {
            history.only_free_between([other, self.read], &related, &self.free)
                && self
                    .answer(0, other)
                    .is_some_and(|then| self.agree(comparer, &then, self.sides[1]))
        });
        shown
            && match self.rest(&self.written()) {
                Some([legacy, candidate]) => {
                    let lists = [legacy, candidate].map(|answer| lists_alone(&answer));
                    matches!(lists, [Some(legacy), Some(candidate)] if self.agree(comparer, &legacy, &candidate))
                }
                // No JSON on one side: there are no items to look at.
                None => true,
            }
    }

    /// The entities of free writes that the answers speak of, with their ids on each side.
    fn written(&self) -> Vec<Written<'s>> {
        let entities: BTreeSet<&str> = self
            .free
            .iter()
            .filter_map(|write| self.history.entity(*write))
            .collect();
        entities
            .into_iter()
            .map(|entity| (entity, [0, 1].map(|side| self.ids(entity, side))))
            .filter(|(_, ids)| (0..2).any(|side| mentions(self.sides[side], &ids[side])))
            .take(ENTITIES + 1)
            .collect()
    }

    /// Both answers without the items of those entities; `None` if one is no JSON.
    fn rest(&self, written: &[Written<'_>]) -> Option<[Answer; 2]> {
        let side = |side: usize| {
            let ids: Vec<String> = written
                .iter()
                .flat_map(|(_, ids)| ids[side].clone())
                .collect();
            without(self.sides[side], &ids)
        };
        Some([side(0)?, side(1)?])
    }

    /// Whether the lists differ only in items of entities that free writes changed, and each of those is what legacy has shown.
    fn items(&self, comparer: &mut Comparer<'_>) -> bool {
        let written = self.written();
        if written.is_empty() || written.len() > ENTITIES {
            return false;
        }
        let Some([legacy, candidate]) = self.rest(&written) else {
            return false;
        };
        self.agree(comparer, &legacy, &candidate)
            && written
                .iter()
                .all(|(entity, ids)| self.item(entity, ids, comparer))
    }

    /// Whether an entity's items are the same on both sides, or the candidate's as legacy has shown them.
    fn item(&self, entity: &str, ids: &[Vec<String>; 2], comparer: &mut Comparer<'_>) -> bool {
        let own = [0, 1].map(|side| alone(self.sides[side], &ids[side]));
        let [Some((legacy, on_legacy)), Some((candidate, on_candidate))] = &own else {
            return false;
        };
        if self.agree(comparer, legacy, candidate) {
            return true;
        }
        let (plan, writes) = (&self.history.plan.requests, &self.history.entities[entity]);
        // One that was not there yet, or is no more, needs no witness.
        let made_or_gone = |write: &&usize| {
            let request = &plan[**write];
            let named = request.path().split('/').any(|step| step == entity);
            &*request.method == "DELETE"
                || (&*request.method == "POST" && !named && writes.first() == Some(write))
        };
        if !on_candidate
            && writes
                .iter()
                .filter(made_or_gone)
                .any(|write| self.free.contains(write))
        {
            return *on_legacy;
        }
        let (endpoint, target) = (&*plan[self.read].endpoint, &plan[self.read].target);
        near(&self.history.endpoints[endpoint], self.read).any(|other| {
            // Another list may lack an item because it is another list.
            (*on_candidate || plan[other].target == *target)
                && self
                    .history
                    .only_free_between([other, self.read], writes, &self.free)
                && self
                    .answer(0, other)
                    .and_then(|then| alone(&then, &ids[0]))
                    .is_some_and(|(then, found)| {
                        found == *on_candidate && self.agree(comparer, &then, candidate)
                    })
        })
    }

    /// The ids that an entity has on one side: the recorded one, and the one that the side invented.
    fn ids(&self, entity: &str, side: usize) -> Vec<String> {
        let plan = self.history.plan;
        let mut ids = vec![entity.to_owned()];
        let live = || {
            let value = &plan.values[*plan.invented.get(entity)?];
            let producer = *self.history.places.get(&value.producer)?;
            let answer = self.answer(side, producer)?;
            value.place.find(&answer.headers, &answer.body, |_| None)
        };
        ids.extend(live());
        ids
    }

    fn answer(&self, side: usize, at: usize) -> Option<Answer> {
        let fetched = self.history.pairs.fetch(Which::Request(at));
        let outcome = if side == 0 {
            fetched.legacy
        } else {
            fetched.candidate
        };
        match outcome.into_owned() {
            Outcome::Answered(answer) => Some(answer),
            Outcome::Failed { .. } | Outcome::Skipped(_) => None,
        }
    }

    /// Whether an answer of legacy's and one of the candidate's are the same under the rules.
    fn agree(&self, comparer: &mut Comparer<'_>, legacy: &Answer, candidate: &Answer) -> bool {
        let subject = self.history.pairs.subject(Which::Request(self.read));
        let comparison = comparer.compare(subject, legacy, candidate);
        comparison.differences.is_empty()
    }
}

/// The reads of a sorted list that are nearest to one, without it.
fn near(reads: &[usize], read: usize) -> impl Iterator<Item = usize> {
    let at = reads.partition_point(|known| *known < read);
    let before = reads[..at].iter().rev().take(NEAR);
    let after = reads[at..].iter().skip(1).take(NEAR);
    before.chain(after).copied()
}
