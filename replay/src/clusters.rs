//! Mismatches of one cause, seen once: clusters by fingerprint (endpoint, kind of difference, place).
//!
//! **Invariant**: however many mismatches there are, at most [`CLUSTERS`] clusters of [`EXAMPLES`] examples are kept; what overflows is counted.

use std::collections::BTreeMap;

use crate::{
    diff::{Difference, DifferenceKind, shortened},
    hypothesis::Hypothesis,
    pairs::Pair,
    run::Outcome,
};

/// Each cluster keeps so many examples.
pub const EXAMPLES: usize = 5;

/// So many clusters are kept apart: more is a comparison that is wrong as a whole, not so many causes.
pub const CLUSTERS: usize = 500;

/// The fingerprint of what overflowed.
const OTHERS: &str = "(others)";

/// Differences with one fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cluster {
    /// Endpoint, kind and place, in one text that stays the same from run to run.
    pub fingerprint: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// What kind of difference.
    pub kind: &'static str,
    /// Where: a JSON pointer with indexes as `*`, or a header's name.
    pub path: String,
    /// How many pairs have it.
    pub count: u64,
    /// The smallest ones, the smallest first.
    pub examples: Vec<Example>,
    /// The tested cause that explains most of it.
    pub hypothesis: Option<Hypothesis>,
    /// The kind, as data.
    #[serde(skip)]
    pub difference: DifferenceKind,
}

/// One pair of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Example {
    /// The request's place in the capture; for a final state, the entity's place in the plan.
    pub seq: u64,
    /// What was asked.
    pub asked: String,
    /// The exact place, where the cluster's path has stars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Legacy's value, shortened; absent where it has none.
    pub legacy: Option<String>,
    /// The candidate's.
    pub candidate: Option<String>,
}

/// The clusters of a run.
#[derive(Clone, Debug, Default)]
pub struct Clusters(
    BTreeMap<(String, DifferenceKind, String), Cluster>,
    /// For each fingerprint, how large its examples are.
    BTreeMap<String, Vec<usize>>,
);

impl Clusters {
    /// Counts the differences of one pair: each fingerprint once.
    pub fn add(&mut self, pair: &Pair<'_>, differences: &[Difference]) {
        for (at, difference) in differences.iter().enumerate() {
            let twin =
                |known: &Difference| known.kind == difference.kind && known.path == difference.path;
            if differences[..at].iter().any(twin) {
                continue;
            }
            let endpoint = shortened(pair.endpoint);
            let path = shortened(&difference.path);
            let key = (endpoint.clone(), difference.kind, path.clone());
            if self.0.len() >= CLUSTERS && !self.0.contains_key(&key) {
                self.overflow();
                continue;
            }
            let cluster = self.0.entry(key).or_insert_with(|| Cluster {
                fingerprint: format!("{endpoint} {} {path}", difference.kind.name())
                    .trim_end()
                    .to_owned(),
                endpoint,
                kind: difference.kind.name(),
                path,
                count: 0,
                examples: Vec::new(),
                hypothesis: None,
                difference: difference.kind,
            });
            cluster.count += 1;
            let sizes = self.1.entry(cluster.fingerprint.clone()).or_default();
            let size = size(pair);
            let place = sizes.partition_point(|known| *known <= size);
            if place < EXAMPLES {
                sizes.insert(place, size);
                sizes.truncate(EXAMPLES);
                let example = Example {
                    seq: pair.seq,
                    asked: shortened(&format!("{} {}", pair.asked.0, pair.asked.1)),
                    at: difference.exact.as_deref().map(shortened),
                    legacy: difference.legacy.clone(),
                    candidate: difference.candidate.clone(),
                };
                cluster.examples.insert(place, example);
                cluster.examples.truncate(EXAMPLES);
            }
        }
    }

    /// The clusters, the largest first.
    pub fn sorted(self) -> Vec<Cluster> {
        let mut clusters: Vec<Cluster> = self.0.into_values().collect();
        clusters.sort_by(|a, b| {
            let by_count = b.count.cmp(&a.count);
            by_count.then_with(|| a.fingerprint.cmp(&b.fingerprint))
        });
        clusters
    }

    fn overflow(&mut self) {
        let key = (OTHERS.to_owned(), DifferenceKind::Failed, String::new());
        let others = self.0.entry(key).or_insert_with(|| Cluster {
            fingerprint: OTHERS.to_owned(),
            endpoint: OTHERS.to_owned(),
            kind: "others",
            path: String::new(),
            count: 0,
            examples: Vec::new(),
            hypothesis: None,
            difference: DifferenceKind::Failed,
        });
        others.count += 1;
    }
}

/// How much there is to read in an example: the target and both bodies.
fn size(pair: &Pair<'_>) -> usize {
    let body = |outcome: &Outcome| match outcome {
        Outcome::Answered(answer) => answer.body.len(),
        Outcome::Failed { .. } | Outcome::Skipped(_) => 0,
    };
    pair.asked.1.len() + body(pair.legacy) + body(pair.candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rules::Subject, run::SkipReason};

    #[test]
    fn a_million_causes_stay_bounded() {
        let outcome = Outcome::Skipped(SkipReason::Stopped);
        let mut clusters = Clusters::default();
        for seq in 0..2_000 {
            let pair = Pair {
                seq,
                subject: Subject::State,
                endpoint: "state",
                session: None,
                asked: ("state", "x"),
                legacy: &outcome,
                candidate: &outcome,
            };
            let difference = |path: String| Difference {
                kind: DifferenceKind::Value,
                path,
                exact: None,
                legacy: Some("1".into()),
                candidate: None,
            };
            let differences = [
                difference("/a".into()),
                difference(format!("/{seq}")),
                difference("/a".into()),
            ];
            clusters.add(&pair, &differences);
        }
        let clusters = clusters.sorted();
        assert_eq!(clusters.len(), CLUSTERS + 1);
        assert_eq!(clusters[0].fingerprint, "state value /a");
        assert_eq!(clusters[0].count, 2_000);
        assert_eq!(clusters[0].examples.len(), EXAMPLES);
        assert_eq!(clusters[1].fingerprint, OTHERS);
        let counted: u64 = clusters.iter().map(|cluster| cluster.count).sum();
        assert_eq!(counted, 4_000);
    }
}
