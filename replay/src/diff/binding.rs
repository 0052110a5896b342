//! Values that the services invent, paired up one to one over the whole run.
//!
//! A run's answers are looked at twice. First every pairing that is seen casts its votes; then [`Bindings::settle`] keeps those that stand, one
//! partner for each value, and whatever was seen against them is a violation. Who wins is a question of evidence, never of which answer came
//! first: a pairing seen at more places (endpoint and field) wins, then one that an answer to a write has shown, for there values are
//! invented, then one that more pairs show, then the one that comes first in the plan. What a rule forgives has no vote. Values that only a second
//! look shows, in lists whose items had to be paired up first, join what was settled: there the first pairing in the plan's order stands.
//!
//! **Invariant**: once settled, no value of one side has two partners: a swapped reference is found, whatever the values look like.
//! It deliberately does not look into texts: which part of one is an invented value is for `ledger` to say.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    diff::{
        conflict::{Conflict, Rival, Witness},
        embedded::digest,
    },
    rules::Subject,
};

/// Of a pairing's places so many are told apart: more say nothing more.
const PLACES: usize = 8;

/// So many violated pairings are kept with their witnesses.
pub(super) const CONFLICTS: usize = 1_000;

/// Where a comparison is made: what a witness names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'s> {
    pub(super) seq: u64,
    pub(super) endpoint: &'s str,
    pub(super) subject: Subject<'s>,
}

impl Spot<'_> {
    fn writes(&self) -> bool {
        match self.subject {
            Subject::Request { method, .. } => !matches!(method, "GET" | "HEAD" | "OPTIONS"),
            Subject::State => false,
        }
    }
}

/// What is made of the pairings that are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The first pairing of a value is its only one: for comparisons one at a time.
    #[default]
    AtOnce,
    /// All are noted down.
    Voting,
    /// They are looked up; none are added.
    Frozen,
}

/// The pairings so far, each kind of value for itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    stage: Stage,
    names: Vec<String>,
    forth: Vec<BTreeMap<String, String>>,
    back: Vec<BTreeMap<String, String>>,
    votes: Votes,
    /// For each pairing that was voted on whether it stands.
    stands: Vec<bool>,
    /// For each rule and place whether the sides write values of unlike types there, as they did first: numbers may have become texts.
    retyped: BTreeMap<usize, BTreeMap<String, bool>>,
    /// Digests of all values, of either side, that some answer has shown to have another value for a partner.
    renamed: BTreeSet<u64>,
}

#[derive(Clone, Debug, Default)]
struct Votes {
    edges: Vec<Edge>,
    /// For each kind of value and each of legacy's values: its pairings.
    of_legacy: Vec<BTreeMap<String, Vec<u32>>>,
    places: BTreeMap<String, u32>,
}

/// One value of legacy beside one of the candidate.
#[derive(Clone, Debug)]
struct Edge {
    kind: usize,
    legacy: String,
    candidate: String,
    places: Vec<u32>,
    written: bool,
    pairs: u64,
    last: (u64, bool),
    witness: Witness,
}

/// What became of two values that stand at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paired {
    /// They are each other's.
    Partners,
    /// At least one belongs to another value.
    Violated,
    /// It is settled later: the pairing's number.
    Noted(u32),
}

