//! Reproducers: for each cluster of differences the few requests that show it.
//!
//! A cluster's smallest example is cut out of the capture with what it may depend on, in three widening slices: earlier requests of the same
//! entity, and those whose answers invent what they carry; those of the sessions that touched it and of the entities that these touched; all before it. Where a slice can be run again, the first
//! that shows the cluster is shrunk by delta debugging. Where it cannot (a running service has changed by then), the first slice is handed over
//! as it is, and says that it was not run.
//!
//! **Invariant**: what is called verified was run and showed the cluster, as it is written. It deliberately runs nothing itself: who calls brings
//! the trial.

mod ddmin;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    capture::{Capture, Exchange},
    clusters::Cluster,
    pairs::STATE,
    plan::Plan,
};

pub use told::{Reproducer, inserted, lines, markdown};

/// The widest slice: a reproducer that needs more is found by hand.
const WIDEST: usize = 2_000;

/// A cluster, and where it may be reproduced from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Suspect {
    /// The cluster's.
    pub fingerprint: String,
    /// Requests by their place in the capture, from the narrowest slice to the widest.
    pub slices: Vec<Vec<u64>>,
}

/// What was left of a suspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduced {
    /// Requests by their place in the capture.
    pub requests: Vec<u64>,
    /// Whether they were run and showed the cluster.
    pub verified: bool,
    /// How often something was run.
    pub trials: u64,
}

/// The `most` largest clusters, each with its slices.
pub fn suspects(plan: &Plan, clusters: &[Cluster], most: usize) -> Vec<Suspect> {
    let index = Index::new(plan);
    let reproducible = clusters.iter().filter_map(|cluster| {
        let slices = cluster.examples.iter().filter_map(|example| {
            if cluster.endpoint == STATE {
                let id = plan.entities.get(usize::try_from(example.seq).ok()?)?;
                index.slices(&format!("entity {id}"), plan.requests.len())
            } else {
                let at = index.places.get(&example.seq)?;
                index.slices_of(*at)
            }
        });
        let seqs = |slice: Vec<usize>| slice.into_iter().map(|at| plan.requests[at].seq).collect();
        slices
            .min_by_key(|slices| slices[0].len())
            .map(|slices| Suspect {
                fingerprint: cluster.fingerprint.clone(),
                slices: slices.into_iter().map(seqs).collect(),
            })
    });
    reproducible.take(most).collect()
}

/// Shrinks the first of a suspect's slices that `shows` the cluster, in at most `trials` runs.
pub fn reduce(suspect: &Suspect, trials: u64, mut shows: impl FnMut(&[u64]) -> bool) -> Reduced {
    let mut spent = 0;
    for slice in &suspect.slices {
        if spent >= trials {
            break;
        }
        spent += 1;
        if shows(slice) {
            let mut left = trials - spent;
            let requests = ddmin::ddmin(slice.clone(), |kept| {
                if left == 0 {
                    return false;
                }
                left -= 1;
                shows(kept)
            });
            return Reduced {
                requests,
                verified: true,
                trials: trials - left,
            };
        }
    }
    Reduced {
        requests: suspect.slices.first().cloned().unwrap_or_default(),
        verified: false,
        trials: spent,
    }
}

/// The exchanges of `capture` that stand at `requests`, as a capture of their own.
pub fn subset(capture: &Capture, requests: &[u64]) -> Capture {
    let wanted: BTreeSet<u64> = requests.iter().copied().collect();
    let kept: Vec<Exchange> = capture
        .exchanges
        .iter()
        .filter(|exchange| wanted.contains(&exchange.seq))
        .cloned()
        .collect();
    Capture {
        sha256: capture.sha256.clone(),
        format: capture.format,
        exchanges: kept,
        skipped: Vec::new(),
    }
}

/// A plan's requests by what they touch.
struct Index<'p> {
    plan: &'p Plan,
    places: BTreeMap<u64, usize>,
    by_order: BTreeMap<&'p str, Vec<usize>>,
    by_session: BTreeMap<&'p str, Vec<usize>>,
}

impl<'p> Index<'p> {
    fn new(plan: &'p Plan) -> Self {
        let mut index = Self {
            plan,
            places: BTreeMap::new(),
            by_order: BTreeMap::new(),
            by_session: BTreeMap::new(),
        };
        for (at, planned) in plan.requests.iter().enumerate() {
            index.places.insert(planned.seq, at);
            if let Some(order) = &planned.order {
                index.by_order.entry(order).or_default().push(at);
            }
            if let Some(session) = &planned.session {
                index.by_session.entry(session).or_default().push(at);
            }
        }
        index
    }

    /// The slices of the request at `at`, which ends each of them.
    fn slices_of(&self, at: usize) -> Option<Vec<Vec<usize>>> {
        match self.plan.requests.get(at)?.order.as_deref() {
            Some(order) => self.slices(order, at + 1),
            None => Some(self.widened(vec![at], at + 1)),
        }
    }

    /// The slices of what has this key of order, among the requests before `end`.
    fn slices(&self, order: &str, end: usize) -> Option<Vec<Vec<usize>>> {
        let touching = self.by_order.get(order)?.iter().copied();
        let narrow: Vec<usize> = touching.filter(|at| *at < end).collect();
        (!narrow.is_empty()).then(|| self.widened(narrow, end))
    }

    fn widened(&self, narrow: Vec<usize>, end: usize) -> Vec<Vec<usize>> {
        let mut related: BTreeSet<usize> = narrow.iter().copied().collect();
        for at in &narrow {
            let session = self.plan.requests[*at].session.as_deref();
            related.extend(
                session
                    .and_then(|name| self.by_session.get(name))
                    .into_iter()
                    .flatten(),
            );
        }
        let touched: BTreeSet<&str> = related
            .iter()
            .filter_map(|at| self.plan.requests[*at].order.as_deref())
            .collect();
        for order in touched {
            related.extend(self.by_order.get(order).into_iter().flatten());
        }
        let before = |at: &usize| *at < end;
        let related: Vec<usize> = related.into_iter().filter(before).collect();
        let all: Vec<usize> = (end.saturating_sub(WIDEST)..end).collect();
        let mut slices = vec![self.fed(narrow)];
        for wider in [self.fed(last(related)), all] {
            if slices.iter().all(|slice| slice.len() < wider.len()) {
                slices.push(wider);
            }
        }
        slices
    }
}

impl Index<'_> {
    /// The slice with the requests whose answers invent what it carries, and theirs.
    fn fed(&self, slice: Vec<usize>) -> Vec<usize> {
        let mut fed: BTreeSet<usize> = slice.iter().copied().collect();
        let mut open = slice;
        while let Some(at) = open.pop() {
            for carried in &self.plan.requests[at].uses {
                let producer = self
                    .plan
                    .values
                    .get(carried.value)
                    .map(|value| value.producer);
                let producer = producer.and_then(|seq| self.places.get(&seq));
                if let Some(producer) = producer
                    && fed.insert(*producer)
                {
                    open.push(*producer);
                }
            }
        }
        fed.into_iter().collect()
    }
}

/// The last ones, as many as a slice may have.
fn last(mut places: Vec<usize>) -> Vec<usize> {
    places.drain(..places.len().saturating_sub(WIDEST));
    places
}

#[cfg(test)]
mod tests;