impl Bindings {
    /// The number of a kind of value, by its name.
    pub(super) fn kind(&mut self, name: &str) -> usize {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return at;
        }
        self.names.push(name.to_owned());
        self.forth.push(BTreeMap::new());
        self.back.push(BTreeMap::new());
        self.votes.of_legacy.push(BTreeMap::new());
        self.names.len() - 1
    }

    /// From now on pairings are noted down, to be settled later.
    pub(super) fn vote(&mut self) {
        self.stage = Stage::Voting;
    }

    /// From now on values are looked up, and none are added.
    pub(super) fn freeze(&mut self) {
        self.stage = Stage::Frozen;
    }

    /// Whether pairings are being noted down.
    pub(super) fn is_voting(&self) -> bool {
        self.stage == Stage::Voting
    }

    /// Whether two values under a rule are of unlike types, where those before them at the same place were of one, or the other way round.
    pub(super) fn changes_type(&mut self, rule: usize, path: &str, unlike: bool) -> bool {
        let places = self.retyped.entry(rule).or_default();
        if let Some(known) = places.get(path) {
            return *known != unlike;
        }
        places.insert(path.to_owned(), unlike);
        false
    }

    /// Looks at two values of a kind. `excused`: a rule forgives it if they do not belong together, so it is no evidence that they do.
    pub(super) fn pair(
        &mut self,
        kind: usize,
        legacy: &str,
        candidate: &str,
        spot: &Spot<'_>,
        path: &str,
        excused: bool,
    ) -> Paired {
        if self.stage == Stage::Voting {
            let edge = self.votes.edge(kind, legacy, candidate, spot, path);
            self.votes.count(edge, spot, path, excused);
            return Paired::Noted(edge);
        }
        match (self.forth[kind].get(legacy), self.back[kind].get(candidate)) {
            (Some(known), _) if known == candidate => Paired::Partners,
            (None, None) => {
                if self.stage == Stage::AtOnce && !excused {
                    self.forth[kind].insert(legacy.to_owned(), candidate.to_owned());
                    self.back[kind].insert(candidate.to_owned(), legacy.to_owned());
                    if legacy != candidate {
                        self.renamed.extend([legacy, candidate].map(digest));
                    }
                }
                Paired::Partners
            }
            _ => Paired::Violated,
        }
    }

    /// The candidate's partner of a value of legacy, of whatever kind.
    pub(super) fn partner(&self, legacy: &str) -> Option<&str> {
        let found = self.forth.iter().find_map(|forth| forth.get(legacy));
        found.map(String::as_str)
    }

    /// Whether the two are partners in any kind.
    pub(super) fn are_partners(&self, legacy: &str, candidate: &str) -> bool {
        self.forth
            .iter()
            .any(|forth| forth.get(legacy).is_some_and(|known| known == candidate))
    }

    /// Whether a word that both sides have alike names two things: it is a value of one side, of whatever kind, and its partner is another one.
    pub(super) fn is_renamed(&self, word: &str) -> bool {
        let other = |known: &BTreeMap<String, String>| {
            known.get(word).is_some_and(|partner| partner != word)
        };
        self.may_be_renamed(digest(word))
            && (self.forth.iter().any(other) || self.back.iter().any(other))
            && !self.are_partners(word, word)
    }

    /// Whether [`Self::is_renamed`] has to be asked about the word with this digest.
    pub(super) fn may_be_renamed(&self, digest: u64) -> bool {
        self.renamed.contains(&digest)
    }

    /// Whether a pairing that was noted down stands, and whether its values differ.
    pub(super) fn stands(&self, edge: u32) -> (bool, bool) {
        let at = edge as usize;
        let stands = self.stands.get(at).copied().unwrap_or(false);
        let differ = self.votes.edges.get(at);
        (
            stands,
            differ.is_some_and(|edge| edge.legacy != edge.candidate),
        )
    }

    /// Keeps the pairings with the better evidence. Returns what was seen against them, in the plan's order.
    pub(super) fn settle(&mut self) -> Vec<Conflict> {
        let edges = &self.votes.edges;
        let mut order: Vec<usize> = (0..edges.len()).collect();
        order.sort_by_key(|at| {
            let edge = &edges[*at];
            let evidence = (edge.places.len(), edge.written, edge.pairs);
            (edge.pairs == 0, Reverse(evidence), *at)
        });
        self.stands = vec![false; edges.len()];
        let mut winners: Vec<[BTreeMap<&str, usize>; 2]> =
            vec![Default::default(); self.names.len()];
        for at in order {
            let edge = &edges[at];
            let [forth, back] = &mut winners[edge.kind];
            if forth.contains_key(&*edge.legacy) || back.contains_key(&*edge.candidate) {
                continue;
            }
            forth.insert(&edge.legacy, at);
            back.insert(&edge.candidate, at);
            // What only a forgiven answer has shown proves nothing, but does no harm where nothing speaks against it.
            self.stands[at] = true;
        }
        let mut conflicts = Vec::new();
        for (at, edge) in edges.iter().enumerate() {
            if self.stands[at] {
                self.forth[edge.kind].insert(edge.legacy.clone(), edge.candidate.clone());
                self.back[edge.kind].insert(edge.candidate.clone(), edge.legacy.clone());
            } else if edge.pairs > 0 && conflicts.len() < CONFLICTS {
                let [forth, back] = &winners[edge.kind];
                let mut rivals: Vec<usize> =
                    forth.get(&*edge.legacy).copied().into_iter().collect();
                rivals.extend(back.get(&*edge.candidate));
                conflicts.push(Conflict {
                    pairing: self.names[edge.kind].clone(),
                    legacy: edge.legacy.clone(),
                    candidate: edge.candidate.clone(),
                    pairs: edge.pairs,
                    witness: edge.witness.clone(),
                    against: rivals.into_iter().map(|at| edges[at].rival()).collect(),
                });
            }
        }
        // A second look may show values that nobody could vote on: in lists whose items were not paired up yet. It goes in the plan's order.
        self.stage = Stage::AtOnce;
        let stand = edges.iter().zip(&self.stands);
        self.renamed = stand
            .filter(|(edge, stands)| **stands && edge.pairs > 0 && edge.legacy != edge.candidate)
            .flat_map(|(edge, _)| [digest(&edge.legacy), digest(&edge.candidate)])
            .collect();
        conflicts
    }

    /// Forgets the votes, when all that was noted down has been looked up, and freezes.
    pub(super) fn forget(&mut self) {
        self.freeze();
        self.votes = Votes::default();
        self.stands = Vec::new();
    }
}

impl Votes {
    fn edge(
        &mut self,
        kind: usize,
        legacy: &str,
        candidate: &str,
        spot: &Spot<'_>,
        path: &str,
    ) -> u32 {
        let known = self.of_legacy[kind].get(legacy);
        let same = |at: &&u32| self.edges[**at as usize].candidate == candidate;
        if let Some(at) = known.and_then(|known| known.iter().find(same)) {
            return *at;
        }
        let at = u32::try_from(self.edges.len()).expect("fewer pairings than 2^32");
        self.edges.push(Edge {
            kind,
            legacy: legacy.to_owned(),
            candidate: candidate.to_owned(),
            places: Vec::new(),
            written: false,
            pairs: 0,
            last: (u64::MAX, false),
            witness: Witness {
                seq: spot.seq,
                endpoint: spot.endpoint.to_owned(),
                path: path.to_owned(),
            },
        });
        match self.of_legacy[kind].get_mut(legacy) {
            Some(known) => known.push(at),
            None => {
                self.of_legacy[kind].insert(legacy.to_owned(), vec![at]);
            }
        }
        at
    }

    fn count(&mut self, edge: u32, spot: &Spot<'_>, path: &str, excused: bool) {
        if excused {
            return;
        }
        let name = format!("{} {path}", spot.endpoint);
        let fresh = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(name).or_insert(fresh);
        let edge = &mut self.edges[edge as usize];
        if edge.places.len() < PLACES && !edge.places.contains(&place) {
            edge.places.push(place);
        }
        edge.written |= spot.writes();
        let here = (spot.seq, spot.subject == Subject::State);
        if edge.last != here || edge.pairs == 0 {
            edge.last = here;
            edge.pairs += 1;
        }
    }
}

impl Edge {
    fn rival(&self) -> Rival {
        Rival {
            legacy: self.legacy.clone(),
            candidate: self.candidate.clone(),
            pairs: self.pairs,
            witness: self.witness.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
